"""Mining adversarial triggers: the few tokens that the strongest edges of each input join.

Method "paper": the two strongest edges of the head with the strongest edge of all. Source: Hao et al. 2021
(arXiv 2004.11207). That patterns below 0.02 are left out, and that they are ranked by the sum of both scores,
is in the authors' code (github.com/YRdddream/attattr, run_adver_connection.py and run_adver_evaluate.py).
Method "text": the same among the edges between tokens of the text alone. Methods "words" and "pairs": the
single words that the paper's patterns come back to, and these with the words that stand by them.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr import asked
from attattr.choices import MININGS
from attattr.data.examples import Example, examples_of, renamed
from attattr.data.run_folder import Run
from attattr.disk.units import Resume, Value
from attattr.errors import InputError
from attattr.measure.resumed import resumed
from attattr.models.heads import reading
from attattr.models.identity import belongs
from attattr.result.attribution import Attribution
from attattr.result.values import Edges
from attattr.triggers.pattern import Pattern, PatternToken, with_counts
from attattr.triggers.recurring import partners, recurring
from attattr.triggers.strongest import Kept, edges_of, placed, strongest

if TYPE_CHECKING:
    from attattr.data.encoding import Encoded
    from attattr.engine.attributor import Attributor

# of both edges together; 0.02 is in the authors' code, and of all edges: those between words score less
LEAST = {"paper": 0.02, "text": 0.0, "words": 0.02, "pairs": 0.02}
PARTS = {"words": recurring, "pairs": partners}  # made of the patterns of single inputs
CHUNK = 64  # inputs attributed by one call


def mine_triggers(
    attributor: Attributor,
    data: Sequence[Example] | Run,
    *,
    method: str = "text",
    threshold: float | None = None,
    top: int | None = None,
    pieces: bool = False,
    limit: int | None = None,
    seed: int = 0,
    progress: asked.Progress | None = None,
    resume: str | Path | Resume | None = None,
) -> list[Pattern]:
    """The patterns of a data set that are strong enough, duplicates merged.

    >>> from attattr import Attributor, Example
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> (pattern,) = mine_triggers(sst2, [Example("a dull film")])
    >>> pattern.label, 1 <= len(pattern.tokens) <= 3
    ('negative', True)

    Of inputs that gave the same tokens in the same texts, the strongest lends scores, positions and
    labels. Ranked by the scores of both edges together, then support; words by how surely they come back
    (`recurring`), pairs by how much more often they stand together where one is mined (`partners`).

    Args:
        method: "text": edges between tokens of the text; "paper": all edges, as Hao et al. mine; "words":
            single words of the paper's patterns, a pattern each; "pairs": these with another word each.
        threshold: patterns whose edges score less together are left out, in units of the probability; None:
            0.02, none of "text".
        top: only so many of the strongest; None: all.
        data: examples, attributed here; or a run that kept edges of the predicted class.
        pieces: raw vocabulary pieces instead of whole words.
        limit: so many of the inputs, drawn with `seed`. Words are counted in all of them.
        resume: folder for finished parts: called again with it, a call that was stopped goes on. It stays,
            and is yours to delete. Nothing is kept of what a run holds.

    Raises:
        InputError: all inputs have one label; a run of another model, target or store; a model
            without classes; not one pattern strong enough; a folder with parts of another call.
    """
    asked.attributor(attributor)
    asked.choice(method, "method of mining", MININGS)
    threshold = LEAST[method] if threshold is None else asked.number(threshold, "the threshold")
    seed = asked.seed(seed)
    top = None if top is None else asked.whole(top, "the number of patterns", 1)
    limit = None if limit is None else asked.whole(limit, "the limit", 1)
    if asked.flag(pieces, "pieces") and method in PARTS:
        raise InputError("pieces of the vocabulary are no words: they go with the methods text and paper")
    tell = asked.progress(progress)
    if reading(attributor.model) != "classes" or len(attributor.labels) < 2:
        raise InputError("triggers are of classes: the model has none to choose from")
    examples = renamed(attributor.labels, _inputs_of(data) if isinstance(data, Run) else examples_of(data))
    labels = {example.label for example in examples}
    if len(labels) == 1 and labels != {None}:
        raise InputError(f"all rows are labelled '{labels.pop()}': give data of two labels or more")
    chosen = list(range(len(examples)))
    if limit is not None and limit < len(examples):
        chosen = sorted(random.Random(seed).sample(chosen, limit))
    if isinstance(data, Run):
        each = _from_run(data, attributor, examples, set(chosen), method, pieces)
    else:
        each = _attributed([examples[i] for i in chosen], attributor, method, pieces, tell, resume)
    found = [pattern for pattern in each if pattern]
    patterns = merged(found)
    if not patterns:
        raise InputError("no input has an edge of positive attribution between tokens of the text")
    strong = [pattern for pattern in patterns if pattern.strength >= threshold]
    if not strong:
        raise InputError(
            f"found nothing: no pattern scores {threshold:g}, the strongest {patterns[0].strength:.2g}; a "
            "lower threshold takes weaker ones"
        )
    if method in PARTS:
        strong = PARTS[method](single(found, strong), [examples[i] for i in chosen])
        if not strong:
            why = "no pattern has a whole word"
            if method == "pairs":
                why = "no word stands beside a mined one surely more often than elsewhere; more rows may tell"
            raise InputError(f"found nothing: {why}")
    facts = attributor.facts
    model = {name: facts.get(name) for name in ("name", "dtype", "digest", "adapter_digest", "parameters")}
    return [replace(pattern, model=model) for pattern in with_counts(strong[:top], examples)]


def pattern_of(
    result: Attribution,
    *,
    method: str = "paper",
    gold: str | None = None,
    raw: Sequence[str] | None = None,
    row: str = "",
) -> Pattern | None:
    """The pattern of one input: the two strongest edges of the head with the strongest edge of all.

    >>> [(t.token, t.segment, round(t.position, 2)) for t in pattern_of(result).tokens]
    [('fine', 0, 0.67)]

    None where no edge is positive, or joins special tokens only; and where the result kept too few
    edges to tell the second.

    Args:
        method: as of `mine_triggers`.
        raw: the tokens as the vocabulary has them, to name pieces by them; None: whole words.
        row: what identifies the input.
    """
    first = next(iter(result.axes))
    axis = result.axes[first]
    sites = [site for site in result.sites if site.query_axis == site.key_axis == first]
    if not sites:
        raise InputError("no attention site runs over the text alone")
    known = [
        Kept(np.nan_to_num(site.head_max, nan=-np.inf), *edges_of(site, len(axis.tokens))) for site in sites
    ]
    chosen = strongest(known, axis.segments if method == "text" else None)
    places = placed(chosen, axis.tokens, axis.segments, axis.words, raw)
    if not places:
        return None
    return _made(chosen, places, result.prediction.label, gold, raw is not None, row)


def _made(
    edges: Sequence[tuple[int, int, float]], places: tuple[PatternToken, ...], label: str, gold: str | None,
    pieces: bool, row: str,
) -> Pattern:  # fmt: skip
    scores = [score for _, _, score in edges]
    rows = (row,) if row else ()
    return Pattern(places, scores[0], 1, label, gold, pieces, rows, second=sum(scores[1:]))


def merged(patterns: Iterable[Pattern]) -> list[Pattern]:
    """Duplicates as one with their support, strongest first."""
    best: dict[Any, Pattern] = {}
    for pattern in patterns:
        old = best.get(pattern.key)
        if old is None:
            best[pattern.key] = pattern
            continue
        stronger = old if old.strength >= pattern.strength else pattern
        rows = tuple(sorted({*old.rows, *pattern.rows}))
        best[pattern.key] = replace(stronger, support=old.support + pattern.support, rows=rows)
    return sorted(best.values(), key=lambda p: (-p.strength, -p.support, p.key))


def single(found: Iterable[Pattern], strong: Iterable[Pattern]) -> list[Pattern]:
    """The patterns of single inputs that are among the merged ones that are strong.

    An input for which the model is very sure scores little, so it is not asked of each.
    """
    keys = {pattern.key for pattern in strong}
    return [pattern for pattern in found if pattern.key in keys]


def _attributed(
    examples: list[Example],
    attributor: Attributor,
    method: str,
    pieces: bool,
    progress: asked.Progress,
    resume: str | Path | Resume | None,
) -> Iterator[Pattern | None]:
    from attattr.data.encoding import encode
    from attattr.data.examples import digest

    def of_chunk(first: int) -> Value:
        def tell(done: int, total: int, name: str) -> None:
            progress(first + len(chunk) * done // max(1, total), len(examples), "")

        chunk = encode(
            attributor.model, attributor.tokenizer, examples[first : first + CHUNK], pair=attributor.pair
        )
        found = []
        for each, result in zip(
            chunk, attributor.attribute(chunk, store="edges", progress=tell), strict=True
        ):
            raw = _raw(each, attributor) if pieces else None
            pattern = pattern_of(
                result, method=method, gold=each.example.label, raw=raw, row=digest(each.example)
            )
            found.append(pattern and pattern.to_json())
        return {"patterns": found}

    firsts = range(0, len(examples), CHUNK)
    options = {"method": method, "pieces": pieces}
    with resumed(resume, "mine_triggers", attributor, examples, options, lambda: len(firsts)) as units:
        for number, first in enumerate(firsts):
            for facts in units.get(str(number), functools.partial(of_chunk, first))["patterns"]:
                yield facts and _again(facts)
            progress(min(first + CHUNK, len(examples)), len(examples), "")


def _again(facts: dict[str, Any]) -> Pattern:
    """A pattern as `pattern_of` made it, from its JSON."""
    tokens = tuple(PatternToken(**token) for token in facts["tokens"])
    return Pattern(**facts | {"tokens": tokens, "rows": tuple(facts["rows"]), "label_counts": ()})


def _raw(encoded: Encoded, attributor: Attributor) -> list[str]:
    """The tokens of an input as the vocabulary has them."""
    return attributor.tokenizer.convert_ids_to_tokens(encoded.features["input_ids"])


def _inputs_of(run: Run) -> list[Example]:
    table = run.inputs.to_table(columns=["text", "text_pair", "gold"])
    return [Example(*row.values()) for row in table.to_pylist()]


def _from_run(
    run: Run, attributor: Attributor, examples: list[Example], chosen: set[int], method: str, pieces: bool
) -> Iterator[Pattern | None]:
    """As `_attributed`, of inputs numbered `chosen` in a run that kept edges."""
    from attattr.data.encoding import encode
    from attattr.data.examples import digest

    _check_run(run, attributor)
    number = 0
    tables = (run.inputs, run.heads, run.edges)
    for parts in zip(*(table.get_fragments() for table in tables), strict=True):
        inputs, heads, edges = (part.to_table() for part in parts)
        of_heads = {name: heads[name].to_numpy() for name in ("row", "site", "head", "max")}
        of_edges = {name: edges[name].to_numpy() for name in ("row", "site", "head", "query", "key", "score")}
        for facts in inputs.select(["row", "prediction", "tokens", "segments", "words"]).to_pylist():
            number += 1
            if number - 1 not in chosen:
                continue
            known = _kept(_rows(of_heads, facts["row"]), _rows(of_edges, facts["row"]), len(facts["tokens"]))
            edges = strongest(known, facts["segments"] if method == "text" else None)
            example = examples[number - 1]
            raw = None
            if pieces:
                (encoded,) = encode(attributor.model, attributor.tokenizer, [example])
                raw = _raw(encoded, attributor)
            places = placed(edges, facts["tokens"], facts["segments"], facts["words"], raw)
            yield (
                places and _made(edges, places, facts["prediction"], example.label, pieces, digest(example))
            ) or None


def _kept(heads: dict[str, np.ndarray], edges: dict[str, np.ndarray], n: int) -> list[Kept]:
    """The sites of one input of n tokens."""
    found = []
    for site in np.unique(heads["site"]).tolist():
        at_site, own = edges["site"] == site, heads["site"] == site
        at = Edges(*(edges[name][at_site] for name in ("head", "query", "key", "score", "score")))
        top = np.full(int(heads["head"][own].max()) + 1, -np.inf)
        top[heads["head"][own]] = np.nan_to_num(heads["max"][own], nan=-np.inf)
        found.append(Kept(top, at, len(at.score) == own.sum() * n**2))
    return found


def _rows(columns: dict[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    """Those of one input; rows ascend."""
    low, high = np.searchsorted(columns["row"], [row, row + 1])
    return {name: values[low:high] for name, values in columns.items()}


def _check_run(run: Run, attributor: Attributor) -> None:
    asked, made_by = run.manifest["options"], run.manifest["model"]
    again = "make a run with --target predicted --store edges, or mine the data itself"
    if asked["store"] != "edges":
        raise InputError(f"the run in '{run.path}' kept no edges (--store {asked['store']}): {again}")
    if asked["target"] != "predicted":
        raise InputError(f"the run in '{run.path}' explains {asked['target']}, not the prediction: {again}")
    if attributor.model.config.is_encoder_decoder:
        raise InputError("of an encoder-decoder, mine the data itself: a run does not tell its sites apart")
    belongs(made_by, attributor.facts, f"the run in '{run.path}'")
    if made_by.get("tokenizer_digest") != attributor.facts.get("tokenizer_digest"):
        raise InputError(f"the run in '{run.path}' was made with another tokenizer: mine the data itself")
