"""What patterns cost on development rows, class by class, in two parts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from attattr import InputError
from attattr.data.encoding import encode, longest_input
from attattr.data.examples import digest, read_examples
from attattr.disk.units import NOTHING_KEPT
from attattr.measure.accuracy import gold_indices
from attattr.triggers.controls import twins
from attattr.triggers.insert import Piece, pieces_of
from attattr.triggers.pattern import Pattern
from attattr.triggers.tried import CHOOSE, REPORT, SCREEN, Runner, lowest, purposes, search
from mining.ways import SEED, TASKS, model

# rows of a class to screen on, to choose on, to report on
FIRST, SECOND = (6, 20, 50), (8, 40, 120)


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


def united(a: Pattern, b: Pattern) -> Pattern:
    return Pattern(tuple(sorted({*a.tokens, *b.tokens})), a.score, rows=tuple(sorted({*a.rows, *b.rows})))
