"""What is explained, in a line: the answer with its probability, or a number with its unit."""

from __future__ import annotations

import math

from attattr.result.attribution import Attribution
from attattr.result.shown import printable
from attattr.result.values import Target

NOUNS = {  # kinds of targets that may be what is predicted
    "class": "class",
    "label": "label",
    "mask": "word",
    "span": "answer",
    "token": "next token",
    "value": "number",
}
ENDS = {"start": "where the answer starts", "end": "where the answer ends"}


def headline(result: Attribution) -> str:
    """Explained is this, with so much; where it is not what is predicted, that too.

    >>> headline(result)
    'the predicted class: positive 87.5 %'
    """
    target, predicted = result.target, result.prediction
    label, much = _shown(target.label), amount(target)
    noun = NOUNS.get(target.kind)
    if target.position is not None:
        noun = f"{noun or target.kind} of token {target.position}, {_shown(result.tokens[target.position])}"
    if target.kind == "similarity":
        return f"the {label} of the two texts: {much}"
    if target.kind in ENDS:
        return f"{ENDS[target.kind]}: {label} {much}"
    if target.kind == "continuation":
        return f'the continuation "{printable(target.label)}" {much}'
    if noun and result.explains_prediction:
        return f"the predicted {noun}: {label} {much}"
    if target.kind in NOUNS:
        sure = "" if predicted.probability is None else f" {percent(predicted.probability)}"
        return f"the {noun} {label} {much}, not predicted: {_shown(predicted.label)}{sure}"
    return f"the {noun or target.kind} {label} {much}"


def amount(target: Target) -> str:
    """A probability in percent, also of a log probability; else the number with what it is.

    >>> amount(result.target)
    '87.5 %'
    """
    if target.output == "probability" and target.kind != "difference":
        return percent(target.value)
    said = f"{target.output.replace('_', ' ')} {target.value:.4g}"
    if target.output == "log_probability" and target.kind != "difference":
        return f"{percent(math.exp(target.value))} ({said})"
    return f"({said})"


def percent(share: float) -> str:
    """One digit behind the point; of a rare thing two that count.

    >>> percent(0.9871), percent(0.0000321)
    ('98.7 %', '0.0032 %')
    """
    if 0 < share < 0.0005:
        return f"{100 * share:.2g} %"
    return f"{100 * share:.1f} %"


def _shown(text: str) -> str:
    return printable(text) if text.strip() else repr(text)
