"""Does accuracy fall when the heads that attribution names are taken out, and stay when others are?"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr import asked
from attattr.data.examples import Example, examples_of
from attattr.disk.units import Resume, Units
from attattr.errors import InputError
from attattr.measure.accuracy import answers_right, gold_indices
from attattr.measure.intervals import wilson
from attattr.measure.masks import Mask
from attattr.result.shown import brief, counted

if TYPE_CHECKING:
    from attattr.data.encoding import Encoded
    from attattr.engine.attributor import Attributor

SCHEMA_VERSION = "1"
# rankings by the gold class know the answer: taking out what speaks against it can only help
RANKINGS = {"attribution_gold": False, "attribution_predicted": True, "attention": True}  # leak-free
ORDERS = ("smallest_first", "largest_first")


@dataclass(frozen=True)
class Curve:
    """Accuracy after each step, with 95 % Wilson intervals. `x` is heads a layer, or the share removed."""

    x: tuple[float, ...]
    accuracy: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @staticmethod
    def of(x: Sequence[float], right: Sequence[int], n: int) -> Curve:
        spans = [wilson(int(count), n) for count in right]
        return Curve(
            tuple(map(float, x)),
            tuple(int(count) / n for count in right),
            tuple(low for low, _ in spans),
            tuple(high for _, high in spans),
        )

    @property
    def area(self) -> float:
        """Mean accuracy along the curve (trapezoids)."""
        width = self.x[-1] - self.x[0]
        return float(np.trapezoid(self.accuracy, self.x) / width) if width else self.accuracy[0]


@dataclass(frozen=True)
class Effectiveness:
    """Curves by ranking and order, k = 0 … H heads taken out of every layer at once, N inputs."""

    curves: dict[str, dict[str, Curve]]
    n: int

    def __repr__(self) -> str:
        return brief(self, ", ".join(self.curves), counted(self.n, "row"))

    def to_json(self) -> dict[str, Any]:
        return {"schema_version": SCHEMA_VERSION, "leak_free": RANKINGS, **asdict(self)}


def measure_effectiveness(
    attributor: Attributor,
    examples: Sequence[Example],
    *,
    progress: asked.Progress | None = None,
    resume: str | Path | Resume | None = None,
) -> Effectiveness:
    """Accuracy with k heads taken out of every layer at once, k = 0 … H, ranked input by input.

    >>> from attattr import Attributor, Example
    >>> sst2 = Attributor.from_pretrained("sst2")
    >>> found = measure_effectiveness(sst2, [Example(text="a fine film", label="positive")])
    >>> found.curves["attribution_predicted"]["smallest_first"].accuracy[0]
    1.0

    Ranked by each head's largest attribution (of the gold class, as the paper, which leaks the answer,
    and of the predicted class, which does not) and by its largest attention weight; smallest first and
    largest first. Source: Hao et al. 2021.

    resume: folder for finished parts, as of `rank_heads`.

    Raises:
        InputError: examples without labels the model knows; a folder with parts of another call.
    """
    from attattr.data.encoding import encode
    from attattr.heads import per_input, sensitivity
    from attattr.measure.resumed import resumed

    asked.attributor(attributor)
    tell = asked.progress(progress)
    examples = examples_of(examples)
    if not examples:
        raise InputError("there are no rows to measure on")
    _, gold = gold_indices(attributor.model, examples)
    encoded = encode(attributor.model, attributor.tokenizer, examples, pair=attributor.pair)

    def total() -> int:
        attributed = per_input.shares(encoded)
        curves = len(RANKINGS) * len(ORDERS) * (sensitivity.head_grid(attributor, encoded)[1] + 1)
        return 2 * len(attributed) + len(sensitivity.shares(encoded)) + curves

    with resumed(resume, "measure_effectiveness", attributor, examples, {}, total) as units:
        return _measured(attributor, encoded, gold, tell, units)


def _measured(
    attributor: Attributor, encoded: list[Encoded], gold: np.ndarray, tell: asked.Progress, units: Units
) -> Effectiveness:
    from attattr.heads.per_input import attributions
    from attattr.heads.sensitivity import sensitivities

    scores = {
        part: attributions(attributor, encoded, classes, "max", tell, units, part)[0]
        for part, classes in (("attribution_gold", gold.tolist()), ("attribution_predicted", None))
    }
    scores["attention"] = sensitivities(attributor, encoded, gold, tell, units).attention
    heads = scores["attention"].shape[2]
    total = len(scores) * len(ORDERS) * (heads + 1)
    curves: dict[str, dict[str, Curve]] = {}
    done = 0
    for ranking, values in scores.items():
        curves[ranking] = {}
        for order in ORDERS:
            # (N, L, H): when a head goes, 0 first
            turn = (values if order == "smallest_first" else -values).argsort(2, "stable").argsort(2)
            right = []
            for k in range(heads + 1):
                tell(done, total, "taking out heads")
                left = answers_right(
                    attributor, encoded, gold, functools.partial(_masks, turn, k),
                    units=units, part=f"{ranking}-{order}-{k}",
                )  # fmt: skip
                right.append(int(left.sum()))
                done += 1
            curves[ranking][order] = Curve.of(range(heads + 1), right, len(encoded))
    return Effectiveness(curves, len(encoded))


def _masks(turn: np.ndarray, k: int) -> list[Mask]:
    return [Mask(heads=(of >= k).astype(np.float32)) for of in turn]
