"""The flow graph: the strongest edges of all layers on one scale, and how each reaches the output.

Everything here is read from a result; no model is needed. Views draw what stands here and choose nothing:
which edges, how wide, what is linked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from attattr import asked
from attattr.errors import InputError
from attattr.result.attribution import Attribution
from attattr.result.shown import brief, counted
from attattr.result.values import Site

SCHEMA_VERSION = "1"
MOST = 200  # edges a view may show
USUAL = 30  # at most so many unless asked for
COVERED = 0.5  # share of each layer's Σ|score| that the usual ones cover
MINOR = 0.1  # of the largest layer's Σ|score|: a layer below need not be covered
HAIRLINE = 0.005  # of the scale: thinner than any width tells
HEADS = 4  # named of an edge


@dataclass(frozen=True)
class FlowEdge:
    """At this site the query looked at the key.

    score: Σ of the scores of all heads, in units of F. width: |score| relative to `Flow.scale`, one scale for
    all edges; 0: below HAIRLINE. heads: the strongest as (head, score). joins: with so many edges shown, some
    path of shown edges and residual lines leads from it to the output; None: not even with all.
    """

    site: int
    query: int
    key: int
    score: float
    width: float
    heads: tuple[tuple[int, float], ...]
    joins: int | None


@dataclass(frozen=True)
class FlowSite:
    """One attention site: it leads from `key_level` of the key axis up to `level` of the query axis.

    Level 0 of an axis are its tokens; each site that attends from the axis leads one level up. without: F
    with this site's attention at its baseline. total: Σ|score| of its edges, heads summed; None where only
    the strongest are kept.
    """

    site: int
    name: str
    kind: str
    query_axis: str
    key_axis: str
    level: int
    key_level: int
    total: float | None
    without: float


@dataclass(frozen=True)
class Flow:
    """What `build_flow` makes.

    edges: the strongest first, at most MOST. usual: how many of them a view shows unless asked otherwise.
    base: the row on which each axis begins: a decoder's above what it looks at, others on row 0.
    readout: where F is read, an axis and positions of its highest level. scale: the F that width 1 stands
    for. unit: a round number of F near a tenth of it, for a key.
    """

    axes: Mapping[str, tuple[str, ...]]
    base: Mapping[str, int]
    sites: tuple[FlowSite, ...]
    edges: tuple[FlowEdge, ...]
    usual: int
    readout: tuple[str, tuple[int, ...]]
    value: float
    scale: float
    unit: float

    def __repr__(self) -> str:
        return brief(
            self, counted(len(self.sites), "site"), f"{self.usual} of {counted(len(self.edges), 'edge')}"
        )

    def width(self, score: float) -> float:
        """Of any edge on this one scale, 0 where no width would tell.

        >>> flow = build_flow(result)
        >>> flow.width(0.5 * flow.scale), flow.width(-0.5 * flow.scale), flow.width(1e-4 * flow.scale)
        (0.5, 0.5, 0.0)
        """
        return _width(self.scale, score)

    def share(self, count: int | None = None) -> float | None:
        """How much of Σ|score| over all sites so many edges carry; None where it is not known.

        >>> flow = build_flow(result)
        >>> flow.share(0), flow.share(1) == abs(flow.edges[0].score) / sum(s.total for s in flow.sites)
        (0.0, True)
        """
        if any(site.total is None for site in self.sites):
            return None
        whole = sum(site.total or 0.0 for site in self.sites)
        shown = self.edges[: self.usual if count is None else count]
        return sum(abs(edge.score) for edge in shown) / whole if whole else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values (schema: docs/flow.md)."""
        facts = asdict(self)
        for edge in facts["edges"]:
            edge["heads"] = [{"head": head, "score": score} for head, score in edge["heads"]]
        axis, positions = self.readout
        facts["readout"] = {"axis": axis, "positions": list(positions)}
        return {"schema_version": SCHEMA_VERSION, **facts, "share": self.share()}


def build_flow(result: Attribution) -> Flow:
    """Which edges carried the output, over all layers, and how they hang together.

    >>> flow = build_flow(result)
    >>> edge = flow.edges[0]
    >>> flow.sites[edge.site].name, flow.axes["input"][edge.query], flow.axes["input"][edge.key]
    ('encoder.layer.1', '[CLS]', 'fine')
    >>> flow.unit, edge.width == abs(edge.score) / flow.scale, [edge.joins for edge in flow.edges]
    (0.1, True, [1, 2, None])

    The scores of the heads are summed for each pair; both signs count, by size. F is read at the rows of the
    last site that carry anything. An edge reaches it if its query is such a position, or is looked at by a
    higher edge that reaches it: between two sites a position stays what it is by the residual stream. Edges
    are shown by size, so one may be shown before the edge that links it.

    The usual number covers half of Σ|score| of every layer that is not minor, with at most 30 edges.

    Raises:
        InputError: a result of sums alone, of no layer, or with numbers that are not finite.
    """
    if not asked.attribution(result).sites:
        raise InputError("the result has no layer: there is no flow")
    sites = _levels(result.sites)
    pairs = [_pairs(site) for site in result.sites]
    order = sorted(
        ((abs(score), number, at) for number, of in enumerate(pairs) for at, score in of.items()),
        key=lambda each: (-each[0], each[1], each[2]),
    )[:MOST]
    if not all(math.isfinite(size) for size, _, _ in order):
        raise InputError("some scores are not finite: there is no flow of them")
    readout = _readout(result.sites)
    places = [(number, *at) for size, number, at in order if size > 0]
    joins = _joins(places, sites, readout)
    value = result.target.value
    largest = order[0][0] if order else 0.0  # edges that cancel may be more than what they add up to
    sizes = [abs(value), largest, *(abs(value - site.without) for site in sites)]
    if not all(map(math.isfinite, sizes)):
        raise InputError("some outputs are not finite: there is no flow of them")
    scale = max(sizes) or 1.0
    edges = []
    for (number, query, key), joined in zip(places, joins, strict=True):
        score = pairs[number][query, key]
        heads = _heads(result.sites[number], query, key)
        edges.append(FlowEdge(number, query, key, score, _width(scale, score), heads, joined))
    axes = {name: axis.tokens for name, axis in result.axes.items()}
    return Flow(
        axes,
        _base(sites),
        sites,
        tuple(edges),
        _usual(edges, sites),
        readout,
        value,
        scale,
        _round(scale / 10),
    )


