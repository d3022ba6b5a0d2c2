"""What is tried of a model once and, where it fails, is done without: it costs time or memory, and no number.

Rows of several sites in one forward (`joint`), blocks that are computed again on the way back (`again`). What
memory runs out for is not tried, and is not remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from attattr.engine.batch import Batch
from attattr.engine.memory import out_of_memory
from attattr.engine.recording import Recording
from attattr.engine.resumed import Part
from attattr.engine.shortcuts import replayed, same, shortened
from attattr.engine.ways import CANNOT, remember
from attattr.errors import UnsupportedModelError
from attattr.targets.objective import told

SHORT = 16  # tokens that are enough to see whether a block does the same twice, where little fits


def again(batch: Batch) -> Batch:
    """The batch with its blocks computed again on the way back, if it wants that, where one of its rows gets
    the gradients it gets without: a block may do something else when it is run twice.
    """
    wanted, ways = batch.recording, batch.recording.ways
    if not wanted.checkpoint or ways.softmax:
        return batch
    if ways.again is None:
        try:
            can = _same_gradients(batch)
        except CANNOT as error:
            if not out_of_memory(error):
                raise
            return batch  # of what cannot be shortened the whole is too much: that is why it is wanted
        ways = replace(ways, again=can)
        remember(batch.capture.model, ways)
    if ways.again:
        return replace(batch, recording=replace(wanted, ways=ways))
    return replace(batch, recording=replace(wanted, ways=ways, checkpoint=False), rows_at_once=1)


def _same_gradients(batch: Batch) -> bool:
    recording, inputs = shortened(batch, SHORT)
    recording = replace(recording, ways=batch.recording.ways)
    kept = _gradients(batch, replace(recording, checkpoint=False), inputs)
    try:
        found = _gradients(batch, replace(recording, checkpoint=True), inputs)
    except CANNOT as error:
        if out_of_memory(error):
            raise
        return False
    return kept.keys() == found.keys() and all(same(found[i], kept[i], 0) for i in kept)


def _gradients(batch: Batch, recording: Recording, inputs: Mapping[str, Tensor]) -> dict[int, Tensor]:
    """Of one row's outputs, each with a weight of its own, at the contexts of all sites they come from."""
    with torch.enable_grad():
        outputs, contexts = batch.capture.trace(recording, inputs, torch.tensor([0]))
        read = told(outputs)
        weights = torch.linspace(-1, 1, read.numel(), dtype=read.dtype, device=read.device)
        total = (read.flatten() * weights).sum()
    if not total.requires_grad:
        return {}
    found = torch.autograd.grad(total, [*contexts.values()], allow_unused=True)
    return {i: of for i, of in zip(contexts, found, strict=True) if of is not None}


def joint(batch: Batch) -> Batch:
    """The batch whose rows of several sites go up together, where rows of some give the outputs that they
    give site by site; tried anew where the last block is computed on some rows.
    """
    recording = batch.recording
    which = "together" if recording.read is None else "ending"
    untried = getattr(recording.ways, which) is None and len(recording.sites) > 1
    if not untried or not replayed(recording) or recording.checkpoint or batch.rows_at_once < 3:
        return batch
    parts = _parts(batch)
    try:
        with torch.no_grad():
            whole, *alone = (
                told(batch.capture.resume(recording, batch.inputs, some))
                for some in (parts, *([part] for part in parts))
            )
        can = same(whole, torch.cat(alone))
    except (*CANNOT, UnsupportedModelError) as error:
        if out_of_memory(error):
            return batch
        can = False
    ways = replace(recording.ways, **{which: can})
    remember(batch.capture.model, ways)
    return replace(batch, recording=replace(recording, ways=ways))


def _parts(batch: Batch) -> list[Part]:
    """Rows that fit the room: two of a site and one of the next, in turn, the lowest and the highest among
    them. Each has a context of its own, so that none is taken for another's; never as many as inputs.
    """
    sites, last = batch.recording.sites, batch.recorded - 1
    count = min(len(sites), batch.rows_at_once * 2 // 3)
    chosen = [sites[i] for i in np.linspace(0, len(sites) - 1, count).round().astype(int)]
    rows = [[last, 0] if i % 2 == 0 else [i % batch.recorded] for i in range(count)]
    if sum(map(len, rows)) == batch.recorded:
        rows[0] = [last]
    parts = []
    for i, (number, of) in enumerate(zip(chosen, rows, strict=True)):
        context = batch.recording.site(number).context
        index = torch.tensor(of, device=context.device)
        shares = (1 - (i + 1) / (count + 1)) * torch.tensor([1.0, 0.9])[: len(of)]
        parts.append(Part(number, index, context[index] * shares.to(context)[:, None, None, None]))
    return parts
