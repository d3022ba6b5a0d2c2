"""Models on two devices, one of them pretended: what mixes tensors of both fails as it would on two cards.

The hooks are accelerate's. Run in a process of its own, as `without_float64`, whose device this is.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch.utils import _pytree as pytree
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import attattr
import tiny
import without_float64
from without_float64 import NAME, Factories, Held, Literals

COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)
INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default)
mixed: list[str] = []


def apart(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """As `without_float64.computed`, of tensors on one device, but for numbers and indices on the CPU."""
    checked = args[0] if func in INDEXING and isinstance(args[0], Held) else (args, kwargs)
    found = [each for each in pytree.tree_leaves(checked) if isinstance(each, torch.Tensor)]
    kinds = {type(each) is Held for each in found if each.ndim or type(each) is Held}
    if len(kinds) > 1 and func not in COPIES:
        raise RuntimeError(f"Expected all tensors to be on the same device: {func}")
    return computed(func, args, kwargs)


computed, without_float64.computed = without_float64.computed, apart


class Aligned(AlignDevicesHook):
    """accelerate's hook, of what lies where it is computed already."""

    def init_hook(self, module: Any) -> Any:
        return module


def spread(model: Any, places: dict[str, str]) -> Any:
    """The model with its parts on these devices: each takes there what it gets, and leaves its output."""
    for name, place in places.items():
        part, device = model.get_submodule(name), torch.device(place)
        if name:
            part.to(device)
        else:
            part._buffers.update({key: buffer.to(device) for key, buffer in part._buffers.items()})
        add_hook_to_module(part, Aligned(execution_device=device, io_same_device=not name))
    types = {parameter.device.type for parameter in model.parameters()}
    assert types == {"cpu", NAME}, types
    return model


def bert(here: str, there: str) -> dict[str, str]:
    blocks = {"bert.encoder.layer.0": here, "bert.encoder.layer.1": there, "bert.encoder.layer.2": there}
    return {"": here, "bert.embeddings": here, **blocks, "bert.pooler": there, "classifier": there}


def llama(here: str, there: str) -> dict[str, str]:
    blocks = {"model.layers.0": here, "model.layers.1": there, "model.layers.2": there}
    ends = {"model.rotary_emb": here, "model.norm": there, "lm_head": there}
    return {"": here, "model.embed_tokens": here, **blocks, **ends}


def bart(here: str, there: str) -> dict[str, str]:
    encoder = {"model.encoder.layers.0": here, "model.encoder.layers.1": there}
    decoder = {"model.decoder.layers.0": here, "model.decoder.layers.1": there}
    ends = {"model.encoder.embed_positions": here, "model.encoder.layernorm_embedding": here}
    ends |= {"model.decoder.embed_positions": here, "model.decoder.layernorm_embedding": here}
    return {"": here, "model.shared": here, **ends, **encoder, **decoder, "lm_head": here}


EDGES = {"baseline": "uniform", "store": "edges", "target": lambda outputs: outputs.logits[:, 1]}
TWO = [tiny.text(7), tiny.text(4, seed=1)]
PLACES = (NAME, "cpu"), ("cpu", NAME)
MADE: list[tuple[Callable, Callable, Any, dict[str, Any], tuple[str, str]]] = [
    (tiny.bert, bert, TWO, {}, PLACES[0]),
    (tiny.bert, bert, TWO[:1], EDGES, PLACES[1]),
    (tiny.llama, llama, TWO, {}, PLACES[0]),
    (tiny.llama, llama, TWO, {}, PLACES[1]),
    (tiny.bart, bart, [tiny.source(7, start=2), tiny.source(4, 1, start=2)], {}, PLACES[1]),
]


def off(make: Callable, place: Callable, inputs: Any, options: dict[str, Any], *places: str) -> float:
    """How far the sums of scores on two devices are from those on one."""
    plain = attattr.Attributor(make().float()).attribute(inputs, **options)
    two = attattr.Attributor(spread(make().float(), place(*places))).attribute(inputs, **options)
    worst = 0.0
    for one, other in zip(plain, two, strict=True):
        for a, b in zip(one.sites, other.sites, strict=True):
            assert a.head_abs.any()
            worst = max(worst, float(np.abs(a.query_sum - b.query_sum).max()))
    return worst


def main() -> None:
    _setup_privateuseone_for_python_backend(NAME)
    torch.__future__.set_swap_module_params_on_conversion(True)
    warnings.simplefilter("ignore")
    failed = 0
    with Factories(), Literals():
        try:
            torch.ones(2, device=NAME) + torch.ones(2)
            failed += 1
            print("nothing keeps the devices apart")
        except RuntimeError:
            pass
        for make, place, inputs, options, places in MADE:
            try:
                worst = off(make, place, inputs, options, *places)
                assert worst < 1e-6, worst
            except Exception:
                traceback.print_exc(limit=-4)
                failed += 1
    print(f"{failed} failed")
    sys.exit(failed)


if __name__ == "__main__":
    main()
