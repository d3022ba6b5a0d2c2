"""How sure a number is: 95 % intervals of a share, and of what is computed over the rows of a sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

RESAMPLES = 2000
AT_ONCE = 20_000_000  # numbers that are resampled at once


def wilson(right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion.

    >>> [round(bound, 4) for bound in wilson(9, 10)]
    [0.5958, 0.9821]
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(
    values: np.ndarray,
    seed: int,
    *,
    resamples: int = RESAMPLES,
    statistic: Callable[..., np.ndarray] = np.mean,
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends of percentile intervals over the N rows of (N, …) values, each of shape (…).

    >>> low, high = bootstrap(np.arange(100.0), seed=0)
    >>> bool(low < 49.5 < high)
    True

    Equal N and seed draw the same rows, so that differences of columns are resampled as the columns are.
    statistic: of an array along an axis. Source: Efron 1979.
    """
    rows, n = np.moveaxis(np.asarray(values), 0, -1), len(values)
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n))
    parts = np.array_split(drawn, min(resamples, 1 + resamples * rows.size // AT_ONCE))
    found = np.concatenate([statistic(rows[..., part], axis=-1) for part in parts], axis=-1)
    low, high = np.quantile(found, (0.025, 0.975), axis=-1)
    return low, high
