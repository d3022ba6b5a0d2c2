"""A forward pass with heads or edges taken out, and what that does to F.

Taking out is what the attribution speaks of: an edge's attention weight, or a head's context, is
multiplied by 0, and nothing is normalised again. Shapes: L sites, H heads, q queries, k keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from attattr import asked
from attattr.data.encoding import Encoded, as_inputs, encode
from attattr.engine.batch import Batch, opened
from attattr.engine.batches import collating
from attattr.engine.capture import Capture
from attattr.engine.recording import Recording
from attattr.engine.room import room_for
from attattr.engine.shortcuts import fewer_logits, unmasked
from attattr.errors import InputError
from attattr.result.shown import brief, counted
from attattr.targets import kinds

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

MOST = 10_000  # layers, or heads of one


@dataclass(frozen=True)
class Mask:
    """What is kept of one input: 1 keeps, 0 takes out, anything between or beyond scales.

    heads: (L, H). edges: by site number, (H or 1, q, k), without padding. keys: by site number, (k,), for
    every query and head. What is not named is kept.
    """

    heads: np.ndarray | None = None
    edges: Mapping[int, np.ndarray] = field(default_factory=dict)
    keys: Mapping[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.heads is not None:
            object.__setattr__(self, "heads", asked.grid(self.heads, "the heads of a mask"))
        asked.instance(self.edges, Mapping, "the edges of a mask")
        for site, kept in self.edges.items():
            asked.whole(site, "the number of a site in a mask")
            if not isinstance(kept, np.ndarray | Tensor) or kept.ndim != 3 or kept.dtype == object:
                raise InputError("the edges of a site in a mask are an array of heads × queries × keys")
        asked.instance(self.keys, Mapping, "the keys of a mask")
        for site, kept in self.keys.items():
            asked.whole(site, "the number of a site in a mask")
            if not isinstance(kept, np.ndarray | Tensor) or kept.ndim != 1 or kept.dtype == object:
                raise InputError("the keys of a site in a mask are an array of one number each")

    def __repr__(self) -> str:
        heads = 0 if self.heads is None else int((self.heads != 1).sum())
        edges = sum(int((kept != 1).sum()) for kept in self.edges.values())
        keys = sum(int((kept != 1).sum()) for kept in self.keys.values())
        changed = {"head": heads, "edge": edges} | ({"key": keys} if keys else {})
        return brief(self, *(f"{counted(number, what)} changed" for what, number in changed.items()))

    @staticmethod
    def without_edges(result: Any, edges: Sequence[tuple[int, int | None, int, int]]) -> Mask:
        """All but these (site, head, query, key) of a result; head None: that edge in every head."""
        kept: dict[int, np.ndarray] = {}
        asked.attribution(result)
        for site, head, query, key in _places(edges, 4, "an edge is (site, head or None, query, key)"):
            of = result.sites[asked.whole(site, "the site of an edge", 0, len(result.sites) - 1)]
            shape = (of.n_heads, *(len(result.axes[axis].tokens) for axis in (of.query_axis, of.key_axis)))
            for place, most in zip((head, query, key), shape, strict=True):
                if place is not None or place is not head:
                    asked.whole(place, "the head, query and key of an edge", 0, most - 1)
            which = slice(None) if head is None else head  # an index None would add an axis
            kept.setdefault(site, np.ones(shape, np.float32))[which, query, key] = 0
        return Mask(edges=kept)

    @staticmethod
    def without_heads(shape: tuple[int, int], heads: Sequence[tuple[int, int]]) -> Mask:
        """All but these (site, head); shape: (L, H)."""
        (sizes,) = _places([shape], 2, "the shape of heads is (layers, heads)")
        rows, columns = (asked.whole(size, "each side of a mask's shape", 1, MOST) for size in sizes)
        kept = np.ones((rows, columns), np.float32)
        for site, head in _places(heads, 2, "a head is (site, head)"):
            asked.whole(site, "the site of a head", 0, rows - 1)
            kept[site, asked.whole(head, "the number of a head", 0, columns - 1)] = 0
        return Mask(heads=kept)


def _places(value: Any, size: int, what: str) -> list[tuple]:
    """Tuples of some numbers each."""
    places = [tuple(asked.listed(place, object, what)) for place in asked.listed(value, object, what)]
    for place in places:
        if len(place) != size:
            raise InputError(f"{what}, not {len(place)} of them")
    return places


def masked_forward(
    capture: Capture, clean: Recording, inputs: Mapping[str, Tensor], masks: Sequence[Mask], own: bool = False
) -> Any:
    """The model's outputs with a mask for each of the B inputs, padded on the right or not.

    clean: the recording of any inputs, from which the sites are known. own: it is of the one input that these
    repeat, and only the logits that were asked for there are given; then no weights are made unless some mask
    names edges.

    Raises:
        InputError: a mask that does not fit the model.
    """
    sites = clean.sites
    place = {number: site for site, number in enumerate(sites)}
    for mask in masks:
        wrong = [site for site in (*mask.edges, *mask.keys) if not 0 <= site < len(sites)]
        if wrong or (mask.heads is not None and len(mask.heads) != len(sites)):
            raise InputError(f"the mask does not fit: the model has {len(sites)} attention sites")

    def scaled(number: int, value: Tensor) -> Tensor:
        """A key's value 0 is every edge to it taken out: (B, H or fewer, k, d)."""
        site = place.get(number)
        if site is None or not any(site in mask.keys for mask in masks):
            return value
        factor = torch.ones_like(value[:, 0, :, 0])
        for row, mask in zip(factor, masks, strict=True):
            if site in mask.keys:
                kept = _keys(mask, site, row)
                row[: len(kept)] = kept
        return value * factor[:, None, :, None]

    def change(number: int, context: Tensor, weights: Tensor | None, values: Tensor | None) -> Tensor:
        site = place.get(number)
        if site is None:
            return context
        named = any(site in mask.edges or site in mask.keys for mask in masks)
        if named and weights is not None and values is not None:
            factor = torch.ones_like(weights)
            for row, mask in zip(factor, masks, strict=True):
                if site in mask.edges:
                    kept = torch.as_tensor(mask.edges[site]).to(row)
                    if len(kept) not in (1, len(row)) or any(
                        size > there for size, there in zip(kept.shape[1:], row.shape[1:], strict=True)
                    ):
                        raise InputError(f"the mask of site {site} does not fit: {_by(kept)} for {_by(row)}")
                    row[:, : kept.shape[1], : kept.shape[2]] = kept
                if site in mask.keys:
                    of_keys = _keys(mask, site, row[0, 0])
                    row[:, :, : len(of_keys)] *= of_keys
            context = ((weights * factor) @ values).transpose(1, 2)
        if any(mask.heads is not None for mask in masks):
            factor = torch.ones_like(context[:, 0, :, 0])
            for row, mask in zip(factor, masks, strict=True):
                if mask.heads is not None:
                    if mask.heads.shape[1] < len(row):
                        raise InputError(
                            f"the mask has {mask.heads.shape[1]} heads for {len(row)} of site {site}"
                        )
                    row[:] = torch.as_tensor(mask.heads[site, : len(row)]).to(row)
            context = context * factor[:, None, :, None]
        return context

    linear = own and not clean.ways.softmax and not any(mask.edges for mask in masks)
    with torch.no_grad():
        return capture.edit(
            clean.ways, inputs, change, clean=clean if own else None, values=scaled if linear else None
        )


