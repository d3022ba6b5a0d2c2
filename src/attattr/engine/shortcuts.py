"""What of a resumed forward need not be computed, each shortcut proven on the model or the batch at hand.

Lower blocks hand on what they gave before; fused attention; the last block on the rows that F reads;
the logits of the positions that F reads. A shortcut that does not give what the clean forward gave is
not taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attattr.engine.last_block import hidden, with_hidden
from attattr.engine.memory import out_of_memory
from attattr.engine.recording import rounding
from attattr.errors import UnsupportedModelError
from attattr.models.quantised import check_gradients

if TYPE_CHECKING:
    from attattr.engine.integral import Problem

WORTH = 0.5  # share of the rows above which dropping the others saves too little


def check_resume(problem: Problem) -> None:
    """Make sure that putting a site's own context back gives the clean outputs, for two rows of
    the batch.

    Where it does not, lower blocks are run again instead of replayed (some models carry state past
    their blocks) and fused attention is given up, in this order; `problem.capture` is left set so.

    Raises:
        UnsupportedModelError: it fails all the same; or quantised layers hand on no gradient.
    """
    capture, recording = problem.capture, problem.recording
    check_gradients(capture.model)
    # two rows in another order: a model may keep its inputs in another dimension than the first
    rows = torch.tensor([len(problem.value) - 1, 0], device=problem.value.device)
    clean = recording.outputs.logits[rows]
    # at least 1e-6: some float64 models compute parts in float32, and rows in other groups round otherwise
    tolerance = max(4 * rounding(clean.dtype, 250), 1e-6) * clean.abs().max().clamp(min=1)
    worst = ""
    for replay, fuse in ((capture.replay, capture.fuse), (False, capture.fuse), (False, False)):
        capture.replay, capture.fuse, worst = replay, fuse, ""
        for number in recording.sites:
            call = recording.calls[number]
            assert call is not None
            try:
                with torch.no_grad():
                    again = capture.resume(recording, problem.inputs, rows, number, call.context[rows]).logits
            except (RuntimeError, AssertionError) as error:
                if not capture.replay or out_of_memory(error):
                    raise
                worst = call.name
                break
            if again.shape != clean.shape or not bool((again - clean).abs().max() <= tolerance):
                worst = call.name
                break
        if not worst:
            return
    raise UnsupportedModelError(
        f"putting the attention of {worst} back unchanged changes the output of "
        f"{type(capture.model).__name__}: it cannot be attributed"
    )


def taken(problem: Problem) -> Problem:
    """The problem with the shortcuts that hold on this batch: its recording says which."""
    capture, recording = problem.capture, problem.recording
    if not (capture.replay and recording.blocks) or capture.softmaxes:
        return problem
    kept = problem.objective.positions()
    if kept is not None and "logits_to_keep" in inspect.signature(capture.model.forward).parameters:
        fewer = replace(problem, objective=problem.objective.among(kept))
        recording.kept = kept
        with torch.no_grad():
            off = (_value_from(fewer, recording.blocks[-1]) - problem.value).abs()
        if bool((off <= rounding(capture.model.dtype, 250) * problem.value.abs()).all()):
            problem = fewer
        else:
            recording.kept = None
    recording.read = rows_read(problem)
    return problem


def rows_read(problem: Problem) -> Tensor | None:
    """Positions of the last block's output that F reads, (B, m); None: all are computed.

    Rows at which ∂F/∂(last hidden state) is not exactly zero. Proof on this batch: noise in all other
    rows leaves F bit-equal, and the block computed on these rows gives what the clean forward gave.
    """
    capture, recording = problem.capture, problem.recording
    ends = [0, 0, *recording.calls_by_then]
    if not len(recording.calls) == ends[-1] == ends[-2] + 1 or recording.calls[-1] is None:
        return None  # something else than one attention call in the last block
    clean = hidden(recording.blocks[-1])
    every = torch.arange(len(problem.value), device=problem.value.device)
    if clean is None or clean.ndim != 3 or len(clean) != len(every):
        return None

    with torch.enable_grad():
        leaf = clean.detach().clone().requires_grad_()
        value = _value_from(problem, with_hidden(recording.blocks[-1], leaf.view_as(leaf)))
        if not value.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
    read = (gradient != 0).any(-1)  # (B, n)
    most = int(read.sum(1).max())
    if not 0 < most <= WORTH * read.shape[1]:
        return None
    positions = read.int().topk(most, dim=1).indices.sort(dim=1).values
    with torch.no_grad():
        kept = torch.zeros_like(read).scatter(1, positions, True)[:, :, None]
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).to(clean)
        noisy = torch.where(kept, clean, noise * 10 * clean.abs().max())
        if not torch.equal(_value_from(problem, with_hidden(recording.blocks[-1], noisy)), value):
            return None
        found: list[Tensor] = []

        def last(forward: Callable, args: tuple, kwargs: dict) -> Any:
            found.append(capture.few(recording, forward, args, kwargs, positions, every, None))
            return recording.blocks[-1]

        try:
            capture.finish(recording, problem.inputs, last)
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            if out_of_memory(error):
                raise
            return None  # a block that cannot be run on some of its rows
    off = (hidden(found[0]) - clean).abs().max()
    return positions if bool(off <= rounding(clean.dtype, 250) * clean.abs().max()) else None


def _value_from(problem: Problem, output: Any) -> Tensor:
    """F, (B,), of the clean forward with this output of its last block."""
    outputs = problem.capture.finish(problem.recording, problem.inputs, lambda *_: output)
    return problem.objective(outputs, torch.arange(len(problem.value), device=problem.value.device))
