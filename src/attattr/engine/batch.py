"""Some inputs with their clean forward: what F is of each, and how much it is. Shapes as in capture.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from attattr.data.encoding import Encoded
from attattr.engine.capture import Capture
from attattr.engine.precision import HALF, gradients, lifts, logit_gradient, resolution
from attattr.engine.recording import Recording, rounding
from attattr.engine.room import ONE, Room
from attattr.errors import ImpossibleError, UnsupportedModelError
from attattr.result.values import Prediction
from attattr.targets import kinds
from attattr.targets.objective import Objective, Wish, read_of, told

Collate = Callable[[Sequence[Encoded]], dict[str, Tensor]]


@dataclass(frozen=True)
class Batch:
    """What every site's integral starts from, and every measurement.

    B wishes, each on an input of its own; or all on one input, which then is recorded once.
    """

    capture: Capture
    recording: Recording
    inputs: Mapping[str, Tensor]
    objective: Objective
    value: Tensor  # (B,) F(A), from the untouched forward
    floor: Tensor  # (B,) what rounding leaves open of it
    rows_at_once: int  # rows of one forward and backward

    @property
    def shared(self) -> bool:
        """Whether all stand on one input."""
        return self.recorded < len(self.value)

    @property
    def recorded(self) -> int:
        """How many inputs the recording is of: B or 1."""
        return len(next(iter(self.inputs.values())))

    def on(self, rows: Tensor) -> Tensor:
        """The recorded input that each of these wishes stands on."""
        return torch.zeros_like(rows) if self.shared else rows

    def values(self, outputs: Any) -> Tensor:
        """F of all wishes, (B,), from outputs for the recorded inputs."""
        return _values(self.objective, outputs, len(self.value), self.recorded)

    @cached_property
    def dtype(self) -> torch.dtype:
        """What its contexts are in: where some are in half precision, that."""
        found = [self.recording.site(number).context.dtype for number in self.recording.sites]
        return next((each for each in found if each in HALF), found[0])

    @cached_property
    def clean_gradients(self) -> dict[int, Tensor]:
        """∂F/∂C at the clean contexts, (B, q, H, d) by call: one backward for all sites together.

        A call that F does not come from is not there.
        """
        found: dict[int, list[Tensor]] = {}
        for rows in torch.arange(len(self.value), device=self.value.device).split(self.rows_at_once):
            with torch.enable_grad():
                outputs, contexts = self.capture.trace(self.recording, self.inputs, self.on(rows))
                values = self.objective(outputs, rows)
            scale = None
            if self.dtype in HALF:
                scale = lifts(logit_gradient(self.objective, outputs, rows), values.detach())
            known = gradients(values, list(contexts.values()), scale)
            for number, gradient in zip(contexts, known, strict=True):
                if gradient is not None:
                    found.setdefault(number, []).append(gradient)
        return {number: torch.cat(parts) for number, parts in found.items()}


def opened(
    capture: Capture, tokenizer: Any, collate: Collate, encoded: Sequence[Encoded], wishes: Sequence[Wish],
    room: Room = ONE, recording: Recording | None = None,
) -> tuple[Batch, list[Prediction]]:  # fmt: skip
    """The batch of these inputs, from one clean forward, and what the model predicts for each.

    collate: as `batches.collating` gives it. recording: of the one input that all stand on, if it is known.
    Those that are one and the same `Encoded` stand on one.

    Raises:
        ImpossibleError: F is not finite.
    """
    one = all(each is encoded[0] for each in encoded)
    inputs = collate(encoded[:1] if one else encoded)
    recording = recording or capture.record(inputs, len(encoded) if one else 1)
    recording = replace(recording, checkpoint=room.checkpoint)
    objective, predictions = kinds.resolve(wishes, recording.outputs, encoded, capture.model, tokenizer)
    count = 1 if one else len(encoded)
    value = _values(objective, recording.outputs, len(encoded), count)
    if not bool(torch.isfinite(value).all()):
        raise ImpossibleError("the model's output is not finite: its weights or this input overflow")
    floor = _floor(objective, recording.outputs, value, capture.model.dtype, count)
    return Batch(capture, recording, inputs, objective, value, floor, room.rows), predictions


def _values(objective: Objective, outputs: Any, wishes: int, inputs: int) -> Tensor:
    """F of all wishes, (B,), from outputs for B inputs or one, which is not repeated."""
    each = _each(outputs, wishes, inputs)
    return torch.cat([objective(some, rows) for some, rows in each])


def _floor(objective: Objective, outputs: Any, value: Tensor, dtype: torch.dtype, inputs: int) -> Tensor:
    floors = []
    for some, rows in _each(outputs, len(value), inputs):
        slope = logit_gradient(objective, some, rows) if dtype in HALF else None
        floors.append(floor_of(objective, slope, some, value[rows], dtype))
    return torch.cat(floors)


def _each(outputs: Any, wishes: int, inputs: int) -> Iterator[tuple[Any, Tensor]]:
    rows = torch.arange(wishes, device=told(outputs).device)
    yield from ((outputs, some) for some in rows.split(1 if inputs < wishes else wishes))


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
    one = all(each is encoded[0] for each in encoded)
    found = capture.record(collate(others[:1] if one else others), len(encoded) if one else 1)
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


def floor_of(
    objective: Objective, gradient: Tensor | None, outputs: Any, values: Tensor, dtype: torch.dtype
) -> Tensor:
    """What rounding in `dtype` leaves open of F, (R,). gradient: of the logits that F reads, in half
    precision.

    In half precision one step of the logits; with one of the scores, gaps are about half of it at most
    (benchmarks/half.py).
    """
    if dtype not in HALF:
        return rounding(dtype, 10) * values.abs()
    return resolution(gradient, read_of(objective, outputs)[1], values, torch.finfo(dtype).eps)
