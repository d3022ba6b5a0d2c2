"""What an attack measured: accuracy clean and attacked, the worst patterns, and all of it as JSON.

N inputs were attacked. The JSON: docs/triggers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from attattr.data.examples import Example
from attattr.measure.accuracy import score
from attattr.result.shown import brief, counted
from attattr.triggers.controls import Control, leaks
from attattr.triggers.pattern import Pattern

SCHEMA_VERSION = "1"
WORST = 3  # patterns reported as the worst, of all inputs and of each class


class Attacked(NamedTuple):
    """A pattern and what every input was predicted as with it, (N,) indices of labels."""

    pattern: Pattern
    predicted: np.ndarray
    other: np.ndarray  # (N,) bool: inputs that it was not mined from; only they count
    cut: int  # inputs that were shortened to make room
    control: Control | None = None


@dataclass(frozen=True)
class Attack:
    """What `attack_model` measured. Patterns are ranked: lowest accuracy first."""

    labels: tuple[str, ...]
    gold: np.ndarray  # (N,)
    clean: np.ndarray  # (N,) predicted
    selection: np.ndarray  # (N,) bool: the half the worst are chosen on; the other half reports them
    attacked: tuple[Attacked, ...]
    controls: tuple[Attacked, ...]
    examples: tuple[Example, ...]
    facts: dict[str, Any]
    shown: tuple[dict[str, Any], ...] = ()

    def __repr__(self) -> str:
        clean = f"clean accuracy {(self.clean == self.gold).mean():.1%}" if len(self.gold) else ""
        return brief(self, counted(len(self.attacked), "pattern"), counted(len(self.gold), "row"), clean)

    def worst(self, label: str | None = None, k: int = WORST) -> list[int]:
        """Numbers of the k patterns of lowest accuracy on the selection half, of one class or all."""
        shares = np.array([self._share(each, label) for each in self.attacked])
        return [i for i in np.argsort(shares, kind="stable")[:k].tolist() if not np.isnan(shares[i])]

    def accuracy(self, predicted: np.ndarray, rows: np.ndarray | None = None) -> dict[str, Any]:
        """Accuracy of all and by gold class, with 95 % intervals and the confusion [gold][predicted]."""
        rows = np.ones(len(self.gold), bool) if rows is None else rows
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
        report = ~self.selection

        def chosen(label: str | None) -> list[dict[str, Any]]:
            return [
                {"pattern": i, "tokens": self.attacked[i].pattern.to_json()["tokens"]}
                | {"selection_accuracy": self._share(self.attacked[i], label)}
                | self.accuracy(self.attacked[i].predicted, report & self.attacked[i].other)
                for i in self.worst(label)
            ]

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
                "selection_rows": int(self.selection.sum()),
                "report_rows": int(report.sum()),
                "clean": self.accuracy(self.clean, report),
                "overall": chosen(None),
                "any_of_overall": any_of,
                "per_class": {label: chosen(label) for label in self.labels},
            },
            "controls": [
                {"kind": each.control.kind, "about": each.control.about}
                | {"tokens": each.pattern.to_json()["tokens"], "pieces": each.pattern.pieces}
                | {"report": self.accuracy(each.predicted, report)}
                | self.accuracy(each.predicted)
                for each in self.controls
                if each.control
            ],
            "examples": self.shown,
        }  # fmt: skip

    def _share(self, each: Attacked, label: str | None) -> float:
        """Accuracy on the selection half; NaN without rows."""
        rows = self.selection & each.other
        if label is not None:
            rows = rows & (self.gold == self.labels.index(label))
        return float((each.predicted == self.gold)[rows].mean()) if rows.any() else float("nan")

    def _of_pattern(self, each: Attacked) -> dict[str, Any]:
        measured = self.accuracy(each.predicted, each.other)
        broken = (self.clean == self.gold) & (each.predicted != self.gold) & each.other
        into = np.bincount(each.predicted[broken], minlength=len(self.labels))
        flips_to = self.labels[int(into.argmax())] if broken.any() else None
        found = leaks(each.pattern)
        given_away = [
            leak["token"]
            for leak in found
            if leak["flagged"] and leak["label"].casefold() == str(flips_to).casefold()
        ]
        return {
            **each.pattern.to_json(),
            **measured,
            "drop": float((self.clean == self.gold)[each.other].mean()) - measured["accuracy"],
            "rows_left_out": int((~each.other).sum()),
            "flips_to": flips_to,
            "shortened": each.cut,
            "leaks": found,
            "explained_by": given_away,
        }
