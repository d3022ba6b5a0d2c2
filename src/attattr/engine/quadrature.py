"""Nodes and weights on [0, 1], and when a row has been integrated well enough. Knows no model.

>>> rule = fixed("gausslegendre", 3)
>>> rule.nodes.round(3).tolist()
[0.113, 0.5, 0.887]
>>> round(float(rule.weights @ rule.nodes**5), 12) == round(1 / 6, 12)  # exact to degree 5
True
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial import legendre

from attattr.asked import choice, whole
from attattr.choices import RULES

# nodes: Gauss' are found as eigenvalues, whose number squared has to fit into memory
MOST = {True: 1_000, False: 100_000}
MAX_ERROR = 0.05  # accepted relative L1 distance between a rule and its embedded one


@dataclass(frozen=True)
class Rule:
    """One rule on [0, 1], and a coarser one on the same nodes to judge it by.

    `carried` holds the weights of all earlier stages' nodes in this rule, in the order of the stages,
    (m, 2) for (rule, embedded), where the stage reuses them; `nodes` are then only the new ones.
    """

    nodes: np.ndarray  # (n,)
    weights: np.ndarray  # (n,)
    embedded: np.ndarray  # (n,)
    n_steps: int  # nodes of the whole rule, carried ones included
    carried: np.ndarray | None = None

    @property
    def passes(self) -> int:
        """Nodes that take a forward and a backward of their own: all but 1, which is the clean forward."""
        return int((self.nodes < 1).sum())

    @property
    def columns(self) -> np.ndarray:
        """(n, 2): weights and embedded weights side by side."""
        return np.stack([self.weights, self.embedded], axis=1)


def fixed(method: str, n_steps: int) -> Rule:
    """The named rule with `n_steps` nodes; names as in Captum.

    >>> fixed("riemann_right", 4).nodes.tolist()
    [0.25, 0.5, 0.75, 1.0]

    The embedded rule leaves out a middle node of Gauss-Legendre (interpolatory weights), and merges
    neighbouring cells of a Riemann sum: the same sum with half the nodes, so its distance is about
    the error itself for the one-sided sums and more than it for the others.

    Raises:
        InputError: an unknown method, or fewer nodes than the rule needs.
    """
    choice(method, "method", RULES)
    least = 2 if method == "riemann_trapezoid" else 1
    n = whole(n_steps, f"n_steps of {method}, if not 'auto',", least, MOST[method == "gausslegendre"])
    if method == "gausslegendre":
        nodes, weights = _gauss(n)
        return Rule(nodes, weights, _less_a_middle_node(nodes), n)
    steps = np.arange(n)
    weights = np.full(n, 1 / n)
    if method == "riemann_trapezoid":
        nodes = steps / (n - 1)
        weights = np.full(n, 1 / (n - 1))
        weights[[0, -1]] /= 2
    else:
        nodes = (steps + {"riemann_left": 0.0, "riemann_middle": 0.5, "riemann_right": 1.0}[method]) / n
    return Rule(nodes, weights, _merged(weights, keep_last=method == "riemann_right"), n)


@cache
def auto() -> tuple[Rule, ...]:
    """The stages of `n_steps="auto"`: 4 Gauss-Lobatto nodes, 3 more, 6 more, then 24 and 64 Gauss nodes.

    Both ends are nodes, since they are nearly free: α = 1 is the clean forward, whose one gradient
    serves every site, and α = 0 gives F(A⁰), which completeness needs anyway. The second and third
    stage are the Kronrod extensions (7 and 13 nodes; Gander & Gautschi 2000) and keep the gradients
    there are. Few rows go on to 24; at 64 a row that is still not good is reported as not converged.
    """
    nodes = _lobatto(4)
    stages = [Rule(nodes, _interpolatory(nodes, nodes), _less_a_middle_node(nodes), 4)]
    for more in (3, 6):
        nodes = _extended(nodes, more)
        columns = np.stack([_interpolatory(nodes, nodes), _less_a_middle_node(nodes)], axis=1)
        before = np.concatenate([stage.nodes for stage in stages])
        old = np.array([np.abs(nodes - node).argmin() for node in before])
        new = np.setdiff1d(np.arange(len(nodes)), old)
        stages.append(Rule(nodes[new], columns[new, 0], columns[new, 1], len(nodes), carried=columns[old]))
    return (*stages, fixed("gausslegendre", 24), fixed("gausslegendre", 64))


def accepted(gap, error, total, floor, tol: float, least=0.0):
    """Which rows are good enough: the gap is small *and* the embedded rule agrees.

    gap: |Σ Attr − (F(A) − F(A⁰))|; error: ‖Attr − Attr_embedded‖₁; total: ‖Attr‖₁; floor: what the
    arithmetic cannot resolve of the gap; least: scores that are nothing. Any array type, elementwise.
    The gap alone is no bound: two heads' errors may cancel in it.

    >>> bool(accepted(np.array(0.0), np.array(0.4), np.array(1.0), np.array(1e-6), 1e-3))
    False
    """
    small = (gap <= tol * total) | (gap <= floor)
    return small & ((error <= MAX_ERROR * total) | (error <= least))


@cache
def _gauss(n: int) -> tuple[np.ndarray, np.ndarray]:
    x, w = legendre.leggauss(n)
    return (x + 1) / 2, w / 2


def _interpolatory(nodes: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Weights on `chosen` that integrate every polynomial of degree < len(chosen) exactly."""
    powers = legendre.legvander(2 * chosen - 1, len(chosen) - 1)
    moments = np.zeros(len(chosen))
    moments[0] = 1.0  # ∫ P_0 = 1 on [0, 1], all others vanish
    return np.linalg.solve(powers.T, moments)


