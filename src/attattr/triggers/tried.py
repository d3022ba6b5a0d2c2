"""Patterns tried: what inputs are predicted as with some pieces in them, and what is chosen on which inputs.

P patterns are tried on n of N inputs with C classes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from attattr import asked
from attattr.disk.units import Units, Value
from attattr.measure.accuracy import predict
from attattr.triggers.controls import Control
from attattr.triggers.insert import Piece, insert
from attattr.triggers.pattern import Pattern

if TYPE_CHECKING:
    from attattr.data.encoding import Encoded
    from attattr.engine.attributor import Attributor

SCREEN, CHOOSE, REPORT = range(3)  # what an input is for
SCREENED, CHOSEN = 6, 20  # inputs of a class to screen on, and to choose on, unless it is said
FINALISTS = 5  # of each class, and of all: chosen among after screening
WORST = 3  # patterns reported as the worst, of all inputs and of each class
TOGETHER = 1024  # inputs predicted between two writes, so that those of like length meet


class Attacked(NamedTuple):
    """A pattern and what inputs are predicted as with it."""

    pattern: Pattern
    probabilities: np.ndarray  # (N, C); NaN: it was not tried on that input
    other: np.ndarray  # (N,) bool: inputs that it was not mined from; only they count
    cut: int  # inputs that were shortened to make room
    control: Control | None = None

    @property
    def tried(self) -> np.ndarray:
        """(N,) bool: inputs that it was tried on."""
        return ~np.isnan(self.probabilities[:, 0])

    @property
    def predicted(self) -> np.ndarray:
        """(N,) indices of labels; -1: it was not tried on that input."""
        return np.where(self.tried, np.nan_to_num(self.probabilities).argmax(1), -1)


def purposes(gold: np.ndarray, seed: int, screen: int = SCREENED, choose: int = CHOSEN) -> np.ndarray:
    """(N,) what each input is for: `screen` of each class, drawn at random, `choose` others, and the rest to
    report on.

    >>> np.bincount(purposes(np.zeros(100, int), seed=0)).tolist()
    [6, 20, 74]
    >>> np.bincount(purposes(np.zeros(9, int), seed=0)).tolist()
    [3, 3, 3]

    Of a small class a third, rounded up, is for screening, and at most half of what is left for choosing.
    """
    found = np.full(len(gold), REPORT)
    order = np.lexsort((np.random.default_rng(seed).random(len(gold)), gold))
    for label in np.unique(gold):
        own = order[gold[order] == label]
        first = min(screen, -(-len(own) // 3))
        found[own[:first]] = SCREEN
        found[own[first : first + min(choose, (len(own) - first) // 2)]] = CHOOSE
    return found


class Runner:
    """Predictions for encoded inputs with some pieces in them; tokenised once. Told of progress by inputs."""

    def __init__(
        self, attributor: Attributor, encoded: Sequence[Encoded], longest: int | None, batch_size: int,
        progress: asked.Progress, units: Units,
    ):  # fmt: skip
        self.attributor, self.encoded, self.longest = attributor, encoded, longest
        self.batch_size, self.progress, self.units = batch_size, progress, units
        self.done, self.total = 0, 0

    def tell(self, done: int, what: str) -> None:
        done += self.done
        self.progress(done, max(done, self.total), what)

    def __call__(
        self, wanted: Sequence[Sequence[Piece]], rows: np.ndarray, what: str, part: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """(P, n, C) probabilities of the inputs numbered `rows`, (n,), and (P,) how many were shortened.

        Patterns are predicted together: inputs of like length share a batch.
        """
        size = max(1, TOGETHER // max(1, len(rows)))
        found = []
        for first in range(0, len(wanted), size):
            group, name = wanted[first : first + size], f"{part}-{first // size}"
            compute = functools.partial(self._group, group, rows, what, name)
            found.append(self.units.get(name, compute))
            self.done += len(rows) * len(group)
            self.tell(0, what)
        return (
            np.concatenate([each["probabilities"] for each in found]),
            np.concatenate([each["cut"] for each in found]),
        )

    def _group(self, group: Sequence[Sequence[Piece]], rows: np.ndarray, what: str, name: str) -> Value:
        made = [insert(self.encoded[i], pieces, self.longest) for pieces in group for i in rows]
        logits = predict(
            self.attributor.model, self.attributor.tokenizer, [each.encoded for each in made],
            batch_size=self.batch_size, units=self.units.within(name),
            progress=lambda done, *_: self.tell(done, what),
        ).astype(float)  # fmt: skip
        powers = np.exp(logits - logits.max(1, keepdims=True))
        shares = powers / powers.sum(1, keepdims=True)
        cut = np.array([each.cut > 0 for each in made], int).reshape(len(group), len(rows)).sum(1)
        return {"probabilities": shares.reshape(len(group), len(rows), -1), "cut": cut}


def search(
    run: Runner,
    patterns: Sequence[Pattern],
    pieces: Sequence[Sequence[Piece]],
    others: Sequence[np.ndarray],
    gold: np.ndarray,
    purpose: np.ndarray,
    what: str,
    part: str,
) -> list[Attacked]:
    """All patterns tried on the inputs for screening, the best of each class and of all on those for
    choosing, the worst three of those on the inputs to report on. Lowest accuracy on screening first, and
    ties are broken in that order: whoever asks `lowest` again is told of the same three.

    Screening ranks by the mean probability of the gold class, which few inputs tell better than how many
    of them are right; choosing by accuracy on both.
    """
    found = np.full((len(patterns), len(gold), run.attributor.model.config.num_labels), np.nan)
    cut = np.zeros(len(patterns), int)

    def tried(chosen: list[int], stage: int) -> None:
        rows = np.flatnonzero(purpose == stage)
        if len(rows) and chosen:
            shares, shortened = run([pieces[i] for i in chosen], rows, what, f"{part}-{stage}")
            found[np.ix_(np.array(chosen), rows)] = shares
            cut[chosen] += shortened

    def attacked() -> list[Attacked]:
        return [Attacked(pattern, found[i], others[i], int(cut[i])) for i, pattern in enumerate(patterns)]

    every = list(range(len(patterns)))
    tried(every, SCREEN)
    screening = [
        _mean(each.predicted == gold, each.other & (purpose == SCREEN), gold, None) for each in attacked()
    ]
    order = np.argsort(screening, kind="stable").tolist()  # NaN last

    def ranked() -> list[Attacked]:
        now = attacked()
        return [now[i] for i in order]

    abouts = [None, *np.unique(gold).tolist()]
    screened = np.where(purpose == SCREEN, np.take_along_axis(found, gold[None, :, None], 2)[..., 0], np.nan)
    best: set[int] = set()
    for about in abouts:
        shares = [_mean(screened[i], others[i] & (purpose == SCREEN), gold, about) for i in every]
        best |= set(_lowest(shares, FINALISTS))
    tried(sorted(best), CHOOSE)
    worst: set[int] = set()
    for about in abouts:
        worst |= {order[i] for i in lowest(ranked(), gold, purpose, about)}
    tried(sorted(worst), REPORT)
    return ranked()


def lowest(
    attacked: Sequence[Attacked], gold: np.ndarray, purpose: np.ndarray, about: int | None = None,
    k: int = WORST,
) -> list[int]:  # fmt: skip
    """Numbers of the k finalists of lowest accuracy on the inputs not reported on, of one class or all."""
    finalists = [each.tried[purpose == CHOOSE].all() for each in attacked]
    shares = [
        selected(each, gold, purpose, about) if final else float("nan")
        for each, final in zip(attacked, finalists, strict=True)
    ]
    return _lowest(shares, k)


def selected(each: Attacked, gold: np.ndarray, purpose: np.ndarray, about: int | None = None) -> float:
    """Accuracy on the inputs that it was screened and chosen on, of one class or all; NaN without any."""
    rows = (purpose != REPORT) & each.other & each.tried
    return _mean(each.predicted == gold, rows, gold, about)


def _mean(values: np.ndarray, rows: np.ndarray, gold: np.ndarray, about: int | None) -> float:
    rows = rows if about is None else rows & (gold == about)
    return float(values[rows].mean()) if rows.any() else float("nan")


def _lowest(values: Sequence[float], k: int) -> list[int]:
    return [i for i in np.argsort(values, kind="stable")[:k].tolist() if not np.isnan(values[i])]
