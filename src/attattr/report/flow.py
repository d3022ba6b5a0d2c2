"""The flow graph of one result as a figure for print: what `result.flow` chose, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attattr import asked
from attattr.report.columns import GAP, SOFT, WHOLE, cells, places, said, widths_of, written
from attattr.report.plots import FAINT, INK, NEGATIVE, POSITIVE, figure, thinned
from attattr.result.attribution import Attribution
from attattr.result.flow import Flow, FlowEdge, FlowSite, build_flow
from attattr.result.tree import merge_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE = 12.0  # points of width 1
BAR = 0.42  # inches that a layer's whole effect of width 1 takes
LEFT = 1.15  # inches for the layers' names and effects


def draw_flow(
    result: Attribution, path: str | Path, *, edges: int | None = None, words: bool = False
) -> None:
    """The strongest edges of all layers and how they reach the output: tokens below, layers up.

    >>> draw_flow(result, folder / "flow.svg")

    Width is |score|, on one scale that a key shows; colour is the sign, and what is under half a percent of
    the scale is a grey hairline. Thin grey lines are positions that stay what they are between layers. An
    edge that no shown edges link to the output is pale. Beside each layer stands what all of its attention
    did: F less F without it. Of more than 60 tokens only those with an edge are drawn.

    edges: how many are shown; None: `Flow.usual`.

    Raises:
        InputError: as `build_flow`; a path that ends in none of .svg, .pdf and .png, or cannot be written.
    """
    result = merge_words(result) if words else result
    flow = build_flow(result)
    count = flow.usual if edges is None else asked.whole(edges, "the number of edges")
    shown = flow.edges[:count]
    at, names, right, upright = _columns(result, flow, shown)
    most = max(flow.base[site.query_axis] + site.level for site in flow.sites)
    step = min(0.5, max(0.2, 4.5 / most))  # inches from level to level
    deep = 0.1 + (0.065 * max(map(cells, names.values())) + 0.08 if upright else 0.2)
    with figure(path, right + LEFT + 0.2, most * step + deep + 0.9, laid_out=True) as drawn:
        axes = drawn.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        _layers(axes, flow, right, step)
        linked = _edges(axes, flow, shown, at, step)
        _residual(axes, flow, shown, at, step)
        for place, name in names.items():
            inside = place in linked
            axes.text(
                at[place], flow.base[place[0]] * step - 0.1, name, ha="center", va="top", parse_math=False,
                rotation=90 if upright else 0, color=INK if inside else SOFT, fontsize=7,
                fontweight="bold" if inside else "normal",
            )  # fmt: skip
        axis, positions = flow.readout
        ends = [at[axis, i] for i in positions if (axis, i) in at] or [right / 2]
        middle = min(max(sum(ends) / len(ends), 0.4), max(right - 0.4, 0.4))
        top = most * step
        for x in ends:
            axes.plot([x, middle], [top, top + 0.2], color=SOFT, linewidth=0.7, zorder=1)
        axes.text(
            middle, top + 0.24, said(result), ha="center", va="bottom", fontsize=8, fontweight="bold",
            parse_math=False,
        )  # fmt: skip
        share = flow.share(count)
        carried = "" if share is None else f", {share:.0%} of Σ|score|"
        counts = f"{min(count, len(flow.edges))} edges shown{carried}"
        draw_key(axes, flow, result, counts, (-LEFT, -deep - 0.12))
        axes.set_xlim(-LEFT, right + 0.2)  # inches, as the figure's size
        axes.set_ylim(-deep - 0.3, most * step + 0.6)


def _columns(
    result: Attribution, flow: Flow, shown: tuple[FlowEdge, ...]
) -> tuple[dict[tuple[str, int], float], dict[tuple[str, int], str], float, bool]:
    """Inches from the left of each (axis, position) that is drawn, its name, the width, and whether names
    stand upright."""
    axes = list(dict.fromkeys(name for site in flow.sites for name in (site.key_axis, site.query_axis)))
    used = {
        place
        for edge in shown
        for place in (
            (flow.sites[edge.site].query_axis, edge.query),
            (flow.sites[edge.site].key_axis, edge.key),
        )
    } | {(flow.readout[0], i) for i in flow.readout[1]}
    columns = [
        (axis, i)
        for axis in axes
        for i in range(len(flow.axes[axis]))
        if sum(map(len, flow.axes.values())) <= WHOLE or (axis, i) in used
    ]
    names = {(axis, i): written(flow.axes[axis][i]) for axis, i in columns}
    wide, upright = widths_of(list(names.values()))
    at: dict[tuple[str, int], float] = {}
    left, start = 0.0, 0
    for axis in axes:
        here = [i for of, i in columns if of == axis]
        middles, end = places(here, wide[start : start + len(here)], result.axes[axis])
        at |= {(axis, i): left + x for i, x in zip(here, middles, strict=True)}
        left, start = left + end + GAP, start + len(here)
    return at, names, left - GAP, upright


def _layers(axes: Axes, flow: Flow, right: float, step: float) -> None:
    """Lines between the layers; at the left each one's number, and what its attention as a whole did."""
    axes.plot([0, right], [0, 0], color="#e9e9e9", linewidth=0.6, zorder=0)
    for number in thinned(len(flow.sites), 24):
        site = flow.sites[number]
        y = (flow.base[site.query_axis] + site.level - 0.5) * step
        did = flow.value - site.without
        axes.text(-LEFT, y, _named(site), ha="left", va="center", color=SOFT, fontsize=6.5)
        axes.text(-0.47, y, f"{did:+.2g}", ha="right", va="center", color=SOFT, fontsize=6)
        axes.barh(
            y, min(1.0, abs(did) / flow.scale) * BAR, 0.35 * step, left=-0.44,
            color=POSITIVE if did > 0 else NEGATIVE, linewidth=0,
        )  # fmt: skip
    for site in flow.sites:
        y = (flow.base[site.query_axis] + site.level) * step
        axes.plot([0, right], [y, y], color="#e9e9e9", linewidth=0.6, zorder=0)


