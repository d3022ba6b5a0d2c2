from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attattr.engine import quadrature
from attattr.errors import InputError


@pytest.mark.parametrize("method", quadrature.RULES)
@pytest.mark.parametrize("n", [2, 3, 4, 7, 20])
def test_weights_sum_to_one_and_nodes_lie_in_the_unit_interval(method, n):
    rule = quadrature.fixed(method, n)
    assert rule.weights.sum() == pytest.approx(1, abs=1e-14)
    assert rule.embedded.sum() == pytest.approx(1, abs=1e-13)
    assert len(rule.nodes) == n == rule.n_steps
    assert (rule.nodes >= 0).all() and (rule.nodes <= 1).all()


@given(st.integers(2, 30))
def test_gauss_is_exact_to_degree_2n_minus_1_and_its_embedded_rule_to_n_minus_2(n):
    rule = quadrature.fixed("gausslegendre", n)
    assert rule.weights @ rule.nodes ** (2 * n - 1) == pytest.approx(1 / (2 * n), rel=1e-12)
    assert rule.embedded @ rule.nodes ** (n - 2) == pytest.approx(1 / (n - 1), rel=1e-9)
    assert np.count_nonzero(rule.embedded) < n


def nested():
    """Nodes and weights of the first three stages, each with what it carries."""
    stages = quadrature.auto()
    behind = np.zeros(0)
    for stage in stages[:3]:
        weights = (
            stage.weights if stage.carried is None else np.concatenate([stage.carried[:, 0], stage.weights])
        )
        behind = np.concatenate([behind, stage.nodes])
        yield stage, behind, weights


def test_the_nested_stages_are_as_exact_as_their_theory_says():
    for (stage, nodes, weights), degree in zip(nested(), (5, 9, 17), strict=True):
        assert len(nodes) == len(weights) == stage.n_steps
        for power in range(degree + 1):
            assert weights @ nodes**power == pytest.approx(1 / (power + 1), abs=1e-14)
        assert (weights > 0).all() and nodes.min() == 0 and nodes.max() == 1
    last = 2 * np.sort(nodes) - 1
    assert last[8] == pytest.approx(np.sqrt(1 / 5), abs=1e-14)  # Lobatto, 4 nodes
    assert last[10] == pytest.approx(np.sqrt(2 / 3), abs=1e-14)  # its extension: Gander & Gautschi 2000
    assert last[11] == pytest.approx(0.942882415695480, abs=1e-14)  # the second: the same


def test_each_stage_has_an_estimate_from_the_gradients_it_has():
    for stage, nodes, weights in nested():
        embedded = stage.embedded
        if stage.carried is not None:
            embedded = np.concatenate([stage.carried[:, 1], embedded])
        assert embedded.sum() == pytest.approx(1, abs=1e-13)
        assert np.count_nonzero(np.abs(embedded) > 1e-14) < len(nodes)
        assert not np.allclose(embedded, weights)


def test_riemann_sums_by_hand():
    square = lambda nodes: nodes**2  # noqa: E731
    expected = {
        "riemann_left": (0 + 0.0625 + 0.25 + 0.5625) / 4,
        "riemann_right": (0.0625 + 0.25 + 0.5625 + 1) / 4,
        "riemann_middle": (0.125**2 + 0.375**2 + 0.625**2 + 0.875**2) / 4,
        "riemann_trapezoid": (0 / 2 + 1 / 9 + 4 / 9 + 1 / 2) / 3,
    }
    for method, value in expected.items():
        rule = quadrature.fixed(method, 4)
        assert rule.weights @ square(rule.nodes) == pytest.approx(value)


@pytest.mark.parametrize("method", ["riemann_left", "riemann_right"])
def test_the_embedded_riemann_sum_is_the_one_with_half_the_nodes(method):
    rule, half = quadrature.fixed(method, 8), quadrature.fixed(method, 4)
    used = rule.embedded > 0
    assert rule.nodes[used].tolist() == half.nodes.tolist()
    assert rule.embedded[used].tolist() == half.weights.tolist()


@given(st.sampled_from(quadrature.RULES), st.integers(4, 40), st.floats(0.1, 3))
def test_the_estimate_does_not_fall_far_below_the_error(method, n, rate):
    rule = quadrature.fixed(method, n)
    values = np.exp(rate * rule.nodes)
    error = abs(rule.weights @ values - np.expm1(rate) / rate)
    assert error <= 2 * abs((rule.weights - rule.embedded) @ values) + 1e-13


def test_a_small_gap_alone_is_not_accepted():
    total, floor = np.ones(4), np.full(4, 1e-6)
    gap = np.array([0.0, 0.0, 0.5, 1e-4])
    error = np.array([0.01, 0.3, 0.01, 0.04])
    assert quadrature.accepted(gap, error, total, floor, 1e-3).tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("method", "n"), [("simpson", 4), ("gausslegendre", 0), ("riemann_trapezoid", 1), ("riemann_left", 2.5)]
)
def test_unusable_rules_are_refused(method, n):
    with pytest.raises(InputError):
        quadrature.fixed(method, n)
