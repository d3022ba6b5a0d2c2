"""What a transformers model is made of: its configs, its layers, the kinds of its attention."""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from attattr.errors import UnsupportedModelError
from attattr.models.prompts import check_kind

_locks: weakref.WeakKeyDictionary[nn.Module, Any] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def lock_of(model: nn.Module) -> Any:
    """The model's one lock: whoever changes how it computes holds it. A thread may take it again.

    Two models that share modules have two locks, and must not be used by two threads at a time; nor two
    models each inside of a target of the other.
    """
    wrapped: Any = model
    model = wrapped.get_base_model() if hasattr(wrapped, "get_base_model") else model
    with _making:
        return _locks.setdefault(model, threading.RLock())


def without_wrapper(model: Any) -> PreTrainedModel:
    """The transformers model inside a wrapper: of torch.compile, of data parallelism, of PEFT (unmerged
    adapters stay at work in it).

    Raises:
        UnsupportedModelError: the wrapper itself takes part in the forward (prompt and prefix tuning).
    """
    while (inner := getattr(model, "_orig_mod", None) or _parallel(model)) is not None:
        model = inner
    if not hasattr(model, "get_base_model"):
        return model
    check_kind(model.active_peft_config.peft_type.value)
    return model.get_base_model()


def _parallel(model: Any) -> Any:
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return model.module if isinstance(model, wrappers) else None


def kind_of(model: PreTrainedModel, name: str, module: nn.Module) -> str:
    """Of an attention call: encoder_self, decoder_self or cross."""
    path = name.lower()
    if getattr(model.config, "is_encoder_decoder", False):
        if getattr(module, "is_cross_attention", False) or any(
            word in path for word in ("cross", "encoder_attn", "encdecattention", "encoder_attention")
        ):
            return "cross"
        return "decoder_self" if "decoder" in path else "encoder_self"
    if "crossattention" in path or "cross_attn" in path:
        return "cross"
    return "decoder_self" if getattr(module, "is_causal", False) else "encoder_self"


def configs(model: PreTrainedModel) -> list[PreTrainedConfig]:
    """Every config object that some part of the model may ask for its attention implementation."""
    found: dict[int, PreTrainedConfig] = {}
    waiting = [getattr(module, "config", None) for module in model.modules()]
    while waiting:
        config = waiting.pop()
        if isinstance(config, PreTrainedConfig) and id(config) not in found:
            found[id(config)] = config
            waiting += [getattr(config, name, None) for name in config.sub_configs]
    return list(found.values())


def blocks_of(model: nn.Module) -> dict[str, nn.Module]:
    """The layers of the model: items of its outermost module lists, by path."""
    lists: list[str] = []
    blocks: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(outer + ".") for outer in lists):
            lists.append(name)
            blocks |= {f"{name}.{i}": item for i, item in enumerate(module)}
    return blocks


def blocks_without(model: nn.Module, attention: set[nn.Module]) -> list[str]:
    """Layers in which no attention was seen though their neighbours in the same list have some."""
    blocks = blocks_of(model)
    seen = {name: any(module in attention for module in block.modules()) for name, block in blocks.items()}
    lists = {name.rpartition(".")[0] for name, has in seen.items() if has}
    return [name for name, has in seen.items() if not has and name.rpartition(".")[0] in lists]


def lists_without(model: nn.Module, attention: set[nn.Module]) -> list[str]:
    """Lists of layers in none of which attention was seen; [""] where the model has no such list."""
    seen: dict[str, bool] = {}
    for name, block in blocks_of(model).items():
        path = name.rpartition(".")[0]
        seen[path] = seen.get(path, False) or any(module in attention for module in block.modules())
    return [path for path, has in (seen or {"": bool(attention)}).items() if not has]


def by_input(output: Any, size: int) -> bool:
    """Whether a block's output, or the first of its outputs, has one entry an input."""
    while isinstance(output, tuple | list | dict):
        output = next(iter(output.values() if isinstance(output, dict) else output), None)
    return isinstance(output, Tensor) and output.ndim > 0 and len(output) == size


def by_row(value: Any, rows: Tensor, size: int) -> Any:
    """Every tensor in a nest that has one entry an input, with one entry a row instead."""
    if isinstance(value, Tensor):
        return value.index_select(0, rows.to(value.device)) if value.ndim and len(value) == size else value
    if isinstance(value, dict):
        items = {key: by_row(item, rows, size) for key, item in value.items()}
        return items if type(value) is dict else type(value)(**items)
    if isinstance(value, tuple | list):
        return type(value)(by_row(item, rows, size) for item in value)
    return value


