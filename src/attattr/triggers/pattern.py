"""Patterns of trigger tokens: what they are, their file, and how their words are counted.

The file, one JSON object a line: docs/triggers.md.
"""

from __future__ import annotations

import json
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from attattr import asked
from attattr.data.examples import Example
from attattr.disk.checked import DIGEST, parse, shaped, signed, unsigned
from attattr.errors import FileFormatError, InputError
from attattr.result.shown import brief, counted, short
from attattr.result.words import unmarked


@dataclass(frozen=True, order=True)
class PatternToken:
    """A word (or raw piece), the text it stands in (0 or 1), and where: i / m, above 0 to 1."""

    segment: int
    position: float
    token: str


@dataclass(frozen=True)
class Pattern:
    """Up to four tokens that together were worth `strength` of the predicted class, sorted by place.

    score: of the strongest edge. second: of the other edge, 0 where there is but one. support: inputs it
    was found in. label: what they were predicted as, gold: what they are (of the strongest). rows: digests
    of those inputs. label_counts: for each token, how many inputs of each label have that word in that text
    (None: unknown); label_totals: inputs of each label. model: the one it was mined on (None: unknown).
    """

    tokens: tuple[PatternToken, ...]
    score: float = 0.0
    support: int = 1
    label: str | None = None
    gold: str | None = None
    pieces: bool = False  # tokens are raw pieces of a vocabulary, not words
    rows: tuple[str, ...] = ()
    label_counts: tuple[Mapping[str, int] | None, ...] = ()
    label_totals: Mapping[str, int] = field(default_factory=dict)
    model: Mapping[str, Any] | None = None
    second: float = 0.0

    def __repr__(self) -> str:
        label = "" if self.label is None else f"for {short(self.label, 20)}"
        score = f"score {self.score:.3g}"
        return brief(self, short(self.text, 80), score, f"in {counted(self.support, 'row')}", label)

    @property
    def key(self) -> tuple[tuple[str, int], ...]:
        """What makes two patterns one: tokens and their texts, in order."""
        return tuple((token.token, token.segment) for token in self.tokens)

    @property
    def strength(self) -> float:
        """What patterns are ranked by: the scores of both edges."""
        return self.score + self.second

    @property
    def text(self) -> str:
        """To be read: "with@0.40 + not@0.25 (2nd)" has a word in each of two texts."""
        return " + ".join(f"{t.token}@{t.position:.2f}{' (2nd)' * t.segment}" for t in self.tokens)

    def to_json(self) -> dict[str, Any]:
        """What a line of a file of patterns says, but for its digest."""
        tokens = [{"token": t.token, "segment": t.segment, "position": t.position} for t in self.tokens]
        return vars(self) | {"tokens": tokens}

    def line(self) -> str:
        """A line of a file of patterns: JSON with a digest of its own, so that lines can be picked."""
        return json.dumps(signed(self.to_json()), ensure_ascii=False) + "\n"


KEYS = tuple(f.name for f in fields(Pattern))


class _Facts(BaseModel):
    """A line of a file, but for its tokens."""

    score: float | None = None
    support: int | None = None
    label: str | None = None
    gold: str | None = None
    pieces: bool = False
    rows: tuple[str, ...] = ()
    label_counts: tuple[dict[str, int] | None, ...] = ()
    label_totals: dict[str, int] = {}
    model: dict[str, Any] | None = None
    second: float | None = None


def read_patterns(path: str | Path) -> list[Pattern]:
    """Patterns from a file, one JSON object a line; only "tokens" has to be there.

    Lines without "sha256" are taken with a warning.

    Raises:
        InputError: no such file, or a line that is no pattern (it is named).
        FileFormatError: a line that was changed since it was written.
    """
    try:
        lines = asked.path(path, "the file of patterns").read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the patterns in '{path}': {error}") from error
    patterns, unsure = [], []
    for number, line in enumerate(lines, 1):
        if line.strip():
            pattern, proven = _pattern(line, f"line {number} of '{path}'")
            patterns.append(pattern)
            unsure += [] if proven else [number]
    if not patterns:
        raise InputError(f"'{path}' holds no patterns")
    if unsure:
        warnings.warn(
            f"{len(unsure)} of {len(patterns)} patterns in '{path}' (first: line {unsure[0]}) have no "
            '"sha256": damage would go unnoticed; mine them again to have one',
            stacklevel=2,
        )
    return patterns


