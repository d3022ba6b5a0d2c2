"""The attribution tree: along which edges information flowed to the prediction, and how far edges reach.

Everything here is read from a result; no model is needed. Shapes: L sites, H heads, n positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr import asked
from attattr.errors import InputError
from attattr.result.attribution import Attribution
from attattr.result.shown import brief, counted, short
from attattr.result.values import Axis, Site
from attattr.result.words import grouped, piece

if TYPE_CHECKING:
    import networkx

SCHEMA_VERSION = "1"
QUANTILES = (0.05, 0.25, 0.75, 0.95)


@dataclass(frozen=True)
class TreeEdge:
    """In this layer the parent (the query) looked at the child (the key).

    score: Σ of the scores of all heads, in units of F. heads: those with a positive score, as
    (head, score), strongest first.
    """

    layer: int  # number of the site in Attribution.sites
    parent: int
    child: int
    score: float
    heads: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class AttributionTree:
    """What `build_tree` makes; positions are those of `tokens`.

    nodes: in the order in which they appeared, the top first. levels: edges from the top to each of them.
    terminal: the position the prediction is read at, to which every node is connected; None if there is
    none.
    """

    tokens: tuple[str, ...]
    axis: str
    top: int | None  # None only where there is no token but the terminal
    terminal: int | None
    threshold: float
    n_layers: int
    nodes: tuple[int, ...]
    levels: tuple[int, ...]
    edges: tuple[TreeEdge, ...]

    def __repr__(self) -> str:
        top = "" if self.top is None else f"top {short(self.tokens[self.top])}"
        return brief(
            self,
            top,
            counted(len(self.nodes), "node"),
            counted(len(self.edges), "edge"),
            f"threshold {self.threshold:g}",
        )

    def children(self, position: int) -> list[TreeEdge]:
        """The edges that go down from a node, as they were found: upper layers first."""
        return [edge for edge in self.edges if edge.parent == position]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values (schema: docs/tree.md).

        >>> facts = build_tree(result).to_json()
        >>> facts["top"], facts["terminal"], facts["nodes"]
        (4, 0, [{'position': 4, 'token': '[SEP]', 'level': 0}, {'position': 2, 'token': 'fine', 'level': 1}])
        """
        facts = asdict(self)
        facts["nodes"] = [
            {"position": node, "token": self.tokens[node], "level": level}
            for node, level in zip(self.nodes, self.levels, strict=True)
        ]
        for edge in facts["edges"]:
            edge["heads"] = [{"head": head, "score": score} for head, score in edge["heads"]]
        return {"schema_version": SCHEMA_VERSION, **facts}

    def to_networkx(self) -> networkx.DiGraph:
        """A directed graph, parent → child: nodes are positions with `token` and `level`, edges carry
        `layer`, `score` and `heads`.

        >>> sorted(build_tree(result).to_networkx().edges)
        [(4, 2)]

        The terminal is in `graph.graph["terminal"]` and is no node: its token may also have been looked
        at, so as a node it could close a circle.
        """
        import networkx

        graph = networkx.DiGraph(top=self.top, terminal=self.terminal, threshold=self.threshold)
        for node, level in zip(self.nodes, self.levels, strict=True):
            graph.add_node(node, token=self.tokens[node], level=level)
        for edge in self.edges:
            graph.add_edge(edge.parent, edge.child, layer=edge.layer, score=edge.score, heads=edge.heads)
        return graph


