"""Targets of a model that answers for the whole input: classes, or numbers (a regression)."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch import bool as truth
from transformers import PreTrainedModel

from attattr.asked import choice
from attattr.choices import OUTPUTS
from attattr.data.encoding import Encoded
from attattr.errors import InputError, UnsupportedModelError
from attattr.result.values import Prediction
from attattr.targets.objective import Wish


def names_of(model: PreTrainedModel) -> list[str]:
    """Names of the labels in index order."""
    names: Any = model.config.id2label or {i: f"LABEL_{i}" for i in range(model.config.num_labels or 0)}
    return [names[i] for i in sorted(names)]


def parse(target: Any, output: str | None, model: PreTrainedModel, tokenizer: Any) -> Wish:
    """A label by name or index, or a pair of them: their difference. Of a regression: which number."""
    index, label, kind = named(target, names_of(model))
    if not gives_numbers(model):
        return Wish(kind or "class", index, label, output_of(output, "logit" if kind else "probability"))
    if output not in (None, "value", "logit"):
        raise InputError(
            "the model's output is a number, of which there is no probability: leave output out, or use "
            "output='logit'"
        )
    return Wish(kind or "value", index, label, output or "value")


def named(target: Any, names: Sequence[str]) -> tuple[tuple[int, ...], str, str]:
    """Indices, text and kind of a label or a pair of labels: "difference", or "" for a single one."""
    if target is None:
        return (), "", ""
    if isinstance(target, tuple):
        (first, one), (second, other) = (_index(item, names) for item in pair(target))
        return (first, second), f"{one} - {other}", "difference"
    index, label = _index(target, names)
    return (index,), label, ""


def output_of(output: str | None, default: str) -> str:
    return default if output is None else choice(output, "output", OUTPUTS)


def pair(target: tuple) -> tuple:
    if len(target) != 2:
        raise InputError("a target of several labels is a pair: the difference of the first and the second")
    return target


def _index(target: Any, names: Sequence[str]) -> tuple[int, str]:
    if is_whole(target):
        if not -len(names) <= target < len(names):
            raise InputError(f"target {target} is out of range: the model has {len(names)} labels")
        return int(target) % len(names), names[int(target)]
    if isinstance(target, str):
        exact = [i for i, name in enumerate(names) if name == target]
        loose = exact or [i for i, name in enumerate(names) if name.lower() == target.lower()]
        if loose:
            return loose[0], names[loose[0]]
    raise InputError(f"unknown target '{target}': the model's labels are {', '.join(names)}")


def is_whole(target: Any) -> bool:
    """A whole number, of numpy or torch too, and no truth value."""
    if isinstance(target, Tensor) and target.ndim == 0 and not target.is_floating_point():
        return target.dtype != truth
    return isinstance(target, numbers.Integral) and not isinstance(target, bool)


def placed(wish: Wish, encoded: Encoded, tokenizer: Any) -> Wish:
    return wish


def answered(
    wish: Wish, scores: Tensor, encoded: Encoded, model: PreTrainedModel, tokenizer: Any
) -> tuple[Wish, Prediction]:
    names = names_of(model)
    if scores.shape != (len(names),):
        raise UnsupportedModelError(
            f"a {type(model).__name__} gives logits of {' × '.join(map(str, scores.shape))} an input, "
            f"not one for each of its {len(names)} classes: explain a function of them"
        )
    if gives_numbers(model):
        prediction = _numbers(scores, names)
        return filled(wish, replace(prediction, label=names[prediction.index]), 0), prediction
    prediction = likeliest(scores.sigmoid() if multi_label(model) else scores.softmax(-1), names)
    return filled(wish, prediction, 0), prediction


def filled(wish: Wish, prediction: Prediction, at: int) -> Wish:
    """A wish for something read at one place of the logits; what it left open is what is predicted."""
    index, label = (wish.index, wish.label) if wish.index else ((prediction.index,), prediction.label)
    return replace(wish, index=index, label=label, at=(at,) * len(index))


def likeliest(probabilities: Tensor, names: Sequence[str]) -> Prediction:
    index = int(probabilities.argmax())
    listed = dict(zip(names, probabilities.tolist(), strict=True))
    return Prediction(names[index], index, float(probabilities[index]), listed)


def _numbers(values: Tensor, names: Sequence[str]) -> Prediction:
    """The number itself is what is predicted; of several the largest, by its name."""
    index = int(values.argmax())
    number = f"{float(values[index]):.4g}"
    return Prediction(number if len(names) == 1 else f"{names[index]} {number}", index, None, {})


def multi_label(model: PreTrainedModel) -> bool:
    return getattr(model.config, "problem_type", None) == "multi_label_classification"


def gives_numbers(model: PreTrainedModel) -> bool:
    """A regression, or a single output that no sigmoid makes a probability."""
    if getattr(model.config, "problem_type", None) == "regression":
        return True
    return model.config.num_labels == 1 and not multi_label(model)
