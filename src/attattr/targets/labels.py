"""Targets of a token classifier: the label of one token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from attattr.data.encoding import Encoded
from attattr.errors import InputError, UnsupportedModelError
from attattr.result.values import Prediction
from attattr.targets import places
from attattr.targets.classes import filled, is_whole, likeliest, named, names_of, output_of
from attattr.targets.objective import Wish

OUTSIDE = "O"  # the label of what is no entity


def parse(target: Any, output: str | None, model: PreTrainedModel, tokenizer: Any) -> Wish:
    """(position or word, label), where the label may be a pair of labels, their difference, or None, the
    predicted one; as a text "word:label". A position or word alone: its predicted label."""
    names = names_of(model)
    place, label = _split(target, names) if isinstance(target, str) else (target, None)
    if isinstance(target, tuple):
        if len(target) != 2:
            raise InputError("the target of a token classifier is (position or word, label)")
        place, label = target
    if not (place is None or isinstance(place, str) or is_whole(place)):
        raise InputError(f"the target of a token classifier is (position or word, label), not {target!r}")
    index, text, kind = named(label, names)
    place = int(place) if is_whole(place) else place
    return Wish(
        kind or "label", index, text, output_of(output, "logit" if kind else "probability"), place=place
    )


def _split(target: str, names: Sequence[str]) -> tuple[int | str, str | None]:
    """ "Paris:LOC" or "3:LOC" at the colon that a label follows; digits alone are a position."""
    known = {name.lower() for name in names}
    colons = [i for i, character in enumerate(target) if character == ":" and target[:i].strip()]
    cut = next((i for i in reversed(colons) if target[i + 1 :].strip().lower() in known), None)
    word, label = (target, None) if cut is None else (target[:cut], target[cut + 1 :].strip())
    if cut is None and colons and not word.strip().isdigit():
        raise InputError(f"no label in '{target}': give WORD:LABEL, with a label of {', '.join(names)}")
    return int(word) if word.strip().isdecimal() else word.strip(), label


def placed(wish: Wish, encoded: Encoded, tokenizer: Any) -> Wish:
    axis = places.first_of(encoded)
    return wish if wish.place is None else replace(wish, place=places.at(axis, wish.place))


def answered(
    wish: Wish, scores: Tensor, encoded: Encoded, model: PreTrainedModel, tokenizer: Any
) -> tuple[Wish, Prediction]:
    names = names_of(model)
    if (
        scores.ndim != 2
        or scores.shape[1] != len(names)
        or len(scores) < len(places.first_of(encoded).tokens)
    ):
        raise UnsupportedModelError(
            f"a {type(model).__name__} gives logits of {' × '.join(map(str, scores.shape))} an input, not "
            f"one for each token and each of its {len(names)} labels: explain a function of them"
        )
    probabilities = scores.softmax(-1)
    place = wish.place if isinstance(wish.place, int) else _surest(probabilities, encoded, names)
    prediction = replace(likeliest(probabilities[place], names), position=place)
    return filled(replace(wish, place=place), prediction, place), prediction


def _surest(probabilities: Tensor, encoded: Encoded, names: Sequence[str]) -> int:
    """The token, first of its word, whose predicted label is the most certain one that is not "O"; where
    all are "O", the most certain of all."""
    axis = places.first_of(encoded)
    among = [i for i in range(len(axis.tokens)) if places.begins_word(axis, i)] or [0]
    best, label = probabilities[among].max(-1)
    named = [k for k, i in enumerate(label.tolist()) if names[i] != OUTSIDE] or list(range(len(among)))
    return among[max(named, key=lambda k: float(best[k]))]
