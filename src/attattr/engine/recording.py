"""One attention call of the clean forward: what it was asked, what it gave, and what holds of it.

Shapes: B inputs, H heads, q queries, k keys, d numbers per head.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

from attattr.engine.memory import out_of_memory
from attattr.engine.ways import Ways

BLOCK = 1 << 26  # bytes of attention weights that are computed at a time
FUSED_FROM = 1 << 23  # bytes of one row's weights: see _plain_is_faster


@dataclass(frozen=True)
class Call:
    """One attention call of the clean forward."""

    name: str  # module path; further calls of a shared module carry #2, #3 …
    kind: str  # encoder_self | decoder_self | cross
    blocks_below: int  # blocks finished before it: those a resumed forward need not run
    module: nn.Module
    query: Tensor  # (B, H, q, d)
    key: Tensor  # (B, H or fewer key-value heads, k, d)
    value: Tensor  # as key
    mask: Tensor | None  # (B or 1, 1 or H, q, k), additive or boolean
    rest: tuple[tuple, Mapping[str, Any]]  # further arguments of the call
    eager: Callable  # the model's own plain attention
    context: Tensor  # (B, q, H, d), from that
    fused: bool  # sdpa gives the same context here
    causal: bool  # and does so without its mask, told that it is causal
    query_blocks: tuple[slice, ...]  # of so many queries the attention is computed at a time

    @property
    def values(self) -> Tensor:
        """(B, H, k, d): key-value heads repeated for the query heads they serve."""
        return repeat_kv(self.value, self.query.shape[1] // self.value.shape[1])

    def weights(self, queries: slice = slice(None)) -> Tensor:
        """Attention of these queries, (B, H, those, k): computed again, to hold no n × n meanwhile."""
        clean = (self.module, self.query, self.key, self.value, self.mask)
        weights = _eager_block(self.eager, clean, self.rest, queries)[1]
        assert weights is not None  # a call without is no site
        return weights

    def visible(self, queries: slice = slice(None)) -> Tensor:
        """Which keys these queries may look at: boolean, broadcastable to (B, H, those, k)."""
        if self.mask is None:
            return torch.ones(1, 1, 1, self.key.shape[2], dtype=torch.bool, device=self.key.device)
        mask = _sliced(self.mask, queries, self.query.shape[2])
        return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


@dataclass(frozen=True)
class Recording:
    """What one clean forward left behind, and what need not be computed again of it (shortcuts.py)."""

    outputs: Any
    calls: tuple[Call | None, ...]  # None: intercepted, yet not attributable
    blocks: tuple[Any, ...]  # output of each block call, in order
    calls_by_then: tuple[int, ...]  # attention calls made when a block ended
    given: tuple[Any, ...]  # of each block call's arguments: structure.lengths
    left_out: tuple[str, ...]  # attention layers that are not attributed
    ways: Ways
    read: Tensor | None = None  # (B, m) rows of the last block that F reads; None: all are computed
    kept: Tensor | None = None  # positions whose logits are asked for; None: all
    checkpoint: bool = False  # blocks are computed again on the way back
    maskless: bool = False  # its calls show that plain causal masks need not be made
    unmasked: bool = False  # and they are not: proven on these inputs (shortcuts.unmasked)

    @property
    def sites(self) -> list[int]:
        """Numbers of the calls that can be attributed."""
        return [number for number, call in enumerate(self.calls) if call is not None]

    def site(self, number: int) -> Call:
        """An attributable call, by its number."""
        call = self.calls[number]
        assert call is not None
        return call

    @property
    def together(self) -> bool:
        """Whether rows of several sites go up in one forward: tried, and so."""
        return bool(self.ways.together if self.read is None else self.ways.ending)

    def attention(self, number: int, eager: Callable) -> Callable:
        """What computes an attention call that is only passed through: fused where it gave the same."""
        clean = self.calls[number] if number < len(self.calls) else None
        if not (self.ways.fuse and clean and clean.fused):
            return eager
        return causal_attention if clean.causal and self.unmasked else sdpa_attention_forward

    @property
    def reach(self) -> tuple[int, int]:
        """Of two recordings, the larger saw more: calls to attribute, else calls at all."""
        return len(self.sites), len(self.left_out)

    def without(self, modules: Container[nn.Module]) -> Recording:
        """The same with the calls of these modules left out."""
        gone = [call.name for call in self.calls if call is not None and call.module in modules]
        calls = tuple(None if call is not None and call.module in modules else call for call in self.calls)
        return replace(self, calls=calls, left_out=(*self.left_out, *gone))


class Seen(NamedTuple):
    """One attention call as it was computed."""

    context: Tensor
    query_blocks: tuple[slice, ...] | None  # None: it is not weights times values
    fused: bool = False
    causal: bool = False


def clean_context(
    eager: Callable, clean: tuple, rest: tuple, fuse: bool, plain: bool = False, share: int = 1
) -> Seen:
    """The model's own context of one call, and whether sdpa, if wanted (`fuse`), agrees and is worth it.

    clean: module, query, key, value, mask. rest: further arguments of the call. plain: the mask is causal and
    nothing else. share: blocks are so much smaller.

    Large attention is computed in blocks of queries: right where sdpa, which sees it whole, says the
    same, otherwise given up for the whole.
    """
    args, kwargs = rest
    blocks = _query_blocks(clean[1], clean[2], share)
    parts = []
    for queries in blocks:
        output, weights = _eager_block(eager, clean, rest, queries)
        if not _is_weights_times_values(output, weights, clean[3]):
            return Seen(eager(*clean, *args, **kwargs)[0], None)
        parts.append(output)
    output = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
    causal = fuse and plain and _fused_agrees(causal_attention, output, (*clean[:4], None, *args), kwargs)
    fused = causal or (fuse and _fused_agrees(sdpa_attention_forward, output, (*clean, *args), kwargs))
    if len(blocks) > 1 and not fused:
        return Seen(eager(*clean, *args, **kwargs)[0], (slice(None),))
    return Seen(output, blocks, fused and not _plain_is_faster(clean[1], clean[2]), causal)


def causal_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: None, *args: Any, **kwargs: Any
) -> Any:
    """torch's fused attention, told that it is causal instead of given the mask."""
    return sdpa_attention_forward(module, query, key, value, mask, *args, **kwargs | {"is_causal": True})


