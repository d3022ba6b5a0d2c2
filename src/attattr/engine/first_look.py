"""A first look: gradient × attention at every site from one backward, and the integral where it matters most.

    (A − A⁰) ⊙ (∂F/∂C Vᵀ) at the clean C, which is the right Riemann sum of one node

The gap is measured all the same: F(A⁰) is one forward a site. Source of what it stands in for: integral.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from attattr.engine.batch import Batch
from attattr.engine.integral import AttentionBlocks, Integral, Steps, integrate_site
from attattr.engine.options import Options
from attattr.engine.quadrature import fixed
from attattr.engine.recording import Call


def chosen(
    batch: Batch, sites: Sequence[int], options: Options, start: Callable[[int], str | Call]
) -> dict[int, Tensor]:
    """By site, the numbers of the inputs that it is integrated for: all, but under a first look.

    Then of each input the `refine` sites whose gradient × attention adds up to the most, either way.
    start: the baseline of a site.
    """
    every = torch.arange(len(batch.value))
    if options.method != "gradient" or not options.refine:
        return dict.fromkeys(sites, every if options.method != "gradient" else every[:0])
    sums = torch.stack([_sum(batch, number, start(number)) for number in sites])  # (sites, B)
    order = sums.nan_to_num().abs().argsort(dim=0, descending=True, stable=True)
    first = order[: options.refine]
    return {number: every[(first == place).any(0)] for place, number in enumerate(sites)}


def _sum(batch: Batch, number: int, baseline: str | Call) -> Tensor:
    gradient = batch.clean_gradients.get(number)
    if gradient is None:
        return torch.zeros(len(batch.value), dtype=batch.value.dtype)
    blocks = AttentionBlocks(batch.recording.site(number), baseline).scores(gradient)
    return torch.stack([scores.sum((1, 2, 3)) for _, _, scores in blocks]).sum(0).cpu()


def looked_at(batch: Batch, number: int, which: Tensor, options: Options, baseline: str | Call) -> Steps:
    """One site: the integral for the inputs in `which`, gradient × attention for the others."""
    integrate = partial(integrate_site, batch, number, tol=options.tol, baseline=baseline)
    if len(which) == len(batch.value):
        return (yield from integrate(stages=options.stages))
    quick = yield from integrate(stages=(fixed("riemann_right", 1),))
    quick = replace(quick, integrated=torch.zeros_like(quick.integrated))
    if not len(which):
        return quick
    deep = yield from integrate(stages=options.stages, which=which)
    merged: dict[str, Any] = {}
    for field in fields(Integral):
        one, other = getattr(quick, field.name), getattr(deep, field.name)
        if isinstance(one, Tensor):
            index = which.to(one.device)
            merged[field.name] = one.index_copy(0, index, other[index])
    return replace(quick, **merged)
