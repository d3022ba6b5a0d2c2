"""The rules by which a verdict follows from numbers, and why they are these.

Nothing here is written for one result. All rules keep to this:

- An interval decides. A wider one, of fewer inputs, never makes a verdict better than in doubt, on whichever
  side it lies: what counts against a claim is weighed as what counts for it.
- A claim holds as well as in the worst of its figures (`least`). Of cases that are each the claim anew
  (tasks, layers, tests) it may surely hold in some and surely not in others: then it holds *in part*
  (`together`). No average over cases decides, which would hide the one that fails.
- Beside a sure difference stands a least effect, where a claim says more than "some": of many inputs anything
  can be told from 0.
- What is not measured in the paper's units gets no verdict (*not comparable*).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from study.setting import Facts

HOLDS, WEAKLY, IN_PART, OPEN = "holds", "holds weakly", "holds in part", "cannot tell"
NOT, APART = "does not hold here", "not comparable"
VERDICTS = (HOLDS, WEAKLY, IN_PART, OPEN, NOT, APART)  # best first

LOW_R = 0.3  # a correlation below: nine tenths of what one varies are not in the other
MARGIN = 0.02  # of accuracy: so much less is called comparable
MANY, LOSS = 0.3, 0.03  # of the heads; of accuracy, called little
EFFECT = (
    0.1  # of what all edges do: less is not called what matters. Lenient: "the edges that matter" says half
)
FEW = 0.1  # of a class still right: nearly all are turned over
POINTS = 0.4  # the paper's
TYPICAL, NEARLY_ALL = 0.1, 0.05  # relative error of the median input; of 95 % of the inputs

RULES = {
    "weight": f"r of weight and score over the edges of a layer is below {LOW_R}. Layers are cases.",
    "effective_largest": (
        "The area between the curves, in points of accuracy, positive where attribution does better, is "
        "above 0; heads are ranked by the predicted class. By the gold class, as in the paper, the ranking "
        "is told the answer: that stands beside."
    ),
    "effective_smallest": "As the claim before.",
    "taylor": (
        f"The mean height of AttAttr's curve over Taylor's is above −{100 * MARGIN:.0f} points: over the "
        "whole curve, up to half of the heads, and over Taylor normalised layer by layer, as the authors' "
        "code has it. The worst of the three decides. Where AttAttr is farthest ahead and behind at one "
        "share of heads stands beside; picked as the largest of ten, these decide nothing."
    ),
    "better": (
        "The mean height of AttAttr's curve over each of the two is above 0, over the whole curve and up to "
        "half of the heads. The worst decides."
    ),
    "pruned": f"With {MANY:.0%} of the heads gone fewer than {100 * LOSS:.0f} points are lost.",
    "shared": (
        "The mean r of the pairs of NLI tasks, less that of the other pairs, is above 0. Weakly where an NLI "
        f"pair is not surely above {LOW_R}, or where among the models with one start the difference is not "
        "surely above 0: then it may all come with the weights."
    ),
    "tree": (
        "Two tests are cases: the tree's edges kept alone, and removed. In each the lead in the "
        "probability over as many edges of each layer chosen by weight, and at random, is above 0, and "
        f"that over random ones above {EFFECT:.0%} of what taking all edges out costs: a sure effect may be "
        "next to none. Better than weakly only if the tree is surely ahead of gradient × attention as "
        "well, since edges that matter more would be *those that matter*. Gradient × attention picks edges "
        "freely, the tree only such as hang together."
    ),
    "worst": (
        f"Fewer than {100 * FEW:.0f} % of the class stay right under the worst mined trigger; weakly from "
        f"{100 * POINTS:.0f} points lost on. And it is ahead of the worst random pattern, chosen alike: "
        f"where that, too, leaves fewer than {100 * FEW:.0f} %, mining cannot be told from luck, and the "
        "claim holds weakly at best."
    ),
    "forty": (
        f"The mean loss under a class's three worst triggers is above {100 * POINTS:.0f} points in every "
        "class, and ahead, row by row, of that under the three worst random patterns, chosen alike, unless "
        f"these leave fewer than {100 * FEW:.0f} % right. The worst class of the worst task decides. The "
        "paper's sentence can also be read as the mean over the classes: what that gives stands beside."
    ),
    "quadrature": (
        "Relative L1 distance of all scores of an input from the exact ones: holds where that of 95 % of the "
        f"inputs is surely below {NEARLY_ALL:.0%}, weakly where the median's is below {TYPICAL:.0%}."
    ),
    "cost": (
        "There is none: seconds on another machine are not the paper's, and no bound makes them so. What "
        "can be compared are times in one run."
    ),
}


class Case(NamedTuple):
    """What a claim came to on a task, or on several. facts: sentences that say what decided."""

    key: str  # in paper.PAPER
    about: str
    ours: str
    verdict: str
    facts: str


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


def together(verdicts: list[str]) -> str:
    """One verdict of several cases: the worst, or *in part* where some surely hold and others surely do not.

    >>> together(["holds", "does not hold here"]), together(["holds weakly", "does not hold here"])
    ('holds in part', 'does not hold here')
    """
    worst = least(verdicts)
    return IN_PART if worst == NOT and {HOLDS, IN_PART} & set(verdicts) else worst


def stepped(strong: str, weak: str) -> str:
    """A claim with two bounds: it holds beyond the strong one; short of that weakly at best, as by the other.

    >>> stepped("holds", "holds"), stepped("cannot tell", "holds"), stepped("cannot tell", "cannot tell")
    ('holds', 'holds weakly', 'cannot tell')
    """
    return HOLDS if strong == HOLDS else least([weak, WEAKLY])


def ahead_of_luck(left: float, lead: Facts) -> str:
    """Whether mining is ahead of chance. left: the share of a class that is right under random patterns;
    where next to nothing is, no lead could show."""
    return above(lead) if above(lead) == HOLDS or left >= FEW else WEAKLY


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


def mean_of_classes(estimates: list[Facts]) -> Facts:
    """Mean of estimates on different inputs: they err each for itself.

    >>> mean_of_classes([{"mean": 1.0, "low": 0.0, "high": 2.0}] * 4)
    {'mean': 1.0, 'low': 0.5, 'high': 1.5}
    """
    k = len(estimates)
    mean = sum(of["mean"] for of in estimates) / k
    down = math.hypot(*(of["mean"] - of["low"] for of in estimates)) / k
    up = math.hypot(*(of["high"] - of["mean"] for of in estimates)) / k
    return {"mean": mean, "low": mean - down, "high": mean + up}
