"""Does the model lean on a pattern, or merely dislike what is inserted?

L is the label that a pattern speaks for: what the input was predicted as that it was mined from, or else what
most inputs become that it turns over. Two effects on the probability of L, each beyond that of chance:

inserted: on rows of other classes, with the pattern in them less with random patterns of its shape (words as
frequent at the same places), in their mean.
removed: of rows that have all its words, as they are without as many others, drawn at random from the same
texts, less without its words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr.data.encoding import encode
from attattr.data.examples import Example, digest, drawn
from attattr.triggers.attacked import Attack, estimate
from attattr.triggers.insert import without, word_ids
from attattr.triggers.pattern import Pattern, word_of, words_of
from attattr.triggers.tried import REPORT, Attacked, Runner

if TYPE_CHECKING:
    from attattr.data.encoding import Encoded

REMOVED = 100  # rows that have a pattern, at most


def leaning(
    run: Runner, found: Attack, number: int, draws: Sequence[Attacked], words_from: Sequence[Example]
) -> dict[str, Any] | None:
    """The two effects of a pattern; None where there is no label that it speaks for.

    draws: random patterns of its shape, tried on the reporting rows. words_from: where rows are looked for
    that have it; those that it was mined from or chosen on do not count.
    """
    each = found.attacked[number]
    label = spoken_for(found, each)
    if label is None:
        return None
    column, seed = found.labels.index(label), found.facts["seed"]
    rows = (found.purpose == REPORT) & each.other & (found.gold != column)
    beyond = np.full(len(rows), np.nan)
    if draws:
        chance = np.mean([of.probabilities[:, column] for of in draws], axis=0)
        beyond = np.where(rows, each.probabilities[:, column] - chance, np.nan)
    inserted = estimate(beyond, seed) | {"draws": len(draws)}
    known = {
        digest(example)
        for example, purpose in zip(found.examples, found.purpose.tolist(), strict=True)
        if purpose != REPORT
    } | set(each.pattern.rows)
    rows_with = [row for row in words_from if has(each.pattern, row) and digest(row) not in known]
    removed = estimate(
        _removed(run, each.pattern, drawn(rows_with, REMOVED, seed), column, number, seed), seed
    )
    return {
        "pattern": number,
        "label": label,
        "inserted": inserted,
        "removed": removed,
        "leans": sure(inserted) and sure(removed),
    }


def sure(effect: Mapping[str, Any]) -> bool:
    """Whether an effect's whole interval is above 0."""
    return effect["interval"] is not None and effect["interval"][0] > 0


def spoken_for(found: Attack, each: Attacked) -> str | None:
    """The label that a pattern speaks for."""
    if each.pattern.label in found.labels:
        return each.pattern.label
    into = np.bincount(
        each.predicted[found.turned(each) & (found.purpose != REPORT)], minlength=len(found.labels)
    )
    return found.labels[int(into.argmax())] if into.any() else None


def has(pattern: Pattern, row: Example) -> bool:
    """Whether a row has a pattern's words, each in its text; of a piece from within a word: may have."""
    texts = [set(words_of(text or "")) for text in (row.text, row.text_pair)]
    wanted = [(word_of(token.token), token.segment) for token in pattern.tokens]
    return all(word is None or word in texts[segment] for word, segment in wanted)


def _removed(
    run: Runner, pattern: Pattern, rows: list[Example], column: int, number: int, seed: int
) -> np.ndarray:
    """(n,) what the removal of a pattern takes from the probability of a label, beyond random removals."""
    attributor, draw = run.attributor, np.random.default_rng(seed)
    encoded = encode(attributor.model, attributor.tokenizer, rows, pair=attributor.pair)
    words = word_ids(pattern, attributor.tokenizer)
    with_it: list[Encoded] = []
    for each in encoded:
        own = without(each, words)
        other = own and without(each, words, draw)
        if own and other:
            with_it += [own, other]
    if not with_it:
        return np.zeros(0)
    within = Runner(attributor, with_it, run.longest, run.batch_size, lambda *_: None, run.units)
    (shares,), _ = within([[]], np.arange(len(with_it)), "removing", f"removed-{number}")
    return shares[1::2, column] - shares[::2, column]
