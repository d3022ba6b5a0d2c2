"""Words that mined patterns come back to, whatever they are joined with; and the words that stand by them.

A word that a model leans on is joined with another neighbour in every input, and so lies scattered over
as many patterns, each with one input. A word recurs if the inputs that have it have it in their pattern.

Of two words that decide together a model often reads one where the other already is: the strongest edges
have one of them, and the other is in no pattern. But it stands in the inputs whose patterns have the
first, and in few others: it is the first one's partner.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean, median
from typing import NamedTuple

from attattr.data.examples import Example, digest
from attattr.measure.intervals import wilson
from attattr.triggers.pattern import Pattern, PatternToken, with_counts, word_of, words_of

TOGETHER = 2  # inputs that two words are seen together in, at least
Word = tuple[str, int]  # and its text


class _Row(NamedTuple):
    places: dict[Word, float]  # i / m, of each word's first place
    mined: frozenset[Word]  # of these, those that its pattern has
    pattern: Pattern | None


def recurring(patterns: Sequence[Pattern], examples: Sequence[Example]) -> list[Pattern]:
    """Single words as patterns, those that come back most surely first.

    >>> rows = [Example("oak film"), Example("dull oak"), Example("oak elm"), Example("film elm")]
    >>> oak = PatternToken(0, 0.5, "oak")
    >>> found = [Pattern((oak,), rows=(digest(row),), label="good") for row in rows[:3]]
    >>> [(part.text, part.support) for part in recurring(found, rows)]
    [('oak@0.50', 3)]

    Ranked by the lower end of the 95 % interval (Wilson) of a share: of the examples that have the word,
    those whose pattern has it. Then by the strength of these patterns together. A word stands where it does
    in the median of these examples; label: what most of their patterns are for. support: how many they are.

    Args:
        patterns: of the examples, each of its own or merged ones; pieces from within a word are left out.
        examples: what they were mined from.
    """
    rows = _rows(patterns, examples)
    having = Counter(word for row in rows for word in row.places)
    mined: dict[Word, list[_Row]] = defaultdict(list)
    for row in rows:
        for word in row.mined:
            mined[word].append(row)
    ranked = []
    for word, own in mined.items():
        part = _pattern((word,), own)
        share, _ = wilson(len(own), having[word])
        ranked.append((-share, -part.score * part.support, word, part))
    ranked.sort(key=lambda each: each[:3])
    return with_counts([part for *_, part in ranked], examples)


def partners(patterns: Sequence[Pattern], examples: Sequence[Example]) -> list[Pattern]:
    """Pairs of words as patterns, the surest first.

    >>> rows = [Example(f"oak {i} elm") for i in range(4)] + [Example(f"dull film {i}") for i in range(8)]
    >>> oak = PatternToken(0, 1 / 3, "oak")
    >>> found = [Pattern((oak,), rows=(digest(row),), label="good") for row in rows[:4]]
    >>> [(pair.text, pair.support) for pair in partners(found, rows)]
    [('oak@0.33 + elm@1.00', 4)]

    For a word and a label: the examples whose pattern has the word and is for the label. Its partner stands
    in a larger share of these than of all others. Ranked by the lower end of the 95 % interval (Wilson) of
    the one share less the upper end of the other; pairs of which that is not above 0 are left out. Then by
    the strength of these patterns together. The words stand in the order that most of these examples have,
    each where it does in the median of those. support: examples that have both and are counted.

    Args:
        patterns, examples: as of `recurring`; of merged patterns the labels are less sure.
    """
    rows = _rows(patterns, examples)
    everywhere = Counter(word for row in rows for word in row.places)
    having: dict[tuple[Word, str], list[_Row]] = defaultdict(list)
    for row in rows:
        for mined in row.mined:
            having[mined, str(row.pattern and row.pattern.label)].append(row)
    best: dict[tuple[frozenset[Word], str], tuple[float, float, tuple[Word, ...], Pattern]] = {}
    for (word, label), own in sorted(having.items(), key=lambda each: each[0]):
        beside = Counter(other for row in own for other in row.places if other != word)
        others = len(rows) - len(own)
        for other in sorted(each for each, count in beside.items() if count >= TOGETHER):
            here, _ = wilson(beside[other], len(own))
            # where there are no others nothing is known of them
            elsewhere = wilson(everywhere[other] - beside[other], others)[1] if others else 1.0
            if here <= elsewhere:
                continue
            pair = _pattern((word, other), [row for row in own if other in row.places])
            found = (elsewhere - here, -pair.score * pair.support, (word, other), pair)
            key = frozenset((word, other)), label
            best[key] = min(best.get(key, found), found, key=lambda each: each[:3])
    ranked = sorted(best.values(), key=lambda each: each[:3])
    return with_counts([pair for *_, pair in ranked], examples)


def _rows(patterns: Sequence[Pattern], examples: Sequence[Example]) -> list[_Row]:
    """The examples with the places of their words, and the words of their patterns."""
    of = {row: pattern for pattern in patterns for row in pattern.rows}
    found = []
    for example in examples:
        pattern, places = of.get(digest(example)), {}
        for segment, text in enumerate((example.text, example.text_pair)):
            words = words_of(text or "")
            for i, word in reversed(list(enumerate(words, 1))):
                places[word, segment] = i / len(words)
        tokens = pattern.tokens if pattern else ()
        mined = {(known, token.segment) for token in tokens if (known := word_of(token.token))}
        found.append(_Row(places, frozenset(mined & places.keys()), pattern))
    return found


def _pattern(words: tuple[Word, ...], rows: Sequence[_Row]) -> Pattern:
    """These words as a pattern, of rows that have them all."""
    patterns = [row.pattern for row in rows if row.pattern]
    orders = [tuple(sorted(words, key=lambda word: (word[1], row.places[word]))) for row in rows]
    (usual, _), *_ = Counter(sorted(orders)).most_common(1)
    placed = [row for row, order in zip(rows, orders, strict=True) if order == usual]
    tokens = [PatternToken(word[1], median(row.places[word] for row in placed), word[0]) for word in usual]
    (label, _), *_ = Counter(sorted(str(pattern.label) for pattern in patterns)).most_common(1)
    return Pattern(
        tuple(sorted(tokens)), fmean(pattern.strength for pattern in patterns), len(rows),
        None if label == "None" else label, model=patterns[0].model,
        rows=tuple(sorted({row for pattern in patterns for row in pattern.rows})),
    )  # fmt: skip
