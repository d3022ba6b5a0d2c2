"""Intervals, against scipy and against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attattr.measure import intervals
from attattr.measure.intervals import bootstrap, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (7, 9), (7583, 9815)])
def test_wilson_is_scipys(right, n):
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("statistic", [np.mean, np.median])
@pytest.mark.parametrize("n", [1, 2, 300])
def test_the_bootstrap_is_its_formula_to_the_bit(n, statistic):
    values = np.random.default_rng(1).normal(size=n)
    drawn = np.random.default_rng(3).integers(n, size=(2000, n))
    expected = np.quantile(statistic(values[drawn], axis=1), (0.025, 0.975))
    assert bootstrap(values, 3, statistic=statistic) == tuple(expected)


def test_the_bootstrap_is_scipys():
    values = np.random.default_rng(1).normal(size=(40, 3, 2))
    expected = stats.bootstrap(
        (values,), np.mean, axis=0, n_resamples=500, method="percentile", vectorized=True,
        rng=np.random.default_rng(7),
    ).confidence_interval  # fmt: skip
    low, high = bootstrap(values, 7, resamples=500)
    assert low == pytest.approx(expected.low, abs=1e-12) and high == pytest.approx(expected.high, abs=1e-12)


def test_columns_are_resampled_alike_and_in_parts(monkeypatch):
    values = np.random.default_rng(1).normal(size=(30, 4))
    at_once = bootstrap(values, 0)
    monkeypatch.setattr(intervals, "AT_ONCE", 1000)
    assert np.array_equal(at_once, bootstrap(values, 0))
    monkeypatch.setattr(intervals, "AT_ONCE", 1)
    assert np.array_equal(at_once, bootstrap(values, 0))
    each = np.transpose([bootstrap(column, 0) for column in values.T])
    assert np.allclose(at_once, each, rtol=0, atol=1e-14)
