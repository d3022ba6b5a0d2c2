"""A pretended device without float64, as Apple's MPS is one, and everything that is measured on it.

Run in a process of its own: torch knows its devices once and for all. Its tensors are held by others on the
CPU, so that only what would not work there fails.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import attattr
import tiny

NAME = "single"
EXAMPLES = [attattr.Example("the film is good", label="LABEL_1"), attattr.Example("bad", label="LABEL_0")]


class Held(torch.Tensor):
    """A tensor of the device, held by one on the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Held:
        if held.dtype == torch.float64:
            raise TypeError(f"the device {NAME} has no float64")
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=torch.device(NAME, 0),
        )  # fmt: skip
        made.held = held
        return made

    def __init__(self, held: torch.Tensor) -> None: ...

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[override]
        return computed(func, args, kwargs or {})


class Factories(TorchDispatchMode):
    """torch.zeros(…, device="single") and the like: no tensor among their arguments says where."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


class Literals(TorchFunctionMode):
    """torch.tensor(…, device="single") and tensor[a list] make tensors that do not come by the above."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        device = (kwargs or {}).get("device")
        if func is torch.Tensor.__getitem__ and isinstance(args[1], list):
            return func(args[0], torch.tensor(args[1]))
        if func is torch.tensor and device is not None:
            return func(*args, **(kwargs or {}) | {"device": None}).to(device)
        return func(*args, **(kwargs or {}))


def computed(func, args: Any, kwargs: dict[str, Any]) -> Any:
    device = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    there = any(isinstance(each, Held) for each in pytree.tree_leaves((args, kwargs)))
    leaves = there and device is not None and device.type == "cpu"
    if leaves and kwargs.get("dtype") == torch.float64:
        raise TypeError(f"the device {NAME} has no float64: go to the CPU first")
    stays = there or (device is not None and device.type == NAME)
    bare_args, bare = pytree.tree_map_only(Held, lambda each: each.held, (args, kwargs))
    if device is not None:
        bare["device"] = torch.device("cpu")
    made = func(*bare_args, **bare)
    if func._schema.is_mutable:
        return args[0]
    return pytree.tree_map_only(torch.Tensor, Held, made) if stays and not leaves else made


def attributor(make, tokenizer: bool = True) -> attattr.Attributor:
    model = make().float().to(NAME)
    assert model.device.type == NAME
    return attattr.Attributor(model, tiny.tokenizer() if tokenizer else None)


def measured() -> Iterator[Callable[[], Any]]:
    """What goes to the device in ways of its own, one call each; what a call answers has to be true."""
    one, image = attributor(tiny.bert), attributor(tiny.vit, False)
    pixels = {"pixel_values": tiny.image()["pixel_values"].float()}
    yield lambda: one.attribute("the film is good", store="edges", baseline="uniform").sites
    yield lambda: image.attribute(pixels).sites
    yield lambda: attributor(tiny.llama).attribute("the film is", target="good film").sites
    for layout in ("sliced", "masked"):
        yield partial(attattr.prune_model, one, np.eye(3, 2), 0.5, layout)
    yield lambda: attattr.measure_faithfulness(one, EXAMPLES[:1]).flips
    yield lambda: attattr.rank_heads(one, EXAMPLES, criteria=["attattr", "taylor", "attention"]).importances
    yield lambda: attattr.evaluate_model(one.model, one.tokenizer, EXAMPLES).n == 2
    yield lambda: attattr.measure_effects(one, one.attribute("the film is good"))


def main() -> None:
    _setup_privateuseone_for_python_backend(NAME)
    torch.__future__.set_swap_module_params_on_conversion(True)  # a parameter becomes another kind of tensor
    warnings.simplefilter("ignore")
    failed = 0
    with Factories(), Literals():
        for measure in measured():
            try:
                assert measure()
            except Exception:
                traceback.print_exc(limit=-3)
                failed += 1
    print(f"{failed} failed")
    sys.exit(failed)
