"""What an attribution is: tokens, prediction, and for every attention site its scores and their error.

Plain numpy; no model is needed to read, reduce, save or load one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attattr import asked
from attattr.choices import REDUCTIONS
from attattr.disk import files
from attattr.errors import InputError
from attattr.result import written
from attattr.result.effects import Effects
from attattr.result.shown import brief, counted, short
from attattr.result.values import Axis, Edge, Prediction, Site, Target, strongest_edges


@dataclass(frozen=True)
class Attribution:
    """Why the model answered as it did, edge by edge.

    >>> result.prediction.label, result.tokens  # `result`: of a model of two layers with two heads each
    ('positive', ('[CLS]', 'a', 'fine', 'film', '[SEP]'))
    >>> result.scores.shape  # sites, heads, queries, keys
    (2, 2, 5, 5)
    >>> [(edge.site, edge.query_token, edge.key_token, edge.score) for edge in result.top_edges(1)]
    [(1, '[CLS]', 'fine', 0.5)]

    `axes` names what attention runs over: "input", "output" (the decoder's side), "patches" …; `tokens`,
    `segments` and `words` are those of the first. All scores are in units of F, the `target`. `picture` is
    what the model saw of an image, as PNG: what its patches cover, its longest side at most 512 pixels.
    """

    axes: dict[str, Axis]
    prediction: Prediction
    target: Target
    sites: tuple[Site, ...]
    text: str | None
    text_pair: str | None
    options: dict[str, Any]
    model: dict[str, Any]
    left_out: tuple[str, ...] = ()  # attention layers that could not be attributed
    truncated: bool = False
    picture: bytes | None = None

    def __repr__(self) -> str:
        name = short(str(self.model.get("name") or ""))
        said = f"{name} {self.prediction.said()}"
        heads = {site.n_heads for site in self.sites}
        size = f"{len(self.sites)} × {heads.pop()} heads" if len(heads) == 1 else f"{len(self.sites)} sites"
        return brief(self, said, size, counted(len(self.tokens), "token"), f"gap {self.worst_gap:.0e}")

    @property
    def worst_gap(self) -> float:
        """The largest |completeness gap| of all sites."""
        return float(np.abs(self.completeness_gap).max(initial=0.0))

    @property
    def explains_prediction(self) -> bool:
        """Whether it is what the model answers that is explained."""
        target, predicted = self.target, self.prediction
        if target.kind == "span":
            return (target.index[0], target.label) == (predicted.index, predicted.label)
        whole = target.kind not in ("start", "end", "callable")
        return whole and (target.index, target.position) == ((predicted.index,), predicted.position)

    @property
    def explained(self) -> str:
        """What is explained, with the token that it is about."""
        position = self.target.position
        return self.target.label if position is None else f"{self.tokens[position]}: {self.target.label}"

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tokens of the first axis."""
        return self._first.tokens

    @property
    def segments(self) -> tuple[int | None, ...]:
        """Which text each token is of; None on special tokens."""
        return self._first.segments

    @property
    def words(self) -> tuple[int | None, ...]:
        """Which word each token is a piece of; None on special tokens."""
        return self._first.words

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of an image's patches; None of texts, and where no layer attends to patches."""
        name = next(iter(self.axes))
        return self.axes[name].grid if any(site.key_axis == name for site in self.sites) else None

    @property
    def _first(self) -> Axis:
        return next(iter(self.axes.values()))

    @property
    def scores(self) -> np.ndarray:
        """(L, H, n, n), where all sites have one shape.

        Raises:
            InputError: shapes differ between sites, or the store does not hold the scores.
        """
        return self._stacked("scores")

    @property
    def attention(self) -> np.ndarray:
        """(L, H, n, n) attention weights; errors as for `scores`."""
        return self._stacked("attention")

    @property
    def completeness_gap(self) -> np.ndarray:
        """(L,) signed, in units of F."""
        return np.array([site.completeness_gap for site in self.sites])

    @property
    def error_estimate(self) -> np.ndarray:
        """(L,) relative to Σ|scores|."""
        return np.array([site.error_estimate for site in self.sites])

    @property
    def n_steps(self) -> np.ndarray:
        """(L,) nodes of the rule that was accepted."""
        return np.array([site.n_steps for site in self.sites])

    @property
    def converged(self) -> np.ndarray:
        """(L,) whether the acceptance rule holds."""
        return np.array([site.converged for site in self.sites])

    def _stacked(self, name: str) -> np.ndarray:
        arrays = [getattr(site, name) for site in self.sites]
        if any(array is None for array in arrays):
            raise InputError(f"this result has no {name}: it was made with store='{self._store}'")
        if len({array.shape for array in arrays}) != 1:
            raise InputError(f"the {name} of the sites differ in shape: read them from result.sites")
        return np.stack(arrays)

    def top_edges(self, k: int = 10, *, positive_only: bool = False) -> list[Edge]:
        """The k edges of largest |score| over all sites and heads, strongest first.

        >>> [edge.score for edge in result.top_edges(3)], len(result.top_edges(3, positive_only=True))
        ([0.5, -0.25, 0.125], 2)

        Ties go to the lower site, head, query and key. `positive_only`: those above 0, which may be
        fewer than k.

        Raises:
            InputError: a negative k; a store without edges, or one that kept too few to be sure of k.
        """
        k = asked.whole(k, "the number of edges")
        positive_only = asked.flag(positive_only, "positive_only")
        found = []
        sure = 0.0  # edges that were not kept may be as strong as this
        for layer, site in enumerate(self.sites):
            edges = site.edges
            if site.scores is not None and site.attention is not None:
                edges = strongest_edges(site.scores, site.attention, k, positive_only)
            elif edges is None:
                raise InputError(f"this result has no edges: it was made with store='{self._store}'")
            elif len(edges.score) < self._count(site):
                sure = max(sure, abs(float(edges.score[-1])) if len(edges.score) else math.inf)
            queries, keys = self.axes[site.query_axis].tokens, self.axes[site.key_axis].tokens
            for h, i, j, score, weight in zip(
                edges.head.tolist(), edges.query.tolist(), edges.key.tolist(),
                edges.score.tolist(), edges.attention.tolist(), strict=True,
            ):  # fmt: skip
                if score > 0 or not positive_only:
                    found.append(Edge(layer, site.name, h, i, j, score, weight, queries[i], keys[j]))
        found.sort(key=lambda edge: (-abs(edge.score), edge.site, edge.head, edge.query, edge.key))
        found = found[:k]
        certain = sum(abs(edge.score) >= sure for edge in found)
        if sure and certain < k:
            raise InputError(
                f"store='{self._store}' kept enough edges for the {certain} strongest, not for {k}: "
                "use store='dense'"
            )
        return found

    @property
    def _store(self) -> str:
        return self.options.get("store", "heads")

    def _count(self, site: Site) -> int:
        """How many edges a site has."""
        return site.n_heads * len(self.axes[site.query_axis].tokens) * len(self.axes[site.key_axis].tokens)

    def per_head(self, reduce: str = "max") -> np.ndarray:
        """(L, H): one number a head, of its scores: their largest, their sum, or their mean size.

        >>> result.per_head("max").tolist()
        [[0.0, 0.125], [0.5, 0.0]]

        "max" is what the paper prunes heads by, averaged over examples.

        Raises:
            InputError: an unknown reduction, or sites with different numbers of heads.
        """
        asked.choice(reduce, "reduction", REDUCTIONS)
        name = {"max": "head_max", "sum": "head_sum", "mean_abs": "head_abs"}[reduce]
        return self._stacked(name)

    def per_token(self, axis: str = "key") -> np.ndarray:
        """(n,): scores summed over sites, heads and the other side, for the tokens of the first axis.

        >>> dict(zip(result.tokens, result.per_token().tolist()))
        {'[CLS]': 0.0, 'a': -0.25, 'fine': 0.625, 'film': 0.0, '[SEP]': 0.0}

        axis: "key", what looking *at* a token contributed; "query", what a token's own looking did.

        Raises:
            InputError: another axis, or a store without sums per token.
        """
        asked.choice(axis, "axis", ("key", "query"))
        first = next(iter(self.axes))
        sums = [getattr(site, f"{axis}_sum") for site in self.sites if getattr(site, f"{axis}_axis") == first]
        if any(array is None for array in sums):
            raise InputError("this result has no sums per token: it was made with store='heads'")
        return np.sum([array.sum(0) for array in sums], axis=0) if sums else np.zeros(len(self.tokens))

    def save(self, path: str | Path) -> None:
        """Write one file (safetensors and JSON, never pickle); `attattr.load` reads it.

        Raises:
            OSError: the folder is missing, not writable or full. No partial file is left.
        """

        written.save(self, path)

    def to_html(self, path: str | Path | None = None, *, effects: Effects | None = None) -> str:
        """One self-contained page with all views of the result; written to `path` where one is given.

        >>> page = result.to_html(folder / "report.html")
        >>> page == (folder / "report.html").read_text(encoding="utf-8")
        True

        effects: of `attattr.measure_effects`; with them the page shows what really happens when an edge
        or a head is taken out.

        Raises:
            OSError: the folder is missing, not writable or full. No partial file is left.
        """
        from attattr.page.document import to_html

        if effects is not None:
            asked.instance(effects, Effects, "the effects")
        if path is not None:
            path = asked.path(path, "the page")
        page = to_html(self, effects)
        if path is not None:
            files.write(path, page)
        return page

    def show(self) -> None:
        """The page of `to_html`: in a notebook below the cell, elsewhere in the browser."""
        from attattr.page.document import show

        show(self)

    def _repr_html_(self) -> str:
        from attattr.page.document import frame

        return frame(self)

    def to_json(self, top: int = 10) -> dict[str, Any]:
        """The facts as plain JSON values (schema: docs/schema.md), with the `top` strongest edges.

        >>> (edge,) = result.to_json(top=1)["edges"]
        >>> edge["site"], edge["name"], edge["head"], edge["query"], edge["key"], edge["score"]
        (1, 'encoder.layer.1', 0, 0, 2, 0.5)

        What is not finite, or not held by the store, is None.
        """

        return written.to_json(self, top)
