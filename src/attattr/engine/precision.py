"""The arithmetic a model is computed in: exactly as its weights say, and what half precision costs.

Shapes: R rows; logits are (R, C) or (R, n, C), of spans (R, n, 2).
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from attattr.targets.objective import HALF as HALF
from attattr.targets.objective import Objective, read_of

PEAK = 2.0**11  # where the largest gradient of a logit is lifted to: float16 ends at 2**16 and at 2**-24
BLIND = 2.0**10  # scale of an F that nothing is known of
LEAST = 2.0**-24  # scale below which gradients are left as they are, not finite


@contextlib.contextmanager
def as_given(device: torch.device) -> Iterator[None]:
    """No inference mode, no autocast, no TF32 or bfloat16 inside of float32 products; then as before.

    Each would change numbers without a word: gradients become 0, scores move by a percent.
    """
    with contextlib.ExitStack() as undo:
        undo.enter_context(torch.inference_mode(False))
        there = torch.accelerator.current_accelerator()
        for kind in {"cpu", device.type, there.type if there else "cpu"}:
            if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                undo.enter_context(torch.autocast(kind, enabled=False))
        undo.enter_context(_whole_float32())
        yield


_entered, _counting = 0, threading.Lock()
_before: list[Callable[[], None]] = []  # what puts the switches back, the last first


@contextlib.contextmanager
def _whole_float32() -> Iterator[None]:
    """The switches are the process's, so the first thread to come in sets them, the last puts them back."""
    global _entered
    try:
        with _counting:
            _entered += 1
            if _entered == 1:
                _switch()
        yield
    finally:
        with _counting:
            _entered -= 1
            while not _entered and _before:
                _before.pop()()


def _switch() -> None:
    """Products of float32 in float32. torch has an older and a newer way to say so, and reading what was
    set by the other one is an error: the older is used where it can be read, for those who read it too."""
    backends: Any = torch.backends
    newer = ("cuda.matmul", "cudnn", "cudnn.conv", "cudnn.rnn", "mkldnn", "mkldnn.matmul", "mkldnn.conv")
    places = [backends, *(attrgetter(name)(backends) for name in newer)]
    if hasattr(backends, "fp32_precision"):  # from torch 2.9 on
        for place in places:  # put back after the older ones, since those set some of these
            _before.append(functools.partial(setattr, place, "fp32_precision", place.fp32_precision))
    with contextlib.suppress(RuntimeError):
        precision = torch.get_float32_matmul_precision()
        _before.append(functools.partial(torch.set_float32_matmul_precision, precision))
        torch.set_float32_matmul_precision("highest")
    for place in (backends.cuda.matmul, backends.cudnn):
        with contextlib.suppress(RuntimeError):
            _before.append(functools.partial(setattr, place, "allow_tf32", place.allow_tf32))
            place.allow_tf32 = False
    for place in places:
        if getattr(place, "fp32_precision", "none") not in ("ieee", "none"):
            place.fp32_precision = "ieee"


def logit_gradient(objective: Objective, outputs: Any, rows: Tensor) -> Tensor | None:
    """∂F/∂logits, of those that F reads (`read_of`); None where F is not known to be a function of them."""
    objective, logits = read_of(objective, outputs)
    if logits is None or objective.is_opaque:
        return None
    leaf = logits.detach().float().requires_grad_()
    with torch.enable_grad():
        value = objective.of(leaf, rows)
        if not value.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    return gradient


def resolution(gradient: Tensor | None, logits: Any, value: Tensor, eps: float) -> Tensor:
    """How much of F is rounding, (R,), where the logits are rounded to `eps`: Σ |∂F/∂logit| eps times the
    largest logit, which is at least 1, since it is put together from larger numbers.

    A saturated probability hardly moves with its logits, so that this is far below F · eps there. Where
    F is not known as a function of logits: F · eps.
    """
    if gradient is None:
        return value.abs() * eps
    largest = logits.detach().float().abs().flatten(1).amax(1).clamp(min=1)
    return (gradient.abs().flatten(1).sum(1) * largest).to(value.dtype) * eps


def lifts(gradient: Tensor | None, value: Tensor) -> Tensor:
    """Powers of two, (R,), that bring the largest gradient of each row's logits near PEAK.

    Where that is not known, F itself may be computed in half precision: then what it can take.
    """
    if gradient is None:
        return torch.full_like(value, BLIND)
    largest = gradient.float().abs().flatten(1).amax(1)
    lifted = torch.exp2(torch.floor(torch.log2(PEAK / largest)).clamp(-60, 60))
    return torch.where(largest > 0, lifted, torch.ones_like(lifted))


def gradients(
    values: Tensor, leaves: list[Tensor], scale: Tensor | None = None, *, once: bool = False,
    rows: Sequence[slice] | None = None,
) -> list[Tensor | None]:  # fmt: skip
    """∂F/∂leaf of each row of each leaf, in F's precision; None where F does not come from it.

    rows: those of F that each leaf has; None: all have all.
    scale: (R,) what F is multiplied by before the way back, row by row (`lifts`), and what comes out divided
    by in float32: in half precision the gradients of a saturated probability would underflow. Rows that
    overflow are tried again with less, or are left so (`once`: a device need not be waited for).
    """
    if not values.requires_grad:
        return [None] * len(leaves)
    if scale is None:
        found = torch.autograd.grad(values.sum(), leaves, allow_unused=True)
        return [None if of is None else of.to(values.dtype) for of in found]
    places = [slice(None)] * len(leaves) if rows is None else rows
    while True:
        total = (values * scale).sum()
        found = torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=not once)
        wide = [None if of is None else of.to(values.dtype) for of in found]
        if once:
            return _lowered(wide, scale, places)
        fine = torch.ones_like(scale, dtype=torch.bool)
        for of, place in zip(wide, places, strict=True):
            if of is not None:
                fine[place] &= of.flatten(1).isfinite().all(1).to(fine.device)
        if bool((fine | ~(scale > LEAST)).all()):
            return _lowered(wide, scale, places)
        scale = torch.where(fine, scale, scale / 2.0**6)


def _lowered(found: Sequence[Tensor | None], scale: Tensor, rows: Sequence[slice]) -> list[Tensor | None]:
    """Gradients without the scale that F had."""
    return [
        None if of is None else of / _beside(scale[place], of) for of, place in zip(found, rows, strict=True)
    ]


def _beside(scale: Tensor, of: Tensor) -> Tensor:
    """One number a row, in the shape and on the device of what it is of."""
    return scale.to(of.device).view(-1, *[1] * (of.ndim - 1))
