"""What an attack measured: accuracy clean and attacked, the worst patterns, and all of it as JSON.

N inputs were attacked. The JSON: docs/triggers.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attattr.data.examples import Example
from attattr.errors import InputError
from attattr.measure.accuracy import score
from attattr.measure.intervals import bootstrap
from attattr.result.shown import brief, counted
from attattr.triggers.controls import leaks
from attattr.triggers.tried import REPORT, SCREEN, WORST, Attacked, lowest, selected

SCHEMA_VERSION = "2"
LEAST = 10  # rows that an interval is made of: of fewer, resampled, it is too narrow


@dataclass(frozen=True)
class Attack:
    """What `attack_model` measured. Patterns are ranked: lowest accuracy on the screening rows first."""

    labels: tuple[str, ...]
    gold: np.ndarray  # (N,)
    clean: np.ndarray  # (N,) predicted
    purpose: np.ndarray  # (N,) what each input is for: SCREEN, CHOOSE, REPORT of `tried`
    attacked: tuple[Attacked, ...]
    lucky: tuple[Attacked, ...]  # as many random patterns, chosen alike
    controls: tuple[Attacked, ...]
    examples: tuple[Example, ...]
    facts: dict[str, Any]
    shown: tuple[dict[str, Any], ...] = ()
    leans: tuple[dict[str, Any], ...] = ()

    def __repr__(self) -> str:
        clean = f"clean accuracy {(self.clean == self.gold).mean():.1%}" if len(self.gold) else ""
        return brief(self, counted(len(self.attacked), "pattern"), counted(len(self.gold), "row"), clean)

    def worst(self, label: str | None = None, k: int = WORST) -> list[int]:
        """Numbers of the k patterns of lowest accuracy on the rows not reported on, of one class or all."""
        return self._worst(self.attacked, label, k)

    def accuracy(self, predicted: np.ndarray, rows: np.ndarray | None = None) -> dict[str, Any]:
        """Accuracy of all and by gold class, with 95 % intervals and the confusion [gold][predicted].

        Raises:
            InputError: `predicted` is −1 on one of the rows: the pattern was not tried there.
        """
        rows = np.ones(len(self.gold), bool) if rows is None else rows
        if (predicted[rows] < 0).any():
            raise InputError("the pattern was not tried on all of these rows: ask for those of its `tried`")
        if not rows.any():
            return {"accuracy": None, "interval": None, "n": 0} | {
                name: dict.fromkeys(self.labels) for name in ("per_class", "intervals", "counts")
            } | {"confusion": [[0] * len(self.labels)] * len(self.labels)}  # fmt: skip
        found = score(self.labels, self.gold[rows], predicted[rows])
        return {
            "accuracy": found.accuracy,
            "interval": found.interval,
            "n": found.n,
            "per_class": {label: of.accuracy for label, of in found.per_class.items()},
            "intervals": {label: of.interval for label, of in found.per_class.items()},
            "counts": {label: of.n for label, of in found.per_class.items()},
            "confusion": found.confusion,
        }

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values (docs/triggers.md)."""
        report = self.purpose == REPORT
        # right only if right under each of them: the attacker may choose
        tried = [self.attacked[i] for i in self.worst()]
        standing = np.all([(each.predicted == self.gold) | ~each.other for each in tried], axis=0)
        any_of = self.accuracy(np.where(standing, self.gold, (self.gold + 1) % len(self.labels)), report)
        del any_of["confusion"]  # wrong is all that is known
        return {
            "schema_version": SCHEMA_VERSION,
            **self.facts,
            "labels": self.labels,
            "clean": self.accuracy(self.clean),
            "patterns": [self._of_pattern(each) for each in self.attacked],
            "worst": {
                "screening_rows": int((self.purpose == SCREEN).sum()),
                "selection_rows": int((~report).sum()),
                "report_rows": int(report.sum()),
                "clean": self.accuracy(self.clean, report),
                "any_of_overall": any_of,
            }
            | self._chosen(self.attacked, "pattern"),
            "luck": self._luck(),
            "leans": self.leans,
            "controls": [
                {"kind": each.control.kind, "about": each.control.about}
                | {"tokens": each.pattern.to_json()["tokens"], "pieces": each.pattern.pieces}
                | {"report": self.accuracy(each.predicted, report)}
                for each in self.controls
                if each.control
            ],
            "examples": self.shown,
        }

    def _worst(self, of: Sequence[Attacked], label: str | None, k: int = WORST) -> list[int]:
        return lowest(of, self.gold, self.purpose, self._about(label), k)

    def _about(self, label: str | None) -> int | None:
        return None if label is None else self.labels.index(label)

    def _chosen(self, of: Sequence[Attacked], number: str) -> dict[str, Any]:
        """The worst of all and of each class, measured on the reporting rows, and what they cost there."""

        def measured(label: str | None) -> list[dict[str, Any]]:
            return [
                {number: i, "tokens": of[i].pattern.to_json()["tokens"]}
                | {"selection_accuracy": selected(of[i], self.gold, self.purpose, self._about(label))}
                | self.accuracy(of[i].predicted, (self.purpose == REPORT) & of[i].other)
                for i in self._worst(of, label)
            ]

        return {
            "overall": measured(None),
            "per_class": {label: measured(label) for label in self.labels},
            "lost": self._by_class(lambda label: self._lost(of, label)),
        }

    def _luck(self) -> dict[str, Any] | None:
        """As the worst, of the random patterns; and how far the mined ones are ahead of them."""
        if not self.lucky:
            return None

        def ahead(label: str | None) -> np.ndarray:
            return self._lost(self.attacked, label) - self._lost(self.lucky, label)

        return {
            "patterns": len(self.lucky),
            **self._chosen(self.lucky, "number"),
            "ahead": self._by_class(ahead),
        }

    def _lost(self, of: Sequence[Attacked], label: str | None) -> np.ndarray:
        """(N,) what an input loses under the three worst, in their mean; NaN where that is not to be told."""
        three = [of[i] for i in self._worst(of, label)]
        rows = np.all([each.other for each in three], axis=0) & (self.purpose == REPORT)
        if label is not None:
            rows = rows & (self.gold == self._about(label))
        if not three:
            return np.full(len(self.gold), np.nan)
        standing = np.mean([each.predicted == self.gold for each in three], axis=0)
        return np.where(rows, (self.clean == self.gold) - standing, np.nan)

    def _by_class(self, values: Any) -> dict[str, Any]:
        return {
            "overall": estimate(values(None), self.facts["seed"]),
            "per_class": {label: estimate(values(label), self.facts["seed"]) for label in self.labels},
        }

    def _of_pattern(self, each: Attacked) -> dict[str, Any]:
        rows = each.other & (self.purpose == SCREEN)
        measured = self.accuracy(each.predicted, rows)
        into = np.bincount(each.predicted[self.turned(each)], minlength=len(self.labels))
        flips_to = self.labels[int(into.argmax())] if into.any() else None
        found = leaks(each.pattern)
        given_away = [
            leak["token"]
            for leak in found
            if leak["flagged"] and leak["label"].casefold() == str(flips_to).casefold()
        ]
        clean = self.accuracy(self.clean, rows)["accuracy"]
        return {
            **each.pattern.to_json(),
            **measured,
            "drop": None if clean is None else clean - measured["accuracy"],
            "rows_left_out": int((~each.other).sum()),
            "flips_to": flips_to,
            "shortened": each.cut,
            "leaks": found,
            "explained_by": given_away,
        }

    def turned(self, each: Attacked) -> np.ndarray:
        """(N,) bool: inputs that were right and no longer are."""
        return (self.clean == self.gold) & (each.predicted != self.gold) & each.other & each.tried


def estimate(values: np.ndarray, seed: int) -> dict[str, Any]:
    """Mean of (N,) numbers with its 95 % percentile bootstrap interval over inputs; NaN are left out.
    Of fewer than 10 there is no interval: it would be too narrow.

    >>> estimate(np.array([1.0, np.nan]), seed=0)
    {'mean': 1.0, 'interval': None, 'n': 1}
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return {"mean": None, "interval": None, "n": 0}
    interval = None if len(known) < LEAST else tuple(float(end) for end in bootstrap(known, seed))
    return {"mean": float(known.mean()), "interval": interval, "n": len(known)}
