"""Attacking a model with trigger patterns: accuracy clean and attacked, by class, with controls.

N inputs are attacked. Source: Hao et al. 2021 (arXiv 2004.11207).
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
from attattr.disk.units import Resume, Value
from attattr.errors import InputError
from attattr.measure.accuracy import gold_indices
from attattr.measure.resumed import of_rows, resumed
from attattr.models.identity import belongs
from attattr.triggers.attacked import Attack
from attattr.triggers.controls import DRAWS, Control, random_controls, twins, word_controls
from attattr.triggers.insert import Piece, insert, pieces_of
from attattr.triggers.leaning import leaning
from attattr.triggers.pattern import Pattern, PatternToken, checked
from attattr.triggers.tried import (
    CHOOSE,
    CHOSEN,
    FINALISTS,
    REPORT,
    SCREEN,
    SCREENED,
    TOGETHER,
    WORST,
    Attacked,
    Runner,
    purposes,
    search,
)  # fmt: skip

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

SHOWN = 2  # inputs shown before and after, for the worst pattern of all and of each class


def attack_model(
    attributor: Attributor,
    examples: Sequence[Example],
    patterns: Sequence[Pattern],
    *,
    insert_into: str = "auto",
    screen: int = SCREENED,
    choose: int = CHOSEN,
    controls: bool = True,
    words_from: Sequence[Example] | None = None,
    seed: int = 0,
    batch_size: int = 32,
    any_model: bool = False,
    progress: asked.Progress | None = None,
    resume: str | Path | Resume | None = None,
) -> Attack:
    """Insert each pattern into some examples, the worst into more, and see what is still right.

    >>> from attattr import Attributor, Example
    >>> from attattr.triggers.pattern import Pattern, PatternToken
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> rows = [Example("a fine film", label="positive"), Example("dull", label="negative")]
    >>> found = attack_model(sst2, rows, [Pattern((PatternToken(0, 0.1, "barely"),))], controls=False)
    >>> found.accuracy(found.clean)["accuracy"], found.accuracy(found.attacked[0].predicted)["per_class"]
    (1.0, {'negative': 1.0, 'positive': 0.0})

    The attack has no target: any wrong answer counts. The examples that a pattern was mined from do not
    count for it. All patterns are screened on a few examples of each class; the best five of each class, and
    of all, are tried on more; of these the three of lowest accuracy are reported on the examples of neither
    (`tried.purposes`, drawn with `seed`).

    Args:
        screen, choose: examples of each class to screen on, and to choose on.
        insert_into: "auto", "premise", "hypothesis" or "both" (`insertion.pieces_of`).
        controls: also as many random patterns of the same shapes, screened and chosen alike; whether the
            model leans on the worst patterns (`leaning`); random and frequent words at the places of the
            worst, and for each class a universal trigger found with gradients on the rows to select on.
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
    screen = asked.whole(screen, "the rows of a class to screen on", 1)
    choose = asked.whole(choose, "the rows of a class to choose on", 1)
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
    setting = {"insert_into": insert_into, "seed": seed, "screen": screen, "choose": choose}
    options = setting | {
        "controls": controls,
        "batch_size": batch_size,
        "patterns": None if resume is None else of_json([pattern.to_json() for pattern in patterns]),
        "words_from": words_from and of_rows(words_from),
    }
    purpose = purposes(gold, seed, screen, choose)
    with resumed(
        resume, "attack_model", attributor, examples, options,
        lambda: _parts(len(patterns), purpose, controls),
    ) as units:  # fmt: skip
        run = Runner(attributor, encoded, longest_input(model, tokenizer), batch_size, progress, units)
        run.total = _forwards(len(patterns), gold, purpose, controls)
        (clean,), _ = run([[]], np.arange(len(gold)), "clean", "clean")
        tried = search(run, patterns, wanted, others, gold, purpose, "attacking", "mined")
        facts = {"model": attributor.facts, **setting, "rows": len(examples)}
        found = Attack(
            tuple(labels), gold, clean.argmax(1), purpose, tuple(tried), (), (), tuple(examples), facts
        )
        if controls and found.worst(k=1):
            found = _controlled(run, found, words_from or examples, insert_into, pair)
    progress(run.done, run.done, "attacking")
    return replace(found, shown=tuple(_shown(run, found, insert_into, pair)))


def _forwards(patterns: int, gold: np.ndarray, purpose: np.ndarray, controls: bool) -> int:
    """About how many inputs are predicted, but for universal triggers and removals."""
    screening, choosing, reporting = (int((purpose == stage).sum()) for stage in (SCREEN, CHOOSE, REPORT))
    classes = len(np.unique(gold))
    finalists, worst = (min(patterns, k * (classes + 1)) for k in (FINALISTS, WORST))
    each = patterns * screening + finalists * choosing + worst * reporting
    more = each + reporting * (DRAWS * (classes + 1) + 2 * classes) if controls else 0
    return len(gold) + each + more