def _less_a_middle_node(nodes: np.ndarray) -> np.ndarray:
    n = len(nodes)
    if n == 1:
        return np.zeros(1)  # nothing left to compare with: the error estimate is the whole of it
    keep = np.delete(np.arange(n), n // 2)
    weights = np.zeros(n)
    weights[keep] = _interpolatory(nodes, nodes[keep])
    return weights


def _merged(weights: np.ndarray, keep_last: bool) -> np.ndarray:
    """Every second node takes its neighbour's weight too (right sums: the later one of the two); of an
    odd number, the last three go together, since a cell left as it is would hide its error."""
    if len(weights) == 1:
        return np.zeros(1)
    flipped = weights[::-1] if keep_last else weights
    starts = np.arange(0, len(flipped) - 1, 2)
    merged = np.zeros_like(flipped)
    merged[starts] = np.add.reduceat(flipped, starts)
    return merged[::-1] if keep_last else merged


def _lobatto(n: int) -> np.ndarray:
    """n nodes, both ends among them: exact to degree 2n − 3."""
    inner = legendre.legroots(legendre.legder([0] * (n - 1) + [1]))
    return (np.concatenate([[-1.0], np.sort(inner.real), [1.0]]) + 1) / 2


def _extended(nodes: np.ndarray, more: int) -> np.ndarray:
    """The nodes and `more` new ones: zeros of the polynomial E with ∫ ω E x^k = 0 for k < more, where ω
    vanishes at the old ones (Kronrod 1965, Patterson 1968)."""
    x, w = legendre.leggauss(len(nodes) + 2 * more)
    omega = np.prod(x[:, None] - (2 * nodes - 1), axis=1)
    basis = legendre.legvander(x, more)
    system = (basis[:, :more] * (w * omega / np.abs(omega).max())[:, None]).T @ basis  # (k, coefficient)
    coefficients = np.linalg.solve(system[:, :-1], -system[:, -1])
    roots = legendre.legroots(np.append(coefficients, 1.0)).real
    return np.sort(np.concatenate([nodes, (roots + 1) / 2]))
