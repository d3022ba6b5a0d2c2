"""How much do the edges that attribution names matter? Measured by taking them out, or all the others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr import asked
from attattr.data.examples import Example, examples_of
from attattr.disk.units import Resume, Value
from attattr.errors import InputError
from attattr.measure.intervals import bootstrap
from attattr.measure.masks import Mask, measure
from attattr.measure.resumed import resumed
from attattr.models.heads import reading
from attattr.result.attribution import Attribution
from attattr.result.shown import brief, counted
from attattr.result.tree import build_tree, check_threshold, layer_scores

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

SCHEMA_VERSION = "1"
METHODS = ("attribution", "gradient_x_attention", "attention", "random")
FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
TREE = ("keep", "remove")
SHARE = 4  # examples measured between two writes, where a call can be resumed
Rankings = dict[str, list[np.ndarray]]


@dataclass(frozen=True)
class Estimate:
    """A mean over examples with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class FaithfulnessCurve:
    """F at each of the fractions, and the area below (trapezoids), which is a mean of F."""

    values: tuple[Estimate, ...]
    area: Estimate


@dataclass(frozen=True)
class Faithfulness:
    """F, the probability of the predicted class, means over n examples; dicts by METHODS.

    keep, remove: with only the tree's edges, and without them; beside as many edges of each layer,
    chosen in other ways. keep_none: with none of the edges that are chosen from. lead: in "keep" how much
    higher F is with the tree's edges than with each other choice's, in "remove" how much lower: positive
    where the tree's edges matter more; differences within examples. flips: the share of examples for
    which another class is predicted; None for a language model. deletion, insertion: of all edges.
    """

    n: int
    threshold: float
    seed: int
    fractions: tuple[float, ...]
    clean: Estimate
    tree_edges: Estimate
    keep_none: Estimate
    keep: dict[str, Estimate]
    remove: dict[str, Estimate]
    lead: dict[str, dict[str, Estimate]]
    flips: dict[str, dict[str, Estimate]] | None
    deletion: dict[str, FaithfulnessCurve]
    insertion: dict[str, FaithfulnessCurve]

    def __repr__(self) -> str:
        ours = {
            name: getattr(self, name)["attribution"] for name in ("keep", "remove", "deletion", "insertion")
        }
        means = (f"{name} {getattr(of, 'area', of).mean:.3f}" for name, of in ours.items())
        return brief(self, counted(self.n, "row"), f"clean {self.clean.mean:.3f}", ", ".join(means))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values (schema: docs/tree.md)."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def measure_faithfulness(
    attributor: Attributor,
    examples: Sequence[Example],
    *,
    threshold: float = 0.4,
    seed: int = 0,
    progress: asked.Progress | None = None,
    resume: str | Path | Resume | None = None,
) -> Faithfulness:
    """F with only the tree's edges, F without them, and the deletion and insertion of all edges.

    >>> from attattr import Attributor, Example
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> found = measure_faithfulness(sst2, [Example("a fine film"), Example("a dull film")])
    >>> found.n, found.clean.mean > found.insertion["random"].values[0].mean
    (2, True)

    The tree's edges compete with the same number of edges of each layer, chosen by attention weight and
    by gradient × attention (both summed over heads), and at random. All choose from the edges a tree
    can have: between two different positions, outside the readout row. Taking an edge out sets its
    weight to 0 in every head. "Keep" takes out all of these edges but the chosen ones; each position's
    look at itself and the readout row stay, or nothing would reach the prediction. It is far from
    anything the model was trained on, so compare with `keep_none` and not with the clean F.

    Deletion takes out the first share of all edges, of all sites and heads at once and with nothing
    exempt, ranked by score, gradient × attention (both signed, largest first), weight, or at random;
    insertion starts from no edges and puts them back. A lower area is better for deletion, a higher one
    for insertion. Gradient × attention is A ⊙ ∂F/∂A on the untouched model. Edges that the model cannot
    use, of weight 0, are none.

    Args:
        threshold: of the tree.
        seed: of the random edges and of the bootstrap (2,000 resamples of the examples).
        progress: called with (examples done, examples in all, "").
        resume: folder for finished parts: called again with it, a call that was stopped goes on. It stays,
            and is yours to delete.

    Raises:
        InputError: no examples; a folder with parts of another call; or as `Attributor.attribute` and
            `build_tree`.

    Source: Hao et al. 2021; deletion and insertion after Petsiuk et al. 2018.
    """
    asked.attributor(attributor)
    tell = asked.progress(progress)
    examples, seed = examples_of(examples), asked.seed(seed)
    threshold = check_threshold(threshold)
    if not examples:
        raise InputError("there are no rows to measure on")
    numbered = list(enumerate(examples))
    shares = [numbered[first : first + SHARE] for first in range(0, len(examples), SHARE)]

    def of_share(share: list[tuple[int, Example]]) -> Value:
        rows = []
        for number, example in share:
            if number > share[0][0]:
                tell(number, len(examples), "")
            rows.append(_of_one(attributor, example, threshold, np.random.default_rng([seed, number])))
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    parts = []
    options = {"threshold": threshold, "seed": seed}
    with resumed(resume, "measure_faithfulness", attributor, examples, options, lambda: len(shares)) as units:
        for number, share in enumerate(shares):
            parts.append(units.get(str(number), functools.partial(of_share, share)))
            tell(share[-1][0] + 1, len(examples), "")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    estimate = functools.partial(_estimate, seed=seed)
    lead = {
        what: {m: sign * (columns[f"{what}.attribution"] - columns[f"{what}.{m}"]) for m in METHODS[1:]}
        for what, sign in zip(TREE, (1, -1), strict=True)
    }
    changed = {
        what: {m: columns[name] for m in METHODS if (name := f"flips.{what}.{m}") in columns} for what in TREE
    }
    return Faithfulness(
        n=len(examples),
        threshold=threshold,
        seed=seed,
        fractions=FRACTIONS,
        clean=estimate(columns["clean"]),
        tree_edges=estimate(columns["tree_edges"]),
        keep_none=estimate(columns["keep_none"]),
        keep={m: estimate(columns[f"keep.{m}"]) for m in METHODS},
        remove={m: estimate(columns[f"remove.{m}"]) for m in METHODS},
        lead={what: {m: estimate(of) for m, of in by.items()} for what, by in lead.items()},
        flips={w: {m: estimate(of) for m, of in by.items()} for w, by in changed.items()}
        if changed["keep"]
        else None,
        deletion={m: _curve(columns[f"deletion.{m}"], estimate) for m in METHODS},
        insertion={m: _curve(columns[f"insertion.{m}"], estimate) for m in METHODS},
    )


