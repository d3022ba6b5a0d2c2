"""The edges by which a source is read: what their scores add up to; and a mask without the source's keys.

An edge counts if its key is of the source and its query is not, or is a position from which the span is
predicted. An edge within a source only moves what stands at its own positions, which counts where it is read.
Shapes: B spans, K sources, q queries, k keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attattr.data.encoding import Encoded
from attattr.engine.integral import Integral
from attattr.engine.recording import Call, Recording
from attattr.errors import UnsupportedModelError
from attattr.measure.masks import Mask
from attattr.result.generation import Source


@dataclass(frozen=True)
class Asked:
    """One span as an input of the engine."""

    encoded: Encoded
    sources: Sequence[tuple[str, tuple[int, ...]]]  # the axis and the positions of each source; maybe none
    axis: str  # that the span is predicted on
    predicting: range  # positions from which it is


@dataclass
class Sums:
    """What the edges to each source add up to, site by site, as the engine shows them."""

    spans: Sequence[Asked]
    found: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)  # span → site → (K,)

    def __call__(self, call: Call, integral: Integral, which: Sequence[int]) -> None:
        blocks = ((queries, scores) for queries, _, scores in integral.attention.scores(integral.mean))
        sums = read_from(call, [self.spans[i] for i in which], blocks)
        for row, i in enumerate(which):
            self.found.setdefault(i, {})[call.name] = sums[row].double().cpu().numpy()

    def score(self) -> np.ndarray:
        """(B, K), over all sites; NaN where a span has no such source."""
        every = np.array([np.sum(list(self.found[i].values()), axis=0) for i in range(len(self.spans))])
        there = np.array([[bool(positions) for _, positions in span.sources] for span in self.spans])
        return np.where(there, every, np.nan)


def asked_of(
    encoded: Encoded, axis: str, first: int, places: Sequence[tuple[int, int]], sources: Sequence[Source]
) -> list[Asked]:
    """The spans of a reply, each with the reply so far as its last source.

    axis, first: on which the reply is, and the position that predicts its first token. places: the number of
    each span's first token in the reply, and of the one behind its last.
    """
    given = [("input", source.tokens) for source in sources]
    return [
        Asked(
            encoded=encoded,
            sources=[*given, (axis, tuple(range(first + 1, first + 1 + a)))],
            axis=axis,
            predicting=range(first + a, first + b),
        )
        for a, b in places
    ]


def read_from(call: Call, spans: Sequence[Asked], blocks: Iterable[tuple[slice, Tensor]]) -> Tensor:
    """(B, K): what some numbers of edges add up to, over the edges of one site by which each source is read.

    blocks: queries, and the numbers of their edges (B, H, those queries, k).
    """
    query_axis, key_axis = axes_of(call, spans[0].encoded)
    keys = _members(call, spans, key_axis, call.key.shape[2])
    outside = torch.ones(*keys.shape[:2], call.query.shape[2], device=keys.device)
    if query_axis == key_axis:
        outside -= keys
        for row, span in enumerate(spans):
            if span.axis == query_axis:
                outside[row, :, list(span.predicting)] = 1
    sums = torch.zeros(keys.shape[:2], device=keys.device)
    for queries, numbers in blocks:
        read = numbers.sum(1) @ keys.to(numbers).transpose(1, 2)  # (B, those queries, K)
        sums = sums + (read * outside[:, :, queries].to(read).transpose(1, 2)).sum(1)
    return sums


def axes_of(call: Call, encoded: Encoded) -> tuple[str, str]:
    """The axes of a call's queries and keys.

    Raises:
        UnsupportedModelError: they are no tokens.
    """
    decoder = "output" if "output" in encoded.axes and call.kind != "encoder_self" else "input"
    axes = decoder, decoder if call.kind == "decoder_self" else "input"
    for axis, length in zip(axes, (call.query.shape[2], call.key.shape[2]), strict=True):
        if length != len(encoded.axes[axis].tokens):
            raise UnsupportedModelError(
                f"the attention of {call.name} runs over {length} positions that are not the "
                f"{len(encoded.axes[axis].tokens)} tokens: no source can be found among them"
            )
    return axes


def _members(call: Call, spans: Sequence[Asked], axis: str, length: int) -> Tensor:
    """(B, K, length): 1 where a token on that axis is of the source."""
    found = torch.zeros(len(spans), len(spans[0].sources), length, device=call.query.device)
    for row, span in enumerate(spans):
        for k, (of, positions) in enumerate(span.sources):
            if of == axis:
                found[row, k, list(positions)] = 1
    return found


def without(recording: Recording, encoded: Encoded, axis: str, positions: Sequence[int]) -> Mask:
    """No query looks at these tokens, at any site, in any head."""
    keys: dict[int, Any] = {}  # arrays or tensors
    for site, number in enumerate(recording.sites):
        call = recording.site(number)
        if axes_of(call, encoded)[1] == axis:
            kept = torch.ones(call.key.shape[2], device=call.query.device)
            kept[list(positions)] = 0
            keys[site] = kept
    return Mask(keys=keys)