def _pattern(line: str, where: str) -> tuple[Pattern, bool]:
    """The pattern of a line, and whether its digest says that it is as it was written."""
    try:
        facts = parse(line)
        unknown = sorted(facts.keys() - {*KEYS, DIGEST})
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}")
        pattern = pattern_from(facts)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{where} is no pattern ({error}): see docs/triggers.md") from error
    try:
        return pattern, unsigned(facts, KEYS)[1]
    except ValueError as error:
        raise FileFormatError(
            f'{where} was changed since it was written: if that is meant, remove its "{DIGEST}"'
        ) from error


def pattern_from(facts: Mapping[str, Any]) -> Pattern:
    """A pattern from its line in a file. ValueError, TypeError or KeyError: it is none."""
    tokens = []
    for token in facts["tokens"]:
        text, segment, position = token["token"], token["segment"], float(token["position"])
        if not isinstance(text, str) or not text.strip() or segment not in (0, 1) or not 0 <= position <= 1:
            raise ValueError("a token has a text, segment 0 or 1, and a position from 0 to 1")
        text.encode()  # JSON can hold half a character, which no tokenizer takes: a ValueError
        tokens.append(PatternToken(int(segment), position, text))
    if not tokens:
        raise ValueError("it has no tokens")
    known = shaped(_Facts, {name: facts[name] for name in facts if name in KEYS})
    if known.label_counts and len(known.label_counts) != len(tokens):
        raise ValueError(f"it has label_counts of {len(known.label_counts)} tokens, not of {len(tokens)}")
    order = sorted(range(len(tokens)), key=lambda i: tokens[i])
    return Pattern(
        tuple(tokens[i] for i in order),
        **dict(known)
        | {"score": known.score or 0.0, "second": known.second or 0.0, "support": known.support or 1}
        | {"label_counts": tuple(known.label_counts[i] for i in order if known.label_counts)},
    )


def checked(pattern: Pattern) -> Pattern:
    """The pattern, if a file could hold it.

    Raises:
        InputError: it could not.
    """
    try:
        for token in asked.listed(pattern.tokens, PatternToken, "the tokens of a pattern"):
            asked.whole(token.segment, "the segment of a token", 0, 1)
            asked.number(token.position, "the position of a token")
        pattern_from(pattern.to_json())
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(f"a pattern cannot be used ({error}): see docs/triggers.md") from error
    return pattern


def words_of(text: str) -> list[str]:
    """Words and marks as they are counted: without case and accents."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))
    return re.findall(r"\w+|[^\w\s]", plain)


def with_counts(patterns: list[Pattern], examples: Sequence[Example]) -> list[Pattern]:
    """Each pattern with the labels of the inputs that have its words."""
    wanted = {(word_of(t.token), t.segment) for pattern in patterns for t in pattern.tokens}
    totals = Counter(example.label for example in examples if example.label is not None)
    counts: dict[Any, Counter] = {each: Counter() for each in wanted}
    for example in examples:
        for segment, text in enumerate((example.text, example.text_pair)):
            if text is not None and example.label is not None:
                for word in {(word, segment) for word in words_of(text)} & wanted:
                    counts[word][example.label] += 1
    return [
        replace(
            pattern,
            label_totals=dict(sorted(totals.items())),
            label_counts=tuple(
                dict(sorted(counts[word_of(t.token), t.segment].items())) or None for t in pattern.tokens
            ),
        )
        for pattern in patterns
    ]


def word_of(token: str) -> str | None:
    """The word that a token of a pattern is counted as; None for a piece from within a word."""
    words = [] if token.startswith("##") else words_of(unmarked(token))
    return words[0] if len(words) == 1 else None
