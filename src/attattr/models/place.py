"""Where a model is computed, and in which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attattr import asked
from attattr.choices import DTYPES
from attattr.errors import InputError

if TYPE_CHECKING:
    import torch


def named_dtype(dtype: Any) -> torch.dtype:
    import torch

    name = dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch.")
    return getattr(torch, "float32" if dtype is None else asked.choice(name, "dtype", DTYPES))


def input_device(model: Any) -> torch.device:
    """Where a model takes its inputs: where its outermost hook of accelerate computes, else where its first
    parameter is."""
    import torch

    for module in model.modules():
        hook = getattr(module, "_hf_hook", None)
        for each in getattr(hook, "hooks", (hook,)):
            if (device := getattr(each, "execution_device", None)) is not None:
                return torch.device(device)
    return next((p.device for p in model.parameters() if not p.is_meta), torch.device("cpu"))


def place_for(device: Any, dtype: torch.dtype) -> torch.device:
    import torch

    double = dtype == torch.float64
    mps = torch.backends.mps.is_available()
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps and not double else "cpu")
    if not isinstance(device, str | torch.device):
        raise InputError(f"the device must be a name such as 'cpu', not {asked.shown(device)}")
    try:
        place = torch.device(device)
        if place.type == "meta":  # weights without numbers
            raise InputError("the device meta holds no numbers: choose cpu, cuda or mps")
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise InputError(f"the device {asked.shown(str(device))} is not there: {said}") from error
    if place.type == "mps" and double:
        raise InputError("the device mps cannot compute in float64: use the cpu, or float32")
    return place
