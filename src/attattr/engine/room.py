"""How much is computed at a time: the memory budget, and what is calculated to take how much of it.

All from the widths in the config and the device's total memory, never from what happens to be free, so that
the same call is cut the same way every time. Lengths in tokens, sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from attattr.data.encoding import Encoded
from attattr.engine.recording import BLOCK
from attattr.models.place import input_device

ON_CPU = 4 << 30  # the budget there
SHARE = 4  # on a device with memory of its own, the budget is a quarter of it
CACHED = 48 << 20  # bytes of one layer's activations on a CPU: beyond its caches it is a fifth slower


@dataclass(frozen=True)
class Room:
    """How a batch is computed."""

    rows: int  # of one forward and backward
    checkpoint: bool = False  # a block's activations are computed again on the way back, instead of kept


ONE = Room(1)


@dataclass(frozen=True)
class Needs:
    """What attributing one input with store="edges" holds at its widest, as calculated."""

    weights: int
    recorded: int  # queries, keys, values, contexts of all layers, and the mask
    gradients: int  # ∂F/∂C of all sites, and what a site's integral adds up
    passing: int  # one forward and backward
    logits: int  # of the clean forward, before all but what is recorded
    edges: int  # attention, scores and what leads to them, of one block of queries
    checkpoint: bool

    @property
    def total(self) -> int:
        later = self.gradients + self.passing + self.edges
        return self.weights + self.recorded + max(later, self.logits)


def length(encoded: Encoded) -> int:
    return max((len(axis.tokens) for axis in encoded.axes.values()), default=1)


def budget_of(model: PreTrainedModel, asked: int | None = None) -> int:
    """Bytes that activations may take: as asked for, else a share of the device's memory, or ON_CPU."""
    if asked is not None:
        return asked
    device = input_device(model)
    try:
        facts: Any = getattr(torch, device.type).get_device_properties(device)
        return facts.total_memory // SHARE
    except (AttributeError, RuntimeError, AssertionError):  # a device that does not tell
        return ON_CPU


def room_for(
    model: PreTrainedModel, encoded: Sequence[Encoded], budget: int | None = None, rows: int | None = None
) -> Room:
    """Rows that fit the budget, each with all it saves for its backward; where not even one does, those that
    fit when only the blocks' outputs are kept.

    rows: so many are asked for, whatever fits.
    """
    n = max(map(length, encoded))
    most = budget_of(model, budget)
    whole = _row(model, n, False)
    checkpoint = whole > most
    if rows is not None:
        return Room(rows, checkpoint)
    fitting = most // (_row(model, n, True) if checkpoint else whole)
    if input_device(model).type == "cpu":
        fitting = min(fitting, CACHED // (_a_token(model, max(4, model.dtype.itemsize)) * n))
    return Room(max(1, fitting), checkpoint)


def needs(model: PreTrainedModel, n: int, budget: int | None = None) -> Needs:
    """What an input of n tokens is calculated to need, with one row at a time or as many as fit."""
    whole, most = _row(model, n, False), budget_of(model, budget)
    row = _row(model, n, whole > most)
    item, wide = _item(model), max(4, model.dtype.itemsize)
    of = _shape(model)
    recorded = of.layers * n * item * (2 * of.heads * of.head + 2 * of.few * of.head + of.hidden)
    block = min(max(BLOCK, of.heads * n * item), of.heads * n * n * item)
    return Needs(
        weights=sum(parameter.nbytes for parameter in model.parameters()),
        recorded=recorded + n * n * item,
        gradients=of_gradients(model, n),
        passing=row,
        logits=n * width(model, "vocab_size", 1) * item if model.can_generate() else 0,
        edges=6 * block * wide // item,
        checkpoint=whole > most,
    )


def of_gradients(model: PreTrainedModel, n: int) -> int:
    """Of one target: ∂F/∂C of all sites, and what a site's integral adds up (six sums and their like)."""
    of = _shape(model)
    return (of.layers + 12) * n * of.heads * of.head * max(4, model.dtype.itemsize)


def longest_kept(model: PreTrainedModel, budget: int | None = None) -> int:
    """Tokens up to which one row fits the budget with all that it saves."""
    return budget_of(model, budget) // _row(model, 1, False)


def square(model: PreTrainedModel, n: int) -> int:
    """What is kept of one site of one input at a time: attention, scores and their differences."""
    return 4 * 4 * _shape(model).heads * n * n


def _row(model: PreTrainedModel, n: int, checkpoint: bool) -> int:
    """What one row saves for its backward."""
    of, of_layer = _shape(model), _a_token(model, _item(model)) * n
    if not checkpoint:
        return of.layers * of_layer
    return of.layers * of.hidden * _item(model) * n + 2 * of_layer  # its gradients beside it


def _a_token(model: PreTrainedModel, item: int) -> int:
    of = _shape(model)
    return (8 * of.hidden + 3 * of.inner) * item


def _item(model: PreTrainedModel) -> int:
    return max(2, model.dtype.itemsize)  # nothing is computed in what weights of 8 bits are kept in


class _Shape(NamedTuple):
    hidden: int
    inner: int
    layers: int
    heads: int
    head: int  # numbers of each
    few: int  # key-value heads


def _shape(model: PreTrainedModel) -> _Shape:
    hidden, heads = width(model, "hidden_size", 768), width(model, "num_attention_heads", 12)
    return _Shape(
        hidden=hidden,
        inner=width(model, "intermediate_size", 4 * hidden),
        layers=width(model, "num_hidden_layers", 12),
        heads=heads,
        head=width(model, "head_dim", max(1, hidden // heads)),
        few=width(model, "num_key_value_heads", heads),
    )


def width(model: PreTrainedModel, name: str, default: int) -> int:
    """A number of the config of the model's text."""
    try:
        value = getattr(model.config.get_text_config(), name, None)
    except Exception:  # transformers' own: the layers differ in it, and the whole has no value
        return default
    return value if isinstance(value, int) and value > 0 else default
