"""Attributions that can be worked out with pencil and paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from attattr import Attributor
from toys import toy

VALUES = torch.tensor([[1.0, 2.0], [3.0, -1.0], [2.0, 5.0]], dtype=torch.float64)  # (n, heads)
C1, C2 = 2.0, 2.0  # contexts: the mean of each column


def scores(function, values=VALUES, **options):
    return Attributor(toy(function)).attribute({"values": values}, output="logit", **options)


def test_a_linear_function_gives_each_edge_its_own_term():
    result = scores(lambda a, b: 3 * a - b)
    np.testing.assert_allclose(result.scores[0, 0, 0], 3 * VALUES[:, 0] / 3)
    np.testing.assert_allclose(result.scores[0, 1, 0], -VALUES[:, 1] / 3)
    assert not result.scores[0, :, 1:].any()  # nothing reads the other queries
    assert result.n_steps[0] == 4


def test_a_product_is_shared_half_and_half():
    result = scores(lambda a, b: a * b)
    np.testing.assert_allclose(result.scores[0, 0, 0], VALUES[:, 0] / 3 * C2 / 2)
    np.testing.assert_allclose(result.scores[0, 1, 0], VALUES[:, 1] / 3 * C1 / 2)
    assert abs(result.completeness_gap[0]) < 1e-14


def test_an_exponential():
    result = scores(lambda a, b: torch.exp(a) + 0 * b)
    np.testing.assert_allclose(result.scores[0, 0, 0], VALUES[:, 0] / 3 * (math.exp(C1) - 1) / C1, rtol=1e-4)


def test_uniform_attention_leaves_nothing_against_the_uniform_baseline():
    result = scores(lambda a, b: a * b, baseline="uniform")
    assert np.abs(result.scores).max() < 1e-15
    assert result.converged.all()


def test_errors_that_cancel_in_the_sum_are_refined_not_accepted():
    """F = (C1 − C2) sin(10 (C1 + C2)) at C1 = C2 = 1 has gap 0 under every rule."""
    ones = torch.ones(3, 2, dtype=torch.float64)
    wave = lambda a, b: (a - b) * torch.sin(10 * (a + b))  # noqa: E731
    true = (1 - math.cos(20)) / 20
    coarse = scores(wave, ones, n_steps=4)
    assert abs(coarse.completeness_gap[0]) < 1e-12
    assert coarse.scores[0, 0, 0].sum() == pytest.approx(0.473, abs=1e-3)  # sixteen times too large
    assert not coarse.converged[0]
    fine = scores(wave, ones)
    assert fine.n_steps[0] > 7
    assert fine.scores[0, 0, 0].sum() == pytest.approx(true, abs=1e-6)
    assert fine.scores[0, 1, 0].sum() == pytest.approx(-true, abs=1e-6)


def test_a_jump_at_zero_attention_is_reported_and_uniform_named():
    """A context that is normalised right away: F is constant but at α = 0."""
    jump = lambda a, b: a / torch.sqrt(a * a + b * b + 1e-30)  # noqa: E731
    with pytest.warns(UserWarning, match="uniform"):
        result = scores(jump)
    assert not result.converged[0]
    assert result.n_steps[0] == 64
    assert abs(result.completeness_gap[0]) == pytest.approx(math.sqrt(0.5), abs=1e-3)
