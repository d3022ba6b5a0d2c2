"""The rules by which a verdict follows from numbers. Nothing here is written by hand for one result."""

from __future__ import annotations

import math
from typing import NamedTuple

from study.setting import Facts

HOLDS, WEAKLY, NOT, OPEN = "holds", "holds weakly", "does not hold here", "not measured"
VERDICTS = (HOLDS, WEAKLY, NOT, OPEN)


class Claim(NamedTuple):
    """A row of the summary. why: sentences that say what decided, made of the numbers."""

    key: str  # in paper.PAPER
    about: str  # task or tasks
    ours: str
    verdict: str
    why: str


def above(estimate: Facts, bound: float = 0.0) -> str:
    """The estimate lies above the bound: surely (its interval does), in the mean only, or not.

    >>> above({"mean": 2, "low": 1, "high": 3}), above({"mean": 2, "low": -1, "high": 5})
    ('holds', 'holds weakly')
    """
    return HOLDS if estimate["low"] > bound else WEAKLY if estimate["mean"] > bound else NOT


def comparable(difference: Facts, margin: float = 0.02) -> str:
    """No worse than the margin: surely; in the mean, or not to be told from equal; or worse.

    >>> comparable({"mean": 0.0, "low": -0.01, "high": 0.01})
    'holds'
    >>> comparable({"mean": -0.1, "low": -0.2, "high": 0.01})
    'holds weakly'
    """
    if difference["low"] > -margin:
        return HOLDS
    return WEAKLY if difference["high"] >= 0 or difference["mean"] > -margin else NOT


def difference(a: Facts, b: Facts) -> Facts:
    """a − b of two estimates, as if they were of different inputs: wider than a paired interval."""
    mean = a["mean"] - b["mean"]
    down = math.hypot(a["mean"] - a["low"], b["high"] - b["mean"])
    up = math.hypot(a["high"] - a["mean"], b["mean"] - b["low"])
    return {"mean": mean, "low": mean - down, "high": mean + up}


def estimate(measured: Facts, label: str | None = None) -> Facts:
    """An attack's measured accuracy, of all or of a class, as mean, low, high."""
    if label is None:
        mean, span = measured["accuracy"], measured["interval"]
    else:
        mean, span = measured["per_class"][label], measured["intervals"][label]
    return {"mean": mean, "low": span[0], "high": span[1]}


def average(estimates: list[Facts]) -> Facts:
    """Mean of estimates on the same inputs: their bounds are averaged, as if they erred alike."""
    return {key: sum(of[key] for of in estimates) / len(estimates) for key in ("mean", "low", "high")}


def worst_of(verdicts: list[str]) -> str:
    """A claim about several tasks: holds where it does in all, does not where it does in none."""
    known = [verdict for verdict in verdicts if verdict != OPEN]
    if not known:
        return OPEN
    return known[0] if len(set(known)) == 1 else WEAKLY
