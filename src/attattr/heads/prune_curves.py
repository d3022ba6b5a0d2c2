"""What pruning costs and brings: accuracy as heads go, and a pruned model beside the whole one."""

from __future__ import annotations

import functools
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr import asked
from attattr.data.examples import Example
from attattr.disk.digests import of_json
from attattr.disk.units import Resume
from attattr.errors import InputError
from attattr.heads.effectiveness import Curve
from attattr.heads.importance import HeadRanking
from attattr.heads.prune import heads_to_keep
from attattr.measure.accuracy import Evaluation, answers_right, evaluate_model, gold_indices
from attattr.measure.masks import Mask
from attattr.measure.resumed import resumed
from attattr.models.identity import belongs
from attattr.result.shown import brief, counted

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from attattr.engine.attributor import Attributor

SCHEMA_VERSION = "1"
MOST_STEPS = 10_000  # more than any model has heads
REPETITIONS = 7  # of each model, taking turns


@dataclass(frozen=True)
class PruneCurves:
    """Accuracy against the share of heads removed, least important first, by criterion."""

    curves: dict[str, Curve]
    ranked_on: int
    measured_on: int

    def __repr__(self) -> str:
        return brief(
            self,
            ", ".join(self.curves),
            f"ranked on {counted(self.ranked_on, 'row')}",
            f"measured on {self.measured_on:,}",
        )

    def to_json(self) -> dict[str, Any]:
        curves = {name: asdict(curve) | {"area": curve.area} for name, curve in self.curves.items()}
        facts = {"ranked_on": self.ranked_on, "measured_on": self.measured_on}
        return {"schema_version": SCHEMA_VERSION, **facts, "curves": curves}


def prune_curves(
    attributor: Attributor,
    ranking: HeadRanking,
    examples: Sequence[Example],
    *,
    steps: int = 10,
    any_model: bool = False,
    progress: asked.Progress | None = None,
    resume: str | Path | Resume | None = None,
) -> PruneCurves:
    """Accuracy with 0, 1/steps … all heads taken out of the whole model, lowest importance first.

    >>> from attattr import Attributor, Example, rank_heads
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> rows = [Example(text="fine", label="positive"), Example(text="dull", label="negative")]
    >>> ranking = rank_heads(sst2, rows, criteria=["taylor"])
    >>> prune_curves(sst2, ranking, [Example(text="a good film", label="positive")], steps=2).measured_on
    1

    Rows that the heads were ranked on are left out. Source: Hao et al. 2021.

    any_model: a ranking of another model is meant; else it is an error.
    resume: folder for finished parts, as of `rank_heads`; another one than that of the ranking.

    Raises:
        InputError: a ranking of another model; no other rows are left, or they have no labels the model
            knows; a folder with parts of another call.
    """
    asked.attributor(attributor)
    asked.instance(ranking, HeadRanking, "the ranking")
    asked.flag(any_model, "any_model")
    tell = asked.progress(progress)
    steps = asked.whole(steps, "the number of steps", 1, MOST_STEPS)
    belongs(ranking.facts.get("model"), attributor.facts, "the ranking", any_model=any_model)
    others = ranking.unlike(examples)
    if not others:
        raise InputError("every row was used to rank the heads: accuracy is measured on others, give more")
    _, gold = gold_indices(attributor.model, others)
    shares = np.linspace(0, 1, steps + 1)
    total = len(ranking.importances) * len(shares)
    curves: dict[str, Curve] = {}
    ends: dict[float, int] = {}  # nothing and everything removed are the same for every criterion
    means = {criterion: importance.mean for criterion, importance in ranking.importances.items()}
    options = {"steps": steps, "ranking": of_json({name: mean.tolist() for name, mean in means.items()})}
    with resumed(
        resume, "prune_curves", attributor, others, options, lambda: len(means) * (steps - 1) + 2
    ) as units:
        for number, (criterion, mean) in enumerate(means.items()):
            right = []
            for step, share in enumerate(shares.tolist()):
                tell(number * len(shares) + step, total, "taking out heads")
                count = ends.get(share)
                if count is None:
                    found = answers_right(
                        attributor, others, gold, functools.partial(_mask, mean, 1 - share),
                        units=units, part=f"{criterion}-{step}",
                    )  # fmt: skip
                    count = int(found.sum())
                    if share in (0.0, 1.0):
                        ends[share] = count
                right.append(count)
            curves[criterion] = Curve.of(shares.tolist(), right, len(others))
    return PruneCurves(curves, len(ranking.rows), len(others))


