"""Attacking a model with trigger patterns: accuracy clean and attacked, by class, with controls.

N inputs are attacked. Source: Hao et al. 2021, section 5.3 (arXiv 2004.11207).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr import asked
from attattr.choices import INSERT_INTO
from attattr.data.examples import Example, examples_of, renamed
from attattr.disk.digests import of_json
from attattr.disk.units import Resume, Units, Value
from attattr.errors import InputError
from attattr.measure.accuracy import gold_indices, predict
from attattr.measure.resumed import of_rows, resumed
from attattr.models.identity import belongs
from attattr.triggers.attacked import Attack, Attacked
from attattr.triggers.controls import DRAWS, Control, word_controls
from attattr.triggers.insert import Piece, insert, pieces_of
from attattr.triggers.pattern import Pattern, PatternToken, checked

if TYPE_CHECKING:
    from attattr.data.encoding import Encoded
    from attattr.engine.attributor import Attributor

SHOWN = 2  # inputs shown before and after, for the worst pattern of all and of each class


def attack_model(
    attributor: Attributor,
    examples: Sequence[Example],
    patterns: Sequence[Pattern],
    *,
    insert_into: str = "auto",
    controls: bool = True,
    words_from: Sequence[Example] | None = None,
    seed: int = 0,
    batch_size: int = 32,
    any_model: bool = False,
    progress: asked.Progress | None = None,
    resume: str | Path | Resume | None = None,
) -> Attack:
    """Insert each pattern into the examples, and see what is still right; its own do not count.

    >>> from attattr import Attributor, Example
    >>> from attattr.triggers.pattern import Pattern, PatternToken
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> rows = [Example("a fine film", label="positive"), Example("dull", label="negative")]
    >>> found = attack_model(sst2, rows, [Pattern((PatternToken(0, 0.1, "barely"),))], controls=False)
    >>> found.accuracy(found.clean)["accuracy"], found.accuracy(found.attacked[0].predicted)["per_class"]
    (1.0, {'negative': 1.0, 'positive': 0.0})

    The attack has no target: any wrong answer counts. Which patterns are the worst is chosen on one
    half of the examples, drawn with `seed` from each class, and reported on the other.

    Args:
        insert_into: "auto", "premise", "hypothesis" or "both" (`insertion.pieces_of`).
        controls: also random and frequent words at the places of the worst pattern, and for each class
            a universal trigger found with gradients on the selection half.
        words_from: where words are counted for the controls; None: the examples.
        any_model: patterns that were mined on another model are meant; else they are an error.
        progress: called with (inputs done, inputs in all, what is being done).
        resume: folder for finished parts: called again with it, a call that was stopped goes on. It stays,
            and is yours to delete.

    Raises:
        InputError: patterns of another model; examples of one label, or without; a pattern that was mined
            from all of them; patterns of another tokenizer, or for a second text where there is none; a
            folder with parts of another call.
    """
    from attattr.data.encoding import encode, longest_input
    from attattr.data.examples import digest

    model, tokenizer = asked.attributor(attributor).model, attributor.tokenizer
    asked.choice(insert_into, "place to insert into", INSERT_INTO)
    seed, batch_size = asked.seed(seed), asked.whole(batch_size, "the batch size", 1)
    asked.flag(controls, "controls")
    asked.flag(any_model, "any_model")
    progress = asked.progress(progress)
    examples = examples_of(examples)
    words_from = None if words_from is None else examples_of(words_from)
    patterns = [checked(pattern) for pattern in asked.listed(patterns, Pattern, "the patterns")]
    if tokenizer is None:
        raise InputError("words can only be inserted by a model with a tokenizer")
    if not patterns:
        raise InputError("there are no patterns to attack with")
    if not examples:
        raise InputError("there are no rows to attack")
    for pattern in patterns:
        belongs(pattern.model, attributor.facts, f"the pattern {pattern.text}", any_model=any_model)
    examples = renamed(attributor.labels, examples)
    words_from = None if words_from is None else renamed(attributor.labels, words_from)
    labels, gold = gold_indices(model, examples)
    if len(set(gold.tolist())) < 2:
        raise InputError(f"all rows are labelled '{examples[0].label}': give data of two labels or more")
    digests = [digest(example) for example in examples]
    sources = [set(pattern.rows) for pattern in patterns]
    others = [np.array([row not in source for row in digests]) for source in sources]
    for pattern, other in zip(patterns, others, strict=True):
        if not other.any():
            raise InputError(f"the pattern {pattern.text} was mined from every row: attack other data")
    pair = any(example.text_pair is not None for example in examples)
    wanted = [pieces_of(pattern, tokenizer, insert_into, pair) for pattern in patterns]
    encoded = encode(model, tokenizer, examples, pair=attributor.pair)
    setting = {"insert_into": insert_into, "seed": seed}
    options = setting | {
        "controls": controls,
        "batch_size": batch_size,
        "patterns": None if resume is None else of_json([pattern.to_json() for pattern in patterns]),
        "words_from": words_from and of_rows(words_from),
    }
    with resumed(
        resume, "attack_model", attributor, examples, options, lambda: 1 + len(patterns) + controls
    ) as units:
        run = _Runner(attributor, encoded, longest_input(model, tokenizer), batch_size, progress, units)
        more = DRAWS + 3 * len(set(gold.tolist())) if controls else 0
        run.total = 1 + len(patterns) + more  # or a few less
        clean, _ = run([], "clean", "clean")
        tried = []
        for number, (pattern, pieces, other) in enumerate(zip(patterns, wanted, others, strict=True)):
            predicted, cut = run(pieces, "attacking", f"pattern-{number}")
            tried.append(Attacked(pattern, predicted, other, cut))
        tried.sort(key=lambda each: (each.predicted == gold)[each.other].mean())
        facts = {"model": attributor.facts, **setting, "rows": len(examples)}
        found = Attack(
            tuple(labels), gold, clean, _half(gold, seed), tuple(tried), (), tuple(examples), facts
        )
        if controls and found.worst(k=1):
            made = _controls(run, found, words_from or examples, insert_into, pair, seed)
            found = replace(found, controls=tuple(made))
    return replace(found, shown=tuple(_shown(run, found, insert_into, pair)))


def _controls(
    run: _Runner, found: Attack, words_from: Sequence[Example], insert_into: str, pair: bool, seed: int
) -> list[Attacked]:
    """Other words at the places of the worst pattern, and for each class a universal trigger."""
    from attattr.triggers.hotflip import universal_trigger

    attributor, tokenizer = run.attributor, run.attributor.tokenizer
    worst = found.attacked[found.worst(k=1)[0]].pattern
    slots = pieces_of(worst, tokenizer, insert_into, pair)
    planned = []
    for control in word_controls(worst, words_from, seed):
        with contextlib.suppress(InputError):  # a word of the data that the vocabulary does not have
            planned.append((control, pieces_of(control.pattern, tokenizer, insert_into, pair)))
    classes = np.unique(found.gold[found.selection]).tolist()
    run.total = run.done + len(planned) + 2 * len(classes)
    units = run.units = run.units.within("controls")
    for i in classes:
        run.tell(0, "searching a universal trigger")
        rows = np.flatnonzero(found.selection & (found.gold == i))

        def search(rows: np.ndarray = rows) -> Value:
            of_class = [run.encoded[row] for row in rows]
            pattern = universal_trigger(
                attributor, of_class, found.gold[rows], slots, longest=run.longest, seed=seed
            )
            return {"tokens": pattern.to_json()["tokens"]}

        tokens = units.get(f"universal-{i}", search)["tokens"]
        pattern = Pattern(tuple(PatternToken(**token) for token in tokens), pieces=True)
        planned.append((Control("universal", found.labels[i], pattern), pieces_of(pattern, tokenizer)))
        run.done += 1  # it costs about as much as a pattern
    made = []
    for number, (control, pieces) in enumerate(planned):
        predicted, cut = run(pieces, "controls", str(number))
        made.append(Attacked(control.pattern, predicted, np.ones(len(found.gold), bool), cut, control))
    return made


class _Runner:
    """Predictions for the encoded inputs with some pieces in them; tokenised once."""

    def __init__(
        self, attributor: Attributor, encoded: list[Encoded], longest: int | None, batch_size: int,
        progress: asked.Progress, units: Units,
    ):  # fmt: skip
        self.units = units
        self.attributor, self.encoded, self.longest = attributor, encoded, longest
        self.batch_size, self.progress, self.done, self.total = batch_size, progress, 0, 0

    def tell(self, done: int, what: str) -> None:
        n = len(self.encoded)
        self.progress(self.done * n + done, self.total * n, what)

    def __call__(self, pieces: Sequence[Piece], what: str, part: str) -> tuple[np.ndarray, int]:
        def compute() -> Value:
            made = [insert(each, pieces, self.longest) for each in self.encoded]
            logits = predict(
                self.attributor.model, self.attributor.tokenizer,
                [each.encoded for each in made], batch_size=self.batch_size,
                progress=lambda done, _, __: self.tell(done, what), units=self.units.within(part),
            )  # fmt: skip
            return {"predicted": logits.argmax(-1), "cut": sum(each.cut > 0 for each in made)}

        found = self.units.get(part, compute)
        self.done += 1
        return found["predicted"], found["cut"]


def _half(gold: np.ndarray, seed: int) -> np.ndarray:
    """(N,) bool: every second input, in a random order within each class."""
    order = np.lexsort((np.random.default_rng(seed).random(len(gold)), gold))
    chosen = np.zeros(len(gold), bool)
    chosen[order[::2]] = True
    return chosen


def _shown(run: _Runner, found: Attack, insert_into: str, pair: bool) -> list[dict[str, Any]]:
    """Inputs of the reporting half that the worst patterns turn over, before and after."""
    tokenizer = run.attributor.tokenizer
    shown: list[dict[str, Any]] = []
    seen = set()
    for about in (None, *found.labels):
        for number in found.worst(about, k=1):
            each = found.attacked[number]
            rows = (
                ~found.selection & each.other & (found.clean == found.gold) & (each.predicted != found.gold)
            )
            if about is not None:
                rows = rows & (found.gold == found.labels.index(about))
            pieces = pieces_of(each.pattern, tokenizer, insert_into, pair)
            fresh = [i for i in np.flatnonzero(rows).tolist() if (number, i) not in seen][:SHOWN]
            seen |= {(number, i) for i in fresh}
            for i in fresh:
                after = insert(run.encoded[i], pieces, run.longest)
                shown.append(
                    {
                        "about": about,
                        "pattern": number,
                        "text": found.examples[i].text,
                        "text_pair": found.examples[i].text_pair,
                        "gold": found.labels[found.gold[i]],
                        "clean": found.labels[found.clean[i]],
                        "attacked": found.labels[each.predicted[i]],
                        "tokens": tokenizer.convert_ids_to_tokens(after.encoded.features["input_ids"]),
                        "inserted": after.places,
                    }
                )
    return shown