def _of_one(
    attributor: Attributor, example: Example, threshold: float, rng: np.random.Generator
) -> dict[str, Any]:
    """One example's row of the table: numbers, and arrays for curves; "flips.…": 1 where it is flipped."""
    result = attributor.attribute(example)
    gradient = attributor.attribute(example, method="riemann_right", n_steps=1)  # its one node is α = 1
    rankings: Rankings = {
        "attribution": [_array(site.scores) for site in result.sites],
        "gradient_x_attention": [_array(site.scores) for site in gradient.sites],
        "attention": [_array(site.attention) for site in result.sites],
        "random": [rng.random(_array(site.scores).shape) for site in result.sites],
    }
    tree, chosen, pool = tree_choices(result, rankings, threshold)
    masks: dict[str, Mask] = {"keep_none": Mask(edges={site: ~of[None] for site, of in pool.items()})}
    for method, of in chosen.items():
        masks[f"keep.{method}"] = Mask(edges={s: (of[s] | ~pool[s])[None] for s in pool})
        masks[f"remove.{method}"] = Mask(edges={s: ~of[s][None] for s in pool})
    clean, values = measure(attributor, example, list(masks.values()))
    facts: dict[str, Any] = dict(zip(masks, values.tolist(), strict=True))
    facts |= {"clean": clean, "tree_edges": tree}
    for method, ranking in rankings.items():
        facts |= _curves(attributor, example, result, ranking, clean, method)
    if reading(attributor.model) == "classes" and len(attributor.labels) > 1:
        _, classes = measure(attributor, example, list(masks.values()), target=_class)
        flips = (classes != result.prediction.index).astype(float).tolist()
        facts |= {f"flips.{name}": flip for name, flip in zip(masks, flips, strict=True)}
    return facts


