"""Words of mined patterns that come back, alone or two together, whatever they are joined with.

A word that a model leans on is joined with another neighbour in every input, and so lies scattered over
as many patterns, each with one input; of two words that act together a pattern often has one. A word
recurs if the inputs that have it have it in their pattern. Two words recur as the weaker of them does
among the inputs that have both, in that order: a word that only stands by is in few of the patterns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean, median
from typing import NamedTuple

from attattr.data.examples import Example, digest
from attattr.measure.intervals import wilson
from attattr.triggers.pattern import Pattern, PatternToken, with_counts, word_of, words_of

Key = tuple[tuple[str, int], ...]  # words and their texts, in order


class _Row(NamedTuple):
    pattern: Pattern | None
    mined: set[tuple[str, int]]
    places: dict[tuple[str, int], float]  # of the words that any pattern has: i / m, of their first place


def recurring(patterns: Sequence[Pattern], examples: Sequence[Example]) -> list[Pattern]:
    """Single words and pairs as patterns, those that come back most surely first.

    >>> from attattr.triggers.pattern import PatternToken
    >>> rows = [Example("oak film"), Example("dull oak"), Example("oak elm"), Example("film elm")]
    >>> oak = PatternToken(0, 0.5, "oak")
    >>> found = [Pattern((oak,), rows=(digest(row),), label="good") for row in rows[:3]]
    >>> [(part.text, part.support) for part in recurring(found, rows)]
    [('oak@0.50', 3)]

    Ranked by the lower end of the 95 % interval (Wilson) of a share: of the examples that have these words in
    this order, those whose pattern has the word; of two words the smaller. Then by the strength of these
    patterns together. A word stands where it does in the median of these examples; label: what most of those
    patterns are for. support: examples whose pattern has one of the words.

    Args:
        patterns: of `mine_triggers`, of whole words: pieces from within a word are left out.
        examples: what they were mined from.
    """
    rows = _rows(patterns, examples)
    having: dict[Key, list[_Row]] = defaultdict(list)
    for row in rows:
        ordered = sorted(row.places, key=lambda word: (word[1], row.places[word], word[0]))
        for word in ordered:
            having[word,].append(row)
        for pair in combinations(ordered, 2):
            if row.mined & set(pair):
                having[pair].append(row)
    for pair in [key for key in having if len(key) == 2]:  # rows with neither word in the pattern count, too
        having[pair] = [row for row in having[pair[0],] if _has(row, pair)]
    ranked = []
    for key, own in having.items():
        hits = [sum(word in row.mined for row in own) for word in key]
        if min(hits):
            share, _ = wilson(min(hits), len(own))
            part = _part(key, own)
            ranked.append((-share, -part.score * part.support, key, part))
    ranked.sort(key=lambda each: each[:3])
    return with_counts([part for *_, part in ranked], examples)


def _rows(patterns: Sequence[Pattern], examples: Sequence[Example]) -> list[_Row]:
    """The examples with their patterns, and the places of all words that are in any."""
    of = {row: pattern for pattern in patterns for row in pattern.rows}
    mined = {
        pattern.key: {(word, token.segment) for token in pattern.tokens if (word := word_of(token.token))}
        for pattern in patterns
    }
    every = set().union(*mined.values()) if mined else set()
    found = []
    for example in examples:
        pattern, places = of.get(digest(example)), {}
        for segment, text in enumerate((example.text, example.text_pair)):
            words = words_of(text or "")
            for i, word in reversed(list(enumerate(words, 1))):
                if (word, segment) in every:
                    places[word, segment] = i / len(words)
        found.append(_Row(pattern, mined[pattern.key] if pattern else set(), places))
    return found


def _has(row: _Row, pair: Key) -> bool:
    """Whether it has both, in this order."""
    (_, one), (_, other) = pair
    at = [row.places.get(word) for word in pair]
    return None not in at and (one, at[0]) < (other, at[1])


def _part(key: Key, rows: Sequence[_Row]) -> Pattern:
    found = [(row.pattern, row) for row in rows if row.pattern and row.mined & set(key)]
    patterns = [pattern for pattern, _ in found]
    tokens = [PatternToken(word[1], median(row.places[word] for _, row in found), word[0]) for word in key]
    label, _ = Counter(sorted(str(pattern.label) for pattern in patterns)).most_common(1)[0]
    return Pattern(
        tuple(sorted(tokens)), fmean(pattern.strength for pattern in patterns), len(found),
        None if label == "None" else label, model=patterns[0].model,
        rows=tuple(sorted({row for pattern in patterns for row in pattern.rows})),
    )  # fmt: skip
