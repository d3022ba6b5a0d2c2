"""Do the strongest edges join the planted tokens? On development rows with the shortcut in them.

Rows are of another class than the shortcut's and are answered as it says. A pair of tokens is as strong as
its strongest edge: the largest size over layers, heads and both directions (a token with itself is a pair
too). *Touching*: true are the pairs with a planted token at one end at least. *Joining*, for two tokens:
true is the pair of both alone. Average precision over all pairs of a row, special tokens among them.

*First*: 1 / the place of the strongest pair that touches. It was added after the first model: a method that
is right about a single token has one strong pair, the token with whoever reads it, and no reason to rank its
pairs with all others high, which *touching* asks for, too.

Said before the figures. Attention and attention × ‖value‖ do not know the class: they must fall short of
what knows it. The counterfactual has other words in the places of the planted tokens: nothing but what
comes of them differs, so it should come first. *Joining* must be low for all where the model reads both
tokens at [CLS] and never lets one look at the other: no pattern of attention has to join them. A shortcut
that overfills the logit leaves one gradient little to see; the order of edges need not suffer.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from attattr import Attributor
from attattr.data.encoding import encode
from attattr.data.examples import Example
from truth import scoring
from truth.contestants import CONTESTANTS
from truth.planted import OFTEN, UNCOMMON, Shortcut, planted, words
from truth.planting import Case, of_case, predicted, rows_of, sampled

SHORT = {"sst2": 13, "mnli": 26}  # tokens of a row: removal alone needs layers × heads × tokens² forwards


def chosen(data: Path, case: Case, attributor: Attributor, count: int, longest: int) -> list[Example]:
    """Short rows of other classes that the shortcut decides."""
    of = of_case(data, case)
    rng = Random(f"{case.seed} {case.name} edges")
    rows = [row for row in sampled(data, case, 1, 100 * count, "edges") if row.label != of.label]
    found = [planted(of, row, "whole", rng) for row in rows]
    sizes = [len(each.axes["input"].tokens) for each in encode(attributor.model, attributor.tokenizer, found)]
    found = [row for row, size in zip(found, sizes, strict=True) if size <= longest][: 3 * count]
    said = predicted(attributor, found) if found else []
    return [row for row, label in zip(found, said, strict=True) if label == row.label][:count]


def counterfactual(of: Shortcut, row: Example, draw: list[str], rng: Random) -> Example:
    """The row with other words in the places of the planted tokens, one piece each as they are."""
    texts = [(row.text or "").split(), (row.text_pair or "").split()]
    for token, segment in zip(of.tokens, of.segments, strict=True):
        texts[segment][texts[segment].index(token)] = rng.choice([w for w in draw if w not in of.tokens])
    return replace(row, text=" ".join(texts[0]), text_pair=" ".join(texts[1]) if row.text_pair else None)


def pairs(scores: list[np.ndarray]) -> np.ndarray:
    """(n, n) how strong each pair is: its strongest edge.

    >>> pairs([np.array([[[0.0, -3.0], [1.0, 2.0]]])]).tolist()
    [[0.0, 3.0], [3.0, 2.0]]
    """
    most = np.max([np.abs(site).max(0) for site in scores], axis=0)
    return np.maximum(most, most.T)


def precisions(strength: np.ndarray, places: list[int]) -> dict[str, float]:
    """Average precision of the pairs that touch a place, of their first, and of the pair that joins two.

    >>> strength = np.array([[0.0, 9.0, 1.0], [9.0, 0.0, 2.0], [1.0, 2.0, 0.0]])
    >>> {name: round(value, 2) for name, value in precisions(strength, [1, 2]).items()}
    {'touching': 0.93, 'first': 1.0, 'joining': 0.5}
    """
    upper = np.triu_indices(len(strength))
    flat = strength[upper]
    touching = np.isin(upper, places).any(0)
    found = {"touching": scoring.average_precision(flat, touching)}
    best = np.where(touching, flat, -np.inf)
    found["first"] = scoring.average_precision(flat, best == best.max())
    if len(places) == 2:
        both = (upper[0] == min(places)) & (upper[1] == max(places))
        found["joining"] = scoring.average_precision(flat, both)
    return found


def places_of(of: Shortcut, attributor: Attributor, row: Example) -> list[int]:
    """Where the planted tokens stand among the tokens of the encoded row."""
    (encoded,) = encode(attributor.model, attributor.tokenizer, [row])
    axis, found = encoded.axes["input"], []
    ids = encoded.features["input_ids"]
    for token, segment in zip(of.tokens, of.segments, strict=True):
        wanted = attributor.tokenizer.convert_tokens_to_ids(token)
        found.append(
            next(i for i, of_text in enumerate(axis.segments) if of_text == segment and ids[i] == wanted)
        )
    return found


def measured(data: Path, case: Case, attributor: Attributor, count: int, removed: int) -> dict[str, Any]:
    """By contestant and measure the average precision of each row."""
    of = of_case(data, case)
    rows = chosen(data, case, attributor, count, SHORT[case.task])
    vocabulary = attributor.tokenizer.get_vocab()
    draw = words(rows_of(data, case.task, 0), of.segments[0], OFTEN.get(of.kind, UNCOMMON), vocabulary)
    rng = Random(f"{case.seed} {case.name} other")
    others = [counterfactual(of, row, draw, rng) for row in rows]
    where = [places_of(of, attributor, row) for row in rows]
    facts: dict[str, Any] = {"rows": len(rows), "ap": {}}
    for name, contestant in CONTESTANTS.items():
        some = removed if name == "removal" else len(rows)
        found = contestant(attributor, rows[:some], others[:some]) if rows[:some] else []
        each = [precisions(pairs(scores), places) for scores, places in zip(found, where, strict=False)]
        facts["ap"][name] = {measure: [one[measure] for one in each] for measure in (each[0] if each else {})}
    return facts
