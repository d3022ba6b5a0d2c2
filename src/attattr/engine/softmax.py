"""Attention that does not go through transformers' AttentionInterface, seen at its softmax.

A model that writes its attention out itself still takes the softmax of scores of the shape
(B, H, q, k), or (B·H, q, k), and what comes out is A. What the model does with A is not read. A is shown
as an attention call whose values are the identity matrix, so that its context *is* A: the integral, the
resumed forward and the masks then hold as they are, at the price of an n × n leaf.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

SOFTMAXES = (nn.functional.softmax, torch.softmax, Tensor.softmax)


class Softmaxes(TorchFunctionMode):
    """Sends every attention softmax, and every call of torch's fused attention, through `attend`.

    attend(eager, module, query, key, value, mask, **kwargs) -> (context (B, q, H, d), weights).

    Args:
        size: inputs (or rows) of the forward, B.
        heads: numbers of heads that attention of this model may have; those among the attributes of
            the module that computes it count as well.
    """

    def __init__(self, attend: Callable, size: int, heads: Iterable[int]):
        super().__init__()
        self.attend, self.size, self.heads = attend, size, set(heads)
        self.several: set[nn.Module] = set()  # more than one softmax a run: parts of something else
        self.unread: dict[nn.Module, None] = {}  # a softmax of matrices in which no heads are found
        self._last: FrameType | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in SOFTMAXES:
            return self._softmax(func(*args, **kwargs), *args, **kwargs)
        if func is nn.functional.scaled_dot_product_attention:
            return self._fused(*args, **kwargs)
        return func(*args, **kwargs)

    def _softmax(self, weights: Tensor, scores: Tensor, dim: int | None = None, *_: Any, **__: Any) -> Tensor:
        if weights.ndim < 3 or dim not in (-1, weights.ndim - 1):
            return weights
        module, frame = _running()
        heads = self._heads(weights, module)
        if module is None or heads is None:
            if module is not None and weights.ndim > 3:
                self.unread[module] = None
            return weights
        if frame is self._last:
            self.several.add(module)
        self._last = frame
        shown = weights.reshape(-1, heads, *weights.shape[-2:])
        identity = torch.eye(shown.shape[-1], dtype=shown.dtype, device=shown.device)
        identity = identity.expand(*shown.shape[:2], -1, -1)
        context, _weights = self.attend(given, module, shown, identity, identity, shown > 0)
        return context.transpose(1, 2).contiguous().view(weights.shape)  # models go on with `view`

    def _heads(self, weights: Tensor, module: nn.Module | None) -> int | None:
        known = self.heads | head_counts(vars(module)) if module is not None else self.heads
        if weights.ndim == 4:
            return weights.shape[1] if weights.shape[1] in known else None
        heads, rest = divmod(len(weights), self.size)
        # (B, n, experts) of a gate looks like attention of one head
        return heads if weights.ndim == 3 and not rest and heads > 1 and heads in known else None

    def _fused(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
        dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    ) -> Tensor:  # fmt: skip
        module, _ = _running()
        if module is None or query.ndim != 4:
            return nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if is_causal:
            attn_mask = query.new_ones(query.shape[2], key.shape[2], dtype=torch.bool).tril()[None, None]
        scaling = query.shape[-1] ** -0.5 if scale is None else scale
        context, _weights = self.attend(written_out, module, query, key, value, attn_mask, scaling=scaling)
        return context.transpose(1, 2)

    def __exit__(self, *exception: Any) -> None:
        self._last = None  # a frame keeps its tensors alive
        super().__exit__(*exception)


def given(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Attention that is there already: the query is A itself, (B, H, q, k), and so is the context."""
    return query.transpose(1, 2), query


def written_out(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scaling: float
) -> tuple[Tensor, Tensor]:
    """What torch's fused attention computes, with its weights."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(2, 3) * scaling
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    empty = scores.isneginf().all(-1, keepdim=True)  # a query that may see nothing gets nothing
    weights = scores.masked_fill(empty, 0).softmax(-1).masked_fill(empty, 0)
    return (weights @ value).transpose(1, 2), weights


def head_counts(*attributes: dict[str, Any]) -> set[int]:
    """Numbers of heads among the attributes of modules or configs."""
    found: set[int] = set()
    for name, value in (item for each in attributes for item in each.items()):
        if "head" in name and not any(word in name for word in ("dim", "size", "mask")):
            values = value if isinstance(value, list | tuple) else [value]
            found |= {each for each in values if type(each) is int and each > 0}
    return found


def _running() -> tuple[nn.Module | None, FrameType | None]:
    """The innermost module whose code is running, and the frame it runs in: read from the Python stack,
    so that nothing has to be hooked to the model."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module) and not isinstance(module, nn.Softmax):
            return module, frame
        frame = frame.f_back
    return None, None


def why_not(left_out: Sequence[str], seen: Softmaxes | None) -> str:
    """Why no attention of a model can be attributed, as half a sentence.

    left_out: attention that was seen. seen: the softmaxes of its forward, if they were looked at.
    """
    if seen is not None and seen.several:
        return "it is put together from several softmaxes"
    where = ", ".join(left_out[:3])
    if seen is not None and seen.unread:
        return f"in {where} its softmax is not taken of heads × queries × keys"
    if left_out:
        return f"in {where} it is not weights times values, input by input"
    return "it neither goes through transformers' AttentionInterface nor takes a softmax over keys"