def build_tree(result: Attribution, *, threshold: float = 0.4, axis: str | None = None) -> AttributionTree:
    """How information flowed together, by the paper's greedy construction.

    >>> tree = build_tree(result)
    >>> tree.tokens[tree.top], tree.tokens[tree.terminal]
    ('[SEP]', '[CLS]')
    >>> [(edge.layer, tree.tokens[edge.parent], tree.tokens[edge.child], edge.score) for edge in tree.edges]
    [(0, '[SEP]', 'fine', 0.125)]

    Per layer the scores of the heads are summed. An edge (i, j) is kept where its score is above
    `threshold` times the largest score of its layer, diagonal included. The top is the token whose own
    looking at others contributed most over all layers. From the last layer down, strongest edge first,
    a kept edge from a token of the tree to one that is not in it yet makes this one its child: so each
    token has one parent, and going down the layers never rise.

    The terminal is the readout row: the one query row that carries all of the last layer's attribution
    (the pooled token, or a language model's last). It is in neither sum nor maximum and is not the
    parent of anything; as a key it may be looked at like any token. A model that pools over positions
    has none.

    Args:
        result: with store="dense".
        threshold: τ, from 0 to below 1.
        axis: of the tree's tokens, for an encoder–decoder "input" or "output"; None: the first. The
            sites that attend from this axis to itself are used.

    Raises:
        InputError: a threshold out of range, an unknown axis, a result without scores or with scores
            that are not finite.

    Source: Hao et al. 2021, algorithm 1. The order of a layer's edges, which decides
    between two parents, is ours; the paper leaves it open. The authors' code differs from the paper: it
    goes from left to right, is written for twelve layers and begins below the last one, takes row 0 for
    the readout and adds no terminal, and sums for the top only what is positive over all layers.
    """
    axis = next(iter(asked.attribution(result).axes)) if axis is None else axis
    layers = layer_scores(result, axis)
    tokens = result.axes[axis].tokens
    terminal = _readout(layers)
    kept = {layer: _kept(scores, terminal, threshold) for layer, scores in layers.items()}
    top = _top(layers, terminal)
    level = {} if top is None else {top: 0}
    edges = []
    for layer in reversed(layers):
        scores = layers[layer]
        for i, j in zip(*(index.tolist() for index in kept[layer]), strict=True):
            if i in level and j not in level:
                level[j] = level[i] + 1
                edges.append(TreeEdge(layer, i, j, float(scores[i, j]), _heads(result.sites[layer], i, j)))
    return AttributionTree(
        tokens, axis, top, terminal, threshold, len(layers), tuple(level), tuple(level.values()), tuple(edges)
    )


@dataclass(frozen=True)
class Reach:
    """How far one layer's kept edges reach: distances |i − j|, 0 where a token looks at itself.

    counts: kept edges at each distance 0, 1, 2 … quantiles: at QUANTILES. weighted_mean: edges count
    by their score. All but the first three are None where nothing is kept.
    """

    layer: int
    n: int
    counts: tuple[int, ...]
    mean: float | None = None
    median: float | None = None
    quantiles: tuple[float, ...] | None = None
    weighted_mean: float | None = None

    def __repr__(self) -> str:
        middle = "" if self.mean is None else f"mean distance {self.mean:.3g}"
        return brief(self, f"layer {self.layer}", counted(self.n, "edge"), middle)


def receptive_field(result: Attribution, threshold: float = 0.4, *, axis: str | None = None) -> list[Reach]:
    """Layer by layer, the distances of the edges that the tree is chosen from.

    >>> [(reach.layer, reach.n, reach.mean) for reach in receptive_field(result)]
    [(0, 1, 2.0), (1, 0, None)]

    Args: as `build_tree`. The readout row is left out here too: its distances say where a token
        stands, not how far the layer looks. The last layer of a classifier therefore has none.

    Raises:
        InputError: as `build_tree`.
    """
    layers = layer_scores(result, next(iter(asked.attribution(result).axes)) if axis is None else axis)
    terminal = _readout(layers)
    found = []
    for layer, scores in layers.items():
        i, j = _kept(scores, terminal, threshold)
        distance = np.abs(i - j)
        reach = Reach(layer, len(distance), tuple(np.bincount(distance).tolist()))
        if len(distance):
            reach = replace(
                reach,
                mean=float(distance.mean()),
                median=float(np.median(distance)),
                quantiles=tuple(np.quantile(distance, QUANTILES).tolist()),
                weighted_mean=float(np.average(distance, weights=scores[i, j])),
            )
        found.append(reach)
    return found


