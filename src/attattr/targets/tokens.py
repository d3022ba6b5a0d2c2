"""Targets of a model that predicts tokens: the next one, a continuation, or the one under a mask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from attattr.data.encoding import Encoded
from attattr.errors import InputError
from attattr.result.values import Axis, Prediction
from attattr.targets.classes import filled, is_whole, output_of, pair
from attattr.targets.objective import Wish, wide

LISTED = 10  # how many tokens a prediction lists


def parse(target: Any, output: str | None, model: PreTrainedModel, tokenizer: Any) -> Wish:
    """A token by its id or text, a text of several (a continuation), a pair of tokens: their difference."""
    if isinstance(target, tuple):
        index, label = difference(target, model, tokenizer)
        return Wish("difference", index, label, output_of(output, "logit"))
    index, label = ((), "") if target is None else token(target, model, tokenizer)
    if len(index) > 1:
        if output == "logit":
            raise InputError(
                f"'{label}' is {len(index)} tokens: its output is log_probability or probability"
            )
        return Wish("continuation", index, label, output_of(output, "log_probability"))
    return Wish("token", index, label, output_of(output, "probability"))


def difference(target: tuple, model: PreTrainedModel, tokenizer: Any) -> tuple[tuple[int, ...], str]:
    (first, label), (second, against) = (token(item, model, tokenizer) for item in pair(target))
    if len(first) != 1 or len(second) != 1:
        raise InputError("the two sides of a difference must be one token each")
    return first + second, f"{label} - {against}"


def token(target: Any, model: PreTrainedModel, tokenizer: Any) -> tuple[tuple[int, ...], str]:
    """The ids of a token id, or of a text, and what they are called."""
    if is_whole(target):
        size = model.get_output_embeddings().weight.shape[0]
        if not 0 <= target < size:
            raise InputError(f"token {target} is out of range: the vocabulary has {size} entries")
        return (int(target),), _decode(tokenizer, int(target))
    if isinstance(target, str) and tokenizer is not None:
        ids = tuple(tokenizer(target, add_special_tokens=False)["input_ids"])
        if ids:
            return ids, target
    raise InputError(f"target {target!r} is not a token id or a text of at least one token")


def placed(wish: Wish, encoded: Encoded, tokenizer: Any) -> Wish:
    return wish


def extend(encoded: Encoded, wish: Wish, tokenizer: Any) -> Encoded:
    """The input with all tokens of a continuation but the last behind it (teacher forcing), unless they
    are there and the wish says where."""
    added = list(wish.index[:-1]) if wish.kind == "continuation" and not wish.at else []
    if not added:
        return encoded
    name, axis = ("input_ids", "input")
    if "decoder_input_ids" in encoded.features:
        name, axis = ("decoder_input_ids", "output")
    length = len(encoded.features[name])
    features = dict(encoded.features)
    beside = {} if name == "decoder_input_ids" else {"attention_mask": 1, "token_type_ids": 0}
    for key, fill in {name: None, **beside}.items():
        if key in features:
            more = added if fill is None else [fill] * len(added)
            features[key] = [int(value) for value in features[key]] + more
    if "position_ids" in features and axis == "input":
        features["position_ids"] = [*features["position_ids"], *range(length, length + len(added))]
    old = encoded.axes[axis]
    axes = {
        **encoded.axes,
        axis: Axis(
            tokens=old.tokens + tuple(tokenizer.decode([token]) for token in added),
            segments=old.segments + (1,) * len(added),
            words=old.words + (None,) * len(added),
            special=old.special + (False,) * len(added),
        ),
    }
    return replace(encoded, features=features, axes=axes)


def read_length(encoded: Encoded) -> int:
    """Tokens of the side that F is read from, given padding at its end not counted."""
    features = encoded.features
    if "decoder_input_ids" in features:
        return len(features["decoder_input_ids"])
    mask = [int(value) for value in features.get("attention_mask", ())]
    return len(mask) - mask[::-1].index(1) if 1 in mask else len(features.get("input_ids", ()))


def answered(
    wish: Wish, scores: Tensor, encoded: Encoded, model: PreTrainedModel, tokenizer: Any
) -> tuple[Wish, Prediction]:
    steps = len(wish.index) if wish.kind == "continuation" else 1
    first = wish.at[0] if wish.at else read_length(encoded) - steps
    prediction = likeliest(wide(scores[first]).softmax(-1), tokenizer)
    wish = filled(wish, prediction, first)
    if steps > 1:
        wish = replace(wish, at=tuple(range(first, first + steps)))
    return wish, prediction


def likeliest(probabilities: Tensor, tokenizer: Any) -> Prediction:
    top = probabilities.topk(min(LISTED, len(probabilities)))
    # two ids may decode to the same text (bytes of one character): the first, likelier one stays
    listed: dict[str, float] = {}
    for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True):
        listed.setdefault(_decode(tokenizer, i), p)
    index = int(top.indices[0])
    return Prediction(_decode(tokenizer, index), index, float(probabilities[index]), listed)


def _decode(tokenizer: Any, token: int) -> str:
    return tokenizer.decode([token]) if hasattr(tokenizer, "decode") else str(token)
