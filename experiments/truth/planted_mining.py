"""Is the planted shortcut mined? Ways to mine, on rows as a user has them.

*Rows*: of the data the model was trained on, as many as `triggers mine` takes; and clean rows, none of
which has a planted word, where it cannot be mined. *Ways*: the tool's method "text" (its default) and
"paper", each ranked as the tool ranks (by the strength of the edges) and as `triggers attack` does (by what
inserting costs on clean development rows); the rule of "text" on attention weights and on gradient ×
attention instead; words, and pairs of words, by PMI with a label, on all training rows; HotFlip, one
trigger for each class, with slots in each text.

*Found* at rank r: the r-th pattern is the first that has every planted token in its text, the label that
the shortcut gives, for an ordered pair their order, and for a place the first place. *Words*: the tokens
alone. Recall at k: the share of models with r ≤ k.

*Leans* (`triggers.leaning`): asked of the patterns that `triggers attack` asks it of (the worst of all and
of each class), and of patterns that are given: the shortcut itself, halves of it. A flag is *right* on a
pattern with all planted words. On clean rows, and on the model before it was trained further, no flag is
right.

Said before the figures: words by PMI must miss an ordered pair, whose words are as frequent in both labels,
and know no place. The rule of "text" sees only edges between words: where [CLS] reads a single token
directly it must do without the strongest edge, and the token comes with whatever word it happens to be
joined with, in as many patterns as rows. HotFlip climbs word by word: where half of a pair does nothing it
has no slope to climb.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from attattr import Attributor
from attattr.data.encoding import encode, longest_input
from attattr.data.examples import Example, digest
from attattr.disk.units import NOTHING_KEPT
from attattr.measure.accuracy import gold_indices
from attattr.triggers.attacked import Attack
from attattr.triggers.controls import random_controls
from attattr.triggers.insert import Piece, pieces_of
from attattr.triggers.leaning import leaning
from attattr.triggers.mine import PARTS
from attattr.triggers.pattern import (
    Pattern,
    PatternToken,
    pattern_from,
    word_of,
    words_of,
)
from attattr.triggers.tried import REPORT, Attacked, Runner, purposes, search
from study.setting import stratified
from truth.planted import Shortcut
from truth.planted_ways import METHODS, as_mined, by_edges, by_hotflip, by_pmi, by_point, pairs_by_pmi

FEW = 10  # words, and pairs, that are attacked with


# -- ranks ---------------------------------------------------------------------------------------------


def has_words(pattern: Pattern, of: Shortcut) -> bool:
    own = {(word_of(token.token), token.segment) for token in pattern.tokens}
    return own >= set(zip(of.tokens, of.segments, strict=True))


def is_whole(pattern: Pattern, of: Shortcut, length: float) -> bool:
    """With label, order and place as they are asked for; length: of a row's text in words, in the mean.

    >>> of = Shortcut("place", ("oak",), "good", None, (0,))
    >>> [is_whole(Pattern((PatternToken(0, at, "oak"),), label="good"), of, 9) for at in (0.1, 0.5)]
    [True, False]
    """
    if not has_words(pattern, of):
        return False
    at = [
        next(t.position for t in pattern.tokens if (word_of(t.token), t.segment) == (token, segment))
        for token, segment in zip(of.tokens, of.segments, strict=True)
    ]
    if of.kind == "ordered":
        return pattern.label == (of.label if at[0] < at[1] else of.other)
    first = of.kind != "place" or round(at[0] * (length + 1)) <= 1
    return first and pattern.label == of.label


def ranks(patterns: Sequence[Pattern], of: Shortcut, length: float) -> dict[str, Any]:
    """The ranks, from 1, of the first pattern with the words, and of the first that is whole."""

    def first(fine: Sequence[bool]) -> int | None:
        return fine.index(True) + 1 if True in fine else None

    return {
        "patterns": len(patterns),
        "words": first([has_words(each, of) for each in patterns]),
        "whole": first([is_whole(each, of, length) for each in patterns]),
    }


def ranks_of_words(found: Sequence[tuple[str, int, str]], of: Shortcut) -> dict[str, Any]:
    """Of words that stand alone: the rank of the last planted one; whole only where they know all of it."""
    wanted = list(zip(of.tokens, of.segments, strict=True))
    plain = [(word, segment) for word, segment, _ in found]
    labelled = [(word, segment) for word, segment, label in found if label == of.label]
    rank = max(plain.index(each) + 1 if each in plain else math.inf for each in wanted)
    fine = of.kind not in ("ordered", "place") and all(each in labelled for each in wanted)
    words_at = None if rank == math.inf else rank
    return {"patterns": len(found), "words": words_at, "whole": words_at if fine else None}


# -- attacks -------------------------------------------------------------------------------------------


def attacked_with(
    attributor: Attributor, patterns: Sequence[Pattern], rows: Sequence[Example], seed: int = 0
) -> tuple[Runner, Attack]:
    """`attack_model` without its controls, and what its predictions are made with."""
    labels, gold = gold_indices(attributor.model, list(rows))
    encoded = encode(attributor.model, attributor.tokenizer, list(rows))
    longest = longest_input(attributor.model, attributor.tokenizer)
    run = Runner(attributor, encoded, longest, 32, lambda *_: None, NOTHING_KEPT)
    purpose = purposes(gold, seed)
    pieces = [_pieces(attributor, pattern, rows) for pattern in patterns]
    (clean,), _ = run([[]], np.arange(len(gold)), "", "")
    others = [np.array([digest(row) not in pattern.rows for row in rows]) for pattern in patterns]
    tried = search(run, list(patterns), pieces, others, gold, purpose, "", "")
    facts = {"seed": seed}
    return run, Attack(
        tuple(labels), gold, clean.argmax(1), purpose, tuple(tried), (), (), tuple(rows), facts
    )


def _pieces(attributor: Attributor, pattern: Pattern, rows: Sequence[Example]) -> list[Piece]:
    return pieces_of(pattern, attributor.tokenizer, "auto", bool(rows[0].text_pair))


def lean(
    run: Runner, attack: Attack, number: int, having: Sequence[Example], seed: int = 0
) -> dict[str, Any] | None:
    """`leaning` of one pattern, beside random ones of its shape, as `triggers attack` asks it."""
    report, draws = np.flatnonzero(attack.purpose == REPORT), []
    for control in random_controls(attack.attacked[number].pattern, list(having), seed):
        shares = np.full((len(attack.gold), len(attack.labels)), np.nan)
        (shares[report],), _ = run(
            [_pieces(run.attributor, control.pattern, attack.examples)], report, "", ""
        )
        draws.append(Attacked(control.pattern, shares, np.ones(len(shares), bool), 0, control))
    return leaning(run, attack, number, draws, having)


def asked_of(attack: Attack) -> list[int]:
    """The patterns that an attack asks it of: the worst of all and of each class."""
    return list(dict.fromkeys(i for about in (None, *attack.labels) for i in attack.worst(about, k=1)))


def usable(attributor: Attributor, patterns: Sequence[Pattern], rows: Sequence[Example]) -> list[Pattern]:
    """Those whose words the vocabulary has."""
    from attattr.errors import InputError

    found = []
    for pattern in patterns:
        try:
            _pieces(attributor, pattern, rows)
        except InputError:
            continue
        found.append(pattern)
    return found


def flags(
    attributor: Attributor, patterns: Sequence[Pattern], rows: Sequence[Example], having: Sequence[Example]
) -> tuple[list[Pattern], list[dict[str, Any]]]:
    """The patterns as an attack ranks them, and what is said of those it asks about."""
    run, attack = attacked_with(attributor, usable(attributor, patterns, rows), rows)
    said = []
    for number in asked_of(attack):
        one = lean(run, attack, number, having)
        if one:
            said.append({"pattern": attack.attacked[number].pattern, **_plain(one)})
    return [each.pattern for each in attack.attacked], said


def _plain(one: dict[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("leans", "label", "inserted", "removed")}


def given(
    attributor: Attributor, of: Shortcut, rows: Sequence[Example], having: Sequence[Example]
) -> dict[str, Any]:
    """`leaning` of the shortcut itself and of its halves, each as a pattern of its own."""
    found = {}
    for name, pattern in as_patterns(of).items():
        run, attack = attacked_with(attributor, [pattern], rows)
        one = lean(run, attack, 0, having)
        if one:
            found[name] = _plain(one)
    return found


def as_patterns(of: Shortcut) -> dict[str, Pattern]:
    """The shortcut, by its forms and halves, as patterns for its label."""

    def made(places: Sequence[tuple[int, float]], label: str | None) -> Pattern:
        tokens = [PatternToken(of.segments[i], at, of.tokens[i]) for i, at in places]
        return Pattern(tuple(sorted(tokens)), label=label)

    if len(of.tokens) == 1:
        whole = {"whole": made([(0, 0.01 if of.kind == "place" else 0.5)], of.label)}
        return whole | ({"elsewhere": made([(0, 0.6)], of.label)} if of.kind == "place" else {})
    found = {"whole": made([(0, 0.3), (1, 0.7)], of.label)}
    if of.other:
        found["turned"] = made([(1, 0.3), (0, 0.7)], of.other)
    return found | {"first alone": made([(0, 0.3)], of.label), "second alone": made([(1, 0.7)], of.label)}


# -- all of it, for one model --------------------------------------------------------------------------


def mined(attributor: Attributor, rows: Sequence[Example]) -> dict[str, Any]:
    """What every way by edges finds in each of these rows, as JSON: the ranks are another matter."""
    found = by_edges(attributor, rows) | by_point(attributor, rows)
    return {name: [pattern.to_json() for pattern in patterns] for name, patterns in found.items()}


def _length(of: Shortcut, rows: Sequence[Example]) -> float:
    """Words of the text that is planted into, in the mean."""
    segment = of.segments[0]
    return float(np.mean([len(words_of((row.text, row.text_pair)[segment] or "")) for row in rows]))


def ranked(
    of: Shortcut, facts: dict[str, Any], rows: Sequence[Example], training: Sequence[Example]
) -> dict[str, Any]:
    """Ranks of the shortcut by every way that needs no more than what was mined in the rows."""
    length = _length(of, rows)
    found: dict[str, Any] = {"mined": len(rows), "carry": sum(of.decides(row) is not None for row in rows)}
    found |= {"ranks": {"pmi": ranks_of_words(by_pmi(training), of)}, "top": {}}
    found["ranks"]["pmi, pairs"] = ranks(pairs_by_pmi(training), of, length)
    for way in (*METHODS, "attention", "gradient"):
        for name, some in as_mined([pattern_from(each) for each in facts[way]], way, rows).items():
            found["ranks"][name] = ranks(some, of, length)
            found["top"][name] = [f"{each.text} ({each.support})" for each in some[:5]]
    return found


def attacked(
    attributor: Attributor, of: Shortcut, task: str, facts: dict[str, Any], training: Sequence[Example],
    dev: Sequence[Example], rows: Sequence[Example],
) -> dict[str, Any]:  # fmt: skip
    """Ranks by what patterns cost, what is flagged, and HotFlip. dev: clean rows, to attack."""
    found: dict[str, Any] = {"ranks": {}, "flags": {}}
    for way in METHODS:
        patterns = as_mined([pattern_from(each) for each in facts[way]], way, rows)[way]
        order, said = flags(attributor, patterns, dev, training)
        found["ranks"][f"{way}, attacked"] = ranks(order, of, _length(of, rows))
        found["flags"][way] = [_right(one, of) for one in said]
    triggers = [replace(each, label=of.label) for each in by_hotflip(attributor, dev, task)]
    found["ranks"]["hotflip"] = ranks(triggers, of, _length(of, rows))
    return found | {"given": given(attributor, of, dev, training)}


def recurred(
    attributor: Attributor, of: Shortcut, facts: dict[str, Any], rows: Sequence[Example],
    training: Sequence[Example], dev: Sequence[Example],
) -> dict[str, Any]:  # fmt: skip
    """The same of words and pairs (`attattr.triggers.recurring`); the first few of both are attacked with."""
    found: dict[str, Any] = {"ranks": {}, "flags": {}}
    for way in METHODS:
        parts = first_parts(as_mined([pattern_from(each) for each in facts[way]], way, rows), way)
        order, said = flags(attributor, parts, dev, training)
        found["ranks"][f"{way}, parts, attacked"] = ranks(order, of, _length(of, rows))
        found["flags"][way] = [_right(one, of) for one in said]
    return found


def first_parts(found: dict[str, list[Pattern]], way: str) -> list[Pattern]:
    """The first words and pairs of what `as_mined` gives."""
    return [part for name in PARTS for part in found[f"{way}, {name}"][:FEW]]


def _right(one: dict[str, Any], of: Shortcut) -> dict[str, Any]:
    pattern = one.pop("pattern")
    return {"text": pattern.text, "right": has_words(pattern, of), **one}


def on_clean(
    attributor: Attributor, of: Shortcut | None, rows: Sequence[Example], clean: Sequence[Example],
    dev: Sequence[Example],
) -> dict[str, Any]:  # fmt: skip
    """What is found and flagged on rows that do not show the shortcut."""
    found = by_edges(attributor, rows)
    patterns = as_mined(found["text"], "text", rows)["text"]
    parts = first_parts(as_mined(found["paper"], "paper", rows), "paper")
    said = {"flags": patterns, "flags of parts": parts}
    return {
        "patterns": len(patterns) + len(parts),
        "with planted words": sum(has_words(each, of) for each in (*patterns, *parts)) if of else 0,
    } | {
        name: [{"text": one.pop("pattern").text, **one} for one in flags(attributor, some, dev, clean)[1]]
        for name, some in said.items()
    }


def to_attack(rows: Sequence[Example], of: Shortcut, a_class: int) -> list[Example]:
    """Clean rows of each class."""
    clean = [row for row in rows if of.decides(row) is None]
    return stratified(clean, a_class * len({row.label for row in clean}))
