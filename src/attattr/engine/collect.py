"""A site's integral as the Sites of a batch's results: reduced where it is computed, without padding.

Block by block only what is kept stays, and of a site all of that crosses to the host together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from attattr.engine.integral import Integral
from attattr.engine.recording import Call
from attattr.result.values import Axis, Edges, Site

EDGES_PER_SITE = 256  # kept under store="edges"
RUN = 64  # neighbours of which the largest is looked for first

Part = dict[str, Tensor]  # what is kept of one block of queries of one input


def sites_of(
    call: Call, integral: Integral, axes: list[dict[str, Axis]], widths: dict[str, int], store: str
) -> list[Site]:
    """One Site an input, padding cut off; adds axes that have no tokens of their own."""
    count = call.query.shape[2]
    sides = [
        (*_axis(call, "query", count, of, widths), *_axis(call, "key", call.key.shape[2], of, widths))
        for of in axes
    ]
    parts: list[list[Part]] = [[] for _ in axes]
    for block, attention, scores in integral.attention.scores(integral.mean):
        start = block.start or 0
        for i, (_, queries, _, keys) in enumerate(sides):
            if start < queries:
                inside = np.s_[i, :, : queries - start, :keys]
                own = attention[inside if len(attention) > 1 else (0, *inside[1:])]
                parts[i].append(_part(scores[inside], own, start, queries, store))
    kept = [_whole(of, store) for of in parts]
    arrays = iter(_across([tensor for of in kept for tensor in of.values()]))
    facts = zip(
        *(getattr(integral, name).tolist() for name in ("baseline_value", "gap", "error", "n_steps")),
        integral.converged.tolist(), integral.integrated.tolist(),
        strict=True,
    )  # fmt: skip
    return [
        _site(call, {name: next(arrays) for name in of}, side, fact)
        for of, side, fact in zip(kept, sides, facts, strict=True)
    ]


def _part(scores: Tensor, attention: Tensor, start: int, queries: int, store: str) -> Part:
    """scores, attention: (H, some queries, k), those from `start` of all `queries`."""
    sizes = scores.abs()
    part = {"head_sum": scores.sum((1, 2)), "head_max": scores.amax((1, 2)), "head_abs": sizes.sum((1, 2))}
    if store == "heads":
        return part
    part |= {"query_sum": scores.sum(2), "key_sum": scores.sum(1)}
    if store == "dense":
        return part | {"scores": scores, "attention": attention}
    index = strongest(sizes, EDGES_PER_SITE)
    some, keys = scores.shape[1:]
    head, query = index // (some * keys), index // keys % some + start
    place = (head * queries + query) * keys + index % keys
    return part | {"place": place, "score": _at(scores, index), "weight": _at(attention, index)}


def strongest(sizes: Tensor, k: int) -> Tensor:
    """Where the k largest of some numbers are, (k or all,), in the flat tensor: the largest first, what is
    equal in its order; NaN is less than all.

    Of runs of neighbours only those with the largest maxima are looked into: at most k of them hold one.
    """
    flat = sizes.flatten().nan_to_num(nan=-1.0)
    k = min(k, len(flat))
    runs = torch.nn.functional.pad(flat, (0, -len(flat) % RUN), value=-2.0).view(-1, RUN)
    chosen = runs.amax(1).sort(descending=True, stable=True).indices[:k].sort().values
    order = runs[chosen].flatten().sort(descending=True, stable=True).indices[:k]
    return chosen[order // RUN] * RUN + order % RUN


def _at(values: Tensor, index: Tensor) -> Tensor:
    return values.flatten()[index]


def _whole(parts: list[Part], store: str) -> Part:
    """All blocks of one input together, on their device."""
    if len(parts) == 1:
        return parts[0]
    found = {}
    for name in parts[0]:
        of = [part[name] for part in parts]
        if name in ("head_sum", "head_abs", "key_sum"):
            found[name] = torch.stack(of).sum(0)
        elif name == "head_max":
            found[name] = torch.stack(of).amax(0)
        else:
            found[name] = torch.cat(of, dim=0 if of[0].ndim == 1 else 1)
    if store != "edges":
        return found
    places = found["place"].sort()
    first = places.indices[strongest(found["score"][places.indices].abs(), EDGES_PER_SITE)]
    return found | {name: found[name][first] for name in ("place", "score", "weight")}


def _across(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """As arrays on the host, in float32 or finer; what is of one type crosses at once."""
    wide = [
        tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor for tensor in tensors
    ]
    found: dict[int, np.ndarray] = {}
    for dtype in {tensor.dtype for tensor in wide}:
        which = [i for i, tensor in enumerate(wide) if tensor.dtype == dtype]
        ends = np.cumsum([wide[i].numel() for i in which])
        whole = torch.cat([wide[i].detach().flatten() for i in which]).cpu().numpy()
        for i, array in zip(which, np.split(whole, ends[:-1]), strict=True):
            found[i] = array.reshape(tuple(wide[i].shape)).copy()
    return [found[i] for i in range(len(wide))]


def _site(call: Call, arrays: dict[str, np.ndarray], side: tuple[str, int, str, int], facts: tuple) -> Site:
    query_axis, queries, key_axis, keys = side
    baseline, gap, error, n_steps, converged, integrated = facts
    heads = len(arrays["head_sum"])
    edges = None
    if "place" in arrays:
        there = ~np.isnan(arrays["score"])
        places = np.unravel_index(arrays["place"][there], (heads, queries, keys))
        values = (arrays[name][there] for name in ("score", "weight"))
        edges = Edges(*(place.astype(np.int32) for place in places), *values)
    return Site(
        name=call.name,
        kind=call.kind,
        n_heads=heads,
        query_axis=query_axis,
        key_axis=key_axis,
        scores=arrays.get("scores"),
        attention=arrays.get("attention"),
        edges=edges,
        head_sum=arrays["head_sum"],
        head_max=arrays["head_max"],
        head_abs=arrays["head_abs"] / (queries * keys),
        query_sum=arrays.get("query_sum"),
        key_sum=arrays.get("key_sum"),
        baseline_output=baseline,
        completeness_gap=gap,
        error_estimate=error,
        n_steps=int(n_steps),
        converged=converged,
        method="integral" if integrated else "gradient",
    )


def _axis(
    call: Call, side: str, length: int, axes: dict[str, Axis], widths: dict[str, int]
) -> tuple[str, int]:
    """Name of the axis on that side of a site, and its length without padding."""
    name = "input"
    if call.kind != "encoder_self" and "output" in axes and (side == "query" or call.kind == "decoder_self"):
        name = "output"
    if name in axes and widths.get(name) == length:
        return name, len(axes[name].tokens)
    for other, axis in axes.items():
        if other not in widths and len(axis.tokens) == length:
            return other, length
    # windows, pooled stages, prompts: positions without names
    name = f"positions{length}"
    axes[name] = Axis(
        tokens=tuple(str(k) for k in range(length)),
        segments=(None,) * length,
        words=(None,) * length,
        special=(False,) * length,
    )
    return name, length
