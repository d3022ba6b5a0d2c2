"""Figures for print, of one result: tree, heads, one head's matrices, tokens. No browser is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from attattr.errors import InputError
from attattr.report.columns import SOFT, WHOLE, cells, places, said, widths_of, written
from attattr.report.flow import draw_edge, draw_key
from attattr.report.overlay import draw_overlay
from attattr.report.plots import FAINT, INK, NEGATIVE, POSITIVE, colour_bar, figure, heat, plot_heads, thinned
from attattr.result.attribution import Attribution
from attattr.result.flow import Flow, build_flow
from attattr.result.tree import AttributionTree, build_tree, merge_words
from attattr.result.words import word_effects

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 48  # tokens in a row of bars


def draw_tree(result: Attribution, path: str | Path, *, threshold: float = 0.4, words: bool = False) -> None:
    """The attribution tree: tokens across, layers up, the readout on top; width: score, as in `draw_flow`.

    >>> draw_tree(result, folder / "tree.svg")

    An edge of layer l comes down from the token that looked to the token that it looked at. Of more
    than 60 tokens only those in the tree are drawn, with dots for what lies between.

    Raises:
        InputError: as `build_tree`; a path that ends in none of .svg, .pdf and .png, or cannot be
            written.
    """
    result = merge_words(result) if words else result
    tree, flow = build_tree(result, threshold=threshold), build_flow(result)
    columns = _columns(tree)
    axis = result.axes[tree.axis]
    labels = [written(axis.tokens[i]) if i >= 0 else "…" for i in columns]
    widths, upright = widths_of(labels)
    middles, right = places(columns, widths, axis)
    place = dict(zip(columns, middles, strict=True))
    deep = 0.1 + (0.065 * max(map(cells, labels)) + 0.08 if upright else 0.2)  # inches below the tree
    levels = [n for n, s in enumerate(result.sites) if s.query_axis == s.key_axis == tree.axis]
    step = min(0.5, max(0.2, 4.5 / len(levels)))  # inches from layer to layer
    height = step * len(levels)
    with figure(path, right + 0.4, height + deep + 0.7, laid_out=True) as drawn:
        axes = drawn.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for row, level in enumerate(levels):
            axes.plot([0, right], [row * step] * 2, color="#e9e9e9", linewidth=0.6, zorder=0)
            if row in thinned(len(levels), 12):
                axes.text(
                    -0.08, (row + 0.5) * step, str(level), ha="right", va="center", color=SOFT, fontsize=7
                )
        axes.plot([0, right], [height] * 2, color="#e9e9e9", linewidth=0.6, zorder=0)
        axes.text(-0.32, height / 2, "layer", rotation=90, ha="center", va="center", color=SOFT, fontsize=7)
        base = {level: row * step for row, level in enumerate(levels)}
        appears = {edge.child: base[edge.layer] for edge in tree.edges}
        if tree.top is not None:
            appears[tree.top] = height
        _branches(axes, flow, tree, place, base, step, appears)
        _root(axes, result, tree, place, height, right, appears)
        for column, label, x in zip(columns, labels, middles, strict=True):
            inside = column in tree.nodes
            axes.text(
                x, -0.1, label, rotation=90 if upright else 0, ha="center", va="top", parse_math=False,
                color=INK if inside else SOFT, fontsize=7, fontweight="bold" if inside else "normal",
            )  # fmt: skip
        if tree.edges:
            draw_key(axes, flow, result, _scale(tree), (0, -deep - 0.06))
        else:
            axes.text(0, -deep, _scale(tree), ha="left", va="top", color=SOFT, fontsize=6.5)
        axes.set_xlim(-0.4, right)  # inches, as the figure's size
        axes.set_ylim(-deep - 0.15, height + 0.55)


def _columns(tree: AttributionTree) -> list[int]:
    """Positions from left to right; of a long text those of the tree, and −1 … for what lies between."""
    n = len(tree.tokens)
    if n <= WHOLE:
        return list(range(n))
    columns: list[int] = []
    for i in sorted({*tree.nodes, *(() if tree.terminal is None else (tree.terminal,))}):
        if columns and i > columns[-1] + 1:
            columns.append(-1)
        columns.append(i)
    return columns


def _branches(
    axes: Axes,
    flow: Flow,
    tree: AttributionTree,
    place: dict[int, float],
    base: dict[int, float],
    step: float,
    appears: dict[int, float],
) -> None:
    """Edges as curves from layer to layer, nodes as dots, and a thin line where a token waits."""
    for node, y in appears.items():
        # a token may look at others in the very layer that it was looked at in
        highest = max([y, *(base[edge.layer] + step for edge in tree.children(node))])
        axes.plot([place[node]] * 2, [0, highest], color=FAINT, linewidth=0.7, zorder=1)
        axes.plot(
            [place[node]], [y], "o", markersize=3.4, markerfacecolor="white", markeredgecolor=POSITIVE,
            markeredgewidth=0.9, zorder=4,
        )  # fmt: skip
    for edge in sorted(tree.edges, key=lambda edge: edge.score):
        start, end = (place[edge.parent], base[edge.layer] + step), (place[edge.child], base[edge.layer])
        draw_edge(axes, edge.score, flow.width(edge.score), start, end, alpha=0.9)


def _root(
    axes: Axes,
    result: Attribution,
    tree: AttributionTree,
    place: dict[int, float],
    top: float,
    right: float,
    appears: dict[int, float],
) -> None:
    """What was explained, above; where there is a readout, tied to every token of the tree."""
    name = said(result)
    ends = [place[node] for node in tree.nodes] or [right / 2]
    x = min(max((min(ends) + max(ends)) / 2, 0.3), right)
    if tree.terminal is not None:
        name = f"{written(tree.tokens[tree.terminal])} → {name}"
        for node in tree.nodes:
            axes.plot(
                [x, place[node], place[node]], [top + 0.34, top, appears[node]], color=SOFT, linewidth=0.6,
                linestyle=(0, (1, 2.5)), zorder=1,
            )  # fmt: skip
    axes.text(x, top + 0.38, name, ha="center", va="bottom", fontsize=8, fontweight="bold", parse_math=False)


def _scale(tree: AttributionTree) -> str:
    if not tree.edges:
        return f"no edge above {tree.threshold:g} of its layer's largest leads on from the top"
    scores = [edge.score for edge in tree.edges]
    return f"edges {min(scores):.2g} to {max(scores):.2g}, above {tree.threshold:g} of their layer's largest"


def draw_heads(
    result: Attribution, path: str | Path, *, value: Literal["attribution", "attention"] = "attribution"
) -> None:
    """Layers × heads: each head's largest score, or how concentrated its attention is.

    >>> draw_heads(result, folder / "heads.pdf", value="attention")

    Attention is the largest weight of each query, averaged over queries: what a reader of attention
    maps would take for importance.

    Raises:
        InputError: as `draw_tree`; an unknown value; attention that the store does not hold; sites with
            different numbers of heads.
    """
    if value == "attribution":
        matrix, label = result.per_head("max"), "largest score of the head"
    elif value == "attention":
        if any(site.attention is None for site in result.sites):
            raise InputError("this result has no attention: make it with store='dense'")
        rows = [site.attention.max(2).mean(1) for site in result.sites if site.attention is not None]
        if len({len(row) for row in rows}) != 1:
            raise InputError("the sites have different numbers of heads: they are no one matrix")
        matrix, label = np.stack(rows), "largest weight, mean of queries"
    else:
        raise InputError(f"unknown value '{value}': choose attribution or attention")
    grey = [label] if value == "attention" else []
    plot_heads(matrix, path, title=said(result), label=label, layers=_layers(result), weights=grey)


def draw_matrix(
    result: Attribution,
    path: str | Path,
    *,
    site: int | None = None,
    head: int | None = None,
    words: bool = False,
) -> None:
    """One head's n × n scores beside its attention weights, queries down, keys across.

    >>> draw_matrix(result, folder / "head.svg", site=1, head=0)

    site, head: numbers from 0; without them the head with the largest score, of that site or of all.

    Raises:
        InputError: as `draw_tree`; no such site or head; a store other than dense.
    """
    result = merge_words(result) if words else result
    site, head = _chosen(result, site, head)
    of = result.sites[site]
    if of.scores is None or of.attention is None:
        raise InputError("this result has no matrices: make it with store='dense'")
    queries, keys = (result.axes[name].tokens for name in (of.query_axis, of.key_axis))
    cell = min(0.26, max(0.085, 3.4 / len(keys)))
    width, height = min(4.5, cell * len(keys)), min(4.5, cell * len(queries))
    gap = 0.85  # inches for the first colour bar
    whole = 2 * width + gap
    with figure(path, whole, height, laid_out=True) as drawn:
        pair = [drawn.add_axes((x / whole, 0, width / whole, 1)) for x in (0, width + gap)]
        for axes, matrix, label in zip(
            pair, (of.scores[head], of.attention[head]), ("attribution", "attention weight"), strict=True
        ):
            image = heat(axes, np.asarray(matrix, float), grey=axes is pair[1])
            _name_cells(axes, keys, queries, cell * 72)
            axes.set_title(label, loc="left", fontsize=8)
            colour_bar(drawn, image, axes, "")
        pair[0].set_ylabel("query")
        for axes in pair:
            axes.set_xlabel("key")
        pair[1].set_yticklabels([])
        pair[0].annotate(
            f"layer {_layers(result)[site]}, head {head} · {said(result)}", (0, 1), (0, 19),
            xycoords="axes fraction", textcoords="offset points", fontsize=8, parse_math=False,
        )  # fmt: skip


def _layers(result: Attribution) -> list[str]:
    """The numbers of the layers; with what they are where an encoder and a decoder stand together."""
    mixed = len({site.kind for site in result.sites}) > 1
    names = {"encoder_self": " encoder", "decoder_self": " decoder", "cross": " cross"}
    return [f"{n}{names.get(site.kind, '') if mixed else ''}" for n, site in enumerate(result.sites)]


def _chosen(result: Attribution, site: int | None, head: int | None) -> tuple[int, int]:
    if not result.sites:
        raise InputError("no layer of this result was attributed")
    if site is not None and not 0 <= site < len(result.sites):
        raise InputError(f"there is no layer {site}: this result has 0 to {len(result.sites) - 1}")
    sites = range(len(result.sites)) if site is None else [site]
    if head is not None and site is None:
        raise InputError(f"head {head} of which layer? Name the layer too")
    if head is None:
        largest = [(float(np.nan_to_num(result.sites[s].head_max).max()), -s) for s in sites]
        site = -max(largest)[1]
        head = int(np.nan_to_num(result.sites[site].head_max).argmax())
    assert site is not None
    if not 0 <= head < result.sites[site].n_heads:
        raise InputError(f"there is no head {head}: layer {site} has 0 to {result.sites[site].n_heads - 1}")
    return site, head


def _name_cells(axes: Axes, keys: Sequence[str], queries: Sequence[str], points: float) -> None:
    size = min(7.0, max(5.0, 0.85 * points))
    for which, tokens in ((axes.xaxis, keys), (axes.yaxis, queries)):
        shown = thinned(len(tokens), 52)
        which.set_ticks(shown)
        rotation = 90 if which is axes.xaxis else 0
        which.set_ticklabels(
            [written(tokens[i]) for i in shown], rotation=rotation, fontsize=size, parse_math=False
        )


def draw_tokens(result: Attribution, path: str | Path, *, words: bool = False) -> None:
    """What attending to each token gave in one layer, bars, up for the target: `word_effects`; of an image,
    over its patches.

    >>> draw_tokens(result, folder / "tokens.png", words=True)

    Raises:
        InputError: as `draw_tree`; a store without sums per token.
    """
    if result.grid is not None and result.picture is not None:
        draw_overlay(result, path, said(result))
        return
    result = merge_words(result) if words else result
    found = word_effects(result)
    values = np.nan_to_num(found.values)
    axis = result.axes[found.axis]
    n = len(values)
    rows = [list(range(first, min(first + ROW, n))) for first in range(0, n, ROW)]
    laid = []
    for row in rows:
        widths, upright = widths_of([written(axis.tokens[i]) for i in row])
        middles, end = places(row, widths, axis)
        laid.append((middles, end, widths, upright))
    right = max(end for _, end, _, _ in laid)
    most, least = max(0.0, float(values.max())), min(0.0, float(values.min()))
    room = 0.06 * (most - least or 1.0)
    with figure(path, right + 0.8, 0.4 + len(rows) * 1.75) as drawn:
        panels = drawn.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axes, row, (middles, end, widths, upright) in zip(panels, rows, laid, strict=True):
            axes.set_xlim(0, right)
            axes.set_ylim(least - room, most + room)
            axes.plot([0, end], [0, 0], color=INK, linewidth=0.6)
            for i, x, width in zip(row, middles, widths, strict=True):
                value = float(values[i])
                axes.bar(
                    x, value, min(0.3, 0.72 * width), color=POSITIVE if value > 0 else NEGATIVE,
                    linewidth=0, zorder=2,
                )  # fmt: skip
            axes.set_xticks(
                middles, [written(axis.tokens[i]) for i in row],
                rotation=90 if upright else 0, fontsize=7, parse_math=False,
            )  # fmt: skip
            axes.tick_params(axis="x", length=0)
            axes.spines["bottom"].set_visible(False)
            axes.locator_params(axis="y", nbins=5)
        panels[0].set_title(said(result), loc="left", fontsize=8, parse_math=False)
        drawn.supylabel(f"given in layer {found.layer}; together {found.total:+.2g}", fontsize=7)
