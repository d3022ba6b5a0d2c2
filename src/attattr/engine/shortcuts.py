"""What of a resumed forward need not be computed, each shortcut proven on the model or the batch at hand.

Lower blocks hand on what they gave before; fused attention; no plain causal masks; the last block on the
rows that F reads; the logits of the positions that F reads. A shortcut that does not give what the clean
forward gave is not taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attattr.engine.batch import Batch
from attattr.engine.last_block import hidden, with_hidden
from attattr.engine.memory import out_of_memory
from attattr.engine.recording import Recording, rounding
from attattr.engine.resumed import Part
from attattr.engine.structure import as_it_was
from attattr.engine.ways import CANNOT, Ways, remember
from attattr.errors import UnsupportedModelError
from attattr.models.quantised import check_gradients
from attattr.targets.objective import told

LONG = 256  # tokens of a text that are enough to see how a model computes
WORTH = 0.5  # share of the rows above which dropping the others saves too little


def proven(batch: Batch) -> Batch:
    """The batch with ways in which putting a site's own context back gives the clean outputs, for two of its
    rows: tried once a model.

    Where it does not, lower blocks are run again instead of replayed (some models carry state past
    their blocks) and fused attention is given up, in this order.

    Raises:
        UnsupportedModelError: it fails all the same; or quantised layers hand on no gradient.
    """
    model, ways, worst = batch.capture.model, batch.recording.ways, ""
    if ways.proven:
        return batch
    check_gradients(model)
    recording, inputs = shortened(batch, LONG)
    for replay, fuse in ((ways.replay, ways.fuse), (False, ways.fuse), (False, False)):
        tried = Ways(ways.softmax, replay, fuse, proven=True)
        if not (worst := _not_resumed(batch, replace(recording, ways=tried), inputs)):
            remember(model, tried)
            return replace(batch, recording=replace(batch.recording, ways=tried))
    raise UnsupportedModelError(
        f"putting the attention of {worst} back unchanged changes the output of {type(model).__name__}: it "
        "cannot be attributed"
    )


def shortened(batch: Batch, length: int) -> tuple[Recording, Mapping[str, Tensor]]:
    """The beginnings of long texts, which say of the model what the whole would; where it takes them."""
    shorter = {
        name: value[:, :length] if value.ndim > 1 and value.shape[1] > length else value
        for name, value in batch.inputs.items()
    }
    if all(value.shape == batch.inputs[name].shape for name, value in shorter.items()):
        return batch.recording, batch.inputs
    try:
        with as_it_was(batch.capture.model) as changed:
            found = batch.capture.record(shorter)
    except (*CANNOT, UnsupportedModelError) as error:
        if out_of_memory(error):
            raise
        return batch.recording, batch.inputs
    if changed:  # it computes a short text in another way: that says nothing of this one
        return batch.recording, batch.inputs
    same = [call and call.name for call in found.calls] == [
        call and call.name for call in batch.recording.calls
    ]
    return (found, shorter) if same else (batch.recording, batch.inputs)


def _not_resumed(batch: Batch, recording: Recording, inputs: Mapping[str, Tensor]) -> str:
    """Name of the first site whose own context, put back, does not give the clean outputs; else ""."""
    # two rows in another order: a model may keep its inputs in another dimension than the first
    rows = torch.tensor([batch.recorded - 1, 0], device=batch.value.device)
    clean = _kept_of(recording)[rows]
    for number in recording.sites:
        site = recording.site(number)
        part = Part(number, rows, site.context[rows.to(site.context.device)])
        try:
            with torch.no_grad():
                outputs = batch.capture.resume(recording, inputs, [part])
        except (RuntimeError, AssertionError) as error:
            if not recording.ways.replay or out_of_memory(error):
                raise
            return site.name
        if not same(told(outputs), clean):
            return site.name
    return ""


def _kept_of(recording: Recording) -> Tensor:
    """The clean outputs, at the positions whose logits are asked for."""
    clean = told(recording.outputs)
    return clean if recording.kept is None else clean.index_select(1, recording.kept.to(clean.device))


def same(again: Tensor, clean: Tensor, least: float = 1.0) -> bool:
    """Whether they differ by rounding alone, of the largest number, or of `least` if that is less."""
    # at least 1e-6: some float64 models compute parts in float32, and rows in other groups round otherwise
    tolerance = max(4 * rounding(clean.dtype, 250), 1e-6) * clean.abs().max().clamp(min=least)
    return again.shape == clean.shape and bool((again - clean).abs().max() <= tolerance)


def unmasked(batch: Batch) -> Batch:
    """The batch passed on without plain causal masks, where its calls need none and a forward without any
    gives the clean outputs."""
    recording = replace(batch.recording, unmasked=True)
    if not recording.maskless or not recording.ways.fuse:
        return batch
    try:
        with torch.no_grad():
            outputs = batch.capture.edit(
                recording.ways, batch.inputs, lambda number, context, *_: context,
                clean=recording, values=lambda number, value: value,
            )  # fmt: skip
    except CANNOT as error:  # a model that calculates with the mask it asked for
        if out_of_memory(error):
            raise
        return batch
    return replace(batch, recording=recording) if same(told(outputs), _kept_of(recording)) else batch


def taken(batch: Batch) -> Batch:
    """The batch with the rows of the last block that F reads: its recording says which."""
    if not replayed(batch.recording):
        return batch
    return replace(batch, recording=replace(batch.recording, read=rows_read(batch)))


def replayed(recording: Recording) -> bool:
    """Whether blocks hand on what they gave, of a model whose blocks are known."""
    return recording.ways.replay and bool(recording.blocks) and not recording.ways.softmax


def fewer_logits(batch: Batch) -> Batch:
    """The batch with the logits of the positions that F reads alone, where the model can give these."""
    places, model = batch.objective.positions(), batch.capture.model
    if (
        not replayed(batch.recording)
        or places is None
        or "logits_to_keep" not in inspect.signature(model.forward).parameters
    ):
        return batch
    recording = replace(batch.recording, kept=torch.tensor(places, device=batch.value.device))
    fewer = replace(batch, recording=recording, objective=batch.objective.among(places))
    try:
        with torch.no_grad():
            off = (_value_from(fewer, recording.blocks[-1]) - batch.value).abs()
    except CANNOT as error:  # of several devices, the positions may be on another one than the last state
        if out_of_memory(error):
            raise
        return batch
    return fewer if bool((off <= rounding(model.dtype, 250) * batch.value.abs()).all()) else batch


def rows_read(batch: Batch) -> Tensor | None:
    """Positions of the last block's output that F reads, (B, m); None: all are computed.

    Rows at which ∂F/∂(last hidden state) is not exactly zero. Proof on this batch: noise in all other
    rows leaves F bit-equal, and the block computed on these rows gives what the clean forward gave.
    """
    recording = batch.recording
    ends = [0, 0, *recording.calls_by_then]
    if not len(recording.calls) == ends[-1] == ends[-2] + 1 or recording.calls[-1] is None:
        return None  # something else than one attention call in the last block
    try:
        positions = _rows_with_gradient(batch)
        return positions if positions is not None and _are_enough(batch, positions) else None
    except CANNOT as error:  # a block whose output has no rows, or that cannot be run on some of them
        if out_of_memory(error):
            raise
        return None


def _rows_with_gradient(batch: Batch) -> Tensor | None:
    last = batch.recording.blocks[-1]
    with torch.enable_grad():
        leaf = hidden(last).detach().clone().requires_grad_()
        value = _value_from(batch, with_hidden(last, leaf.view_as(leaf)))
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
    read = (gradient != 0).any(-1)  # (B, n)
    most = int(read.sum(1).max())
    if not 0 < most <= WORTH * read.shape[1]:
        return None
    return read.int().topk(most, dim=1).indices.sort(dim=1).values


@torch.no_grad()
def _are_enough(batch: Batch, positions: Tensor) -> bool:
    capture, recording, last = batch.capture, batch.recording, batch.recording.blocks[-1]
    clean = hidden(last)
    kept = torch.zeros(clean.shape[:2], dtype=torch.bool, device=clean.device).scatter(1, positions, True)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).to(clean)
    noisy = torch.where(kept[:, :, None], clean, noise * 10 * clean.abs().max())
    if not torch.equal(_value_from(batch, with_hidden(last, noisy)), _value_from(batch, last)):
        return False
    found: list[Tensor] = []

    def few(forward: Callable, args: tuple, kwargs: dict) -> Any:
        every = torch.arange(len(clean), device=clean.device)
        found.append(capture.few(recording, forward, args, kwargs, positions, every, None))
        return last

    capture.finish(recording, batch.inputs, few)
    off = (hidden(found[0]) - clean).abs().max()
    return bool(off <= rounding(clean.dtype, 250) * clean.abs().max())


def _value_from(batch: Batch, output: Any) -> Tensor:
    """F, (B,), of the clean forward with this output of its last block."""
    outputs = batch.capture.finish(batch.recording, batch.inputs, lambda *_: output)
    return batch.values(outputs)
