"""A result as the data of its page."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING

import numpy as np

from attattr.errors import InputError
from attattr.page import data as data
from attattr.page.flow import flow_facts
from attattr.result import counterfactual, picture
from attattr.result.attribution import Attribution
from attattr.result.shown import printable
from attattr.result.spelled import spelled
from attattr.result.tree import build_tree, layer_scores, merge_words
from attattr.result.values import Site
from attattr.result.words import grouped, piece

if TYPE_CHECKING:
    from attattr.result.effects import Effects

EDGES = 500  # exact ones in the list
ENTRIES = 4096  # exact entries of a layer's matrix, for the tree
THRESHOLD = 0.4  # of the tree, to begin with
ROOM = 2_000_000  # bytes of a page of up to 128 tokens; of longer ones in proportion
LARGEST = 8_000_000


def report(result: Attribution, effects: Effects | None = None, room: int = ROOM) -> data.Report:
    """All that the page shows.

    room: bytes for a result of 128 tokens; longer ones have in proportion more.
    """
    import attattr

    seen = _picture(result)
    room -= len(seen.png or "") if seen else 0
    axes = list(result.axes)
    longest = max((len(axis.tokens) for axis in result.axes.values()), default=0)
    room = min(int(room * max(1, longest / 128)), LARGEST - (ROOM - room))
    axis = result.axes[axes[0]]
    pieces, words = [[i] for i in range(len(axis.tokens))], grouped(axis.words)
    names = {
        name: [printable(piece(each, i)) for i in range(len(each.tokens))]
        for name, each in result.axes.items()
    }
    written, close = spelled(axis, (result.text, result.text_pair))
    names[axes[0]] = [printable(name) for name in written]
    levels = [_level(result, result, names, close, pieces)]
    if len(words) < len(pieces):
        dense = all(site.scores is not None and site.attention is not None for site in result.sites)
        levels.append(_level(result, merge_words(result) if dense else None, names, close, words))
    edges = _edges(result)
    spent = sum(
        len(layer.entries.index) + len(layer.entries.score) for each in levels for layer in each.layers
    )
    heads = sum(site.n_heads for site in result.sites if site.scores is not None)
    spent += sum(14 * len(site.key_sum[0]) for site in result.sites if site.key_sum is not None)
    # what is left, for two matrices a head in base64, less what the rest of the page may need
    a_head = int((0.95 * room - spent - 100_000) * 0.75 / (2 * heads) - 60) if heads else 0
    return data.Report(
        schema_version=data.SCHEMA_VERSION,
        version=attattr.__version__,
        model=printable(str(result.model.get("name") or result.model.get("class") or "model")),
        revision=result.model.get("revision"),
        texts=[printable(text) for text in (result.text, result.text_pair) if text is not None],
        prediction=[
            data.Probability(label=printable(label), value=data.number(p))
            for label, p in sorted(result.prediction.probabilities.items(), key=lambda item: -item[1])
        ],
        predicted=printable(result.prediction.label),
        target=data.TargetFacts(
            kind=result.target.kind,
            label=printable(result.explained),
            output=result.target.output.replace("_", " "),
            value=data.number(result.target.value),
            probability=_probability(result),
            predicted=result.explains_prediction,
        ),
        axes=[
            data.AxisFacts(
                name=name,
                tokens=[printable(token) for token in each.tokens],
                names=names[name],
            )
            for name, each in result.axes.items()
        ],
        picture=seen,
        tokens=levels[0],
        words=levels[1] if len(levels) > 1 else None,
        sites=[_site(site, axes, a_head) for site in result.sites],
        edges=edges,
        effects=_effects(effects),
        threshold=THRESHOLD,
        method=str(result.options.get("method", "")),
        baseline=str(result.options.get("baseline", "zero")),
        notes=_notes(result),
    )


def _probability(result: Attribution) -> float | None:
    """Of what is explained; None where it has none, or the result does not hold it."""
    target, prediction = result.target, result.prediction
    if target.output == "probability":
        return data.number(target.value)
    if target.output == "log_probability":
        return data.number(math.exp(target.value))
    listed = target.kind in ("class", "token", "label", "mask") and target.position == prediction.position
    return data.number(prediction.probabilities.get(target.label, math.nan)) if listed else None


def _picture(result: Attribution) -> data.Picture | None:
    if result.grid is None:
        return None
    rows, columns = result.grid
    height, width = picture.size(result.picture) if result.picture else result.grid
    return data.Picture(
        png=base64.b64encode(result.picture).decode() if result.picture else None,
        width=width,
        height=height,
        rows=rows,
        columns=columns,
        first=next(iter(result.axes.values())).first_patch,
    )


def _level(
    result: Attribution,
    merged: Attribution | None,
    names: dict[str, list[str]],
    close: list[bool],
    members: list[list[int]],
) -> data.Level:
    """The first axis by units of these positions; `merged`: the result by them, where there are scores.
    names: of the tokens, by axis. close: they stand without a space before.
    """
    name, axis = next(iter(result.axes.items()))
    tree, layers = None, {}
    try:
        if merged is not None:
            tree = build_tree(merged)
            layers = layer_scores(merged, name)
    except InputError:  # a store without scores, or none that are finite: a page without a tree
        pass
    return data.Level(
        names=["".join(names[name][i] for i in unit) for unit in members],
        members=members,
        joined=[close[unit[0]] for unit in members],
        segments=[axis.segments[unit[0]] for unit in members],
        special=[axis.special[unit[0]] for unit in members],
        layers=[data.LayerMatrix(site=n, entries=data.sparse(m, ENTRIES)) for n, m in layers.items()],
        readout=tree.terminal if tree else None,
        top=tree.top if tree else None,
        flow=flow_facts(result, merged, names) if merged is not None else None,
    )


def _site(site: Site, axes: list[str], room: int) -> data.SiteFacts:
    def grids(matrices: np.ndarray | None) -> list[data.Grid] | None:
        return None if matrices is None else [data.grid(matrix, room) for matrix in matrices]

    total = float(site.head_sum.sum())
    return data.SiteFacts(
        name=site.name,
        kind=site.kind.replace("_", " "),
        query_axis=axes.index(site.query_axis),
        key_axis=axes.index(site.key_axis),
        n_heads=site.n_heads,
        head_sum=data.numbers(site.head_sum),
        head_max=data.numbers(site.head_max),
        queries=_queries(site),
        key_sum=None if site.key_sum is None else data.numbers(site.key_sum.sum(0, dtype=np.float64)),
        head_attention=data.numbers(site.attention.max(2).mean(1)) if site.attention is not None else None,
        scores=grids(site.scores),
        attention=grids(site.attention),
        baseline_output=data.number(site.baseline_output),
        change=data.number(total - site.completeness_gap),
        total=data.number(total),
        gap=data.number(site.completeness_gap),
        error=data.number(site.error_estimate),
        n_steps=site.n_steps,
        converged=site.converged,
        method=site.method,
    )


def _queries(site: Site) -> list[int] | None:
    if site.scores is None:
        return None
    rows = np.abs(site.scores).max((0, 2))
    found = np.flatnonzero(rows > 1e-6 * rows.max(initial=0))
    return found.tolist() if len(found) < len(rows) else None


def _edges(result: Attribution) -> data.EdgeColumns | None:
    if not all(site.scores is not None or site.edges is not None for site in result.sites):
        return None
    kept = [len(site.edges.score) for site in result.sites if site.scores is None and site.edges is not None]
    strongest = [edge for edge in result.top_edges(min([EDGES, *kept])) if edge.score]
    return data.EdgeColumns(
        site=[edge.site for edge in strongest],
        head=[edge.head for edge in strongest],
        query=[edge.query for edge in strongest],
        key=[edge.key for edge in strongest],
        score=[float(f"{edge.score:.9g}") for edge in strongest],
        attention=[float(f"{edge.attention:.9g}") for edge in strongest],
    )


def _effects(effects: Effects | None) -> data.EffectFacts | None:
    if effects is None:
        return None
    return data.EffectFacts(
        clean=effects.clean,
        edges=[data.number(value) for value in effects.edge_change.tolist()],
        heads=[
            [data.number(value) for value in row if not np.isnan(value)]
            for row in effects.head_change.tolist()
        ],
    )


def _notes(result: Attribution) -> list[str]:
    notes = []
    if result.truncated:
        notes.append("The text is longer than the model takes: its end was cut off.")
    if other := counterfactual.sentence(result.options):
        notes.append(printable(other))
    if result.left_out:
        notes.append(f"Layers without attribution: {', '.join(result.left_out)}.")
    if quick := sum(site.method == "gradient" for site in result.sites):
        notes.append(
            f"A first look: gradient × attention, no integral, in {quick} of {len(result.sites)} layers."
        )
    unsure = [site.name for site in result.sites if site.method == "integral" and not site.converged]
    if unsure:
        notes.append(f"Read with care, not converged: {', '.join(unsure)}.")
    return notes
