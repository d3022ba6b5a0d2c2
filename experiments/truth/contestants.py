"""The contestants: each gives every edge of every input a number, whose size is its rank.

(attributor, inputs, others) -> for each input and site (H, q, k). others: the counterfactual of each input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from attattr import Attributor
from attattr.data.encoding import encode
from attattr.data.examples import as_examples
from attattr.engine.batch import Batch, opened
from attattr.engine.batches import collating
from attattr.engine.capture import Capture
from attattr.engine.resumed import Part
from attattr.engine.shortcuts import proven, taken
from attattr.targets import kinds

Scores = list[list[np.ndarray]]
NOTHING = 1e-12  # of what an edge carries: less cannot be told from rounding
TOKENS = 1 << 13  # of the inputs that are computed together


def attention(attributor: Attributor, inputs: Sequence[Any], others: Sequence[Any]) -> Scores:
    return [[site.attention for site in result.sites] for result in _clean(attributor, inputs)]


def norm(attributor: Attributor, inputs: Sequence[Any], others: Sequence[Any]) -> Scores:
    """A ‖v‖, of the value as it is written (Kobayashi et al. 2020)."""
    return [
        [(call.weights() * call.values.norm(dim=-1)[:, :, None])[0].numpy() for call in calls(batch)]
        for batch in each(attributor, inputs)
    ]


def gradient(attributor: Attributor, inputs: Sequence[Any], others: Sequence[Any]) -> Scores:
    """A ∂F/∂A where A is what it is."""
    return [[site.scores for site in result.sites] for result in _clean(attributor, inputs)]


def zero(attributor: Attributor, inputs: Sequence[Any], others: Sequence[Any]) -> Scores:
    return _integrated(attributor, inputs, "zero")


def uniform(attributor: Attributor, inputs: Sequence[Any], others: Sequence[Any]) -> Scores:
    return _integrated(attributor, inputs, "uniform")


def other(attributor: Attributor, inputs: Sequence[Any], others: Sequence[Any]) -> Scores:
    return _integrated(attributor, inputs, list(others))


def removal(attributor: Attributor, inputs: Sequence[Any], others: Sequence[Any]) -> Scores:
    """F less F with that edge at 0, nothing else changed. What carries nothing, or is not read, has 0."""
    found = []
    for batch in map(taken, map(proven, each(attributor, inputs))):
        scores = []
        for site, (call, places) in enumerate(zip(calls(batch), carrying(batch), strict=True)):
            size = call.weights().shape[1:]
            of = np.zeros(size)
            for part in np.array_split(places, 1 + len(places) * size[1] // TOKENS):
                if len(part):
                    of[tuple(part.T)] = float(batch.value) - _without(batch, site, part)
            scores.append(of)
        found.append(scores)
    return found


def chance(attributor: Attributor, inputs: Sequence[Any], others: Sequence[Any]) -> Scores:
    draw = np.random.default_rng(0)
    return [[draw.random(site.scores.shape) for site in r.sites] for r in _clean(attributor, inputs)]


CONTESTANTS: dict[str, Callable[..., Scores]] = {
    "attention": attention, "norm": norm, "gradient": gradient, "zero": zero, "uniform": uniform,
    "other": other, "removal": removal, "random": chance,
}  # fmt: skip


def _clean(attributor: Attributor, inputs: Sequence[Any]) -> Any:
    return attributor.attribute(list(inputs), method="riemann_right", n_steps=1)


def _integrated(attributor: Attributor, inputs: Sequence[Any], baseline: Any) -> Scores:
    results = attributor.attribute(list(inputs), baseline=baseline)
    return [[np.asarray(site.scores) for site in result.sites] for result in results]


def each(attributor: Attributor, inputs: Sequence[Any]) -> Any:
    """A batch of one for each input, inside its capture."""
    model, tokenizer = attributor.model, attributor.tokenizer
    for one in encode(model, tokenizer, as_examples(list(inputs))):
        with Capture(model) as capture, collating(model, tokenizer, [one]) as collate:
            wish = kinds.parse(None, None, model, tokenizer)
            yield opened(capture, tokenizer, collate, [one], [wish])[0]


def calls(batch: Batch) -> list[Any]:
    return [batch.recording.site(number) for number in batch.recording.sites]


def carrying(batch: Batch) -> list[np.ndarray]:
    """By site the (head, query, key) of the edges that carry something to where it is read, (E, 3)."""
    found = []
    for number, call in zip(batch.recording.sites, calls(batch), strict=True):
        carried = (call.weights() * call.values.norm(dim=-1)[:, :, None])[0] > NOTHING
        if number == len(batch.recording.calls) - 1 and batch.recording.read is not None:
            read = torch.zeros(carried.shape[1], dtype=torch.bool)
            read[batch.recording.read[0]] = True
            carried &= read[None, :, None]
        found.append(carried.nonzero().numpy())
    return found


@torch.no_grad()
def _without(batch: Batch, site: int, places: np.ndarray) -> np.ndarray:
    """F without each of these edges of a site."""
    number = batch.recording.sites[site]
    call = batch.recording.site(number)
    head, query, key = torch.from_numpy(places).T
    rows = torch.arange(len(places))
    context = call.context.repeat(len(places), 1, 1, 1)
    context[rows, query, head] -= call.weights()[0, head, query, key, None] * call.values[0, head, key]
    only = torch.zeros(len(places), dtype=torch.long)
    outputs = batch.capture.resume(batch.recording, batch.inputs, [Part(number, only, context)])
    return batch.objective(outputs, only).numpy()
