"""The rules by which a verdict follows from numbers. Nothing here is written by hand for one result."""

from __future__ import annotations

import math
from typing import NamedTuple

from study.setting import Facts

HOLDS, WEAKLY, OPEN, NOT = "holds", "holds weakly", "cannot tell", "does not hold here"
VERDICTS = (HOLDS, WEAKLY, OPEN, NOT)  # best first


class Claim(NamedTuple):
    """A row of the summary. why: sentences that say what decided, made of the numbers."""

    key: str  # in paper.PAPER
    about: str  # task or tasks
    ours: str
    verdict: str
    why: str


def above(estimate: Facts, bound: float = 0.0) -> str:
    """Where the bound lies: below the interval, in it and below the mean, in it and above the mean, above it.

    >>> above({"mean": 2, "low": 1, "high": 3}), above({"mean": 2, "low": -1, "high": 5})
    ('holds', 'holds weakly')
    >>> above({"mean": -2, "low": -5, "high": 1}), above({"mean": -2, "low": -3, "high": -1})
    ('cannot tell', 'does not hold here')

    A wider interval, of fewer inputs, never makes a verdict better than in doubt.
    """
    if estimate["low"] > bound:
        return HOLDS
    if estimate["high"] <= bound:
        return NOT
    return WEAKLY if estimate["mean"] > bound else OPEN


def below(estimate: Facts, bound: float) -> str:
    """As `above`, the other way round."""
    return above(opposite(estimate), -bound)


def opposite(of: Facts) -> Facts:
    """The estimate of the opposite difference."""
    swapped = {"mean": of["mean"], "low": of["high"], "high": of["low"]}
    return {key: None if value is None else -value for key, value in swapped.items()}


def least(verdicts: list[str]) -> str:
    """A claim of several figures holds as well as the worst of them."""
    return max(verdicts, key=VERDICTS.index)


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
