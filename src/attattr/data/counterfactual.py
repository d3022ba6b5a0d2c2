"""Another input, whose attention is the baseline: as long as the one that is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from transformers import PreTrainedModel

from attattr.choices import BASELINES
from attattr.data.encoding import Encoded, as_inputs, encode
from attattr.data.examples import Example
from attattr.errors import InputError

LIKE = 0.75  # of difflib: "Zero", "unifrom"
IDS = {"input": "input_ids", "output": "decoder_input_ids"}  # by axis


def is_named(baseline: Any) -> bool:
    """Whether a baseline is one that has a name, and no input.

    >>> is_named("zero"), is_named("a bad film")
    (True, False)

    Raises:
        InputError: a text that is all but a name.
    """
    if not isinstance(baseline, str) or baseline in BASELINES:
        return isinstance(baseline, str)
    if meant := get_close_matches(baseline.strip().lower(), BASELINES, 1, LIKE):
        raise InputError(
            f"the baseline {baseline!r}: is {meant[0]} meant? As a text it is given in a list, or as an "
            "Example"
        )
    return False


def beside(
    encoded: Sequence[Encoded],
    baseline: Any,
    model: PreTrainedModel,
    tokenizer: Any,
    *,
    truncate: bool = True,
    pair: bool | None = None,
) -> list[Encoded]:
    """The inputs, each with its counterfactual.

    baseline: an input for all, or a list with one for each. What a dict of tensors does not name is the
    input's own.

    Raises:
        InputError: one that is no input, or not as long as the input it goes with.
    """
    given = baseline if isinstance(baseline, list) else [baseline] * len(encoded)
    if len(given) != len(encoded):
        raise InputError(f"{len(given)} baselines for {len(encoded)} inputs: give one, or one for each")
    try:
        examples = [as_inputs([each])[0] for each in given]
        whole = [_completed(o, e, model, tokenizer) for o, e in zip(examples, encoded, strict=True)]
        others = encode(model, tokenizer, whole, truncate=truncate, pair=pair)
    except InputError as error:
        raise InputError(f"of the baseline: {error}") from error
    for number, (one, other) in enumerate(zip(encoded, others, strict=True)):
        _check(one, other, "the input" if len(encoded) == 1 else f"input {number}")
    return [replace(one, counterfactual=other) for one, other in zip(encoded, others, strict=True)]


def _completed(other: Example | Encoded, one: Encoded, model: PreTrainedModel, tokenizer: Any) -> Any:
    """A dict of tensors with those of the input that it does not name; anything else as it is."""
    if not isinstance(other, Example) or other.inputs is None:
        return other
    if "input_ids" in other.inputs:
        (alone,) = encode(model, tokenizer, [Example(inputs={"input_ids": other.inputs["input_ids"]})])
        _check(one, alone, "an input", ["input"])
    own = {name: value for name, value in one.features.items() if name not in other.inputs}
    return replace(other, inputs={**own, **other.inputs})


def _check(one: Encoded, other: Encoded, which: str, axes: Sequence[str] | None = None) -> None:
    named = f"or one of {', '.join(BASELINES)}"
    if None not in (one.example.text, other.example.text):
        here, there = ("one text" if e.example.text_pair is None else "a pair of texts" for e in (one, other))
        if here != there:
            raise InputError(f"{which} is {here}, its baseline {there}: give what is alike, {named}")
    for name in axes or one.axes:
        count, its = (len(e.axes[name].tokens) if name in e.axes else 0 for e in (one, other))
        if count != its:
            raise InputError(
                f"the baseline of {which} has {its} tokens where it has {count}: their attention is compared "
                f"edge by edge, give one that is as long, {named}"
            )


def facts(encoded: Encoded) -> dict[str, Any]:
    """What a result's options say of its counterfactual; nothing where there is none."""
    other = encoded.counterfactual
    if other is None:
        return {}
    differs: dict[str, list[list[Any]]] = {}
    for axis, name in IDS.items():
        ids = [each.features.get(name, []) for each in (encoded, other)]
        for place, (here, there) in enumerate(zip(*ids, strict=True)):
            if here != there:
                names = [each.axes[axis].tokens[place] for each in (encoded, other)]
                names = names if names[0] != names[1] else [str(here), str(there)]  # without a tokenizer
                differs.setdefault(axis, []).append([place, *names])
    told = {"text": other.example.text, "text_pair": other.example.text_pair, "differs": differs}
    return {"baseline": "counterfactual", "counterfactual": told}
