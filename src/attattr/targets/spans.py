"""Targets of a model that answers questions with a span of a text: where it starts, ends, or both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attattr.data.encoding import Encoded
from attattr.errors import InputError, UnsupportedModelError
from attattr.result.values import Axis, Prediction
from attattr.targets import places
from attattr.targets.classes import is_whole, output_of
from attattr.targets.objective import Wish

ENDS = ("start", "end", "span")
LISTED = 10  # answers of a prediction
ANSWERS = 'the target of a question is "start", "end", "span", (start, end) or the answer\'s text'


def parse(target: Any, output: str | None, model: PreTrainedModel, tokenizer: Any) -> Wish:
    """ "start", "end" or "span" of the predicted answer (None: span); (start, end), as a text "start..end",
    or the answer's text: that span; ("start", position), ("end", position): that token."""
    kind, place = "span", None
    index: tuple[int, ...] = ()
    if isinstance(target, str):
        kind, place = (target, None) if target in ENDS else ("span", target)
        if place and (given := re.fullmatch(r"(\d+)\.\.(\d+)", place)):
            index, place = (int(given[1]), int(given[2])), None
    elif isinstance(target, tuple) and len(target) == 2 and is_whole(target[1]):
        if is_whole(target[0]):
            index = (int(target[0]), int(target[1]))
        elif target[0] in ENDS[:2]:
            kind, index = target[0], (int(target[1]),)
        else:
            raise InputError(ANSWERS)
    elif target is not None:
        raise InputError(ANSWERS)
    output = output_of(output, "log_probability" if kind == "span" else "probability")
    return Wish(kind, index, "", output, place=place)


def placed(wish: Wish, encoded: Encoded, tokenizer: Any) -> Wish:
    axis = places.first_of(encoded)
    index: tuple[int, ...] = tuple(places.at(axis, position) for position in wish.index)
    if isinstance(wish.place, str):
        found = places.find(axis, wish.place, 1 if 1 in axis.segments else None)
        index = places.only(axis, wish.place, found, "spans FIRST..LAST")
    if len(index) == 2 and index[0] > index[1]:
        raise InputError(f"an answer from token {index[0]} to token {index[1]} ends before it starts")
    return replace(wish, index=index, label=_text(axis, index, tokenizer, encoded)) if index else wish


def answered(
    wish: Wish, scores: Tensor, encoded: Encoded, model: PreTrainedModel, tokenizer: Any
) -> tuple[Wish, Prediction]:
    axis = places.first_of(encoded)
    width = len(axis.tokens)
    if scores.ndim != 2 or len(scores) < width or scores.shape[1] != 2:
        raise UnsupportedModelError(
            f"a {type(model).__name__} gives no logits of starts and ends for every token: explain a "
            "function of its outputs"
        )
    best = _likeliest(scores[:width].double().log_softmax(0), axis)
    texts: dict[str, float] = {}
    for span, chance in best:  # one text may stand in several places: the likelier stays
        texts.setdefault(_text(axis, span, tokenizer, encoded), chance)
    (start, end), chance = best[0]
    if not wish.index:
        index = {"start": (start,), "end": (end,)}.get(wish.kind, (start, end))
        wish = replace(wish, index=index, label=_text(axis, index, tokenizer, encoded))
    at = {"start": (0,), "end": (1,)}.get(wish.kind, (0, 1))
    return replace(wish, at=at, width=width), Prediction(next(iter(texts)), start, chance, texts)


def _likeliest(logs: Tensor, axis: Axis) -> list[tuple[tuple[int, int], float]]:
    """The likeliest spans of the second text (of the first, where it is alone) that do not end before they
    start, and their probabilities; logs: (n, 2)."""
    second = 1 if 1 in axis.segments else 0
    inside = [i for i, of in enumerate(axis.segments) if of == second] or list(range(len(axis.tokens)))
    sums = logs[inside, 0][:, None] + logs[inside, 1][None]
    sums = sums.masked_fill(torch.ones_like(sums, dtype=torch.bool).tril(-1), -torch.inf)
    count = min(LISTED, len(inside) * (len(inside) + 1) // 2)
    top = sums.flatten().topk(count)
    spans = [divmod(i, len(inside)) for i in top.indices.tolist()]
    return [((inside[a], inside[b]), p) for (a, b), p in zip(spans, top.values.exp().tolist(), strict=True)]


def _text(axis: Axis, span: Sequence[int], tokenizer: Any, encoded: Encoded) -> str:
    """The tokens from the first to the last of a span as a text."""
    if not span:
        return ""
    ids = encoded.features["input_ids"][span[0] : span[-1] + 1]
    if hasattr(tokenizer, "decode"):
        return tokenizer.decode([int(i) for i in ids]).strip()
    return " ".join(axis.tokens[span[0] : span[-1] + 1])
