"""The integral of one attention site, in context space (ARCHITECTURE.md, "The engine").

With A the attention of a site, V its values and C = A V its context, V stands still on the path from
the baseline A⁰ to A, so that

    Attr(A) = (A − A⁰) ⊙ (Ḡ Vᵀ),    Ḡ = Σ_k w_k ∂F/∂C at C⁰ + α_k (C − C⁰)

and only a gradient of the size of C is integrated. Shapes as in capture.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attattr.capture import Call, Capture, Recording, rounding
from attattr.quadrature import Rule, accepted
from attattr.targets import Objective

BASELINES = ("zero", "uniform")


@dataclass(frozen=True)
class Problem:
    """A batch with its clean forward: what every site's integral starts from."""

    capture: Capture
    recording: Recording
    inputs: Mapping[str, Tensor]
    objective: Objective
    value: Tensor  # (B,) F(A), from the untouched forward
    rows_at_once: int  # rows of one forward and backward


@dataclass(frozen=True)
class Integral:
    """One site, B inputs. `total` is ‖Attr‖₁ and `error` ‖Attr − Attr_embedded‖₁ / ‖Attr‖₁."""

    attention: Tensor  # (B, H, q, k)
    scores: Tensor  # (B, H, q, k), float32 or finer
    baseline_value: Tensor  # (B,) F(A⁰)
    gap: Tensor  # (B,) signed: Σ Attr − (F(A) − F(A⁰))
    error: Tensor  # (B,)
    n_steps: Tensor  # (B,)
    converged: Tensor  # (B,) boolean


def integrate_site(
    problem: Problem, number: int, *, stages: Sequence[Rule], tol: float, baseline: str
) -> Integral:
    """Attribution of attention call `number` for every input of the batch.

    stages: rules in turn; inputs that a stage's acceptance rule turns down go on to the next, and
    what the last stage gives is kept whatever it is (`converged` says so).
    """
    call = problem.recording.calls[number]
    assert call is not None
    attention = call.weights()
    start = baseline_attention(call, attention, baseline)  # None: zero
    difference = attention if start is None else attention - start
    values = call.values
    origin = torch.zeros_like(call.context)
    if start is not None:
        origin = (start @ values).transpose(1, 2).contiguous()
    path = call.context - origin  # (B, q, H, d)
    size = len(attention)
    device = attention.device
    at_origin = _values_at(problem, number, origin)
    change = problem.value - at_origin
    floor = rounding(call.context.dtype, 10) * torch.maximum(problem.value.abs(), at_origin.abs())

    scores = torch.zeros_like(attention, dtype=problem.value.dtype)
    gap, error = torch.zeros_like(problem.value), torch.zeros_like(problem.value)
    n_steps = torch.zeros(size, dtype=torch.long, device=device)
    converged = torch.zeros(size, dtype=torch.bool, device=device)
    pending = torch.arange(size, device=device)
    carried: Tensor | None = None
    for stage, rule in enumerate(stages):
        following = stages[stage + 1] if stage + 1 < len(stages) else None
        reused = following.carried if following is not None else None
        columns = torch.as_tensor(rule.columns)
        if reused is not None:
            columns = torch.cat([columns, torch.as_tensor(reused)], dim=1)
        sums = _weighted_gradients(problem, number, pending, origin, path, rule.nodes, columns)
        mean, embedded = sums[0], sums[1]
        if carried is not None and rule.carried is not None:
            mean, embedded = mean + carried[0], embedded + carried[1]
        there = difference[pending].to(mean.dtype)
        transposed = values[pending].to(mean.dtype).transpose(2, 3)  # (P, H, d, k)
        now = there * (mean.transpose(1, 2) @ transposed)
        apart = now - there * (embedded.transpose(1, 2) @ transposed)
        total = now.abs().sum((1, 2, 3))
        off = apart.abs().sum((1, 2, 3))
        miss = now.sum((1, 2, 3)) - change[pending]
        good = accepted(miss.abs(), off, total, floor[pending], tol)
        scores[pending], gap[pending], n_steps[pending] = now, miss, rule.n_steps
        error[pending] = torch.where(total > 0, off / total, torch.zeros_like(total))
        converged[pending] = good
        pending, carried = pending[~good], sums[2:][:, ~good] if reused is not None else None
        if not len(pending):
            break
    return Integral(attention, scores, at_origin, gap, error, n_steps, converged)


def baseline_attention(call: Call, attention: Tensor, baseline: str) -> Tensor | None:
    """A⁰, (B, H, q, k): None for zero; uniform spreads each row's sum over the keys it may see.

    A row that sees nothing is 0.
    """
    if baseline == "zero":
        return None
    visible = call.visible().expand_as(attention)
    count = visible.sum(-1, keepdim=True)
    share = attention.sum(-1, keepdim=True) / count.clamp(min=1)
    return torch.where(visible, share, torch.zeros_like(attention))


def _values_at(problem: Problem, number: int, context: Tensor) -> Tensor:
    """F with the site's context replaced, one row an input, (B,)."""
    parts = []
    with torch.no_grad():
        for rows in torch.arange(len(context), device=context.device).split(problem.rows_at_once):
            outputs = problem.capture.resume(problem.recording, problem.inputs, rows, number, context[rows])
            parts.append(problem.objective(outputs, rows))
    return torch.cat(parts)


def _weighted_gradients(
    problem: Problem, number: int, which: Tensor, origin: Tensor, path: Tensor, nodes, columns: Tensor
) -> Tensor:
    """Σ_k columns[k, c] ∂F/∂C at node k, for each input in `which`: (c, P, q, H, d)."""
    count = len(which)
    alphas = torch.as_tensor(nodes, dtype=torch.float64)
    # all nodes of an input stand side by side: (input, node) pairs in reading order
    place = torch.arange(count).repeat_interleave(len(alphas)).to(which.device)
    node = torch.arange(len(alphas)).repeat(count)
    dtype = problem.value.dtype
    sums = torch.zeros(columns.shape[1], count, *path.shape[1:], dtype=dtype, device=path.device)
    for chunk in torch.arange(len(place)).split(problem.rows_at_once):
        rows = which[place[chunk]]
        alpha = alphas[node[chunk]].to(path.device, path.dtype)[:, None, None, None]
        context = torch.addcmul(origin[rows], alpha, path[rows]).requires_grad_()
        with torch.enable_grad():
            outputs = problem.capture.resume(problem.recording, problem.inputs, rows, number, context)
            value = problem.objective(outputs, rows).sum()
        if not value.requires_grad:
            continue  # nothing of what F reads comes from this site
        (gradient,) = torch.autograd.grad(value, context)
        gradient = gradient.to(dtype)
        weights = columns[node[chunk]].to(path.device, dtype)
        for c in range(columns.shape[1]):
            sums[c].index_add_(0, place[chunk], gradient * weights[:, c, None, None, None])
    return sums
