"""Forwards and backwards at the nodes of integrals, those of several sites together. Shapes as in capture.py.

Rows of a lower site meet those of a higher one in its block and go up with them: large products where each
site alone would make small ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attattr.engine.batch import Batch, floor_of
from attattr.engine.memory import out_of_memory
from attattr.engine.precision import HALF, gradients, lifts, logit_gradient
from attattr.engine.resumed import Part
from attattr.engine.ways import CANNOT, remember
from attattr.errors import UnsupportedModelError


class Start(NamedTuple):
    """F at a site's baseline, and what the arithmetic leaves open of it, (B,) each."""

    value: Tensor
    floor: Tensor


class Ask(NamedTuple):
    """What is wanted of one site: sums over nodes of its gradients, for some inputs."""

    number: int
    which: Tensor  # (P,) the inputs
    origin: Tensor  # (B, q, H, d) C⁰
    path: Tensor  # (B, q, H, d) C − C⁰
    nodes: np.ndarray  # (n,)
    columns: Tensor  # (n, c) weights; c = 0: no gradient is wanted


class Answer(NamedTuple):
    """Of one Ask."""

    sums: Tensor  # (c, P, q, H, d) Σ_k columns[k, c] ∂F/∂C at node k
    first: Start  # at the first node, (P,)
    reached: bool  # whether any gradient leads there


class _Piece(NamedTuple):
    """Some nodes of some inputs of an Ask, which are computed together."""

    ask: int
    inputs: slice  # of those it asks for
    nodes: slice

    @property
    def size(self) -> int:
        return (self.inputs.stop - self.inputs.start) * (self.nodes.stop - self.nodes.start)


def answered(batch: Batch, asks: Sequence[Ask]) -> list[Answer]:
    """All of these, in as few forwards and backwards as the batch's room allows.

    Of nodes whose gradient is wanted, the last is not computed where it is 1: there the clean forward's
    gradient is known. Nothing is asked of the device before the end; in half precision, what overflowed is
    then computed again.
    """
    found = _answered(batch, asks, once=True)
    for i, ask in enumerate(asks):
        if batch.dtype in HALF and not bool(found[i].sums.isfinite().all()):
            found[i] = _answered(batch, [ask], once=False)[0]
    return found


def _answered(batch: Batch, asks: Sequence[Ask], once: bool) -> list[Answer]:
    found, pieces = [], []
    for i, ask in enumerate(asks):
        answer, computed = _known(batch, ask)
        found.append(answer)
        pieces += [_Piece(i, *some) for some in _chunks(len(ask.which), computed, batch.rows_at_once)]
    for wanted in (True, False):
        some = [piece for piece in pieces if (asks[piece.ask].columns.shape[1] > 0) is wanted]
        for pack in _packs(batch, sorted(some, key=lambda piece: asks[piece.ask].number)):
            _run_or_each(batch, asks, pack, found, once)
    return found


def _run_or_each(
    batch: Batch, asks: Sequence[Ask], pack: list[_Piece], found: list[Answer], once: bool
) -> None:
    """Of a model that cannot, though it was proven on other inputs, each piece alone from now on."""
    try:
        _run(batch, asks, pack, found, once)
    except (*CANNOT, UnsupportedModelError) as error:
        if len(pack) == 1 or out_of_memory(error):
            raise
    else:
        return
    for piece in pack:
        _run(batch, asks, [piece], found, once)
    remember(batch.capture.model, replace(batch.recording.ways, together=False, ending=False))


def _known(batch: Batch, ask: Ask) -> tuple[Answer, int]:
    """What is known of an answer before anything is computed, and how many of its nodes have to be."""
    device, dtype = ask.path.device, batch.value.dtype
    count = ask.columns.shape[1]
    sums = torch.zeros(count, len(ask.which), *ask.path.shape[1:], dtype=dtype, device=device)
    first = Start(*torch.zeros(2, len(ask.which), dtype=dtype, device=device))
    if not count or ask.nodes[-1] != 1:
        return Answer(sums, first, False), len(ask.nodes)
    gradient = batch.clean_gradients.get(ask.number)
    if gradient is not None:
        sums += ask.columns[-1].to(sums)[:, None, None, None, None] * gradient[ask.which]
    return Answer(sums, first, gradient is not None), len(ask.nodes) - 1