def _mask(importance: np.ndarray, keep: float) -> Mask:
    return Mask(heads=heads_to_keep(importance, keep).astype(np.float32))


def split(examples: Sequence[Example], first: int, seed: int) -> tuple[list[Example], list[Example]]:
    """`first` rows drawn at random to rank on, and the others to measure on.

    Raises:
        InputError: too few rows for both.
    """
    if len(examples) <= first:
        raise InputError(
            f"{len(examples)} rows are too few to rank heads on {first} and measure on others: give more, or "
            "a smaller --rank-limit"
        )
    chosen = set(random.Random(seed).sample(range(len(examples)), first))
    ranked = [example for i, example in enumerate(examples) if i in chosen]
    return ranked, [example for i, example in enumerate(examples) if i not in chosen]


@dataclass(frozen=True)
class PruneReport:
    """A pruned model beside the whole one; pairs are (before, after)."""

    kept_heads: tuple[int, ...]  # of each layer
    heads: int
    parameters: tuple[int, int]
    bytes: tuple[int, int]  # of the weights
    latency_ratio: tuple[float, float, float]  # after / before: median, lowest, highest of the turns
    logits_off: float  # largest difference from masking, float64
    accuracy: tuple[Evaluation, Evaluation] | None
    ranked_on: int

    def to_json(self) -> dict[str, Any]:
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def compare_models(
    before: PreTrainedModel,
    after: PreTrainedModel,
    tokenizer: Any,
    examples: Sequence[Example],
    timed: dict[str, Any],
    *,
    kept: np.ndarray,
    logits_off: float,
    ranked_on: int,
    progress: asked.Progress | None = None,
) -> PruneReport:
    """Sizes, latency (the two taking turns on one batch) and, where there are examples, accuracy.

    progress: called with (rows done, rows in all, ""), first for the one model and then for the other.
    """
    accuracy = None
    if examples:
        found = [evaluate_model(model, tokenizer, examples, progress=progress) for model in (before, after)]
        accuracy = (found[0], found[1])
    sizes = [sum(p.nbytes for p in model.parameters()) for model in (before, after)]
    return PruneReport(
        kept_heads=tuple(int(count) for count in kept.sum(1)),
        heads=kept.size,
        parameters=(before.num_parameters(), after.num_parameters()),
        bytes=(sizes[0], sizes[1]),
        latency_ratio=_latency_ratio(before, after, timed),
        logits_off=logits_off,
        accuracy=accuracy,
        ranked_on=ranked_on,
    )


def _latency_ratio(before: Any, after: Any, batch: dict[str, Any]) -> tuple[float, float, float]:
    import torch

    ratios = []
    with torch.inference_mode():
        for model in (before, after):
            model(**batch)  # warm
        for _ in range(REPETITIONS):
            seconds = []
            for model in (before, after):
                _wait(model.device)
                began = time.perf_counter()
                model(**batch)
                _wait(model.device)
                seconds.append(time.perf_counter() - began)
            ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios), min(ratios), max(ratios)


def _wait(device: torch.device) -> None:
    """Until the device has done what it was given: a call only hands it over."""
    import torch

    if device.type == "mps":  # not in every torch.accelerator that we support
        torch.mps.synchronize()
    elif device.type != "cpu":
        torch.accelerator.synchronize(device)