def _parts(patterns: int, purpose: np.ndarray, controls: bool) -> int:
    """In how many parts that is kept, at least."""
    screening = max(1, TOGETHER // max(1, int((purpose == SCREEN).sum())))
    return 1 + -(-patterns // screening) + 2 + controls


def _controlled(
    run: Runner, found: Attack, words_from: Sequence[Example], insert_into: str, pair: bool
) -> Attack:
    """The attack with what it is to be compared with."""
    seed = found.facts["seed"]
    run.units = run.units.within("controls")

    def known(patterns: Sequence[Pattern]) -> list[tuple[Pattern, list[Piece]]]:
        return _known(patterns, run.attributor.tokenizer, insert_into, pair)

    mined = [each.pattern for each in found.attacked]
    lucky = known(twins(mined, words_from, seed, lambda pattern: bool(known([pattern]))))
    random = search(
        run, [pattern for pattern, _ in lucky], [pieces for _, pieces in lucky],
        [np.ones(len(found.gold), bool)] * len(lucky), found.gold, found.purpose, "random patterns", "random",
    )  # fmt: skip
    found = replace(found, lucky=tuple(random))
    leans, drawn_for = [], {}
    for number in dict.fromkeys(i for about in (None, *found.labels) for i in found.worst(about, k=1)):
        alike = random_controls(found.attacked[number].pattern, words_from, seed)
        drawn_for[number] = _measured(run, found, alike, insert_into, pair, f"random-{number}")
        leans.append(leaning(run, found, number, drawn_for[number], words_from))
    found = replace(found, leans=tuple(each for each in leans if each))
    controls = drawn_for[found.worst(k=1)[0]] + _controls(run, found, words_from, insert_into, pair)
    return replace(found, controls=tuple(controls))


def _known(
    patterns: Sequence[Pattern], tokenizer: Any, insert_into: str, pair: bool
) -> list[tuple[Pattern, list[Piece]]]:
    """Those whose words the vocabulary has, with their pieces."""
    found = []
    for pattern in patterns:
        with contextlib.suppress(InputError):
            found.append((pattern, pieces_of(pattern, tokenizer, insert_into, pair)))
    return found


def _measured(
    run: Runner, found: Attack, controls: Sequence[Control], insert_into: str, pair: bool, part: str
) -> list[Attacked]:
    """Controls tried on the rows to report on; a word that the vocabulary does not have is left out."""
    rows, every = np.flatnonzero(found.purpose == REPORT), np.ones(len(found.gold), bool)
    made = []
    for number, control in enumerate(controls):
        own = "auto" if control.kind == "universal" else insert_into  # it was searched for these places
        for pattern, pieces in _known([control.pattern], run.attributor.tokenizer, own, pair):
            shares, cut = np.full((len(found.gold), len(found.labels)), np.nan), 0
            if len(rows):
                (shares[rows],), (cut,) = run([pieces], rows, "controls", f"{part}-{number}")
            made.append(Attacked(pattern, shares, every, int(cut), control))
    return made


def _controls(
    run: Runner, found: Attack, words_from: Sequence[Example], insert_into: str, pair: bool
) -> list[Attacked]:
    """Frequent words at the places of the worst pattern, and for each class a universal trigger."""
    from attattr.triggers.hotflip import universal_trigger

    tokenizer, seed = run.attributor.tokenizer, found.facts["seed"]
    worst = found.attacked[found.worst(k=1)[0]].pattern
    slots = pieces_of(worst, tokenizer, insert_into, pair)
    planned = [each for each in word_controls(worst, words_from, seed) if each.kind != "random"]
    selecting = found.purpose != REPORT
    for i in np.unique(found.gold[selecting]).tolist():
        run.tell(0, "searching a universal trigger")
        rows = np.flatnonzero(selecting & (found.gold == i))

        def searched(rows: np.ndarray = rows) -> Value:
            of_class = [run.encoded[row] for row in rows]
            pattern = universal_trigger(
                run.attributor, of_class, found.gold[rows], slots, longest=run.longest, seed=seed
            )
            return {"tokens": pattern.to_json()["tokens"]}

        tokens = run.units.get(f"universal-{i}", searched)["tokens"]
        pattern = Pattern(tuple(PatternToken(**token) for token in tokens), pieces=True)
        planned.append(Control("universal", found.labels[i], pattern))
    return _measured(run, found, planned, insert_into, pair, "words")


def _shown(run: Runner, found: Attack, insert_into: str, pair: bool) -> list[dict[str, Any]]:
    """Inputs to report on that the worst patterns turn over, before and after."""
    tokenizer = run.attributor.tokenizer
    shown: list[dict[str, Any]] = []
    seen = set()
    for about in (None, *found.labels):
        for number in found.worst(about, k=1):
            each = found.attacked[number]
            rows = found.turned(each) & (found.purpose == REPORT)
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
