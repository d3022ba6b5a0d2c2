"""The integral of one attention site, in context space (ARCHITECTURE.md, "The engine").

With A the attention of a site, V its values and C = A V its context, V stands still on the path from
the baseline A⁰ to A, so that

    Attr(A) = (A − A⁰) ⊙ (Ḡ Vᵀ),    Ḡ = Σ_k w_k ∂F/∂C at C⁰ + α_k (C − C⁰)

and only a gradient of the size of C is integrated. Shapes as in capture.py.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attattr.engine import recording as calls
from attattr.engine.batch import Batch
from attattr.engine.nodes import Answer, Ask, Start, answered
from attattr.engine.precision import HALF
from attattr.engine.quadrature import Rule, accepted
from attattr.engine.recording import Call, rounding
from attattr.errors import AttAttrError


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


Steps = Generator[Ask, Answer, Integral]


def together(batch: Batch, sites: Sequence[Steps]) -> list[Integral]:
    """The integrals of several sites, what each asks for computed with what the others do."""
    done: dict[int, Integral] = {}
    answers: dict[int, Answer | None] = dict.fromkeys(range(len(sites)))
    while answers:
        asks = {}
        for i, answer in answers.items():
            try:
                asks[i] = next(sites[i]) if answer is None else sites[i].send(answer)
            except StopIteration as end:
                done[i] = end.value
        answers = dict(zip(asks, answered(batch, list(asks.values())), strict=True))
    return [done[i] for i in range(len(sites))]


def integrate_site(
    batch: Batch, number: int, *, stages: Sequence[Rule], tol: float, baseline: str | Call,
    which: Tensor | None = None,
) -> Steps:  # fmt: skip
    """Attribution of attention call `number` for every input of the batch, by asking for gradients at nodes:
    `together` answers.

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
    every = torch.arange(size, device=device)
    if stages[0].nodes[0] != 0:
        nothing = torch.zeros(1, 0)
        start = (yield Ask(number, every, origin, path, np.zeros(1), nothing)).first

    mean = path.new_zeros(size, *path.shape[1:], dtype=clean.value.dtype)
    gap, error = torch.zeros_like(clean.value), torch.zeros_like(clean.value)
    n_steps = torch.zeros(size, dtype=torch.long, device=device)
    converged = torch.zeros(size, dtype=torch.bool, device=device)
    reached = False  # whether F comes from this site at all
    which = every if which is None else which.to(device)
    pending = which
    carried: Tensor | None = None
    behind = 0  # nodes of the stages so far
    coarseness = torch.finfo(path.dtype).eps if path.dtype in HALF else 0.0
    for stage, rule in enumerate(stages):
        later = [following.carried for following in stages[stage + 1 :] if following.carried is not None]
        reused = [weights[behind : behind + len(rule.nodes)] for weights in later]
        columns = torch.as_tensor(np.concatenate([rule.columns, *reused], axis=1))
        behind += len(rule.nodes)
        sums, first, found = yield Ask(number, pending, origin, path, rule.nodes, columns)
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
