"""A site's integral as the Sites of a batch's results: numpy, without padding, block by block."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from attattr.engine.integral import Integral
from attattr.engine.recording import Call
from attattr.result.values import Axis, Edges, Site, strongest

EDGES_PER_SITE = 256  # kept under store="edges"


@dataclass(frozen=True)
class _Part:
    """What is kept of one block of queries of one input."""

    scores: np.ndarray | None  # (H, those queries, k)
    attention: np.ndarray | None
    edges: Edges | None
    head_sum: np.ndarray  # (H,)
    head_max: np.ndarray
    head_abs: np.ndarray  # sum, not mean
    query_sum: np.ndarray  # (H, those queries)
    key_sum: np.ndarray  # (H, k)


def sites_of(
    call: Call, integral: Integral, axes: list[dict[str, Axis]], widths: dict[str, int], store: str
) -> list[Site]:
    """One Site an input, padding cut off; adds axes that have no tokens of their own."""
    count = call.query.shape[2]
    sides = [
        (*_axis(call, "query", count, of, widths), *_axis(call, "key", call.key.shape[2], of, widths))
        for of in axes
    ]
    parts: list[list[_Part]] = [[] for _ in axes]
    for block, attention, scores in integral.attention.scores(integral.mean):
        start = block.start or 0
        for i, (_, queries, _, keys) in enumerate(sides):
            if start < queries:
                inside = np.s_[i, :, : queries - start, :keys]
                parts[i].append(_part(_numpy(scores[inside]), _numpy(attention[inside]), start, store))
    return [
        _site(call, integral, i, parts[i], query_axis, key_axis, queries * keys, store)
        for i, (query_axis, queries, key_axis, keys) in enumerate(sides)
    ]


def _part(scores: np.ndarray, attention: np.ndarray, start: int, store: str) -> _Part:
    edges = None
    if store == "edges":
        edges = strongest(scores, attention, EDGES_PER_SITE)
        edges = Edges(edges.head, edges.query + np.int32(start), edges.key, edges.score, edges.attention)
    dense = store == "dense"
    return _Part(
        scores=scores if dense else None,
        attention=attention if dense else None,
        edges=edges,
        head_sum=scores.sum((1, 2)),
        head_max=scores.max((1, 2)),
        head_abs=np.abs(scores).sum((1, 2)),
        query_sum=scores.sum(2),
        key_sum=scores.sum(1),
    )


def _site(
    call: Call, integral: Integral, i: int, parts: list[_Part], query_axis: str, key_axis: str, size: int,
    store: str,
) -> Site:  # fmt: skip
    def gathered(name: str) -> list[np.ndarray]:
        return [getattr(part, name) for part in parts]

    dense, heads_only = store == "dense", store == "heads"
    return Site(
        name=call.name,
        kind=call.kind,
        n_heads=len(parts[0].head_sum),
        query_axis=query_axis,
        key_axis=key_axis,
        scores=np.concatenate(gathered("scores"), axis=1) if dense else None,
        attention=np.concatenate(gathered("attention"), axis=1) if dense else None,
        edges=_merged([part.edges for part in parts if part.edges is not None]) if store == "edges" else None,
        head_sum=np.sum(gathered("head_sum"), axis=0),
        head_max=np.max(gathered("head_max"), axis=0),
        head_abs=np.sum(gathered("head_abs"), axis=0) / size,
        query_sum=None if heads_only else np.concatenate(gathered("query_sum"), axis=1),
        key_sum=None if heads_only else np.sum(gathered("key_sum"), axis=0),
        baseline_output=float(integral.baseline_value[i]),
        completeness_gap=float(integral.gap[i]),
        error_estimate=float(integral.error[i]),
        n_steps=int(integral.n_steps[i]),
        converged=bool(integral.converged[i]),
        method="integral" if integral.integrated[i] else "gradient",
    )


def _merged(edges: list[Edges]) -> Edges:
    """The strongest of several blocks' strongest; ties in reading order."""
    if len(edges) == 1:
        return edges[0]
    columns = {field.name: np.concatenate([getattr(e, field.name) for e in edges]) for field in fields(Edges)}
    order = np.lexsort((columns["key"], columns["query"], columns["head"], -np.abs(columns["score"])))
    return Edges(**{name: column[order[:EDGES_PER_SITE]] for name, column in columns.items()})


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


def _numpy(tensor: Tensor) -> np.ndarray:
    wide = tensor if tensor.dtype == torch.float64 else tensor.float()
    return wide.detach().cpu().numpy().copy()
