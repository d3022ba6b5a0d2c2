"""Which heads matter: importance over data by several criteria, its intervals, and what tasks share.

L sites, H heads each, N inputs. Shapes of importances are (L, H).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr import asked
from attattr.choices import CRITERIA, REDUCTIONS
from attattr.data.examples import Example, digest, examples_of
from attattr.disk.units import Resume
from attattr.errors import InputError
from attattr.heads import table
from attattr.measure.intervals import bootstrap
from attattr.models.heads import check_classifier
from attattr.result.shown import brief, counted, short

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

RESAMPLES = 1000


@dataclass(frozen=True)
class Importance:
    """One criterion's mean over N inputs, with 95 % bootstrap intervals; (L, H) each.

    Random ranks have no interval: low and high are NaN.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __repr__(self) -> str:
        ends = f"{self.mean.min():.3g} to {self.mean.max():.3g}" if self.mean.size else ""
        return brief(self, f"{' × '.join(map(str, self.mean.shape))} heads", ends)


@dataclass(frozen=True)
class HeadRanking:
    """What `rank_heads` found. `rows` are digests of the inputs: accuracy is measured on others."""

    importances: dict[str, Importance]
    sites: tuple[str, ...]
    rows: tuple[str, ...]
    facts: dict[str, Any]  # model, reduce, target, seed

    def __repr__(self) -> str:
        return brief(
            self,
            ", ".join(self.importances),
            counted(len(self.sites), "site"),
            counted(len(self.rows), "row"),
        )

    def of(self, criterion: str | None = None) -> Importance:
        """One criterion's importance; None: the first.

        Raises:
            InputError: it was not computed (the message lists those that were).
        """
        criterion = next(iter(self.importances)) if criterion is None else criterion
        if not isinstance(criterion, str) or criterion not in self.importances:
            known = ", ".join(self.importances)
            raise InputError(f"no importance by {asked.shown(criterion)} here, only {known}")
        return self.importances[criterion]

    def ranked(self, criterion: str | None = None) -> list[tuple[int, int]]:
        """(site, head), most important first; ties in reading order."""
        mean = self.of(criterion).mean
        order = np.argsort(-mean, axis=None, kind="stable")
        return [(int(i) // mean.shape[1], int(i) % mean.shape[1]) for i in order]

    def unlike(self, examples: Sequence[Example]) -> list[Example]:
        """The examples that the heads were not ranked on."""
        seen = set(self.rows)
        return [example for example in examples_of(examples) if digest(example) not in seen]

    def save(self, path: str | Path) -> None:
        """One Parquet table: a row for each criterion and head; what it stands on in its metadata.

        Raises:
            OSError: it cannot be written.
        """
        table.write(self, Path(path))


def load_heads(path: str | Path) -> HeadRanking:
    """Read what `HeadRanking.save` wrote. A table without a digest is taken with a warning.

    Raises:
        FileFormatError: it is not such a file, or is damaged.
    """
    importances, sites, rows, facts = table.read(asked.path(path, "the table of heads"))
    made = {criterion: Importance(*values) for criterion, values in importances.items()}
    return HeadRanking(made, sites, rows, facts)


def rank_heads(
    attributor: Attributor,
    examples: Sequence[Example],
    *,
    criteria: Sequence[str] = ("attattr",),
    reduce: str = "max",
    target: str = "gold",
    seed: int = 0,
    progress: asked.Progress | None = None,
    resume: str | Path | Resume | None = None,
) -> HeadRanking:
    """How much each head matters to a classifier on the examples, by one or more criteria.

    >>> from attattr import Attributor, Example
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> examples = [Example(text="a fine film", label="positive"), Example(text="dull", label="negative")]
    >>> found = rank_heads(sst2, examples, criteria=["taylor", "attention"])
    >>> found.of("taylor").mean.shape, len(found.ranked("attention"))
    ((6, 12), 72)

    Args:
        criteria: `attattr`, E_x[max Attr_h] (Hao et al. 2021); `taylor`, E_x|C_h · ∂L/∂C_h|
            of the loss L (Michel et al. 2019), `taylor_normalized`, that with each layer's L2 norm set
            to 1; `attention`, the mean of the largest attention weight; `accuracy_drop`, the accuracy
            lost when that head alone is taken out; `random`.
        reduce: of `attattr`: max (the paper's), sum or mean_abs of an input's scores of a head.
        target: class whose probability is attributed: gold (the paper's), or predicted, which needs no labels
            if `attattr` is the only criterion.
        resume: folder for finished parts: called again with it, a call that was stopped goes on. It stays,
            and is yours to delete.

    Raises:
        InputError: examples without labels the model knows, an unknown criterion, fewer than 2 examples,
            or sites with different numbers of heads; a folder with parts of another call.
    """
    from attattr.data.encoding import encode
    from attattr.heads import per_input as of_inputs
    from attattr.heads import sensitivity
    from attattr.measure.accuracy import gold_indices
    from attattr.measure.resumed import resumed

    asked.attributor(attributor)
    seed = asked.seed(seed)
    examples = examples_of(examples)
    criteria = [
        asked.choice(each, "criterion", CRITERIA) for each in asked.listed(criteria, object, "criteria")
    ]
    if not criteria:
        raise InputError(f"no criterion is given: choose of {', '.join(CRITERIA)}")
    asked.choice(reduce, "reduction", REDUCTIONS)
    if not isinstance(target, str) or target not in ("gold", "predicted"):
        raise InputError(f"heads are ranked by the gold or the predicted class, not {asked.shown(target)}")
    tell = asked.progress(progress)
    if len(examples) < 2:
        raise InputError("heads are ranked over two inputs or more: an interval needs them")
    check_classifier(attributor.model)
    others = set(criteria) - {"attattr"}
    gold = np.zeros(0, int)  # of predicted classes alone no label is needed
    if others or target == "gold":
        _, gold = gold_indices(attributor.model, examples)
    encoded = encode(attributor.model, attributor.tokenizer, examples, pair=attributor.pair)

    def total() -> int:
        found = len(of_inputs.shares(encoded)) if "attattr" in criteria else 0
        found += len(sensitivity.shares(encoded)) if others else 0
        layers, heads = sensitivity.head_grid(attributor, encoded) if "accuracy_drop" in criteria else (0, 0)
        return found + layers * heads + bool(layers)

    per_input: dict[str, np.ndarray] = {}  # (N, L, H)
    names: tuple[str, ...] = ()
    options = {"criteria": criteria, "reduce": reduce, "target": target, "seed": seed}
    with resumed(resume, "rank_heads", attributor, examples, options, total) as units:
        if "attattr" in criteria:
            classes = gold.tolist() if target == "gold" else None
            per_input["attattr"], names = of_inputs.attributions(
                attributor, encoded, classes, reduce, tell, units
            )
        if others:
            other = sensitivity.sensitivities(attributor, encoded, gold, tell, units)
            names = other.sites
            if {"taylor", "taylor_normalized"} & others:
                per_input["taylor"] = per_input["taylor_normalized"] = other.taylor
            per_input["attention"] = other.attention
            if "accuracy_drop" in criteria:
                per_input["accuracy_drop"] = of_inputs.accuracy_drops(
                    attributor, encoded, gold, other.attention.shape[1:], tell, units
                )
    shape = next(iter(per_input.values())).shape[1:]
    importances = {}
    for criterion in dict.fromkeys(criteria):
        if criterion == "random":
            order = np.random.default_rng(seed).permutation(shape[0] * shape[1]).reshape(shape) + 1.0
            importances[criterion] = Importance(order, *np.full((2, *shape), np.nan))
            continue
        found = _with_interval(per_input[criterion], seed)
        if criterion == "taylor_normalized":
            norm = np.maximum(np.linalg.norm(found.mean, axis=1, keepdims=True), np.finfo(float).tiny)
            found = Importance(found.mean / norm, found.low / norm, found.high / norm)
        importances[criterion] = found
    facts = {
        "model": attributor.facts,
        "n": len(examples),
        "reduce": reduce,
        "target": target,
        "seed": seed,
    }
    return HeadRanking(importances, names, tuple(map(digest, examples)), facts)


def _with_interval(per_input: np.ndarray, seed: int) -> Importance:
    mean = per_input.mean(0)
    if np.ptp(per_input, axis=0).max() == 0:  # nothing varies: the interval is the point
        return Importance(mean, mean, mean)
    return Importance(mean, *bootstrap(per_input, seed, resamples=RESAMPLES))


@dataclass(frozen=True)
class Correlation:
    """Of the head importances of two rankings: Pearson's and Spearman's r with 95 % intervals."""

    names: tuple[str, str]
    pearson: float
    pearson_interval: tuple[float, float]
    spearman: float
    spearman_interval: tuple[float, float]
    heads: int

    def __repr__(self) -> str:
        names = " and ".join(short(name) for name in self.names)
        (low, high), (least, most) = self.pearson_interval, self.spearman_interval
        return brief(
            self,
            names,
            f"Pearson {self.pearson:.2f} ({low:.2f} to {high:.2f})",
            f"Spearman {self.spearman:.2f} ({least:.2f} to {most:.2f})",
        )


def correlate(
    first: np.ndarray, second: np.ndarray, names: tuple[str, str] = ("a", "b"), seed: int = 0
) -> Correlation:
    """Do two tasks or models need the same heads? Importances (L, H) of one head grid.

    >>> found = correlate(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 5.0]]))
    >>> round(found.pearson, 3), found.spearman
    (0.983, 1.0)

    Intervals: Fisher's for Pearson's r, the same with Bonett and Wright's variance for Spearman's.
    Source: Hao et al. 2021 (Pearson's r over all heads).

    Raises:
        InputError: grids of different shapes, or an importance that is the same everywhere.
    """
    from scipy.stats import pearsonr, spearmanr

    first, second = asked.grid(first, "the first importance"), asked.grid(second, "the second importance")
    if len(names := tuple(asked.listed(names, str, "the names"))) != 2:
        raise InputError(f"two importances have two names, not {len(names)}")
    if first.shape != second.shape:
        raise InputError(
            f"{names[0]} has {' × '.join(map(str, first.shape))} heads, {names[1]} "
            f"{' × '.join(map(str, second.shape))}: only models of one head grid can be compared"
        )
    a, b = first.ravel(), second.ravel()
    if min(np.ptp(a), np.ptp(b)) == 0 or not np.isfinite([a, b]).all():
        raise InputError("an importance that is the same for every head has no correlation")
    pearson = pearsonr(a, b)
    if len(a) > 3:
        low, high = pearson.confidence_interval()
    else:
        low, high = -1.0, 1.0
    rho = float(spearmanr(a, b).statistic)
    width = 1.959964 * np.sqrt((1 + rho**2 / 2) / max(1, len(a) - 3))
    with np.errstate(divide="ignore"):  # at ±1 the interval is a point
        around = (float(np.tanh(np.arctanh(rho) - width)), float(np.tanh(np.arctanh(rho) + width)))
    return Correlation(names, float(pearson.statistic), (float(low), float(high)), rho, around, len(a))
