"""Weights that are no plain floating-point tensors: where they are, and what they do not let through."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from attattr.errors import UnsupportedModelError

PLAIN = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def quantised(model: nn.Module) -> dict[str, nn.Module]:
    """Modules whose weight is packed, a tensor of a quantising class, or of few bits, by path."""
    return {
        name: part for name, part in model.named_modules() if _is_quantised(getattr(part, "weight", None))
    }


def _is_quantised(weight: Any) -> bool:
    if not isinstance(weight, Tensor):
        return callable(weight)  # torch.ao packs it and has a method in its place
    return weight.dtype not in PLAIN or type(weight).dequantize is not Tensor.dequantize


def check_gradients(model: nn.Module) -> None:
    """Make sure that gradients pass the quantised layers: some kernels hand on none, without a word.

    Raises:
        UnsupportedModelError: one does not.
    """
    for name, part in quantised(model).items():
        if isinstance(getattr(part, "in_features", None), int) and not _passes_gradients(part):
            raise UnsupportedModelError(
                f"{name} is quantised in a way that hands on no gradient ({_scheme(part)}): attribute the "
                "model before it is quantised, or quantise its weights alone and not what goes through them"
            )


def _scheme(part: Any) -> str:
    """Whose layer it is, or whose tensor its weight: what tells the ways of quantising apart."""
    of = type(part.weight if type(part) is nn.Linear else part)
    return f"{of.__module__.partition('.')[0]}'s {of.__name__}"


def _passes_gradients(part: Any) -> bool:
    place = next((p for p in part.parameters()), torch.empty(0))
    dtype = place.dtype if place.dtype in PLAIN else torch.get_default_dtype()
    probe = torch.ones(1, part.in_features, device=place.device, dtype=dtype, requires_grad=True)
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = part(probe).sum()
        # an output may ask for a gradient though its kernel has none to give
        return made.requires_grad and torch.autograd.grad(made, probe, allow_unused=True)[0] is not None


def plain_parts(tensor: Tensor) -> Iterator[Tensor]:
    """The tensors that hold the numbers of one that only wraps others, or itself."""
    if not hasattr(tensor, "__tensor_flatten__"):
        yield tensor
        return
    for name in tensor.__tensor_flatten__()[0]:
        yield from plain_parts(getattr(tensor, name))


def finite(tensor: Tensor) -> bool:
    """Whether all of a tensor's numbers are; those of an integer always are, those on disk are not read."""
    return tensor.is_meta or all(bool(torch.isfinite(_wide(part)).all()) for part in plain_parts(tensor))


def _wide(tensor: Tensor) -> Tensor:
    small = tensor.is_floating_point() and tensor.dtype not in PLAIN  # torch has no isfinite of them
    return tensor.float() if small else tensor
