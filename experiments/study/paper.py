"""What the paper says: Hao, Dong, Wei and Xu, AAAI 2021 (arXiv 2004.11207), on BERT-base-cased.

†: remembered, not looked up. Its section numbers were not looked up either and are not given.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A claim, and the figure printed for it."""

    part: int
    claim: str
    figure: str


PAPER = {
    "weight": Published(
        1, "A large attention weight does not mean a large contribution", "matrices of one head"
    ),
    "effective_largest": Published(
        1,
        "Accuracy falls faster when the heads with the largest attribution go first than those with the "
        "largest weight",
        "curves †",
    ),
    "effective_smallest": Published(
        1,
        "Accuracy holds longer when the heads with the smallest attribution go first than those with the "
        "smallest weight",
        "curves †",
    ),
    "taylor": Published(2, "Pruning by attribution is comparable to Taylor expansion", "curves"),
    "better": Published(
        2, "Pruning by attribution is better than by accuracy drop or attention weight", "curves"
    ),
    "pruned": Published(2, "Many heads can go at little loss", "curves"),
    "shared": Published(
        3, "Tasks of one kind (NLI) need the same heads; others less so", "matrix of Pearson's r †"
    ),
    "tree": Published(4, "The edges of the tree are those that matter", "examples"),
    "worst": Published(
        5, "A few inserted words turn nearly all of a class over (MNLI, entailment)", "82.87 % → 0.8 %"
    ),
    "forty": Published(
        5,
        "The three best triggers cost more than 40 points of accuracy, on MNLI and SST-2, in every class",
        "> 40 points",
    ),
    "quadrature": Published(6, "20 steps of a right Riemann sum approximate the integral", "m = 20 †"),
    "cost": Published(7, "About a second for an input of 128 tokens", "≈ 1 s, BERT-base, one V100 †"),
}
WORDS = ("with", "math")