def _run(batch: Batch, asks: Sequence[Ask], pack: list[_Piece], found: list[Answer], once: bool) -> None:
    """One forward and backward, added to the answers."""
    parts, wishes, wanted = [], [], asks[pack[0].ask].columns.shape[1] > 0
    for of, inputs, nodes in pack:
        ask = asks[of]
        alphas = torch.as_tensor(ask.nodes[nodes], dtype=torch.float64).to(ask.path.device, ask.path.dtype)
        alpha = alphas.repeat(inputs.stop - inputs.start)  # the nodes of an input side by side
        rows = ask.which[inputs].repeat_interleave(nodes.stop - nodes.start)
        on = batch.on(rows)
        context = torch.addcmul(ask.origin[on], alpha[:, None, None, None], ask.path[on])
        parts.append(Part(ask.number, on, context.requires_grad_(wanted)))
        wishes.append(rows.to(batch.value.device))
    every, dtype = torch.cat(wishes), batch.dtype
    with torch.set_grad_enabled(wanted):
        outputs = batch.capture.resume(batch.recording, batch.inputs, parts)
        values = batch.objective(outputs, every)
    slope = logit_gradient(batch.objective, outputs, every) if dtype in HALF else None
    ends = np.cumsum([piece.size for piece in pack]).tolist()
    places = [slice(end - piece.size, end) for end, piece in zip(ends, pack, strict=True)]
    value = values.detach()
    if any(piece.nodes.start == 0 for piece in pack):
        floor = floor_of(batch.objective, slope, outputs, value, dtype)
        for (of, inputs, nodes), place in zip(pack, places, strict=True):
            if nodes.start == 0:
                found[of].first.value[inputs] = value[place][:: nodes.stop]
                found[of].first.floor[inputs] = floor[place][:: nodes.stop]
    if not wanted:
        return
    scale = lifts(slope, value) if dtype in HALF else None
    known = gradients(values, [part.context for part in parts], scale, once=once, rows=places)
    for (of, inputs, nodes), gradient in zip(pack, known, strict=True):
        if gradient is None:
            continue
        columns, (sums, first, _) = asks[of].columns.to(gradient), found[of]
        # an input's nodes are summed by themselves: one that is not finite spoils no other
        by_input = gradient.reshape(inputs.stop - inputs.start, nodes.stop - nodes.start, -1)
        summed = (columns[nodes].T @ by_input).transpose(0, 1)  # (c, inputs, q·H·d)
        sums[:, inputs] += summed.reshape(len(sums), -1, *gradient.shape[1:])
        found[of] = Answer(sums, first, True)


def _chunks(inputs: int, nodes: int, rows: int) -> Iterator[tuple[slice, slice]]:
    """(inputs, nodes) computed together, at most `rows`: whole inputs, or an input's nodes in turn."""
    if not nodes:
        return
    together, some = max(1, rows // nodes), min(rows, nodes)
    for i in range(0, inputs, together):
        for k in range(0, nodes, some):
            yield slice(i, min(inputs, i + together)), slice(k, min(nodes, k + some))


def _packs(batch: Batch, pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
    """Pieces in turn that fit the room together; each alone where the model takes no rows of several sites.

    Never as many rows as there are inputs: then it could not be told which tensors have one entry a row.
    """
    pack: list[_Piece] = []
    for piece in pieces:
        rows = sum(each.size for each in pack) + piece.size
        if pack and not (batch.recording.together and rows <= batch.rows_at_once and rows != batch.recorded):
            yield pack
            pack = []
        pack.append(piece)
    if pack:
        yield pack
