"""The values a result is made of: prediction, target, axes, sites, edges. Plain numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attattr.result.shown import brief, counted, short


@dataclass(frozen=True)
class Prediction:
    """What the model answered: all classes with their probabilities, or the likeliest tokens or answers.

    A number (of a regression, of likeness) is its own `label` and has no probability. position: the token
    that the answer is about, of token classifiers and masks.
    """

    label: str
    index: int  # of the class, the label or the token; of an answer its first token
    probability: float | None
    probabilities: dict[str, float]
    position: int | None = None

    def said(self, length: int = 40) -> str:
        """Label and probability in a few characters."""
        label = short(self.label, length)
        return label if self.probability is None else f"{label} {self.probability:.3f}"

    def __repr__(self) -> str:
        some = list(self.probabilities.items())[:3]
        return brief(
            self,
            self.said(),
            ", ".join(f"{short(label, 20)} {p:.3f}" for label, p in some),
        )


@dataclass(frozen=True)
class Target:
    """What F was, and its value on the untouched model."""

    # class | difference | callable | token | continuation | label | mask | start | end | span | value |
    # similarity
    kind: str
    label: str
    index: tuple[int, ...]
    output: str  # probability | logit | log_probability | value
    value: float
    position: int | None = None  # of the token it is about, of token classifiers and masks

    def __repr__(self) -> str:
        return brief(self, f"{self.kind} {short(self.label)}", f"{self.output} {self.value:.3f}")


@dataclass(frozen=True)
class Axis:
    """Names of the positions that attention runs over, n of them.

    segments: 0 for the first text, 1 for the second, None on special tokens. words: the number of the
    word a piece belongs to, counted over the whole input; None on special tokens. grid: rows and columns of
    an image's patches, which stand last, row by row, behind special tokens; None of texts.
    """

    tokens: tuple[str, ...]
    segments: tuple[int | None, ...]
    words: tuple[int | None, ...]
    special: tuple[bool, ...]
    grid: tuple[int, int] | None = None

    @property
    def first_patch(self) -> int:
        """The position of the patch at the top left: how many special tokens stand before it."""
        rows, columns = self.grid or (0, 0)
        return len(self.tokens) - rows * columns

    def __repr__(self) -> str:
        return brief(self, counted(len(self.tokens), "token"), " ".join(self.tokens[:20]))


@dataclass(frozen=True)
class Edges:
    """The strongest edges of one site as five arrays of equal length, strongest |score| first."""

    head: np.ndarray
    query: np.ndarray
    key: np.ndarray
    score: np.ndarray
    attention: np.ndarray

    def __repr__(self) -> str:
        ends = f"{self.score[0]:+.3g} to {self.score[-1]:+.3g}" if len(self.score) else ""
        return brief(self, counted(len(self.score), "edge"), ends)


@dataclass(frozen=True)
class Edge:
    """One edge: in this head, the query attends to the key, and that is worth `score` of F."""

    site: int  # number of the site in Attribution.sites, as in the JSON and in tables
    name: str  # of the site
    head: int
    query: int
    key: int
    score: float
    attention: float
    query_token: str
    key_token: str


@dataclass(frozen=True)
class Site:
    """One attention layer: H heads, q queries, k keys. All scores are in units of F.

    >>> site = result.sites[1]
    >>> site.name, site.kind, site.scores.shape
    ('encoder.layer.1', 'encoder_self', (2, 5, 5))
    >>> float(site.scores.sum() - (result.target.value - site.baseline_output)) == site.completeness_gap
    True

    Which arrays are there depends on the store: dense has `scores` and `attention`, edges has `edges`,
    heads only the sums over heads. `completeness_gap` is Σ scores − (F(A) − F(A⁰)), signed;
    `error_estimate` the distance to a coarser rule relative to Σ|scores|, 1 where there is none.
    """

    name: str
    kind: str  # encoder_self | decoder_self | cross
    n_heads: int
    query_axis: str
    key_axis: str
    scores: np.ndarray | None  # (H, q, k)
    attention: np.ndarray | None  # (H, q, k)
    edges: Edges | None
    head_sum: np.ndarray  # (H,)
    head_max: np.ndarray  # (H,)
    head_abs: np.ndarray  # (H,) mean of |scores|
    query_sum: np.ndarray | None  # (H, q)
    key_sum: np.ndarray | None  # (H, k)
    baseline_output: float  # F(A⁰)
    completeness_gap: float
    error_estimate: float
    n_steps: int
    converged: bool
    method: str = "integral"  # or "gradient": gradient × attention, a first look

    def __repr__(self) -> str:
        return brief(
            self,
            self.name[-60:],
            counted(self.n_heads, "head"),
            f"gap {self.completeness_gap:.0e}",
            counted(self.n_steps, "node"),
            "gradient" if self.method == "gradient" else "" if self.converged else "not converged",
        )


def strongest(scores: np.ndarray, attention: np.ndarray, k: int) -> Edges:
    """The k edges of largest |score| of one site, (H, q, k) each; ties in reading order."""
    return strongest_edges(scores, attention, k, False)


def strongest_edges(scores: np.ndarray, attention: np.ndarray, k: int, positive_only: bool) -> Edges:
    flat = scores.ravel()
    size = np.where(flat > 0, flat, -1) if positive_only else np.nan_to_num(np.abs(flat), nan=-1.0)
    k = min(k, int((size >= 0).sum()))
    if 0 < k < size.size:  # a partition first: sorting millions for the sake of ten is slow
        least = np.partition(size, size.size - k)[size.size - k]
        above = np.flatnonzero(size > least)
        level = np.flatnonzero(size == least)[: k - len(above)]
        kept = np.concatenate([above, level])
        kept.sort()
    else:
        kept = np.flatnonzero(size >= 0)[:k]
    kept = kept[np.argsort(-size[kept], kind="stable")]
    head, query, key = (index.astype(np.int32) for index in np.unravel_index(kept, scores.shape))
    return Edges(head, query, key, flat[kept], attention.ravel()[kept])