def _named(site: FlowSite) -> str:
    return f"{site.site}{ {'cross': ' cross', 'decoder_self': ''}.get(site.kind, '') }"


def _edges(
    axes: Axes, flow: Flow, shown: tuple[FlowEdge, ...], at: dict[tuple[str, int], float], step: float
) -> set[tuple[str, int]]:
    """The edges as curves; gives the tokens that they lead from."""
    linked = set()
    for edge in reversed(shown):  # the strongest on top
        site = flow.sites[edge.site]
        start, end = (site.query_axis, edge.query), (site.key_axis, edge.key)
        x, y = at[start], (flow.base[site.query_axis] + site.level) * step
        to, below = at[end], (flow.base[site.key_axis] + site.key_level) * step
        joined = edge.joins is not None and edge.joins <= len(shown)
        draw_edge(axes, edge.score, edge.width, (x, y), (to, below), alpha=0.9 if joined else 0.25)
        if joined:
            linked.add(end)
    return linked


def draw_edge(
    axes: Axes,
    score: float,
    width: float,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    alpha: float,
) -> None:
    """A curve from the token that looks down to the one it looks at: `Flow.width`, and the sign's colour."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    (x, y), (to, below) = start, end
    middle = (y + below) / 2
    colour = POSITIVE if score > 0 else NEGATIVE
    curve = Curve([(x, y), (x, middle), (to, middle), (to, below)], [1, 4, 4, 4])  # cubic
    axes.add_patch(PathPatch(
        curve, fill=False, edgecolor=colour if width else "#999999", alpha=alpha,
        linewidth=max(0.4, WIDE * width), capstyle="butt", zorder=2,
    ))  # fmt: skip


def _residual(
    axes: Axes, flow: Flow, shown: tuple[FlowEdge, ...], at: dict[tuple[str, int], float], step: float
) -> None:
    """A thin line from each node down to its token, and from where F is read up to the top."""
    highest: dict[tuple[str, int], int] = {}
    for edge in shown:
        site = flow.sites[edge.site]
        for place, level in (
            ((site.query_axis, edge.query), site.level),
            ((site.key_axis, edge.key), site.key_level),
        ):
            highest[place] = max(level, highest.get(place, 0))
    axis, positions = flow.readout
    top = max(site.level for site in flow.sites if site.query_axis == axis)
    highest |= {(axis, i): top for i in positions if (axis, i) in at}
    for place, level in highest.items():
        low = flow.base[place[0]]
        axes.plot([at[place]] * 2, [low * step, (low + level) * step], color=FAINT, linewidth=0.7, zorder=1)


def draw_key(axes: Axes, flow: Flow, result: Attribution, said: str, place: tuple[float, float]) -> None:
    """A bar as wide as a round number is drawn, what it stands for, and what else is said."""
    x, y = place
    axes.plot(
        [x, x + 0.25], [y, y], color=SOFT, linewidth=WIDE * flow.unit / flow.scale, solid_capstyle="butt"
    )
    text = f"{flow.unit:g} of the {result.target.output.replace('_', ' ')} · {said}"
    axes.text(x + 0.32, y, text, ha="left", va="center", color=SOFT, fontsize=6.5)
