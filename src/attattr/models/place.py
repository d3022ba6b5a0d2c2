"""Where a model is computed, and in which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attattr.errors import InputError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float64", "bfloat16", "float16")


def named_dtype(dtype: Any) -> torch.dtype:
    import torch

    name = str(dtype or "float32").removeprefix("torch.")
    if name not in DTYPES:
        raise InputError(f"unknown dtype '{name}': choose one of {', '.join(DTYPES)}")
    return getattr(torch, name)


def place_for(device: Any, dtype: torch.dtype) -> torch.device:
    import torch

    double = dtype == torch.float64
    mps = torch.backends.mps.is_available()
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps and not double else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        raise InputError(f"the device '{device}' is not there: {str(error).splitlines()[0]}") from error
    if place.type == "mps" and double:
        raise InputError("the device mps cannot compute in float64: use the cpu, or float32")
    return place
