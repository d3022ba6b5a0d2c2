"""Patterns of trigger tokens: what they are, their file, and how their words are counted.

The file, one JSON object a line: docs/triggers.md.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attattr.data import Example
from attattr.errors import InputError
from attattr.shown import brief, counted, short


@dataclass(frozen=True, order=True)
class PatternToken:
    """A word (or raw piece), the text it stands in (0 or 1), and where: i / m, above 0 to 1."""

    segment: int
    position: float
    token: str


@dataclass(frozen=True)
class Pattern:
    """Up to four tokens that together were worth `score` of the predicted class, sorted by place.

    support: inputs it was found in. label: what they were predicted as, gold: what they are (of the
    strongest). rows: digests of those inputs. label_counts: for each token, how many inputs of each
    label have that word in that text (None: unknown); label_totals: inputs of each label.
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

    def __repr__(self) -> str:
        label = "" if self.label is None else f"for {short(self.label, 20)}"
        score = f"score {self.score:.3g}"
        return brief(self, short(self.text, 80), score, f"in {counted(self.support, 'row')}", label)

    @property
    def key(self) -> tuple[tuple[str, int], ...]:
        """What makes two patterns one: tokens and their texts, in order."""
        return tuple((token.token, token.segment) for token in self.tokens)

    @property
    def text(self) -> str:
        """To be read: "with@0.40 + not@0.25 (2nd)" has a word in each of two texts."""
        return " + ".join(f"{t.token}@{t.position:.2f}{' (2nd)' * t.segment}" for t in self.tokens)

    def to_json(self) -> dict[str, Any]:
        """One line of a file of patterns."""
        tokens = [{"token": t.token, "segment": t.segment, "position": t.position} for t in self.tokens]
        return vars(self) | {"tokens": tokens}


def read_patterns(path: str | Path) -> list[Pattern]:
    """Patterns from a file, one JSON object a line; only "tokens" has to be there.

    Raises:
        InputError: no such file, or a line that is no pattern (it is named).
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the patterns in '{path}': {error}") from error
    patterns = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                patterns.append(pattern_from(json.loads(line)))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise InputError(
                    f"line {number} of '{path}' is no pattern ({error}): see docs/triggers.md"
                ) from error
    if not patterns:
        raise InputError(f"'{path}' holds no patterns")
    return patterns


def pattern_from(facts: dict[str, Any]) -> Pattern:
    """A pattern from its line in a file. ValueError, TypeError or KeyError: it is none."""
    tokens = []
    for token in facts["tokens"]:
        text, segment, position = token["token"], token["segment"], float(token["position"])
        if not isinstance(text, str) or not text.strip() or segment not in (0, 1) or not 0 <= position <= 1:
            raise ValueError("a token has a text, segment 0 or 1, and a position from 0 to 1")
        tokens.append(PatternToken(int(segment), position, text))
    if not tokens:
        raise ValueError("it has no tokens")
    known = {name: facts[name] for name in ("label", "gold", "label_totals") if name in facts}
    return Pattern(
        tuple(sorted(tokens)), float(facts.get("score") or 0), int(facts.get("support") or 1),
        pieces=bool(facts.get("pieces", False)), rows=tuple(facts.get("rows", ())),
        label_counts=tuple(facts.get("label_counts", ())), **known,
    )  # fmt: skip


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
    words = [] if token.startswith("##") else words_of(token.lstrip("Ġ▁"))
    return words[0] if len(words) == 1 else None
