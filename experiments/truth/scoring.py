"""How well a ranking finds the true edges, in whatever order ties are: taken together, or as their mean."""

from __future__ import annotations

import numpy as np


def average_precision(strength: np.ndarray, true: np.ndarray) -> float:
    """Area under precision over recall, tied edges taken together.

    >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.8333333333333333
    >>> average_precision(np.zeros(4), np.array([True, False, False, False]))
    0.25
    """
    hits, taken = _steps(strength, true)
    return float((np.diff(hits, prepend=0) * hits / taken).sum() / hits[-1])


def area(strength: np.ndarray, true: np.ndarray) -> float:
    """AUROC: how often a true edge stands before an inert one; a tie is half.

    >>> area(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.5
    """
    hits, taken = _steps(strength, true)
    misses = np.diff(taken - hits, prepend=0)
    before = hits - np.diff(hits, prepend=0) / 2
    return float((misses * before).sum() / (hits[-1] * misses.sum()))


def precision(strength: np.ndarray, true: np.ndarray) -> float:
    """The share of true edges among the strongest, of so many as are true.

    >>> precision(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False]))
    0.75
    """
    hits, taken = _steps(strength, true)
    return float(np.interp(hits[-1], np.append(0, taken), np.append(0, hits)) / hits[-1])


def _steps(strength: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True ones and all among the edges of at least each strength, the largest first."""
    _, which = np.unique(-strength, return_inverse=True)
    return np.cumsum(np.bincount(which, weights=true)), np.cumsum(np.bincount(which))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's; 0 where one is all alike.

    >>> correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
    1.0
    """
    from scipy.stats import rankdata

    ranks = [rankdata(each) for each in (a, b)]
    if any(np.ptp(each) == 0 for each in ranks):
        return 0.0
    return float(round(np.corrcoef(*ranks)[0, 1], 12))
