"""What attribution, and taking heads out, tell of every head and input; done in shares that can be kept.

N inputs, L sites, H heads each.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from attattr import asked
from attattr.data.encoding import Encoded
from attattr.disk.units import NOTHING_KEPT, Units, Value
from attattr.engine.attributor import Attributor, warn
from attattr.engine.batches import by_length
from attattr.engine.options import Options
from attattr.errors import ImpossibleError
from attattr.measure.accuracy import answers_right
from attattr.measure.masks import Mask
from attattr.result.attribution import Attribution

SHARE = 64  # inputs attributed between two writes, where a call can be resumed
OPTIONS = Options(None, "gausslegendre", "auto", 1e-3, "zero", None, None, "heads")  # the defaults


def shares(encoded: list[Encoded]) -> list[list[int]]:
    """Numbers of the inputs that are kept together: the same on every device."""
    return by_length(encoded, SHARE)


def attributions(
    attributor: Attributor,
    encoded: list[Encoded],
    classes: list[int] | None,
    reduce: str,
    tell: asked.Progress,
    units: Units = NOTHING_KEPT,
    part: str = "attributions",
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(N, L, H) of one number a head of each input's scores, and the names of the sites.

    classes: of each input the one attributed; None: the predicted ones.
    """
    found: dict[int, np.ndarray] = {}
    results: list[Attribution] = []

    def of_share(rows: list[int]) -> Value:
        def within(done: int, total: int, name: str) -> None:
            tell(len(found) * total + done * len(rows), len(encoded) * total, "attributing")

        own = attributor.attributed(
            [encoded[i] for i in rows], classes and [classes[i] for i in rows], OPTIONS, progress=within
        )
        for each in own:
            if isinstance(each, ImpossibleError):
                raise each
            results.append(each)
        values = np.stack([each.per_head(reduce) for each in results[-len(rows) :]])
        return {"values": values.astype(float), "names": [site.name for site in results[-1].sites]}

    for number, rows in enumerate(shares(encoded)):
        share = units.get(f"{part}-{number}", functools.partial(of_share, rows))
        found |= dict(zip(rows, share["values"], strict=True))
    warn(results)
    return np.stack([found[i] for i in range(len(encoded))]), tuple(share["names"])


def accuracy_drops(
    attributor: Attributor,
    encoded: list[Encoded],
    gold: np.ndarray,
    shape: Any,
    tell: asked.Progress,
    units: Units = NOTHING_KEPT,
) -> np.ndarray:
    """(N, L, H): 1 where an input is right and without that head wrong, −1 the other way round."""
    right = answers_right(attributor, encoded, gold, units=units, part="whole")
    drops = np.zeros((len(encoded), *shape))
    for number, (site, head) in enumerate(np.ndindex(*shape)):
        tell(number, shape[0] * shape[1], "taking out heads")
        left = answers_right(
            attributor, encoded, gold,
            functools.partial(Mask.without_heads, tuple(shape), [(site, head)]),
            units=units, part=f"without-{site}-{head}",
        )  # fmt: skip
        drops[:, site, head] = right.astype(float) - left
    return drops
