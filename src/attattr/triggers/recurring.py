"""Parts of mined patterns that come back, whatever they stand beside.

A word that a model leans on is joined with another neighbour in every input, and so lies scattered over as
many patterns, each with one input. A part is one word of a pattern, or two in their order. It recurs if the
inputs that have its words have it in their pattern: an input without them says nothing, one that has them and
another pattern speaks against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean, median
from typing import Any

from attattr.data.examples import Example, digest
from attattr.measure.intervals import wilson
from attattr.triggers.pattern import Pattern, PatternToken, with_counts, word_of, words_of

WORDS = 2  # of a part, at most


def recurring(patterns: Sequence[Pattern], examples: Sequence[Example]) -> list[Pattern]:
    """The parts of patterns, those that come back most surely first.

    >>> from attattr.triggers.pattern import PatternToken
    >>> rows = [Example("oak film"), Example("dull oak"), Example("oak elm"), Example("film elm")]
    >>> found = [
    ...     Pattern(tuple(PatternToken(0, (i + 1) / 2, word) for i, word in enumerate(row.text.split())),
    ...             rows=(digest(row),), label="good")
    ...     for row in rows
    ... ]
    >>> [(part.text, part.support) for part in recurring(found, rows)[:2]]
    [('oak@0.50', 3), ('elm@1.00', 2)]

    Ranked by the lower end of the 95 % interval (Wilson) of a share: of the examples that have its words,
    those whose pattern has the part. Then by the strength of these patterns together. A part stands where it
    does in their median, and speaks for the label that most of them were predicted as.

    Args:
        patterns: of `mine_triggers`, of whole words: pieces from within a word are left out.
        examples: what they were mined from.
    """
    texts = {
        digest(row): [set(words_of(text or "")) for text in (row.text, row.text_pair)] for row in examples
    }
    found: dict[Any, dict[str, tuple[tuple[PatternToken, ...], Pattern]]] = {}
    for pattern in patterns:
        tokens = [token for token in pattern.tokens if word_of(token.token)]
        for count in range(1, WORDS + 1):
            for part in combinations(tokens, count):
                key = tuple((word_of(token.token), token.segment) for token in part)
                for row in pattern.rows:
                    found.setdefault(key, {}).setdefault(row, (part, pattern))
    ranked = []
    for key, by_row in found.items():
        having = sum(all(word in of[segment] for word, segment in key) for of in texts.values())
        share, _ = wilson(len(by_row), max(having, len(by_row)))
        strength = sum(pattern.strength for _, pattern in by_row.values())
        ranked.append((-share, -strength, key, _part(by_row)))
    ranked.sort(key=lambda each: each[:3])
    return with_counts([part for *_, part in ranked], examples)


def _part(by_row: dict[str, tuple[tuple[PatternToken, ...], Pattern]]) -> Pattern:
    """One pattern of a part as it was found in several inputs."""
    parts, patterns = zip(*by_row.values(), strict=True)
    tokens = [
        replace(same[0], position=median(token.position for token in same))
        for same in zip(*parts, strict=True)
    ]
    label, _ = Counter(sorted(str(pattern.label) for pattern in patterns)).most_common(1)[0]
    return Pattern(
        tuple(sorted(tokens)), fmean(pattern.strength for pattern in patterns), len(by_row),
        None if label == "None" else label, rows=tuple(sorted(by_row)), model=patterns[0].model,
    )  # fmt: skip
