"""Ways to mine triggers, on rows that are neither mined nor chosen on: docs/triggers.md.

    python experiments/mining.py --data ../shared/data --work mining-run     # resumes; minutes of one core

The rule, written before the figures: some training rows of each task are mined; the development rows, drawn
by seed, are cut in two. On the first part the ways are compared, and the default is that of the package's
methods that costs more in the mean over classes and tasks. On the second that one alone is reported. Both
times all patterns of a way are screened on a few rows of a class, the best five tried on more, and the three
worst of those reported on rows of neither, as `attattr triggers attack` does, but class by class.

Each way has random patterns of its own, one for each of its patterns, words as frequent at its places,
screened, chosen and reported on the same rows; how far the way is ahead of them is paired by row. Intervals:
95 %, bootstrap over the rows reported on. They do not say how other rows to mine, or other random patterns,
would have done.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from attattr import Attributor, Example, InputError, load
from attattr.data.encoding import encode, longest_input
from attattr.data.examples import digest, drawn, read_examples
from attattr.disk import files
from attattr.disk.units import NOTHING_KEPT
from attattr.measure.accuracy import gold_indices, predict
from attattr.result.attribution import Attribution
from attattr.triggers.attacked import estimate
from attattr.triggers.controls import twins
from attattr.triggers.insert import Piece, pieces_of
from attattr.triggers.mine import LEAST, merged, pattern_of
from attattr.triggers.pattern import Pattern, word_of, words_of
from attattr.triggers.strongest import placed
from attattr.triggers.tried import CHOOSE, REPORT, SCREEN, Runner, lowest, purposes, search

TASKS = {"sst2": ("sst2_train", "sst2_dev"), "mnli": ("mnli_train", "mnli_dev_matched")}
SEED = 0
DRAWN, COMPARED = 150, 40  # rows drawn to be mined; those that the ways are compared by
MINED = {"sst2": 100, "mnli": 75}  # rows mined to report: inputs of mnli cost more
RANDOM = "random for "  # of a way's name: what it is compared with
LONG = 15  # words of a long text
# rows of a class to screen on, to choose on, to report on
FIRST, SECOND = (6, 20, 50), (8, 40, 120)
CHUNK = 15
MAIN = ("paper", "text")


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


# -- ways to mine: patterns of rows with their attribution ---------------------------------------------

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


def united(a: Pattern, b: Pattern) -> Pattern:
    return Pattern(tuple(sorted({*a.tokens, *b.tokens})), a.score, rows=tuple(sorted({*a.rows, *b.rows})))


# -- measuring -----------------------------------------------------------------------------------------


class Bench:
    """Development rows of a task, in two parts; what patterns cost there, class by class."""

    def __init__(self, data: Path, task: str):
        self.attributor = model(task)
        self.every = read_examples(data / f"{TASKS[task][1]}.tsv.gz")[0]
        self.labels, gold = gold_indices(self.attributor.model, self.every)
        self.gold = gold
        order = np.random.default_rng(SEED).permutation(len(gold))
        self.parts = [{}, {}]  # by class
        for i, label in enumerate(self.labels):
            own = order[gold[order] == i]
            self.parts[0][label] = own[: sum(FIRST)]
            self.parts[1][label] = own[sum(FIRST) :][: sum(SECOND)]

    def pieces(self, pattern: Pattern) -> list[Piece] | None:
        """A pattern's pieces; None where the vocabulary does not have them."""
        with suppress(InputError):
            return pieces_of(pattern, self.attributor.tokenizer, "auto", bool(self.every[0].text_pair))
        return None

    def twins(self, patterns: Sequence[Pattern]) -> list[Pattern]:
        return twins(patterns, self.every, SEED, lambda pattern: bool(self.pieces(pattern)))

    def cost(self, patterns: Sequence[Pattern], part: int, unite: bool = False) -> dict[str, Any]:
        """By class: what each reported row loses under the three worst, and which these are."""
        tokenizer, net = self.attributor.tokenizer, self.attributor.model
        known = [(pattern, pieces) for pattern in patterns if (pieces := self.pieces(pattern))]
        found = {}
        for label, chosen in self.parts[part].items():
            rows = [self.every[i] for i in chosen]
            encoded, gold = encode(net, tokenizer, rows), self.gold[chosen]
            run = Runner(
                self.attributor, encoded, longest_input(net, tokenizer), 32, lambda *_: None, NOTHING_KEPT
            )
            purpose = purposes(gold, SEED, *(FIRST, SECOND)[part][:2])
            others = [np.array([digest(row) not in pattern.rows for row in rows]) for pattern, _ in known]
            tried = search(
                run,
                [pattern for pattern, _ in known],
                [pieces for _, pieces in known],
                others,
                gold,
                purpose,
                "",
                "",
            )
            if unite:  # the worst with each of the other finalists
                finalists = [each.pattern for each in tried if each.tried[purpose == CHOOSE].all()]
                best = tried[lowest(tried, gold, purpose, k=1)[0]].pattern
                pairs = [united(best, other) for other in finalists if other is not best]
                united_pieces = [
                    pieces_of(pattern, tokenizer, "auto", bool(self.every[0].text_pair)) for pattern in pairs
                ]
                fine = [np.ones(len(rows), bool)] * len(pairs)
                tried = search(run, pairs, united_pieces, fine, gold, purpose, "", "")
            three = [tried[i] for i in lowest(tried, gold, purpose)]
            (clean,), _ = run([[]], np.arange(len(rows)), "", "")
            report = purpose == REPORT
            for each in three:
                report = report & each.other
            lost = (clean.argmax(1) == gold) - np.mean([each.predicted == gold for each in three], axis=0)
            agreement = correlation(tried, gold, purpose)
            found[label] = {
                "clean": float((clean.argmax(1) == gold)[purpose == REPORT].mean()),
                "lost": np.where(report, lost, np.nan)[purpose == REPORT].tolist(),
                "worst": [each.pattern.text for each in three],
                "score_against_damage": agreement,
            }
        return {"patterns": len(known), "classes": found}


