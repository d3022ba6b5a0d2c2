"""The integral of one attention site, in context space (ARCHITECTURE.md, "The engine").

With A the attention of a site, V its values and C = A V its context, V stands still on the path from
the baseline A⁰ to A, so that

    Attr(A) = (A − A⁰) ⊙ (Ḡ Vᵀ),    Ḡ = Σ_k w_k ∂F/∂C at C⁰ + α_k (C − C⁰)

and only a gradient of the size of C is integrated. Shapes as in capture.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attattr.engine import recording as calls
from attattr.engine.batch import Batch, floor_of
from attattr.engine.precision import HALF, gradients, lifts, logit_gradient
from attattr.engine.quadrature import Rule, accepted
from attattr.engine.recording import Call, rounding
from attattr.errors import AttAttrError


class Start(NamedTuple):
    """F at a site's baseline, and what the arithmetic leaves open of it, (B,) each."""

    value: Tensor
    floor: Tensor


class AttentionBlocks:
    """A and A − A⁰ of one site, a block of queries at a time, so that no n × n is ever whole where it is
    large; a single block is kept."""

    def __init__(self, call: Call, baseline: str | Call):
        self.call, self.baseline = call, baseline
        self._only: tuple[slice, Tensor, Tensor] | None = None

    def __iter__(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """(queries, attention, difference): the tensors are (B, H, those queries, k)."""
        if self._only is not None:
            yield self._only
            return
        for queries in self.call.query_blocks:
            attention = self.call.weights(queries)
            start = baseline_attention(self.call, attention, queries, self.baseline)
            block = queries, attention, attention if start is None else attention - start
            if len(self.call.query_blocks) == 1:
                self._only = block
            yield block

    def scores(self, mean: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """(queries, A, Attr) by the mean gradient Ḡ, (B, q, H, d); A of one input may be for all."""
        for queries, attention, difference in self.cut(mean):
            yield queries, attention, edge_scores(difference, mean[:, queries], self.call.values)

    def cut(self, mean: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """The blocks, in smaller ones where Attr of all that `mean` has would be large: attention that can
        only be computed whole is one block, however many targets stand on it."""
        for queries, attention, difference in self:
            start, count = queries.start or 0, attention.shape[2]
            a_query = len(mean) * attention.shape[1] * attention.shape[3] * mean.dtype.itemsize
            step = max(1, calls.BLOCK // max(a_query, 1))
            if step >= count:
                yield queries, attention, difference
                continue
            for i in range(0, count, step):
                some = slice(i, min(count, i + step))
                yield slice(start + i, start + some.stop), attention[:, :, some], difference[:, :, some]


def edge_scores(difference: Tensor, mean: Tensor, values: Tensor) -> Tensor:
    """(A − A⁰) ⊙ (Ḡ Vᵀ), (B, H, q, k), of Ḡ (B, q, H, d) and V (B, H, k, d), in Ḡ's precision."""
    return difference.to(mean.dtype) * (mean.transpose(1, 2) @ values.to(mean.dtype).transpose(2, 3))


@dataclass(frozen=True)
class Integral:
    """One site, B inputs. `error` is ‖Attr − Attr_embedded‖₁ / ‖Attr‖₁."""

    attention: AttentionBlocks
    mean: Tensor  # (B, q, H, d) Ḡ, float32 or finer
    baseline_value: Tensor  # (B,) F(A⁰)
    gap: Tensor  # (B,) signed: Σ Attr − (F(A) − F(A⁰))
    error: Tensor  # (B,)
    n_steps: Tensor  # (B,)
    converged: Tensor  # (B,) boolean
    integrated: Tensor  # (B,) boolean: not gradient × attention (first_look.py)


def integrate_site(
    batch: Batch, number: int, *, stages: Sequence[Rule], tol: float, baseline: str | Call,
    which: Tensor | None = None,
) -> Integral:  # fmt: skip
    """Attribution of attention call `number` for every input of the batch.

    stages: rules in turn; inputs that a stage's acceptance rule turns down go on to the next, and
    what the last stage gives is kept whatever it is (`converged` says so). Those that reuse nodes of
    others come first. which: numbers of the inputs, the others stay 0; None: all.
    baseline: a name, or the same call of the forward of other inputs, whose attention is A⁰.

    Raises:
        AttAttrError: no gradient reaches the site, though F changes with its attention.
    """
    call = batch.recording.site(number)
    attention = AttentionBlocks(call, baseline)
    origin = torch.zeros_like(call.context)
    if baseline != "zero":
        parts = [(weights - difference) @ call.values for _, weights, difference in attention]
        origin = torch.cat(parts, dim=2).transpose(1, 2).contiguous()
    path = call.context - origin  # (B, q, H, d)
    size, device = len(batch.value), path.device
    clean = Start(batch.value.to(device), batch.floor.to(device))  # a site's may be another than the outputs'
    start = Start(torch.zeros_like(clean.value), torch.zeros_like(clean.value))
    if stages[0].nodes[0] != 0:
        start = _start_at(batch, number, origin)

    mean = path.new_zeros(size, *path.shape[1:], dtype=clean.value.dtype)
    gap, error = torch.zeros_like(clean.value), torch.zeros_like(clean.value)
    n_steps = torch.zeros(size, dtype=torch.long, device=device)
    converged = torch.zeros(size, dtype=torch.bool, device=device)
    reached = False  # whether F comes from this site at all
    which = torch.arange(size, device=device) if which is None else which.to(device)
    pending = which
    carried: Tensor | None = None
    behind = 0  # nodes of the stages so far
    coarseness = torch.finfo(path.dtype).eps if path.dtype in HALF else 0.0
    for stage, rule in enumerate(stages):
        later = [following.carried for following in stages[stage + 1 :] if following.carried is not None]
        reused = [weights[behind : behind + len(rule.nodes)] for weights in later]
        columns = torch.as_tensor(np.concatenate([rule.columns, *reused], axis=1))
        behind += len(rule.nodes)
        sums, first, found = _weighted_gradients(batch, number, pending, origin, path, rule.nodes, columns)
        reached |= found
        if stage == 0 and rule.nodes[0] == 0:
            start = Start(*(all_.index_copy(0, which, of) for all_, of in zip(start, first, strict=True)))
        if carried is not None:
            sums += carried
        change = clean.value - start.value
        floor = torch.maximum(clean.floor, start.floor)
        largest = torch.maximum(clean.value.abs(), start.value.abs())
        least = rounding(largest.dtype, 10) * largest  # gradients are as exact as F's own precision allows
        total, off, whole = _norms(attention, batch.on(pending), sums[0], sums[1])
        miss = whole - change[pending]
        slack = floor[pending] + coarseness * total
        good = accepted(miss.abs(), off, total, slack, tol, least[pending])
        mean[pending], gap[pending], n_steps[pending] = sums[0], miss, rule.n_steps
        error[pending] = torch.where(total > 0, off / total, torch.zeros_like(total))
        converged[pending] = good
        bad = (~good).nonzero()[:, 0]
        if not len(bad):
            break
        pending, carried = pending[bad], sums[2:][:, bad] if later else None
    if not reached:
        _check_apart(call.name, *(of[which] for of in (clean.value, start.value, floor)))
    return Integral(attention, mean, start.value, gap, error, n_steps, converged, converged.new_ones(size))


def _check_apart(name: str, value: Tensor, without: Tensor, floor: Tensor) -> None:
    """Where no gradient leads from F to a site, F must not change with it: else the graph is broken.

    More than rounding, which may be larger than the floor where F is near 0 or rows are grouped anew. What is
    less stays a gap that is not accepted.
    """
    most = torch.maximum(value.abs(), without.abs())
    silent = (value - without).abs() > torch.maximum(floor, 1e-4 * most).clamp(min=1e-5)
    if bool(silent.any()):
        i = int(silent.nonzero()[0])
        raise AttAttrError(
            f"no gradient reaches the attention of {name}, though F is {float(value[i]):.4g} with it and "
            f"{float(without[i]):.4g} without: the target detaches it, or the model's weights are quantised "
            "in a way that has no gradients"
        )


def baseline_attention(call: Call, attention: Tensor, queries: slice, baseline: str | Call) -> Tensor | None:
    """A⁰ of a block of queries, (B, H, q, k): None for zero; uniform spreads each row's sum over the keys
    it may see; of another call, its own.

    A row that sees nothing is 0.
    """
    if isinstance(baseline, Call):
        return baseline.weights(queries)
    if baseline == "zero":
        return None
    visible = call.visible(queries).expand_as(attention)
    count = visible.sum(-1, keepdim=True)
    share = attention.sum(-1, keepdim=True) / count.clamp(min=1)
    return torch.where(visible, share, torch.zeros_like(attention))


def _norms(
    attention: AttentionBlocks, which: Tensor, mean: Tensor, embedded: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """‖Attr‖₁, ‖Attr − Attr_embedded‖₁ and Σ Attr, (P,) each, on the recorded inputs `which`."""
    sums = torch.zeros(3, len(which), dtype=mean.dtype, device=mean.device)
    every = attention.call.values
    one = len(every) == 1  # as it is: it meets all
    values = every if one else every[which]
    for queries, _, difference in attention.cut(mean):
        there = difference if one else difference[which]
        now = edge_scores(there, mean[:, queries], values)
        apart = edge_scores(there, (mean - embedded)[:, queries], values)
        sums += torch.stack([each.sum((1, 2, 3)) for each in (now.abs(), apart.abs(), now)])
    total, off, whole = sums
    return total, off, whole


def _start_at(batch: Batch, number: int, context: Tensor) -> Start:
    """F with the site's context replaced, one row an input."""
    values, floors = [], []
    with torch.no_grad():
        for rows in torch.arange(len(batch.value), device=context.device).split(batch.rows_at_once):
            on = batch.on(rows)
            outputs = batch.capture.resume(batch.recording, batch.inputs, on, number, context[on])
            values.append(batch.objective(outputs, rows))
            slope = logit_gradient(batch.objective, outputs, rows) if context.dtype in HALF else None
            floors.append(floor_of(batch.objective, slope, outputs, values[-1], context.dtype))
    return Start(torch.cat(values).to(context.device), torch.cat(floors).to(context.device))


def _weighted_gradients(
    batch: Batch, number: int, which: Tensor, origin: Tensor, path: Tensor, nodes, columns: Tensor,
    once: bool = True,
) -> tuple[Tensor, Start, bool]:  # fmt: skip
    """Σ_k columns[k, c] ∂F/∂C at node k for each input in `which`, (c, P, q, H, d); F at node 0; and whether
    any gradient leads there.

    The last node is not computed where it is 1: there the clean forward's gradient is known. Nothing is asked
    of the device before the end; in half precision, what overflowed is then computed again (`once`).
    """
    device, dtype, half = path.device, batch.value.dtype, path.dtype in HALF
    asked = nodes
    sums = torch.zeros(columns.shape[1], len(which), *path.shape[1:], dtype=dtype, device=device)
    columns = columns.to(device, dtype)
    reached = False
    if nodes[-1] == 1:
        if number in batch.clean_gradients:
            reached = True
            sums += columns[-1][:, None, None, None, None] * batch.clean_gradients[number][which]
        nodes = nodes[:-1]
    first = Start(*torch.zeros(2, len(which), dtype=dtype, device=device))
    alphas = torch.as_tensor(nodes, dtype=torch.float64).to(device, path.dtype)
    for inputs, some in _chunks(len(which), len(nodes), batch.rows_at_once):
        alpha = alphas[some].repeat(inputs.stop - inputs.start)  # the nodes of an input side by side
        rows = which[inputs].repeat_interleave(some.stop - some.start)
        on = batch.on(rows)
        context = torch.addcmul(origin[on], alpha[:, None, None, None], path[on]).requires_grad_()
        with torch.enable_grad():
            outputs = batch.capture.resume(batch.recording, batch.inputs, on, number, context)
            values = batch.objective(outputs, rows)
        slope = logit_gradient(batch.objective, outputs, rows) if half else None
        if some.start == 0:
            each = slice(None, None, some.stop)
            first.value[inputs] = values.detach()[each]
            first.floor[inputs] = floor_of(batch.objective, slope, outputs, values.detach(), path.dtype)[each]
        scale = lifts(slope, values.detach()) if half else None
        (gradient,) = gradients(values, [context], scale, once=once)
        if gradient is None:
            continue
        reached = True
        # an input's nodes are summed by themselves: one that is not finite spoils no other
        by_input = gradient.reshape(inputs.stop - inputs.start, some.stop - some.start, -1)
        summed = (columns[some].T @ by_input).transpose(0, 1)  # (c, inputs, q·H·d)
        sums[:, inputs] += summed.reshape(len(sums), -1, *path.shape[1:])
    if half and once and not bool(sums.isfinite().all()):
        return _weighted_gradients(batch, number, which, origin, path, asked, columns, once=False)
    return sums, first, reached


def _chunks(inputs: int, nodes: int, rows: int) -> Iterator[tuple[slice, slice]]:
    """(inputs, nodes) computed together, at most `rows`: whole inputs, or an input's nodes in turn."""
    if not nodes:
        return
    together, some = max(1, rows // nodes), min(rows, nodes)
    for i in range(0, inputs, together):
        for k in range(0, nodes, some):
            yield slice(i, min(inputs, i + together)), slice(k, min(nodes, k + some))
