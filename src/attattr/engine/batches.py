"""Which inputs are computed together: the memory budget, padding, and what happens without memory."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attattr.data.encoding import Encoded, collate
from attattr.engine import memory
from attattr.engine.batch import Collate
from attattr.engine.capture import Capture
from attattr.engine.memory import out_of_memory
from attattr.engine.room import budget_of, length, of_gradients, room_for, square, width
from attattr.errors import InputError
from attattr.models.place import input_device
from attattr.targets.objective import told

if TYPE_CHECKING:
    from attattr.engine.options import Options


def plan(encoded: list[Encoded], model: PreTrainedModel, options: Options) -> list[list[int]]:
    """Inputs of like length together, as many as the memory budget holds with their first nodes."""
    nodes = max(1, options.stages[0].passes)  # rows are inputs × nodes of the first rule
    batches: list[list[int]] = []
    kinds: list[tuple] = []
    times = Counter(map(id, encoded))
    for i in sorted(range(len(encoded)), key=lambda i: (length(encoded[i]), i)):
        room = room_for(model, [encoded[i]], options.memory_budget, options.internal_batch_size)
        most, kind = room.rows // nodes, _shapes(encoded[i])
        budget = budget_of(model, options.memory_budget)
        if times[id(encoded[i])] > 1:  # one input with several targets is recorded once for all of them
            most, kind = budget // (2 * of_gradients(model, length(encoded[i]))), (id(encoded[i]),)
        elif options.internal_batch_size is None:
            most = min(most, budget // square(model, length(encoded[i])))
        most = max(1, most)
        if batches and kinds[-1] == kind and len(batches[-1]) < most:
            batches[-1].append(i)
        else:
            batches.append([i])
            kinds.append(kind)
    return batches


def check_room(encoded: list[Encoded], model: PreTrainedModel, options: Options) -> None:
    """Scores that the machine cannot hold are refused before hours of work, not after."""
    wanted, there = _dense_bytes(encoded, model, options), memory.of_machine()
    if wanted > there / 2:
        longest = max(map(length, encoded))
        raise InputError(
            f"store='dense' would keep {wanted / 1e9:,.1f} GB of scores ({len(encoded):,} inputs of up "
            f"to {longest:,} tokens), this machine has {there / 1e9:,.1f} GB: use store='edges', which keeps "
            "the strongest edges and the sums"
        )


def _dense_bytes(encoded: list[Encoded], model: PreTrainedModel, options: Options) -> int:
    """What store="dense" keeps of these inputs: scores and attention of every edge."""
    layers = width(model, "num_hidden_layers", 12) if options.layers is None else len(options.layers)
    if options.layers is None and model.config.is_encoder_decoder:
        layers *= 3  # of the encoder, the decoder, and between them
    each = layers * width(model, "num_attention_heads", 12) * 2 * max(4, model.dtype.itemsize)
    return sum(each * length(e) ** 2 for e in encoded)


def _shapes(encoded: Encoded) -> tuple:
    """What has to be equal for two inputs to stand in one batch."""
    return tuple(
        (name, tuple(value.shape) if isinstance(value, Tensor) and value.ndim > 1 else None)
        for name, value in sorted(encoded.features.items())
    )


def by_length(encoded: Sequence[Encoded], size: int) -> list[list[int]]:
    """Numbers of the inputs in batches of at most so many, the shortest first."""
    order = sorted(range(len(encoded)), key=lambda i: (length(encoded[i]), i))
    return [order[i : i + size] for i in range(0, len(order), size)]


def joined(batches: Sequence[list[int]], inputs: int) -> list[list[list[int]]]:
    """Batches one after the other in shares of so many inputs, or a batch more: the same ones every time.

    >>> joined([[2, 0], [1], [3, 4]], 3)
    [[[2, 0], [1]], [[3, 4]]]
    """
    shares: list[list[list[int]]] = []
    for batch in batches:
        if not shares or sum(map(len, shares[-1])) >= inputs:
            shares.append([])
        shares[-1].append(batch)
    return shares


@contextlib.contextmanager
def collating(model: PreTrainedModel, tokenizer: Any, encoded: Sequence[Encoded]) -> Iterator[Collate]:
    """Inside of the `with`, a function that makes one batch of any of these inputs, on the model's device and
    padded as the model knows it."""
    device = input_device(model)
    with _pad_token(model, tokenizer, encoded) as pad:
        yield lambda some: collate(some, pad, device)


@contextlib.contextmanager
def _pad_token(model: PreTrainedModel, tokenizer: Any, encoded: Sequence[Encoded]) -> Iterator[int]:
    """The id to pad with (its mask is 0 everywhere).

    A decoder without one gets its end-of-text, or where an input itself ends in that, an id that no
    input has: decoder classifiers look for the last token that is not padding.
    """
    used = {int(token) for e in encoded for token in e.features.get("input_ids", ())}
    own = getattr(model.config.get_text_config(), "pad_token_id", None)
    if own is not None or not used:
        yield own or 0
        return
    wanted = getattr(tokenizer, "pad_token_id", None)
    if wanted is None:
        wanted = getattr(tokenizer, "eos_token_id", None)
    if wanted is None or wanted in used:
        wanted = next(token for token in range(len(used) + 1) if token not in used)
    configs = {id(config): config for config in (model.config, model.config.get_text_config())}.values()
    before = [(config, getattr(config, "pad_token_id", None)) for config in configs]
    try:
        for config in configs:
            config.pad_token_id = wanted
        yield wanted
    finally:
        for config, value in before:
            config.pad_token_id = value


def check_padding(capture: Capture, batches: list[list[Encoded]], collate: Collate) -> None:
    """Warn where the first padded batch's shortest input is answered otherwise when it stands alone."""
    for batch in batches:
        shortest = min(range(len(batch)), key=lambda i: length(batch[i]))
        if length(batch[shortest]) == max(map(length, batch)):
            continue
        found = []
        try:
            for group, i in ((batch, shortest), ([batch[shortest]], 0)):
                found.append(told(capture.record(collate(group)).outputs)[i].float())
        except (RuntimeError, MemoryError) as error:
            if out_of_memory(error):
                return  # the batch will be computed in halves
            raise
        together, alone = found
        together = together[: len(alone)] if alone.ndim > 1 else together
        off = float((together - alone).abs().max())
        if off > max(1e-5, 10 * torch.finfo(capture.model.dtype).eps * float(alone.abs().max())):
            warnings.warn(
                f"padding moves this model's logits by {off:.1e}: attribute inputs one at a time to be exact",
                stacklevel=3,
            )
        return
