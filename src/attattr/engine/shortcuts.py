"""What of a resumed forward need not be computed, each shortcut proven on the model or the batch at hand.

Lower blocks hand on what they gave before; fused attention; no plain causal masks; the last block on the
rows that F reads; the logits of the positions that F reads. A shortcut that does not give what the clean
forward gave is not taken.
"""

from __future__ import annotations

import inspect
import itertools
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
from attattr.engine.ways import Ways, remember
from attattr.errors import UnsupportedModelError
from attattr.models.quantised import check_gradients
from attattr.targets.objective import told

LONG = 256  # tokens of a text that are enough to see how a model computes
SHORT = 16  # that are enough to see whether a block does the same twice, where little fits
WORTH = 0.5  # share of the rows above which dropping the others saves too little
CANNOT = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError)


def proven(batch: Batch) -> Batch:
    """The batch with ways in which putting a site's own context back gives the clean outputs, for two of its
    rows: tried once a model.

    Where it does not for rows of several sites together, they go up site by site; then lower blocks are run
    again instead of replayed (some models carry state past their blocks) and fused attention is given up, in
    this order.

    Raises:
        UnsupportedModelError: it fails all the same; or quantised layers hand on no gradient.
    """
    model, ways, worst = batch.capture.model, batch.recording.ways, ""
    if ways.proven:
        return batch
    check_gradients(model)
    recording, inputs = _shortened(batch, LONG)
    separate = [(ways.replay, ways.fuse), (False, ways.fuse), (False, False)]
    attempts = [Ways(ways.softmax, replay, fuse, proven=True) for replay, fuse in separate]
    if ways.replay and not ways.softmax:
        attempts.insert(0, replace(attempts[0], together=True))
    for tried in attempts:
        if not (worst := _not_resumed(batch, replace(recording, ways=tried), inputs)):
            remember(model, tried)
            return replace(batch, recording=replace(batch.recording, ways=tried))
    raise UnsupportedModelError(
        f"putting the attention of {worst} back unchanged changes the output of {type(model).__name__}: it "
        "cannot be attributed"
    )


def _shortened(batch: Batch, length: int) -> tuple[Recording, Mapping[str, Tensor]]:
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
    # two rows in another order: a model may keep its inputs in another dimension than the first; from site
    # to site in turn, so that those of one are not taken for another's
    orders = [
        torch.tensor(of, device=batch.value.device)
        for of in ([batch.recorded - 1, 0], [0, batch.recorded - 1])
    ]
    clean, numbers, together = _kept_of(recording), recording.sites, recording.ways.together
    failures = (*CANNOT, UnsupportedModelError) if together else (RuntimeError, AssertionError)
    several = max(2, batch.rows_at_once // 2) if together else 1
    for i in range(0, len(numbers), several):
        sites = [recording.site(number) for number in numbers[i : i + several]]
        parts = [
            Part(number, rows, site.context[rows.to(site.context.device)])
            for number, site, rows in zip(numbers[i:], sites, itertools.cycle(orders))
        ]
        worst = ", ".join(site.name for site in sites)
        try:
            with torch.no_grad():
                outputs = batch.capture.resume(recording, inputs, parts)
        except failures as error:
            if not recording.ways.replay or out_of_memory(error):
                raise
            return worst
        if not _same(told(outputs), torch.cat([clean[part.rows.to(clean.device)] for part in parts])):
            return worst
    return ""


def _kept_of(recording: Recording) -> Tensor:
    """The clean outputs, at the positions whose logits are asked for."""
    clean = told(recording.outputs)
    return clean if recording.kept is None else clean.index_select(1, recording.kept.to(clean.device))


def _same(again: Tensor, clean: Tensor, least: float = 1.0) -> bool:
    # at least 1e-6: some float64 models compute parts in float32, and rows in other groups round otherwise
    tolerance = max(4 * rounding(clean.dtype, 250), 1e-6) * clean.abs().max().clamp(min=least)
    return again.shape == clean.shape and bool((again - clean).abs().max() <= tolerance)


def again(batch: Batch) -> Batch:
    """The batch with its blocks computed again on the way back, if it wants that, where one of its rows gets
    the gradients it gets without: tried once a model. A block may do something else when it is run twice.
    """
    wanted, ways = batch.recording, batch.recording.ways
    if not wanted.checkpoint or ways.softmax:
        return batch
    if ways.again is None:
        recording, inputs = _shortened(batch, SHORT)
        kept, computed = (
            _gradients_of_all(batch, replace(recording, ways=ways, checkpoint=checkpoint), inputs)
            for checkpoint in (False, True)
        )
        agree = kept.keys() == computed.keys() and all(_same(computed[i], kept[i], 0) for i in kept)
        ways = replace(ways, again=agree)
        remember(batch.capture.model, ways)
    return replace(batch, recording=replace(wanted, ways=ways, checkpoint=bool(ways.again)))


def _gradients_of_all(batch: Batch, recording: Recording, inputs: Mapping[str, Tensor]) -> dict[int, Tensor]:
    """Of one row's outputs, each with a weight of its own, at the contexts of all sites they come from."""
    with torch.enable_grad():
        outputs, contexts = batch.capture.trace(recording, inputs, torch.tensor([0]))
        read = told(outputs)
        weights = torch.linspace(-1, 1, read.numel(), dtype=read.dtype, device=read.device)
        total = (read.flatten() * weights).sum()
    found = torch.autograd.grad(total, [*contexts.values()], allow_unused=True)
    return {i: of for i, of in zip(contexts, found, strict=True) if of is not None}


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
    return replace(batch, recording=recording) if _same(told(outputs), _kept_of(recording)) else batch


def taken(batch: Batch) -> Batch:
    """The batch with the rows of the last block that F reads: its recording says which."""
    if not _replayed(batch.recording):
        return batch
    return replace(batch, recording=replace(batch.recording, read=rows_read(batch)))


def _replayed(recording: Recording) -> bool:
    return recording.ways.replay and bool(recording.blocks) and not recording.ways.softmax


def fewer_logits(batch: Batch) -> Batch:
    """The batch with the logits of the positions that F reads alone, where the model can give these."""
    places, model = batch.objective.positions(), batch.capture.model
    if (
        not _replayed(batch.recording)
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
