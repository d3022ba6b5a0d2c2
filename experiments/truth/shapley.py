"""Shapley values of edges, by sampled permutations: what an edge adds, averaged over all orders of coming in.

Players are the edges that carry something to where it is read; all others add nothing in any order. An edge
that is not there is at 0, and nothing else is changed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from attattr import Attributor
from attattr.engine.batch import Batch
from attattr.engine.shortcuts import proven, taken
from truth.contestants import calls, carrying, each

ROWS = 512  # coalitions computed together
MOST = 62  # players: a coalition is a number


def values(attributor: Attributor, one: Any, permutations: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The players (site, head, query, key), (P, 4), and the Shapley value of each, (P,)."""
    (batch,) = each(attributor, [one])
    with batch.capture:
        batch = taken(proven(batch))
        players = np.concatenate(
            [
                np.column_stack([np.full(len(places), site), places])
                for site, places in enumerate(carrying(batch))
            ]
        )
        count = len(players)
        if count > MOST:
            raise ValueError(f"{count} players, {MOST} at most: give a shorter input")
        draw = np.random.default_rng(seed)
        orders = draw.permuted(np.tile(np.arange(count), (permutations, 1)), axis=1)
        coalitions = np.zeros((permutations, count + 1), np.int64)
        coalitions[:, 1:] = np.cumsum(np.int64(1) << orders, axis=1)
        different, which = np.unique(coalitions, return_inverse=True)
        outputs = _outputs(batch, players, different)[which.reshape(coalitions.shape)]
    found = np.zeros(count)
    np.add.at(found, orders, np.diff(outputs, axis=1))
    return players, found / permutations


@torch.no_grad()
def _outputs(batch: Batch, players: np.ndarray, coalitions: np.ndarray) -> np.ndarray:
    """F with the players of each coalition alone."""
    found = []
    sizes = [call.weights().shape[1:] for call in calls(batch)]
    sites = {number: site for site, number in enumerate(batch.recording.sites)}
    for some in np.array_split(coalitions, 1 + len(coalitions) // ROWS):
        there = torch.from_numpy((some[:, None] >> np.arange(len(players)) & 1).astype(float))
        kept = [torch.zeros(len(some), *size, dtype=torch.float64) for size in sizes]
        for site, factor in enumerate(kept):
            own = players[:, 0] == site
            head, query, key = players[own, 1:].T
            factor[:, head, query, key] = there[:, own]

        def change(number, context, weights, values, *, kept=kept):
            return ((weights * kept[sites[number]]) @ values).transpose(1, 2)

        inputs = {name: value.expand(len(some), -1) for name, value in batch.inputs.items()}
        outputs = batch.capture.edit(batch.recording.ways, inputs, change)
        found.append(batch.objective(outputs, torch.zeros(len(some), dtype=torch.long)).numpy())
    return np.concatenate(found)