def _width(scale: float, score: float) -> float:
    """|score| relative to the scale; 0: below HAIRLINE."""
    width = abs(score) / scale
    return width if width >= HAIRLINE else 0.0


def _levels(sites: Sequence[Site]) -> tuple[FlowSite, ...]:
    level: dict[str, int] = {}
    found = []
    for number, site in enumerate(sites):
        below = level.get(site.key_axis, 0)
        level[site.query_axis] = level.get(site.query_axis, 0) + 1
        total = None
        if site.scores is not None:
            total = float(np.abs(site.scores.sum(0, dtype=np.float64)).sum())
        found.append(
            FlowSite(
                number, site.name, site.kind, site.query_axis, site.key_axis, level[site.query_axis], below,
                total, site.baseline_output,
            )
        )  # fmt: skip
    return tuple(found)


def _base(sites: Sequence[FlowSite]) -> dict[str, int]:
    base: dict[str, int] = {}
    for site in sites:
        below = base.setdefault(site.key_axis, 0)
        above = 0 if site.key_axis == site.query_axis else below + site.key_level
        base[site.query_axis] = max(base.get(site.query_axis, 0), above)
    return base


def _pairs(site: Site) -> dict[tuple[int, int], float]:
    """The strongest (query, key) of a site, by the sum over heads: of all heads, or of the edges kept."""
    if site.scores is not None:
        summed = site.scores.sum(0, dtype=np.float64)
        flat = np.argsort(-np.abs(summed), axis=None, kind="stable")[:MOST]
        queries, keys = np.unravel_index(flat, summed.shape)
        return {(int(i), int(j)): float(summed[i, j]) for i, j in zip(queries, keys, strict=True)}
    if site.edges is None:
        raise InputError("a flow graph needs edges: make the result with store='dense' or 'edges'")
    found: dict[tuple[int, int], float] = {}
    for i, j, score in zip(site.edges.query, site.edges.key, site.edges.score, strict=True):
        found[int(i), int(j)] = found.get((int(i), int(j)), 0.0) + float(score)
    return found


def _readout(sites: Sequence[Site]) -> tuple[str, tuple[int, ...]]:
    """The axis of the last site's queries, and those that carry anything."""
    last = sites[-1]
    if last.scores is not None:
        rows = np.abs(last.scores).sum((0, 2), dtype=np.float64)
    else:
        assert last.query_sum is not None  # there are edges
        rows = np.abs(last.query_sum).sum(0, dtype=np.float64)
    return last.query_axis, tuple(np.flatnonzero(rows > 1e-6 * rows.max(initial=0)).tolist())


def _joins(
    places: Sequence[tuple[int, int, int]], sites: Sequence[FlowSite], readout: tuple[str, Sequence[int]]
) -> list[int | None]:
    """Of each (site, query, key): with how many of them shown it reaches the readout."""
    joins: list[int | None] = [None] * len(places)
    for count in range(1, len(places) + 1):
        shown: dict[int, list[int]] = {}
        for i, (number, _, _) in enumerate(places[:count]):
            shown.setdefault(number, []).append(i)
        active = {readout[0]: set(readout[1])}
        for site in reversed(sites):
            keys = set()
            for i in shown.get(site.site, ()):
                _, query, key = places[i]
                if query in active.get(site.query_axis, ()):
                    keys.add(key)
                    joins[i] = count if joins[i] is None else joins[i]
            active.setdefault(site.key_axis, set()).update(keys)
    return joins


def _heads(site: Site, query: int, key: int) -> tuple[tuple[int, float], ...]:
    if site.scores is not None:
        found = list(enumerate(site.scores[:, query, key].tolist()))
    else:
        assert site.edges is not None
        here = np.flatnonzero((site.edges.query == query) & (site.edges.key == key))
        found = [(int(site.edges.head[i]), float(site.edges.score[i])) for i in here]
    return tuple(sorted(found, key=lambda pair: (-abs(pair[1]), pair[0]))[:HEADS])


def _usual(edges: Sequence[FlowEdge], sites: Sequence[FlowSite]) -> int:
    """As many edges as cover COVERED of each layer that is not minor; at most USUAL, no hairlines."""
    most = max(1, min(USUAL, sum(edge.width > 0 for edge in edges))) if edges else 0
    totals = {site.site: site.total for site in sites if site.total is not None}
    if len(totals) < len(sites):
        return most
    left = {n: COVERED * of for n, of in totals.items() if of > MINOR * max(totals.values())}
    for count, edge in enumerate(edges[:most], 1):
        if edge.site in left:
            left[edge.site] -= abs(edge.score)
        if all(of <= 0 for of in left.values()):
            return count
    return most


def _round(size: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten.

    >>> _round(0.098), _round(0.03), _round(14.0)
    (0.1, 0.02, 10.0)
    """
    exponent = math.floor(math.log10(size))
    steps = [digit * 10.0**power for power in (exponent, exponent + 1) for digit in (1, 2, 5)]
    return min(steps, key=lambda step: abs(math.log(step / size)))