def correlation(tried: Sequence[Any], gold: np.ndarray, purpose: np.ndarray) -> float | None:
    """Spearman's, of a pattern's strength and the accuracy it costs on the screening rows."""
    from scipy.stats import spearmanr

    rows = purpose == SCREEN
    strength = [each.pattern.strength for each in tried]
    damage = [1 - each.probabilities[rows, gold[0]].mean() for each in tried]
    if len(set(strength)) < 3:
        return None
    return float(spearmanr(strength, damage).statistic)


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


def unit(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    if not path.exists():
        files.write(path, json.dumps(make()))
        print(f"{path.stem} done", flush=True)
    return json.loads(path.read_text())


def compared(data: Path, work: Path, task: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """What the ways of these names, or all, and random patterns for each cost on the first part."""
    bench, found = Bench(data, task), {}
    for name, make in ways(data, work, task).items():
        if names and name not in names:
            continue

        def cost(draw: bool, make: Callable[[], tuple[list[Pattern], bool]] = make) -> dict[str, Any]:
            patterns, union = make()
            return bench.cost(bench.twins(patterns) if draw else patterns, 0, union)

        for draw, of in enumerate((name, RANDOM + name)):
            found[of] = unit(work / f"{task}-first-{of}.json", partial(cost, bool(draw)))
    return found


def reported(data: Path, work: Path, task: str, method: str) -> dict[str, Any]:
    bench = Bench(data, task)
    patterns = mined(attributions(data, work, task, "probability"), method)
    lists = {method: patterns, RANDOM + method: bench.twins(patterns)}
    return {
        name: unit(work / f"{task}-second-{name}.json", partial(bench.cost, of, 1))
        for name, of in lists.items()
    }


# -- telling -------------------------------------------------------------------------------------------


def points(of: dict[str, Any]) -> str:
    if of["interval"] is None:
        return "–"
    return f"{100 * of['mean']:.1f} [{100 * of['interval'][0]:.1f}, {100 * of['interval'][1]:.1f}]"


def lost(found: dict[str, Any], label: str, less: dict[str, Any] | None = None) -> dict[str, Any]:
    values = np.array(found["classes"][label]["lost"], float)
    if less is not None:
        values = values - np.array(less["classes"][label]["lost"], float)
    return estimate(values, SEED)


def mean_lost(found: dict[str, Any]) -> float:
    return float(np.mean([lost(found, label)["mean"] for label in found["classes"]]))


def table(found: dict[str, Any]) -> str:
    labels = list(next(iter(found.values()))["classes"])
    lines = [f"| way | patterns | {' | '.join(f'{label} | ahead' for label in labels)} | mean |"]
    lines.append("|---|--:|" + "--:|--:|" * len(labels) + "--:|")
    for name, of in found.items():
        other = found.get(RANDOM + name)
        cells = []
        for label in labels:
            ahead = points(lost(of, label, other)) if other else "–"
            cells += [points(lost(of, label)), ahead]
        lines.append(f"| {name} | {of['patterns']} | {' | '.join(cells)} | {100 * mean_lost(of):.1f} |")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("mining-run"))
    parser.add_argument("--tasks", default=",".join(TASKS))
    asked = parser.parse_args(words)
    tasks = asked.tasks.split(",")
    first = {task: compared(asked.data, asked.work, task, MAIN) for task in tasks}
    method = max(
        ("paper", "text"), key=lambda name: np.mean([mean_lost(first[task][name]) for task in tasks])
    )
    for task in tasks:
        reported(asked.data, asked.work, task, method)
    first = {task: compared(asked.data, asked.work, task) for task in tasks}
    told = []
    for task in tasks:
        told.append(f"\n{task}, first part:\n\n{table(first[task])}")
        told += [
            f"\n{name}, {label}: {'; '.join(of['worst'])}"
            for name, found in first[task].items() for label, of in found["classes"].items()
        ]  # fmt: skip
    told.append(f"\ndefault, by the first part: {method}")
    for task in tasks:
        second = reported(asked.data, asked.work, task, method)
        told.append(f"\n{task}, second part:\n\n{table(second)}")
        for name, found in second.items():
            for label, of in found["classes"].items():
                told.append(f"{name}, {label}, clean {of['clean']:.3f}, score against damage "
                            f"{of['score_against_damage']}: {'; '.join(of['worst'])}")  # fmt: skip
    files.write(asked.work / "mining.md", "\n".join(told) + "\n")
    print("\n".join(told))


if __name__ == "__main__":
    main()