def lengths(value: Any) -> Any:
    """A nest with the first size of every tensor in its place."""
    if isinstance(value, Tensor):
        return len(value) if value.ndim else None
    if isinstance(value, dict):
        return {key: lengths(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [lengths(item) for item in value]
    return None


def some_rows(value: Any, clean: Any, rows: slice, total: int, size: int) -> Any:
    """Every tensor in a nest that has one entry a row, of `total`, with these rows' entries alone.

    clean: `lengths` of the nest in the clean forward: what has one a row had one of `size` inputs there.
    """
    if isinstance(value, Tensor):
        return value[rows] if value.ndim and len(value) == total and clean == size else value
    if isinstance(value, dict) and isinstance(clean, dict):
        items = {key: some_rows(item, clean.get(key), rows, total, size) for key, item in value.items()}
        return items if type(value) is dict else type(value)(**items)
    if isinstance(value, tuple | list) and isinstance(clean, list):
        pairs = zip(value, clean, strict=True)
        return type(value)(some_rows(item, other, rows, total, size) for item, other in pairs)
    return value


def with_rows(value: Any, more: Any, clean: Any, size: int) -> Any:
    """A block's output for some rows, and after them that for others; what all share as it is.

    clean: `lengths` of the output in the clean forward, as in `some_rows`.
    """
    if isinstance(value, Tensor):
        return torch.cat([value, more]) if value.ndim and clean == size else value
    if isinstance(value, dict):
        items = {key: with_rows(item, more[key], clean[key], size) for key, item in value.items()}
        return items if type(value) is dict else type(value)(**items)
    if isinstance(value, tuple | list):
        return type(value)(
            with_rows(item, other, of, size) for item, other, of in zip(value, more, clean, strict=True)
        )
    return value


@contextlib.contextmanager
def taken_over(model: PreTrainedModel, implementation: str, run: Callable) -> Iterator[None]:
    """In evaluation mode, without gradients of its parameters and without a key-value cache, its attention
    asked for under this name and its blocks run by `run(forward, args, kwargs)`; then all as it was.

    Raises:
        UnsupportedModelError: its weights are inference tensors.
    """
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise UnsupportedModelError(
            f"the weights of {type(model).__name__} were made under torch.inference_mode(), "
            "which keeps gradients from passing them: load the model outside of it"
        )
    with contextlib.ExitStack() as undo:
        for module in model.modules():
            undo.callback(setattr, module, "training", module.training)
            if module._compiled_call_impl is not None:  # what was compiled knows nothing of this
                undo.callback(setattr, module, "_compiled_call_impl", module._compiled_call_impl)
                module._compiled_call_impl = None
        model.eval()
        # by name: what is offloaded is another parameter after each forward
        names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        undo.callback(_ask_for_gradients, model, names)
        for name in names:
            model.get_parameter(name).requires_grad_(False)
        for config in configs(model):
            before = config._attn_implementation_internal
            undo.callback(setattr, config, "_attn_implementation_internal", before)
            config._attn_implementation_internal = implementation
            if getattr(config, "use_cache", False):  # where a forward hands the name on, none is seen in it;
                undo.enter_context(_set(config, "use_cache", False))  # a block run twice would append twice
        for block in blocks_of(model).values():
            undo.enter_context(wrapped(block, run))
        yield


@contextlib.contextmanager
def _set(of: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of another value, inside; then as it was, also where it was the class's."""
    own, before = name in vars(of), getattr(of, name)
    setattr(of, name, value)
    try:
        yield
    finally:
        if own:
            setattr(of, name, before)
        else:
            delattr(of, name)


def _ask_for_gradients(model: nn.Module, names: list[str]) -> None:
    for name in names:
        model.get_parameter(name).requires_grad_(True)


@contextlib.contextmanager
def as_it_was(model: nn.Module) -> Iterator[list[str]]:
    """A forward inside leaves no trace, though the model may change itself for a short text (sparse attention
    that becomes full for good); afterwards the list has the paths of the modules that did.

    Not put back: what is written into tensors. Parameters, which offloading exchanges, are no change.
    """
    parts = ("_modules", "_buffers")
    before = [
        (name, module, dict(vars(module)), [dict(vars(module)[part]) for part in parts])
        for name, module in model.named_modules()
    ]
    changed: list[str] = []
    try:
        yield changed
    finally:
        for name, module, facts, inside in before:
            now = vars(module)
            found = [_put_back(now, facts)]
            found += [_put_back(now[part], of) for part, of in zip(parts, inside, strict=True)]
            if any(found):
                changed.append(name)


def _put_back(now: dict[str, Any], before: dict[str, Any]) -> bool:
    """A dict as it was, one entry after the other; whether it was another."""
    new = [name for name in now if name not in before]
    other = [name for name in before if name not in now or now[name] is not before[name]]
    for name in new:
        del now[name]
    for name in other:
        now[name] = before[name]
    return bool(new or other)


@contextlib.contextmanager
def wrapped(module: nn.Module, run: Callable) -> Iterator[None]:
    """Send calls of the module's forward through `run(forward, args, kwargs)`."""
    own = module.__dict__.get("forward")  # someone else's wrapper, if any: put back as it was
    forward = module.forward

    @functools.wraps(forward)
    def wrapper(*args, **kwargs):
        return run(forward, args, kwargs)

    module.__dict__["forward"] = wrapper
    try:
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own
