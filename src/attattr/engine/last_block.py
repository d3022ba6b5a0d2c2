"""A block run on some of its rows, with the keys and values of all.

F reads few rows of the last hidden state: a classifier's first token, a language model's position
before the target. What stands in the other rows changes nothing, so the last block need not compute
them. Which rows those are: shortcuts.py. Shapes as in capture.py; m rows are computed of each.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

from torch import Tensor

from attattr.engine.causal import seen_from


class _ReachedError(Exception):
    """Thrown where the block calls its attention: what it asks is all that was wanted."""


def run_rows(
    forward: Callable,
    args: tuple,
    kwargs: dict,
    *,
    positions: Tensor,
    clean: Any,
    context: Tensor | None,
    attention: Callable,
    attending: Callable[[Callable], AbstractContextManager],
    causal: bool,
) -> Any:
    """A block's output, computed at `positions` (R, m) and clean everywhere else.

    clean: its output in the clean forward, for R rows. context: (R, q, H, d) of its attention call
    where that is given. attention: computes it otherwise. attending(function): a `with` in which the
    model's attention calls go to `function`. causal: it is asked without its mask, which is plain.
    """
    asked: list[Any] = []
    if context is None:  # run the block up to its attention, for the keys and values of every row

        def reach(_eager: Callable, *call: Any, **options: Any) -> Any:
            asked.extend((call, options))
            raise _ReachedError

        with attending(reach), suppress(_ReachedError):
            forward(*args, **kwargs)

    def attend(*_: Any, **__: Any) -> Any:
        if context is not None:
            return take(context, positions, 1), None
        (module, query, key, value, mask, *rest), options = asked
        if mask is not None and mask.shape[2] == query.shape[2]:
            mask = take(mask.expand(len(query), -1, -1, -1), positions, 2)
        if mask is None and causal:
            mask = seen_from(positions.to(query.device), key.shape[2])
        return attention(module, take(query, positions, 2), key, value, mask, *rest, **options)

    state = args[0] if args else kwargs["hidden_states"]
    with attending(attend):
        computed = hidden(forward(*_few(args, positions, state), **_few(kwargs, positions, state)))
    whole = hidden(clean)
    index = positions[:, :, None].expand(-1, -1, whole.shape[2])
    return with_hidden(clean, whole.scatter(1, index, computed))


def hidden(output: Any) -> Any:
    """The hidden state in a block's output, which is it or a tuple that begins with it."""
    return output[0] if isinstance(output, tuple) and output else output


def with_hidden(output: Any, state: Tensor) -> Any:
    return (state, *output[1:]) if isinstance(output, tuple) else state


def take(value: Tensor, positions: Tensor, dim: int) -> Tensor:
    """Row r of `value` at positions[r] along `dim`: (R, …, m, …)."""
    positions = positions.to(value.device)
    shape = [1] * value.ndim
    shape[0], shape[dim] = positions.shape
    sizes = list(value.shape)
    sizes[dim] = positions.shape[1]
    return value.gather(dim, positions.reshape(shape).expand(sizes))


def _few(value: Any, positions: Tensor, state: Tensor) -> Any:
    """A nest of arguments in which what has one entry a position has those at `positions` only."""
    if isinstance(value, Tensor):
        count, length = state.shape[:2]
        if value.ndim < 2 or value.shape[1] != length or len(value) not in (1, count):
            return value
        return take(value.expand(count, *value.shape[1:]), positions, 1)
    if isinstance(value, dict):
        return {name: _few(item, positions, state) for name, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_few(item, positions, state) for item in value)
    return value
