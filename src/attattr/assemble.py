"""One input's part of a site's integral, as the Site of its result: numpy, without padding."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from attattr.capture import Call
from attattr.integrate import Integral
from attattr.result import Axis, Site, strongest

EDGES_PER_SITE = 256  # kept under store="edges"


def site_of(
    call: Call, integral: Integral, i: int, axes: dict[str, Axis], widths: dict[str, int], store: str
) -> Site:
    """Input i's part of a site's integral, padding cut off; adds axes that have no tokens of their own."""
    query_axis, queries = _axis(call, "query", call.query.shape[2], axes, widths)
    key_axis, keys = _axis(call, "key", call.key.shape[2], axes, widths)
    scores = _numpy(integral.scores[i, :, :queries, :keys])
    attention = _numpy(integral.attention[i, :, :queries, :keys])
    heads_only = store == "heads"
    return Site(
        name=call.name,
        kind=call.kind,
        n_heads=len(scores),
        query_axis=query_axis,
        key_axis=key_axis,
        scores=scores if store == "dense" else None,
        attention=attention if store == "dense" else None,
        edges=strongest(scores, attention, EDGES_PER_SITE) if store == "edges" else None,
        head_sum=scores.sum((1, 2)),
        head_max=scores.max((1, 2)),
        head_abs=np.abs(scores).mean((1, 2)),
        query_sum=None if heads_only else scores.sum(2),
        key_sum=None if heads_only else scores.sum(1),
        baseline_output=float(integral.baseline_value[i]),
        completeness_gap=float(integral.gap[i]),
        error_estimate=float(integral.error[i]),
        n_steps=int(integral.n_steps[i]),
        converged=bool(integral.converged[i]),
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


def _numpy(tensor: Tensor) -> np.ndarray:
    wide = tensor if tensor.dtype == torch.float64 else tensor.float()
    return wide.detach().cpu().numpy().copy()
