"""Which model it is, to the bit, and whether a file that was made with a model belongs to this one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from attattr.errors import InputError

if TYPE_CHECKING:
    from torch import nn

THREADS = 8
ADAPTER = ("active_adapters", "scaling", "disable_adapters", "merged_adapters")  # of a layer of PEFT
# entries of a config that change no number
ASIDE = {
    "architectures", "attattr_pruned", "attattr_pruned_from", "attn_implementation", "auto_map", "dtype",
    "experts_implementation", "id2label", "label2id", "pad_token_id", "return_dict", "torch_dtype",
    "transformers_version", "use_cache",
}  # fmt: skip
SHOWN = 12  # digits of a digest in a message


def of_parameters(model: nn.Module) -> str:
    """sha256 of all that a model computes with: its class and config, its adapters and which are at work, and
    names, types, shapes and bytes of its parameters and saved buffers.

    >>> from attattr import Attributor
    >>> sst2, mnli = (Attributor.from_pretrained(name) for name in ("sst2", "mnli"))
    >>> of_parameters(sst2.model) == of_parameters(mnli.model), len(of_parameters(sst2.model))
    (False, 64)

    About a second for each gigabyte and core (0.3 s for the 91 MB of sst2 on a core that others used too);
    what lies on another device or on disk is copied here for it.
    """
    state: Mapping[str, Any] = model.state_dict()
    if any(getattr(value, "is_meta", False) for value in state.values()):
        from accelerate.utils.modeling import get_state_dict_offloaded_model

        state = get_state_dict_offloaded_model(model)
    names = sorted(state)
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as threads:  # hashing lets others run
        parts = list(threads.map(lambda name: _of_value(state[name]), names))
    lines = "".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True))
    return hashlib.sha256(f"{_setting(model)}\n{lines}".encode()).hexdigest()


def _setting(model: nn.Module) -> str:
    """What a model computes with besides its numbers: class, config, and the state of PEFT's layers."""
    config = getattr(model, "config", None)
    facts = _plain(config.to_dict()) if config is not None else None
    adapters = [
        (name, [str(getattr(module, fact, None)) for fact in ADAPTER])
        for name, module in model.named_modules()
        if hasattr(module, "active_adapters") and hasattr(module, "scaling")
    ]
    return json.dumps([type(model).__name__, facts, adapters], sort_keys=True, default=str)


def _plain(facts: Any) -> Any:
    """A config without what says where it is from, how it is run, or what its labels are called."""
    if not isinstance(facts, dict):
        return facts
    return {
        str(name): _plain(value)
        for name, value in facts.items()
        if name not in ASIDE and not str(name).startswith(("_", "output_"))
    }


def _of_value(value: Any) -> str:
    found = hashlib.sha256()
    for about, content in _contents(value):
        found.update(about.encode())
        found.update(content)
    return found.hexdigest()


def _contents(value: Any) -> Iterator[tuple[str, Any]]:
    """(type and shape, bytes) of a tensor, or of those that a quantised one is made of."""
    import torch

    if isinstance(value, tuple | list):
        for item in value:
            yield from _contents(item)
    elif not isinstance(value, torch.Tensor):
        yield repr(value), b""
    elif hasattr(value, "__tensor_flatten__"):
        inner, about = value.__tensor_flatten__()
        yield f"{type(value).__name__} {about}", b""
        for name in inner:
            yield from _contents(getattr(value, name))
    elif value.is_quantized:
        yield f"{value.qscheme()}", b""
        yield from _contents(value.int_repr())
        yield from _contents(value.dequantize())
    else:
        plain = value.detach().cpu().contiguous()
        yield f"{plain.dtype} {tuple(plain.shape)}", plain.reshape(-1).view(torch.uint8).numpy()


def changes(model: nn.Module) -> tuple[tuple[tuple[int, int, int], ...], str]:
    """What differs once the parameters have been replaced, moved or written to (not through `.data`), or the
    config or the adapters at work have changed.

    Offloaded parameters are new ones after every forward: that they are the same is their hooks' promise.
    """

    def place(p: Any) -> tuple[int, int, int]:
        return (0, 0, 0) if p.is_meta else (id(p), -1 if p.is_inference() else p._version, p.data_ptr())

    return tuple(map(place, model.parameters())), _setting(model)


def belongs(
    made: Mapping[str, Any] | None, now: Mapping[str, Any], what: str, *, any_model: bool | None = None
) -> None:
    """Whether a file belongs to the model it is used with.

    made, now: facts of the two models (`Attributor.facts`). any_model: True takes any; None: there is no
    such choice. They are one model where their parameters
    have one digest, or where both are as they were loaded from the same files, in whatever precision:
    merging an adapter rounds otherwise on another processor. A file that does not say its model is taken.

    Raises:
        InputError: they are two models; both are named.
    """
    if any_model or not made or _one(made, now):
        return
    meant = "" if any_model is None else ", or say that it is meant (any_model=True, --any-model)"
    raise InputError(
        f"{what} belongs to another model, {_named(made)}; this one is {_named(now)}: give the model it was "
        f"made with{meant}"
    )


def _one(made: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    def same(*names: str) -> bool:
        return all(made.get(name) == now.get(name) for name in names)

    if made.get("parameters") and same("parameters"):
        return True
    if made.get("digest") and now.get("digest"):
        return same("digest", "adapter_digest")
    return not (made.get("parameters") or made.get("digest"))


def _named(facts: Mapping[str, Any]) -> str:
    digest = next((facts[k] for k in ("parameters", "adapter_digest", "digest") if facts.get(k)), None)
    about = [facts.get("dtype"), f"sha256 {digest[:SHOWN]}…" if digest else "of unknown weights"]
    return f"'{facts.get('name')}' ({', '.join(each for each in about if each)})"
