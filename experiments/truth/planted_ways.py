"""Ways to mine: by edges, as the tool does; by attention or one gradient instead; by words; by HotFlip."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from attattr import Attributor
from attattr.data.encoding import encode
from attattr.data.examples import Example, digest
from attattr.measure.accuracy import gold_indices
from attattr.result.values import Site
from attattr.triggers.hotflip import universal_trigger
from attattr.triggers.insert import Piece
from attattr.triggers.mine import CHUNK, LEAST, PARTS, merged, pattern_of, single
from attattr.triggers.pattern import Pattern, PatternToken, with_counts, words_of
from attattr.triggers.strongest import Kept, edges_of, placed, strongest

LEAST_ROWS = 10  # that have a word, for its PMI to be looked at
MOST = 100  # words, or pairs, by PMI
SLOTS = {"sst2": ((0, 1 / 3), (0, 2 / 3)), "mnli": ((0, 0.5), (1, 1 / 3), (1, 2 / 3))}

METHODS = ("paper", "text")  # of mining, that give patterns; words and pairs are made of them (recurring)


def by_edges(attributor: Attributor, rows: Sequence[Example]) -> dict[str, list[Pattern]]:
    """The pattern of each row by each method; both of one attribution."""
    found: dict[str, list[Pattern]] = {method: [] for method in METHODS}
    for first in range(0, len(rows), CHUNK):
        part = list(rows[first : first + CHUNK])
        for row, result in zip(part, attributor.attribute(part, store="edges"), strict=True):
            for method, of in found.items():
                one = pattern_of(result, method=method, gold=row.label, row=digest(row))
                of += [one] if one else []
    return found


def as_mined(patterns: Sequence[Pattern], way: str, rows: Sequence[Example]) -> dict[str, list[Pattern]]:
    """What `mine_triggers` makes of the patterns of single rows: patterns, words, pairs, each ranked."""
    least = LEAST.get(way, 0.0)
    strong = [each for each in merged(patterns) if each.strength >= least]
    own = single(patterns, strong)
    return {way: with_counts(strong, rows)} | {f"{way}, {name}": of(own, rows) for name, of in PARTS.items()}


def by_point(attributor: Attributor, rows: Sequence[Example]) -> dict[str, list[Pattern]]:
    """The rule of "text", on attention and on gradient × attention: one clean forward and backward."""
    found: dict[str, list[Pattern]] = {"attention": [], "gradient": []}
    for first in range(0, len(rows), CHUNK):
        part = list(rows[first : first + CHUNK])
        results = attributor.attribute(part, method="riemann_right", n_steps=1, store="dense")
        for row, result in zip(part, results, strict=True):
            for name, of in found.items():
                known = [_kept(site, name, len(result.tokens)) for site in result.sites]
                edges = strongest(known, result.segments)
                places = placed(edges, result.tokens, result.segments, result.words, None)
                if places:
                    scores = [score for *_, score in edges]
                    made = Pattern(places, scores[0], label=result.prediction.label, gold=row.label)
                    of.append(replace(made, second=sum(scores[1:]), rows=(digest(row),)))
    return found


def _kept(site: Site, name: str, n: int) -> Kept:
    scores = site.attention if name == "attention" else site.scores
    edges, complete = edges_of(replace(site, scores=scores, edges=None), n)
    return Kept(np.asarray(scores).max((1, 2)), edges, complete)


def by_pmi(rows: Sequence[Example]) -> list[tuple[str, int, str]]:
    """Words, their text and label, by log₂ p(label | word) / p(label), the more frequent first."""
    totals = Counter(row.label for row in rows)
    having: Counter = Counter()
    for row in rows:
        for segment, text in enumerate((row.text, row.text_pair)):
            having.update((word, segment, row.label) for word in set(words_of(text or "")))
    every: Counter = Counter()
    for (word, segment, _), n in having.items():
        every[word, segment] += n
    scored = [
        (-math.log2(n / every[word, segment] * len(rows) / totals[label]), -n, (word, segment, str(label)))
        for (word, segment, label), n in having.items()
        if every[word, segment] >= LEAST_ROWS
    ]
    return [each for *_, each in sorted(scored)[:MOST]]


def pairs_by_pmi(rows: Sequence[Example]) -> list[Pattern]:
    """Pairs of words, in the order of their first places, by the same rule.

    >>> found = pairs_by_pmi([Example("oak elm", label="good")] * 10 + [Example("elm oak", label="bad")] * 10)
    >>> [(pair.text, pair.label) for pair in found]
    [('elm@0.33 + oak@0.67', 'bad'), ('oak@0.33 + elm@0.67', 'good')]
    """
    totals = Counter(row.label for row in rows)
    having: Counter = Counter()
    for row in rows:
        texts = enumerate((row.text, row.text_pair))
        words = [(word, at) for at, text in texts for word in dict.fromkeys(words_of(text or ""))]
        having.update((one, other, row.label) for one, other in combinations(words, 2))
    every: Counter = Counter()
    for (one, other, _), n in having.items():
        every[one, other] += n
    scored = [
        (-math.log2(n / every[one, other] * len(rows) / totals[label]), -n, (one, other), str(label))
        for (one, other, label), n in having.items()
        if every[one, other] >= LEAST_ROWS
    ]
    return [_pair(*each, label) for *_, each, label in sorted(scored)[:MOST]]


def _pair(one: tuple[str, int], other: tuple[str, int], label: str) -> Pattern:
    tokens = [PatternToken(at, i / 3, word) for i, (word, at) in enumerate((one, other), 1)]
    return Pattern(tuple(sorted(tokens)), label=label)


def by_hotflip(attributor: Attributor, rows: Sequence[Example], task: str) -> list[Pattern]:
    """A trigger for each class, on rows of it: one sweep over the slots, five candidates each."""
    encoded = encode(attributor.model, attributor.tokenizer, list(rows))
    _, gold = gold_indices(attributor.model, list(rows))
    slots = [Piece(segment, position, 0) for segment, position in SLOTS[task]]
    found = []
    for label in np.unique(gold):
        own = np.flatnonzero(gold == label)
        some = [encoded[i] for i in own]
        found.append(universal_trigger(attributor, some, gold[own], slots, candidates=5, sweeps=1))
    return found
