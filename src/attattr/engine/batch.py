"""Some inputs with their clean forward: what F is of each, and how much it is. Shapes as in capture.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from attattr.data.encoding import Encoded
from attattr.engine.capture import Capture
from attattr.engine.precision import HALF, gradients, lifts, logit_gradient, resolution
from attattr.engine.recording import Recording, rounding
from attattr.errors import ImpossibleError, UnsupportedModelError
from attattr.result.values import Prediction
from attattr.targets import kinds
from attattr.targets.objective import Objective, Wish, logits_of

Collate = Callable[[Sequence[Encoded]], dict[str, Tensor]]


@dataclass(frozen=True)
class Batch:
    """What every site's integral starts from, and every measurement."""

    capture: Capture
    recording: Recording
    inputs: Mapping[str, Tensor]
    objective: Objective
    value: Tensor  # (B,) F(A), from the untouched forward
    floor: Tensor  # (B,) what rounding leaves open of it
    rows_at_once: int  # rows of one forward and backward

    @cached_property
    def clean_gradients(self) -> dict[int, Tensor]:
        """∂F/∂C at the clean contexts, (B, q, H, d) by call: one backward for all sites together.

        A call that F does not come from is not there.
        """
        found: dict[int, list[Tensor]] = {}
        for rows in torch.arange(len(self.value), device=self.value.device).split(self.rows_at_once):
            with torch.enable_grad():
                outputs, contexts = self.capture.trace(self.recording, self.inputs, rows)
                values = self.objective(outputs, rows)
            scale = None
            if any(context.dtype in HALF for context in contexts.values()):
                scale = lifts(logit_gradient(self.objective, outputs, rows), values.detach())
            known = gradients(values, list(contexts.values()), scale)
            for number, gradient in zip(contexts, known, strict=True):
                if gradient is not None:
                    found.setdefault(number, []).append(gradient)
        return {number: torch.cat(parts) for number, parts in found.items()}


def opened(
    capture: Capture, tokenizer: Any, collate: Collate, encoded: Sequence[Encoded], wishes: Sequence[Wish],
    rows_at_once: int = 1,
) -> tuple[Batch, list[Prediction]]:  # fmt: skip
    """The batch of these inputs, from one clean forward, and what the model predicts for each.

    collate: as `batches.collating` gives it.

    Raises:
        ImpossibleError: F is not finite.
    """
    inputs = collate(encoded)
    recording = capture.record(inputs)
    objective, predictions = kinds.resolve(wishes, recording.outputs, encoded, capture.model, tokenizer)
    rows = torch.arange(len(encoded), device=next(iter(inputs.values())).device)
    value = objective(recording.outputs, rows)
    if not bool(torch.isfinite(value).all()):
        raise ImpossibleError("the model's output is not finite: its weights or this input overflow")
    dtype = capture.model.dtype
    slope = logit_gradient(objective, recording.outputs, rows) if dtype in HALF else None
    floor = floor_of(slope, recording.outputs, value, dtype)
    return Batch(capture, recording, inputs, objective, value, floor, rows_at_once), predictions


def beside(
    capture: Capture, collate: Collate, encoded: Sequence[Encoded], recording: Recording
) -> Recording | None:
    """The clean forward of the counterfactuals of these inputs; None where they have none.

    Raises:
        UnsupportedModelError: the model attends otherwise to them than to the inputs.
    """
    others = [each.counterfactual for each in encoded if each.counterfactual is not None]
    if not others:
        return None
    found = capture.record(collate(others))
    shapes = [
        [call and (call.name, call.query.shape[:3], call.key.shape[2]) for call in each.calls]
        for each in (recording, found)
    ]
    if shapes[0] != shapes[1]:
        raise UnsupportedModelError(
            f"{type(capture.model).__name__} makes other attention calls for a baseline than for its input: "
            "they cannot be compared edge by edge"
        )
    return replace(found, outputs=None, blocks=())  # what is not read need not be held


def floor_of(gradient: Tensor | None, outputs: Any, values: Tensor, dtype: torch.dtype) -> Tensor:
    """What rounding in `dtype` leaves open of F, (R,). gradient: of the logits, in half precision.

    In half precision one step of the logits; with one of the scores, gaps are about half of it at most
    (benchmarks/half.py).
    """
    if dtype not in HALF:
        return rounding(dtype, 10) * values.abs()
    return resolution(gradient, logits_of(outputs), values, torch.finfo(dtype).eps)
