"""Targets of a masked language model: the token under one of the input's masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from attattr.data.encoding import Encoded
from attattr.errors import InputError
from attattr.result.values import Prediction
from attattr.targets import places
from attattr.targets.classes import filled, is_whole, output_of
from attattr.targets.objective import Wish, wide
from attattr.targets.tokens import difference, likeliest, token


def parse(target: Any, output: str | None, model: PreTrainedModel, tokenizer: Any) -> Wish:
    """A token by its id or text, or a pair of texts, their difference; with several masks (position, that),
    as a text "position:token"."""
    place = None
    if isinstance(target, str):
        before, colon, word = target.partition(":")
        if colon and word and before.isdecimal():
            target = (int(before), word)
    if isinstance(target, tuple) and len(target) == 2 and is_whole(target[0]):
        place, target = int(target[0]), target[1]
    if isinstance(target, tuple):
        index, label = difference(target, model, tokenizer)
        return Wish("difference", index, label, output_of(output, "logit"), place=place)
    index, label = ((), "") if target is None else token(target, model, tokenizer)
    if len(index) > 1:
        raise InputError(f"'{label}' is {len(index)} tokens, and a mask stands for one")
    return Wish("mask", index, label, output_of(output, "probability"), place=place)


def placed(wish: Wish, encoded: Encoded, tokenizer: Any) -> Wish:
    axis = places.first_of(encoded)
    place = None if wish.place is None else places.at(axis, wish.place)
    mask = getattr(tokenizer, "mask_token_id", None)
    if mask is None:
        if place is None:
            raise InputError(
                "which token is the mask is not known without a tokenizer: give (position, token)"
            )
        return replace(wish, place=place)
    masks = [i for i, token in enumerate(encoded.features["input_ids"]) if token == mask]
    listed = ", ".join(map(str, masks))
    if not masks:
        raise InputError(f"there is no mask in the input: put {tokenizer.mask_token} in a word's place")
    if place is not None and place not in masks:
        raise InputError(f"token {place} is no mask: there is one at {listed}")
    if place is None and wish.index and len(masks) > 1:
        raise InputError(f"there are masks at {listed}: give (position, token), or POSITION:TOKEN")
    return replace(wish, place=masks[0] if place is None else place)


def answered(
    wish: Wish, scores: Tensor, encoded: Encoded, model: PreTrainedModel, tokenizer: Any
) -> tuple[Wish, Prediction]:
    assert isinstance(wish.place, int)
    prediction = replace(likeliest(wide(scores[wish.place]).softmax(-1), tokenizer), position=wish.place)
    return filled(wish, prediction, wish.place), prediction
