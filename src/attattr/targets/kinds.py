"""What F is: which output of the model the attribution explains.

What the user asked of one input is a `Wish` (`parse`), which has to fit that input (`extend`); what reads F
from the outputs of a batch is an `Objective` (`resolve`). Each kind of head has a module with the same
functions:

    parse(target, output, model, tokenizer)    a target as a wish, None for what is predicted
    placed(wish, encoded, tokenizer)           the wish in the terms of one input, or an error
    answered(wish, scores, encoded, model, …)  what is predicted, the wish filled in with it; scores: the
                                               outputs of that input that the head is read from
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from attattr.asked import choice
from attattr.choices import OUTPUTS
from attattr.data.encoding import Encoded
from attattr.errors import InputError, UnsupportedModelError
from attattr.models.heads import reading
from attattr.result.values import Prediction, Target
from attattr.targets import blanks, classes, labels, likeness, spans, tokens
from attattr.targets.objective import Objective, Wish, checked_logits, own_logits, states_of
from attattr.targets.tokens import read_length

__all__ = ["Objective", "Wish", "described", "extend", "labels_of", "parse", "read_length", "resolve"]

KINDS: dict[str, ModuleType] = {  # by what the model gives (models.heads.reading)
    "classes": classes,
    "labels": labels,
    "likeness": likeness,
    "masks": blanks,
    "spans": spans,
    "tokens": tokens,
}
NOTHING = Prediction("no prediction", -1, None, {})  # of outputs that are known to the user's function alone


def labels_of(model: PreTrainedModel) -> list[str]:
    """Names of the labels in index order; empty for a model without."""
    return classes.names_of(model) if reading(model) in ("classes", "labels") else []


def parse(target: Any, output: str | None, model: PreTrainedModel, tokenizer: Any) -> Wish:
    """A user's target as a wish, by the model's head (docs/targets.md); a callable F(outputs) -> (batch,)
    is one for any. What is a wish already stays one.

    Raises:
        InputError: an unknown label (the message lists the known ones) or output.
    """
    gives = reading(model)
    if isinstance(target, Wish):
        return replace(target, head=gives)
    if callable(target):
        output = "value" if output is None else choice(output, "output", OUTPUTS)
        return Wish("callable", (), getattr(target, "__name__", "callable"), output, target, head=gives)
    return replace(KINDS[gives].parse(target, output, model, tokenizer), head=gives)


def extend(encoded: Encoded, wish: Wish, tokenizer: Any) -> Encoded:
    """The input with all tokens of a continuation but the last behind it (teacher forcing), and so its
    counterfactual.

    Raises:
        InputError: the wish does not fit the input: a word that is not in it, a mask that it lacks.
    """
    if wish.function is None:
        KINDS[wish.head].placed(wish, encoded, tokenizer)
    extended = tokens.extend(encoded, wish, tokenizer)
    if encoded.counterfactual is None:
        return extended
    return replace(extended, counterfactual=tokens.extend(encoded.counterfactual, wish, tokenizer))


def resolve(
    wishes: Sequence[Wish], outputs: Any, encoded: Sequence[Encoded], model: PreTrainedModel, tokenizer: Any
) -> tuple[Objective, list[Prediction]]:
    """The objective of a batch, each "predicted" wish filled in from the clean outputs, and what the
    model predicts for each input. outputs: of each, or of the one input that all stand on."""
    gives = reading(model)
    scores = _scores(outputs, gives, all(wish.function for wish in wishes))
    filled, predictions = [], []
    for i, (wish, each) in enumerate(zip(wishes, encoded, strict=True)):
        prediction = NOTHING
        try:
            if scores is not None:
                placed = KINDS[gives].placed(wish, each, tokenizer)
                placed, prediction = KINDS[gives].answered(
                    placed, scores[i if len(scores) == len(wishes) else 0], each, model, tokenizer
                )
        except (InputError, UnsupportedModelError):
            if wish.function is None:
                raise
        filled.append(wish if wish.function else placed)
        predictions.append(prediction)
    return Objective(
        filled,
        by_position=gives in ("labels", "masks", "tokens"),
        multi_label=gives == "classes" and classes.multi_label(model),
    ), predictions


def _scores(outputs: Any, gives: str, needless: bool) -> Tensor | None:
    """What the head reads; None where functions alone are asked for, and it is not there."""
    logits = own_logits(outputs) if gives in ("tokens", "masks") else None
    if logits is not None:  # one for each token there is: only those of one place are ever widened
        return logits.detach()
    try:
        return (states_of if gives == "likeness" else checked_logits)(outputs).detach()
    except UnsupportedModelError:
        if not needless:
            raise
        return None


def described(wish: Wish, value: float) -> Target:
    """The target as a result carries it; `value` is F(A)."""
    place = wish.place if isinstance(wish.place, int) else None
    return Target(wish.kind, wish.label, wish.index, wish.output, value, position=place)
