"""The arithmetic a model is computed in: exactly as its weights say, and what half precision costs.

Shapes: R rows; logits are (R, C) or (R, n, C).
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from attattr.engine.targets import Objective

HALF = (torch.float16, torch.bfloat16)
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
_switched: list[tuple[Any, str, Any]] = []


@contextlib.contextmanager
def _whole_float32() -> Iterator[None]:
    """The switches are the process's, so the first thread to come in sets them, the last puts them back."""
    global _entered
    with _counting:
        _entered += 1
        if _entered == 1:
            for place, name, wanted, fine in _switches():
                now = getattr(place, name)
                if now not in fine:
                    _switched.append((place, name, now))
                    setattr(place, name, wanted)
    try:
        yield
    finally:
        with _counting:
            _entered -= 1
            while not _entered and _switched:
                setattr(*_switched.pop())


def _switches() -> Iterator[tuple[Any, str, Any, tuple]]:
    """(object, attribute, value that is exact, values that are): the general before the particular."""
    backends: Any = torch.backends
    if not hasattr(backends, "fp32_precision"):  # before torch 2.9
        yield backends.cuda.matmul, "allow_tf32", False, (False,)
        yield backends.cudnn, "allow_tf32", False, (False,)
        return
    cuda, cudnn, mkldnn = backends.cuda, backends.cudnn, backends.mkldnn
    for place in (backends, cudnn, mkldnn, cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv):
        yield place, "fp32_precision", "ieee", ("ieee", "none")


def logit_gradient(objective: Objective, outputs: Any, rows: Tensor) -> Tensor | None:
    """∂F/∂logits, as the logits; None where F is not known to be a function of them."""
    logits = getattr(outputs, "logits", None)
    if not isinstance(logits, Tensor) or objective.is_opaque:
        return None
    leaf = logits.detach().float().requires_grad_()
    of_leaf = copy.copy(outputs)
    of_leaf.logits = leaf
    with torch.enable_grad():
        value = objective(of_leaf, rows)
        if not value.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    return gradient


def resolution(gradient: Tensor | None, logits: Any, value: Tensor, eps: float) -> Tensor:
    """How much of F is rounding, (R,), where the logits are rounded to `eps`: Σ |logit ∂F/∂logit| eps.

    A saturated probability hardly moves with its logits, so that this is far below F · eps there. Where
    F is not known as a function of logits: F · eps.
    """
    if gradient is None:
        return value.abs() * eps
    return (gradient * logits.detach().float()).abs().flatten(1).sum(1).to(value.dtype) * eps


def lifts(gradient: Tensor | None, value: Tensor) -> Tensor:
    """Powers of two, (R,), that bring the largest gradient of each row's logits near PEAK.

    Where that is not known, F itself may be computed in half precision: then what it can take.
    """
    if gradient is None:
        return torch.full_like(value, BLIND)
    largest = gradient.abs().flatten(1).amax(1).to(value.dtype)
    lifted = torch.exp2(torch.floor(torch.log2(PEAK / largest)).clamp(-60, 60))
    return torch.where(largest > 0, lifted, torch.ones_like(value))


def gradients(
    objective: Objective, outputs: Any, values: Tensor, rows: Tensor, leaves: list[Tensor]
) -> list[Tensor]:
    """∂F/∂leaf of each row of each leaf, in F's precision; 0 where F does not come from it.

    In half precision F is scaled before the way back, row by row, and the scale taken out in float32:
    the gradients of a saturated probability would underflow. Rows that overflow are tried again with
    less.
    """
    if not values.requires_grad:
        return [torch.zeros_like(leaf, dtype=values.dtype) for leaf in leaves]
    half = any(leaf.dtype in HALF for leaf in leaves)
    scale = lifts(logit_gradient(objective, outputs, rows), values) if half else torch.ones_like(values)
    while True:
        total = (values * scale).sum() if half else values.sum()
        found = torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=half)
        wide = [
            torch.zeros_like(leaf, dtype=values.dtype) if of is None else of.to(values.dtype)
            for leaf, of in zip(leaves, found, strict=True)
        ]
        if not half:
            return wide
        fine = torch.stack([of.flatten(1).isfinite().all(1) for of in wide]).all(0)
        if bool((fine | (scale <= LEAST)).all()):
            return [of / scale.view(-1, *[1] * (of.ndim - 1)) for of in wide]
        scale = torch.where(fine, scale, scale / 2.0**6)