def merge_words(result: Attribution) -> Attribution:
    """The result by words instead of tokens, on every axis; special tokens stay as they are.

    >>> merge_words(result).tokens
    ('[CLS]', 'a', 'fine', 'film', '[SEP]')

    Scores are summed over the pieces of both words, so that completeness is kept. Attention is summed
    over the pieces looked at and averaged over those that look: a row still sums to what it did.

    Raises:
        InputError: a store other than dense.
    """
    groups = {name: grouped(axis.words) for name, axis in asked.attribution(result).axes.items()}
    starts = {name: [group[0] for group in of] for name, of in groups.items()}
    sites = []
    for site in result.sites:
        if site.scores is None or site.attention is None:
            raise InputError("words need every score: make the result with store='dense'")
        queries, keys = starts[site.query_axis], starts[site.key_axis]
        sizes = np.array([len(group) for group in groups[site.query_axis]], site.attention.dtype)
        scores = _summed(site.scores, queries, keys)
        sites.append(
            replace(
                site,
                scores=scores,
                attention=_summed(site.attention, queries, keys) / sizes[:, None],
                head_max=scores.max((1, 2)),
                head_abs=np.abs(scores).mean((1, 2)),
                query_sum=scores.sum(2),
                key_sum=scores.sum(1),
            )
        )
    axes = {name: _merged(axis, groups[name]) for name, axis in result.axes.items()}
    return replace(result, axes=axes, sites=tuple(sites))


def layer_scores(result: Attribution, axis: str) -> dict[int, np.ndarray]:
    """By site number, the scores summed over heads, (n, n), of the sites that attend from `axis` to itself.

    Raises:
        InputError: no such axis or sites; a store other than dense; scores that are not finite.
    """
    asked.choice(axis, "axis", result.axes)
    layers = {}
    for number, site in enumerate(result.sites):
        if site.query_axis == site.key_axis == axis:
            if site.scores is None:
                raise InputError("a tree needs every score: make the result with store='dense'")
            layers[number] = site.scores.sum(0, dtype=np.float64)
    if not layers:
        raise InputError(f"no attributed site attends from the axis '{axis}' to itself")
    if not all(np.isfinite(scores).all() for scores in layers.values()):
        raise InputError("some scores are not finite: there is no tree of them")
    return layers


def _readout(layers: dict[int, np.ndarray]) -> int | None:
    """The one row of the last layer that is not 0; None if several are, or none."""
    rows = np.abs(layers[max(layers)]).sum(1)
    carrying = np.flatnonzero(rows > 1e-6 * rows.max())
    return int(carrying[0]) if len(carrying) == 1 else None


def _kept(scores: np.ndarray, terminal: int | None, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Edges above the threshold as queries and keys, strongest first, ties in reading order."""
    check_threshold(threshold)
    scores = scores.copy()
    if terminal is not None:
        scores[terminal] = 0
    # the maximum is at least 0, so that nothing negative is ever above the threshold
    i, j = np.nonzero(scores > threshold * scores.max(initial=0))
    order = np.argsort(-scores[i, j], kind="stable")
    return i[order], j[order]


def check_threshold(threshold: Any) -> float:
    """A share that leaves at least the strongest edge."""
    below_1 = math.nextafter(1, 0)
    return asked.number(threshold, "the threshold", "a number from 0 to below 1", 0, below_1)


def _top(layers: dict[int, np.ndarray], terminal: int | None) -> int | None:
    total = np.sum(list(layers.values()), axis=0)
    rows = total.sum(1) - total.diagonal()
    if terminal is not None:
        rows[terminal] = -np.inf
    return int(rows.argmax()) if np.isfinite(rows).any() else None


def _heads(site: Site, i: int, j: int) -> tuple[tuple[int, float], ...]:
    assert site.scores is not None
    scores = enumerate(site.scores[:, i, j].tolist())
    return tuple(sorted((pair for pair in scores if pair[1] > 0), key=lambda pair: -pair[1]))


def _summed(matrices: np.ndarray, queries: Sequence[int], keys: Sequence[int]) -> np.ndarray:
    """(H, q, k) summed over the groups that begin at these positions."""
    return np.add.reduceat(np.add.reduceat(matrices, queries, 1), keys, 2)


def _merged(axis: Axis, groups: list[list[int]]) -> Axis:
    first = [group[0] for group in groups]
    return Axis(
        tokens=tuple("".join(piece(axis, i) for i in group) for group in groups),
        segments=tuple(axis.segments[i] for i in first),
        words=tuple(axis.words[i] for i in first),
        special=tuple(axis.special[i] for i in first),
        grid=axis.grid,  # a patch is a word of its own
    )
