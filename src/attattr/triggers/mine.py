"""Mining adversarial triggers: the few tokens behind the single strongest head of each input.

Source: Hao et al. 2021, section 5.3 (arXiv 2004.11207).
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
from attattr.data.examples import Example, examples_of, renamed
from attattr.data.run_folder import Run
from attattr.disk.units import Resume, Value
from attattr.errors import InputError
from attattr.measure.resumed import resumed
from attattr.models.heads import reading
from attattr.models.identity import belongs
from attattr.result.attribution import Attribution
from attattr.result.values import Edges
from attattr.result.words import grouped, plain
from attattr.triggers.pattern import Pattern, PatternToken, with_counts

if TYPE_CHECKING:
    from attattr.data.encoding import Encoded
    from attattr.engine.attributor import Attributor

SECOND = 0.2  # an edge this strong, relative to the strongest of its head, joins the pattern
CHUNK = 64  # inputs attributed by one call


def mine_triggers(
    attributor: Attributor,
    data: Sequence[Example] | Run,
    *,
    top: int = 50,
    pieces: bool = False,
    limit: int | None = None,
    seed: int = 0,
    progress: asked.Progress | None = None,
    resume: str | Path | Resume | None = None,
) -> list[Pattern]:
    """The strongest patterns of a data set, duplicates merged.

    >>> from attattr import Attributor, Example
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> (pattern,) = mine_triggers(sst2, [Example("a dull film")])
    >>> pattern.label, 1 <= len(pattern.tokens) <= 3
    ('negative', True)

    Of inputs that gave the same tokens in the same texts, the strongest lends score, positions and
    labels. Ranked by score, then support.

    Args:
        data: examples, attributed here; or a run that kept edges of the predicted class.
        pieces: raw vocabulary pieces instead of whole words.
        limit: so many of the inputs, drawn with `seed`. Words are counted in all of them.
        resume: folder for finished parts: called again with it, a call that was stopped goes on. It stays,
            and is yours to delete. Nothing is kept of what a run holds.

    Raises:
        InputError: all inputs have one label; a run of another model, target or store; a model
            without classes; not one pattern found; a folder with parts of another call.
    """
    asked.attributor(attributor)
    top, seed = asked.whole(top, "the number of patterns", 1), asked.seed(seed)
    limit = None if limit is None else asked.whole(limit, "the limit", 1)
    asked.flag(pieces, "pieces")
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
        found = _from_run(data, attributor, examples, set(chosen), pieces)
    else:
        found = _attributed([examples[i] for i in chosen], attributor, pieces, tell, resume)
    patterns = []
    for pattern in found:
        patterns += [pattern] if pattern else []
    if not patterns:
        raise InputError("no input has an edge of positive attribution between tokens of the text")
    facts = attributor.facts
    model = {name: facts.get(name) for name in ("name", "dtype", "digest", "adapter_digest", "parameters")}
    return [replace(pattern, model=model) for pattern in with_counts(merged(patterns)[:top], examples)]


def pattern_of(
    result: Attribution, *, gold: str | None = None, raw: Sequence[str] | None = None, row: str = ""
) -> Pattern | None:
    """The pattern of one input: the two strongest edges of the head with the strongest edge of all.

    >>> [(t.token, t.segment, round(t.position, 2)) for t in pattern_of(result).tokens]
    [('fine', 0, 0.67)]

    None where no edge is positive, or joins special tokens only; and where the result kept too few
    edges to tell the second.

    Args:
        raw: the tokens as the vocabulary has them, to name pieces by them; None: whole words.
        row: what identifies the input.
    """
    first = next(iter(result.axes))
    axis = result.axes[first]
    sites = [site for site in result.sites if site.query_axis == site.key_axis == first]
    if not sites:
        raise InputError("no attention site runs over the text alone")
    site = max(sites, key=lambda site: np.nan_to_num(site.head_max, nan=-np.inf).max())
    head = int(np.nan_to_num(site.head_max, nan=-np.inf).argmax())
    complete = site.scores is not None
    if site.scores is not None:
        order = np.argsort(-site.scores[head], axis=None, kind="stable")[:2]
        query, key = np.unravel_index(order, site.scores[head].shape)
        score = site.scores[head].ravel()[order]
        edges = Edges(np.full(len(order), head), query, key, score, score)
    elif site.edges is not None:
        edges = site.edges
        complete = len(edges.score) == site.n_heads * len(axis.tokens) ** 2
    else:
        raise InputError("patterns need edges: attribute with store='edges' or 'dense', not 'heads'")
    chosen = _strongest(edges, head, float(site.head_max[head]), complete)
    places = _places(chosen, axis.tokens, axis.segments, axis.words, raw)
    if not places:
        return None
    return Pattern(
        places, chosen[0][2], 1, result.prediction.label, gold, raw is not None, (row,) if row else ()
    )


def merged(patterns: Iterable[Pattern]) -> list[Pattern]:
    """Duplicates as one with their support, strongest first."""
    best: dict[Any, Pattern] = {}
    for pattern in patterns:
        old = best.get(pattern.key)
        if old is None:
            best[pattern.key] = pattern
            continue
        stronger = old if old.score >= pattern.score else pattern
        rows = tuple(sorted({*old.rows, *pattern.rows}))
        best[pattern.key] = replace(stronger, support=old.support + pattern.support, rows=rows)
    return sorted(best.values(), key=lambda p: (-p.score, -p.support, p.key))


def _strongest(edges: Edges, head: int, top: float, complete: bool) -> list[tuple[int, int, float]]:
    """One or two (query, key, score) of a head whose largest score is `top`; none if that is unsure.

    An edge that was not kept is no stronger, in size, than the weakest of its site that was.
    """
    if not top > 0:
        return []
    own = np.flatnonzero(edges.head == head)
    own = own[np.argsort(-edges.score[own], kind="stable")][:2]
    found = [(int(edges.query[i]), int(edges.key[i]), float(edges.score[i])) for i in own]
    found = [edge for edge in found if edge[2] >= SECOND * top]
    if not found or found[0][2] < top * (1 - 1e-5):
        return []
    unsure = not complete and len(found) < 2 and abs(float(edges.score[-1])) >= SECOND * top
    return [] if unsure else found


def _places(
    edges: Sequence[tuple[int, int, float]],
    tokens: Sequence[str],
    segments: Sequence[int | None],
    words: Sequence[int | None],
    raw: Sequence[str] | None,
) -> tuple[PatternToken, ...]:
    """The ends of the edges as tokens of a pattern; a word stands where its first piece does."""
    found = set()
    for i in {end for query, key, _ in edges for end in (query, key)}:
        segment, word = segments[i], words[i]
        if segment is None:
            continue
        if raw is not None or word is None:
            first, text = i, (raw or tokens)[i]
        else:
            own = next(group for group in grouped(words) if i in group)
            first, text = own[0], "".join(plain(tokens[j]) for j in own)
        inside = [j for j, other in enumerate(segments) if other == segment]
        text = text if raw is not None else text.strip()
        if text:
            found.add(PatternToken(segment, (inside.index(first) + 1) / len(inside), text))
    return tuple(sorted(found))


def _attributed(
    examples: list[Example],
    attributor: Attributor,
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
            pattern = pattern_of(result, gold=each.example.label, raw=raw, row=digest(each.example))
            found.append(pattern and pattern.to_json())
        return {"patterns": found}

    firsts = range(0, len(examples), CHUNK)
    with resumed(
        resume, "mine_triggers", attributor, examples, {"pieces": pieces}, lambda: len(firsts)
    ) as units:
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
    run: Run, attributor: Attributor, examples: list[Example], chosen: set[int], pieces: bool
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
            mine = _rows(of_heads, facts["row"])
            best = int(np.nan_to_num(mine["max"], nan=-np.inf).argmax())
            site, head = int(mine["site"][best]), int(mine["head"][best])
            kept = _rows(of_edges, facts["row"])
            at_site = kept["site"] == site
            at = Edges(*(kept[name][at_site] for name in ("head", "query", "key", "score", "score")))
            all_of_them = int((mine["site"] == site).sum()) * len(facts["tokens"]) ** 2
            strongest = _strongest(at, head, float(mine["max"][best]), len(at.score) == all_of_them)
            example = examples[number - 1]
            raw = None
            if pieces:
                (encoded,) = encode(attributor.model, attributor.tokenizer, [example])
                raw = _raw(encoded, attributor)
            places = _places(strongest, facts["tokens"], facts["segments"], facts["words"], raw)
            yield Pattern(
                places, strongest[0][2], 1, facts["prediction"], example.label, pieces, (digest(example),)
            ) if places else None  # fmt: skip


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
