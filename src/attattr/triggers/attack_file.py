"""The JSON of an attack, read again for its report: its digest, and the shape that the report relies on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from attattr.choices import InsertInto
from attattr.disk.checked import parse, shaped, unsigned
from attattr.errors import FileFormatError, InputError
from attattr.triggers.pattern import pattern_from

VERSIONS = ("1", "2")  # that are read; of 1 there are no random patterns chosen alike, and no leanings
Share = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=0)]
KEYS = (
    "schema_version", "model", "data", "patterns_file", "insert_into", "limit", "seed", "screen", "choose",
    "rows", "left_out", "labels", "clean", "patterns", "worst", "luck", "leans", "controls", "examples",
)  # fmt: skip


class _Token(BaseModel):
    token: str
    segment: Literal[0, 1]


class _Shares(BaseModel):
    """Measured, but for what inputs became."""

    accuracy: Share | None
    interval: tuple[Share, Share] | None
    per_class: dict[str, Share | None]
    intervals: dict[str, tuple[Share, Share] | None] = {}
    n: Whole | None = None
    counts: dict[str, Whole | None] = {}


class _Measured(_Shares):
    confusion: list[list[Whole]]


class _Chosen(_Measured):
    pattern: Whole
    tokens: list[_Token]


class _Estimate(BaseModel):
    mean: float | None
    interval: tuple[float, float] | None
    n: Whole


class _ByClass(BaseModel):
    overall: _Estimate
    per_class: dict[str, _Estimate]


class _Drawn(_Measured):
    tokens: list[_Token]


class _Luck(BaseModel):
    patterns: Whole
    overall: list[_Drawn]
    per_class: dict[str, list[_Drawn]]
    lost: _ByClass
    ahead: _ByClass


class _Leaning(BaseModel):
    pattern: Whole
    label: str
    inserted: _Estimate
    removed: _Estimate
    leans: bool


class _Leak(BaseModel):
    token: str
    label: str
    flagged: bool


class _Pattern(_Measured):
    leaks: list[_Leak]
    rows_left_out: Whole
    shortened: Whole


class _Worst(BaseModel):
    selection_rows: Whole
    report_rows: Whole
    clean: _Measured
    overall: list[_Chosen]
    any_of_overall: _Shares
    per_class: dict[str, list[_Chosen]]
    lost: _ByClass | None = None


class _Control(BaseModel):
    kind: str
    about: str | None
    tokens: list[_Token]
    report: _Measured


class _Example(BaseModel):
    about: str | None
    pattern: Whole
    text: str | None
    text_pair: str | None
    gold: str
    clean: str
    attacked: str
    tokens: list[str]
    inserted: list[Whole]
    # only `explained` says what the edges are
    edges_before: None = None
    edges_after: None = None


class _Model(BaseModel):
    name: str


class _Attack(BaseModel):
    """What the report reads."""

    model: _Model
    data: str = ""
    rows: Whole
    insert_into: InsertInto
    labels: Annotated[list[str], Field(min_length=1)]
    patterns: list[_Pattern]
    worst: _Worst
    luck: _Luck | None = None
    leans: list[_Leaning] = []
    controls: list[_Control]
    examples: list[_Example]


def read_attack(path: str | Path) -> dict[str, Any]:
    """What `attattr triggers attack --json` wrote. A file without a digest is taken with a warning.

    Raises:
        InputError: it cannot be read, or is no attack.
        FileFormatError: it is damaged.
    """
    try:
        facts = parse(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from error
    except ValueError as error:
        raise FileFormatError(f"'{path}' is not what `triggers attack --json` writes ({error})") from error
    if not isinstance(facts, dict) or facts.get("schema_version") not in VERSIONS or "worst" not in facts:
        raise InputError(f"'{path}' is no attack, or of another version of attattr")
    try:
        facts, proven = unsigned(facts, KEYS)
        _check(facts)
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"'{path}' is damaged ({error}): attack again") from error
    if not proven:
        warnings.warn(
            f"'{path}' has no \"sha256\": damage would go unnoticed; attack again to have one",
            stacklevel=2,
        )
    return facts


def _check(facts: dict[str, Any]) -> None:
    """ValueError where the report would not find what it needs."""
    known = shaped(_Attack, facts)
    for pattern in facts["patterns"]:
        pattern_from(pattern)
    worst, labels = known.worst, known.labels
    chosen = [*worst.overall, *(of for some in worst.per_class.values() for of in some)]
    reports = [control.report for control in known.controls]
    measured: list[_Measured] = [worst.clean, *known.patterns, *chosen, *reports]
    by_label: list[dict[str, Any]] = [worst.per_class]
    if worst.lost is not None:
        by_label.append(worst.lost.per_class)
    if known.luck is not None:
        luck = known.luck
        by_label += [luck.per_class, luck.lost.per_class, luck.ahead.per_class]
        measured += [*luck.overall, *(of for some in luck.per_class.values() for of in some)]
    by_label += [of.per_class for of in (*measured, worst.any_of_overall)]
    if any(sorted(of) != sorted(labels) for of in by_label):
        raise ValueError(f"not everything is there for the labels {', '.join(labels)}")
    if any({len(of.confusion), *map(len, of.confusion)} != {len(labels)} for of in measured):
        raise ValueError("a confusion is not of its labels")
    if any(of.pattern >= len(known.patterns) for of in [*chosen, *known.examples, *known.leans]):
        raise ValueError("it names a pattern that is not there")