def tree_choices(
    result: Attribution, rankings: Mapping[str, Sequence[np.ndarray]], threshold: float
) -> tuple[int, dict[str, dict[int, np.ndarray]], dict[int, np.ndarray]]:
    """The number of edges of the tree; by method, which edges of each site, (n, n) boolean, are chosen:
    "attribution" is the tree, the others the best of their (H, n, n) ranking summed over heads; and by
    site which edges are chosen from.
    """
    tree = build_tree(result, threshold=threshold)
    chosen: dict[str, dict[int, np.ndarray]] = {method: {} for method in rankings}
    pool = {}
    for site in layer_scores(result, tree.axis):
        free: np.ndarray = (_array(result.sites[site].attention) != 0).any(0)
        np.fill_diagonal(free, False)
        if tree.terminal is not None:
            free[tree.terminal] = False
        pool[site] = free
        edges = [(edge.parent, edge.child) for edge in tree.edges if edge.layer == site]
        for method, ranking in rankings.items():
            of = chosen[method][site] = np.zeros(free.shape, bool)
            if method == "attribution":
                for edge in edges:
                    of[edge] = True
            else:
                summed = np.where(free, ranking[site].sum(0, dtype=np.float64), -np.inf)
                of.ravel()[np.argsort(-summed, axis=None, kind="stable")[: len(edges)]] = True
    return len(tree.edges), chosen, pool


def _curves(
    attributor: Attributor,
    example: Example,
    result: Attribution,
    ranking: list[np.ndarray],
    clean: float,
    method: str,
) -> dict[str, np.ndarray]:
    """F at each fraction of all edges deleted, and inserted, in the order of a ranking."""
    turns = edge_turns(result, ranking)
    count = sum(int((turn >= 0).sum()) for turn in turns)

    masks = [
        Mask(edges={site: (turn >= round(fraction * count)) == deleting for site, turn in enumerate(turns)})
        for deleting in (True, False)
        for fraction in FRACTIONS[1:]
    ]
    _, values = measure(attributor, example, masks)
    deletion, insertion = np.split(values, 2)
    return {
        f"deletion.{method}": np.array([clean, *deletion]),
        f"insertion.{method}": np.array([deletion[-1], *insertion]),
    }


def edge_turns(result: Attribution, ranking: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each edge of each site, (H, q, k), its place in one ranking of all, largest first and 0 the
    first; -1 where the attention weight is 0."""
    used = np.concatenate([_array(site.attention).ravel() != 0 for site in result.sites])
    values = np.concatenate([of.ravel() for of in ranking])[used]
    places = np.empty(len(values), int)
    places[np.argsort(-values, kind="stable")] = np.arange(len(values))
    turns = np.full(len(used), -1)
    turns[used] = places
    ends = np.cumsum([of.size for of in ranking])[:-1]
    return [turn.reshape(of.shape) for turn, of in zip(np.split(turns, ends), ranking, strict=True)]


def _curve(values: np.ndarray, estimate: Callable[[np.ndarray], Estimate]) -> FaithfulnessCurve:
    area = np.trapezoid(values, FRACTIONS, axis=1)
    return FaithfulnessCurve(tuple(estimate(column) for column in values.T), estimate(area))


def _estimate(values: np.ndarray, seed: int) -> Estimate:
    low, high = bootstrap(values, seed)
    return Estimate(float(values.mean()), float(low), float(high))


def _class(outputs: Any) -> Any:
    """The predicted class of each input, as a target."""
    return outputs.logits.argmax(-1)


def _array(array: np.ndarray | None) -> np.ndarray:
    assert array is not None  # the results here are dense
    return array
