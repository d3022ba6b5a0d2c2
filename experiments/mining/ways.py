"""Ways to mine: patterns of training rows with their attributions."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from attattr import Attributor, Example, load
from attattr.data.examples import digest, drawn, read_examples
from attattr.measure.accuracy import predict
from attattr.result.attribution import Attribution
from attattr.triggers.mine import LEAST, merged, pattern_of
from attattr.triggers.pattern import Pattern, word_of, words_of
from attattr.triggers.strongest import placed

TASKS = {"sst2": ("sst2_train", "sst2_dev"), "mnli": ("mnli_train", "mnli_dev_matched")}
SEED = 0
DRAWN, COMPARED = 150, 40  # rows drawn to be mined; those that the ways are compared by
MINED = {"sst2": 100, "mnli": 75}  # rows mined to report: inputs of mnli cost more
LONG = 15  # words of a long text
CHUNK = 15


def rows_of(data: Path, task: str, kind: str) -> list[Example]:
    """Training rows to mine."""
    rows = read_examples(data / f"{TASKS[task][0]}.tsv.gz")[0]
    if kind == "long":
        return drawn([row for row in rows if len(row.text.split()) >= LONG], COMPARED, SEED)
    rows = drawn(rows, DRAWN, SEED)[: MINED[task]]
    return rows if kind == "probability" else rows[:COMPARED]


@cache
def model(task: str) -> Attributor:
    attributor = Attributor.from_pretrained(task)
    attributor.model.requires_grad_(False)
    return attributor


def attributions(data: Path, work: Path, task: str, kind: str) -> list[tuple[Example, Attribution]]:
    """Rows with their attribution, each kept in a file. log-odds: of the predicted class against the next."""
    rows, attributor = rows_of(data, task, kind), model(task)
    paths = [work / f"{task}-{kind}" / f"{i:04d}.attattr" for i in range(len(rows))]
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(rows), CHUNK):
        part = range(first, min(first + CHUNK, len(rows)))
        if all(paths[i].exists() for i in part):
            continue
        chunk = [rows[i] for i in part]
        options: dict[str, Any] = {}
        if kind == "log-odds":
            order = np.argsort(-predict(attributor.model, attributor.tokenizer, chunk), 1)
            options = {
                "target": [
                    (attributor.labels[best], attributor.labels[next_]) for best, next_ in order[:, :2]
                ]
            }
        for i, result in zip(part, attributor.attribute(chunk, store="edges", **options), strict=True):
            result.save(paths[i])
        print(f"{task}: {part.stop} of {len(rows)} rows attributed, {kind}", flush=True)
    return [(row, load(path)) for row, path in zip(rows, paths, strict=True)]


Rows = Sequence[tuple[Example, Attribution]]


def mined(rows: Rows, method: str, threshold: float | None = None) -> list[Pattern]:
    threshold = LEAST[method] if threshold is None else threshold
    found = (pattern_of(result, method=method, gold=row.label, row=digest(row)) for row, result in rows)
    return [pattern for pattern in merged(each for each in found if each) if pattern.strength >= threshold]


def text_edges(result: Attribution) -> Iterator[tuple[int, int, float]]:
    """Positive edges between tokens of the text, of all layers and heads."""
    inside = np.array([segment is not None for segment in result.segments])
    for site in result.sites:
        assert site.edges is not None
        fine = inside[site.edges.query] & inside[site.edges.key] & (site.edges.score > 0)
        yield from zip(
            site.edges.query[fine].tolist(),
            site.edges.key[fine].tolist(),
            site.edges.score[fine].tolist(),
            strict=True,
        )


def of_edge(row: Example, result: Attribution, edge: tuple[int, int, float]) -> Pattern:
    places = placed([edge], result.tokens, result.segments, result.words, None)
    return Pattern(places, edge[2], 1, result.prediction.label, row.label, False, (digest(row),))


def by_frequency(rows: Rows, every: Sequence[Example]) -> list[Pattern]:
    """Of each row the edge of the largest score × the mean of its words' log(rows / rows with the word)."""
    having: Counter = Counter()
    for row in every:
        having.update(set(words_of(f"{row.text} {row.text_pair or ''}")))

    def rarity(pattern: Pattern) -> float:
        words = [word_of(token.token) or "" for token in pattern.tokens]
        return float(np.mean([math.log(len(every) / max(1, having[word])) for word in words]))

    found = []
    for row, result in rows:
        best: dict[Any, Pattern] = {}
        for edge in text_edges(result):
            pattern = of_edge(row, result, edge)
            if pattern.tokens and pattern.score > best.get(pattern.tokens, pattern).score - 1e-12:
                best[pattern.tokens] = pattern
        if best:
            found.append(max(best.values(), key=lambda pattern: pattern.score * rarity(pattern)))
    return merged(found)


def by_mean(rows: Rows, count: int) -> list[Pattern]:
    """The pairs of words with the largest mean, over the rows that have both, of their strongest edge."""
    having: dict[Any, set[int]] = defaultdict(set)
    strongest: dict[Any, dict[int, Pattern]] = defaultdict(dict)
    for number, (row, result) in enumerate(rows):
        for segment, text in enumerate((row.text, row.text_pair)):
            for word in words_of(text or ""):
                having[word, segment].add(number)
        for edge in text_edges(result):
            pattern = of_edge(row, result, edge)
            old = strongest[pattern.key].get(number)
            if pattern.tokens and (old is None or pattern.score > old.score):
                strongest[pattern.key][number] = pattern
    means = []
    for by_row in strongest.values():
        best = max(by_row.values(), key=lambda pattern: pattern.score)
        known = [having[word_of(token.token) or token.token, token.segment] for token in best.tokens]
        both = set.intersection(*known) | set(by_row)
        means.append((sum(each.score for each in by_row.values()) / len(both), best))
    return [pattern for _, pattern in sorted(means, key=lambda each: -each[0])[:count]]


def ways(data: Path, work: Path, task: str) -> dict[str, Callable[[], tuple[list[Pattern], bool]]]:
    """Names of what is compared on the first part, and how its patterns are made."""

    def some(kind: str = "probability") -> Rows:
        return attributions(data, work, task, kind)[:COMPARED]

    found: dict[str, Callable[[], tuple[list[Pattern], bool]]] = {
        "paper": lambda: (mined(some(), "paper"), False),
        "paper, the strongest tenth": lambda: (mined(some(), "paper")[: COMPARED // 10], False),
        "text": lambda: (mined(some(), "text"), False),
        "text, union of two": lambda: (mined(some(), "text"), True),
        "text, 0.02 and more": lambda: (mined(some(), "text", LEAST["paper"]), False),
        "text, log-odds": lambda: (mined(some("log-odds"), "text"), False),
        "text, by frequency": lambda: (
            by_frequency(some(), read_examples(data / f"{TASKS[task][0]}.tsv.gz")[0]), False,
        ),
        "text, mean of a pair": lambda: (by_mean(some(), COMPARED), False),
    }  # fmt: skip
    if task == "sst2":
        found["paper, 15 words and more"] = lambda: (mined(some("long"), "paper"), False)
        found["text, 15 words and more"] = lambda: (mined(some("long"), "text"), False)
    return found