def _keys(mask: Mask, site: int, row: Tensor) -> Tensor:
    kept = torch.as_tensor(mask.keys[site]).to(row)
    if len(kept) > len(row):
        raise InputError(f"the mask of site {site} does not fit: {len(kept)} keys for {len(row)}")
    return kept


def _by(array: Tensor) -> str:
    return " × ".join(map(str, array.shape))


def measure(
    attributor: Attributor,
    inputs: Any,
    masks: Sequence[Mask],
    *,
    target: Any = None,
    output: str | None = None,
    truncate: bool = True,
    progress: asked.Progress | None = None,
) -> tuple[float, np.ndarray]:
    """F of the untouched model, and F under each mask, (M,): what really happens to one input.

    >>> from attattr import Attributor
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> clean, (silenced,) = measure(sst2, "a fine film", [Mask(heads=np.zeros((6, 12)))])
    >>> bool(clean > 0.9 > silenced)
    True

    Args: `inputs`, `target`, `output` as `Attributor.attribute`, of one input; the predicted class
        stays that of the untouched model.

    Raises:
        InputError: as `Attributor.attribute`; or a mask that does not fit.
    """
    asked.attributor(attributor)
    tell = asked.progress(progress)
    masks = asked.listed(masks, Mask, "the masks")
    model, tokenizer = attributor.model, attributor.tokenizer
    wish = kinds.parse(target, output, model, tokenizer)
    given = as_inputs(inputs if isinstance(inputs, Encoded) else [inputs])
    (encoded,) = encode(model, tokenizer, given, truncate=truncate, pair=attributor.pair)
    encoded = kinds.extend(encoded, wish, tokenizer)
    with Capture(model) as capture, collating(model, tokenizer, [encoded]) as collate:
        batch, _ = opened(capture, tokenizer, collate, [encoded], [wish], room_for(model, [encoded]))
        return float(batch.value), under(unmasked(fewer_logits(batch)), masks, tell)


def under(
    batch: Batch,
    masks: Sequence[Mask],
    tell: asked.Progress,
    read: Callable[[Any, Tensor], Tensor] | None = None,
) -> np.ndarray:
    """F of a batch of one input under each mask, (M,); or what `read` has in the objective's place, (M, …).
    Raises: as `masked_forward`."""
    read = read or batch.objective
    # a mask of edges holds weights and factors of every head besides what the budget counts
    at_once = max(1, batch.rows_at_once // 2)
    values: list[Any] = []
    for first in range(0, len(masks), at_once):
        some = masks[first : first + at_once]
        repeated = {name: value.repeat_interleave(len(some), 0) for name, value in batch.inputs.items()}
        outputs = masked_forward(batch.capture, batch.recording, repeated, some, own=True)
        rows = torch.zeros(len(some), dtype=torch.long, device=batch.value.device)
        with torch.no_grad():
            values += read(outputs, rows).tolist()
        tell(len(values), len(masks), "")
    return np.array(values)