def _query_blocks(query: Tensor, key: Tensor, share: int) -> tuple[slice, ...]:
    """Queries whose weights fit BLOCK together."""
    count = query.shape[2]
    a_query = query.shape[0] * query.shape[1] * key.shape[2] * query.dtype.itemsize
    step = max(1, BLOCK // max(a_query * share, 1))
    return (slice(None),) if step >= count else tuple(slice(i, i + step) for i in range(0, count, step))


def _plain_is_faster(query: Tensor, key: Tensor) -> bool:
    """In half precision on a CPU, torch's fused attention is the slower one while it all fits the caches."""
    a_row = query.shape[1] * query.shape[2] * key.shape[2] * query.dtype.itemsize
    return query.device.type == "cpu" and query.dtype.itemsize == 2 and a_row <= FUSED_FROM


def _eager_block(eager: Callable, clean: tuple, rest: tuple, queries: slice) -> tuple[Tensor, Tensor | None]:
    """The model's own plain attention of these queries: context and weights."""
    module, query, key, value, mask = clean
    args, kwargs = rest
    mask, args = _sliced(mask, queries, query.shape[2]), [_sliced(a, queries, query.shape[2]) for a in args]
    kwargs = {name: _sliced(value, queries, query.shape[2]) for name, value in kwargs.items()}
    return eager(module, query[:, :, queries], key, value, mask, *args, **kwargs)


def _sliced(value: Any, queries: slice, count: int) -> Any:
    """A mask or a position bias, (B or 1, H or 1, q, k), of these queries; anything else as it is."""
    if isinstance(value, Tensor) and value.ndim == 4 and value.shape[2] == count:
        return value[:, :, queries]
    return value


def _is_weights_times_values(output: Tensor, weights: Tensor | None, value: Tensor) -> bool:
    """Whether the context is A · V, head by head: what the context-space integral rests on."""
    if weights is None or weights.ndim != 4 or weights.shape[1] % value.shape[1]:
        return False
    product = (weights @ repeat_kv(value, weights.shape[1] // value.shape[1])).transpose(1, 2)
    return product.shape == output.shape and _close(product, output)


def _fused_agrees(fuse: Callable, output: Tensor, clean: tuple, kwargs: Mapping[str, Any]) -> bool:
    """Whether sdpa can stand in: it knows neither soft-caps (raises) nor sinks (ignores them)."""
    try:
        fused = fuse(*clean, **kwargs)[0]
    except (ValueError, TypeError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        return False
    return fused.shape == output.shape and _close(fused, output)


def _close(a: Tensor, b: Tensor) -> bool:
    """Of what is finite: an input that overflows says nothing of the model."""

    def near(a: Tensor, b: Tensor) -> bool:
        return bool((a - b).abs().max() <= rounding(b.dtype, 100) * b.abs().max())

    if near(a, b):
        return True
    finite = b.isfinite()
    return not bool(finite.all()) and near(a.where(finite, 0), b.where(finite, 0))


def rounding(dtype: torch.dtype, steps: int) -> float:
    """What `steps` roundings may add up to, relative; half precisions, whose steps are large, get 4."""
    few = 4 if dtype in (torch.float16, torch.bfloat16) else steps
    return few * torch.finfo(dtype).eps
