"""The data of the page: pydantic models, which are also the schema of its TypeScript types.

Numbers that are read off (edges, sums, layers' matrices) are exact; the matrices of single heads, which
are looked at, are quantised. `python -m attattr.page.data` prints the schema.
"""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema

SCHEMA_VERSION = 2
SHADES = ((127, 1.0), (31, 1.0), (31, 0.25), (15, 1 / 16), (15, 1 / 256))  # levels, share of entries kept


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Probability(Part):
    label: str
    value: float | None


class TargetFacts(Part):
    """F: what was explained, and its value on the untouched model; its probability, where it has one."""

    kind: str
    label: str
    output: str
    value: float | None
    probability: float | None
    predicted: bool


class AxisFacts(Part):
    """Positions that attention runs over; `names` are what is shown, `tokens` as the tokenizer has them."""

    name: str
    tokens: list[str]
    names: list[str]


class Sparse(Part):
    """The positive entries of a matrix, largest first, ties in reading order; all but those up to `least`.

    index, score: base64 of little-endian uint32 (query * n + key) and float32.
    """

    index: str
    score: str
    least: float


class LayerMatrix(Part):
    """Scores of one site, summed over its heads: what the tree is built from."""

    site: int
    entries: Sparse


class Picture(Part):
    """The patches of an image, rows × columns of them, the first at position `first`; what the model saw.

    png: in base64; None where the result does not hold it, and width and height are those of the grid.
    """

    png: str | None
    width: int
    height: int
    rows: int
    columns: int
    first: int


class FlowAxis(Part):
    """An axis by units, each of some positions. base: the row on which it begins."""

    names: list[str]
    members: list[list[int]]
    base: int


class FlowFacts(Part):
    """What `attattr.build_flow` chose: lists by axis, by site, and by edge, strongest first (docs/flow.md).

    query, key, readout: units. heads, head_scores: the strongest of each edge. share: what the first 1, 2, …
    edges carry of Σ|score|; None where it is not known.
    """

    axes: list[FlowAxis]
    level: list[int]
    key_level: list[int]
    site: list[int]
    query: list[int]
    key: list[int]
    score: list[float]
    width: list[float]
    joins: list[int | None]
    heads: list[list[int]]
    head_scores: list[list[float]]
    share: list[float] | None
    usual: int
    readout_axis: int
    readout: list[int]
    scale: float
    unit: float


class Level(Part):
    """One reading of the first axis, by tokens or by words: n units.

    members: the positions of each unit. joined: it goes on with the unit before, without a space.
    top: of the tree. flow: by these units, on all axes; None without edges, or by words without every score.
    """

    names: list[str]
    members: list[list[int]]
    joined: list[bool]
    segments: list[int | None]
    special: list[bool]
    layers: list[LayerMatrix]
    readout: int | None
    top: int | None
    flow: FlowFacts | None


class Grid(Part):
    """A quantised matrix: value = sign(code) * scale * (code / levels)², row by row.

    codes: base64 of deflated int8. kept: the share of its entries that is not simply 0 for want of room.
    """

    scale: float
    levels: int
    kept: float
    codes: str


class SiteFacts(Part):
    """One attention layer. Lists are by head; key_sum is by position: what attending to it was worth, over
    all queries and heads, which adds up to `total`. queries: those that score anything; None: all may.
    """

    name: str
    kind: str
    query_axis: int
    key_axis: int
    n_heads: int
    head_sum: list[float]
    head_max: list[float]
    key_sum: list[float] | None
    queries: list[int] | None
    head_attention: list[float] | None  # mean over queries of the largest weight
    scores: list[Grid] | None
    attention: list[Grid] | None
    baseline_output: float | None
    change: float | None  # F(A) − F(A⁰)
    total: float | None  # sum of the scores
    gap: float | None
    error: float | None
    n_steps: int
    converged: bool
    method: str  # integral, or gradient: a first look


class EdgeColumns(Part):
    """The strongest edges, exact, strongest first."""

    site: list[int]
    head: list[int]
    query: list[int]
    key: list[int]
    score: list[float]
    attention: list[float]


class EffectFacts(Part):
    """What F loses when one edge or one head is taken out: F − F without it, as measured."""

    clean: float
    edges: list[float | None]  # of the first of the strongest edges
    heads: list[list[float | None]]  # by site and head


class Report(Part):
    schema_version: int
    version: str
    model: str
    revision: str | None
    texts: list[str]
    prediction: list[Probability]
    predicted: str
    target: TargetFacts
    axes: list[AxisFacts]
    picture: Picture | None  # of an image
    tokens: Level
    words: Level | None  # None where every word is one token
    sites: list[SiteFacts]
    edges: EdgeColumns | None
    effects: EffectFacts | None
    threshold: float
    method: str
    baseline: str
    notes: list[str]


class PromptFacts(Part):
    """A prompt by words and what stands between them, which together are its text.

    tokens: positions on the first axis; none of what stands between. turn, source: by their numbers.
    """

    text: list[str]
    tokens: list[list[int]]
    turn: list[int | None]
    source: list[int | None]


class ReplyFacts(Part):
    """A reply in the same way. tokens: on the last axis; the reply's last token is not read and has none."""

    text: list[str]
    tokens: list[list[int]]
    span: list[int | None]


class SpanFacts(Part):
    """A part of a reply. value: log p. score, effect: by column; None: no such source, or not measured.

    report: its Report, as base64 of deflated JSON; None where the page has no room for it.
    """

    text: str
    value: float | None
    worst_gap: float | None
    score: list[float | None]
    effect: list[float | None]
    correlation: float | None
    report: str | None


class GenerationFacts(Part):
    """A reply, its spans and its sources. columns: names of the sources, and perhaps the reply so far."""

    schema_version: int
    version: str
    model: str
    revision: str | None
    turns: list[str]  # roles
    prompt: PromptFacts
    sources: list[list[int]]  # positions of their tokens
    columns: list[str]
    words: ReplyFacts
    stopped: str
    n_tokens: int
    spans: list[SpanFacts]
    contrast: SpanFacts | None
    contrast_words: ReplyFacts | None
    value: float | None
    worst_gap: float | None
    notes: list[str]


def number(value: float) -> float | None:
    """A float32 in its shortest exact form; None for what JSON has no name for."""
    return float(f"{float(value):.9g}") if np.isfinite(value) else None


def numbers(values: np.ndarray) -> list[float]:
    """As `number`, for arrays; what is not finite is 0."""
    return [float(f"{value:.9g}") for value in np.nan_to_num(values, posinf=0, neginf=0).ravel().tolist()]


def sparse(matrix: np.ndarray, room: int) -> Sparse:
    """The positive entries of a matrix, at most `room` of them."""
    flat = matrix.ravel()
    index = np.flatnonzero(flat > 0)
    index = index[np.argsort(-flat[index], kind="stable")]
    least = float(flat[index[room]]) if len(index) > room else 0.0
    index = index[:room]
    return Sparse(index=_base64(index.astype("<u4")), score=_base64(flat[index].astype("<f4")), least=least)


def grid(matrix: np.ndarray, room: int) -> Grid:
    """A matrix in at most `room` bytes: fewer levels, then fewer of its small entries, until it fits."""
    matrix = np.nan_to_num(np.asarray(matrix, np.float32), posinf=0, neginf=0)
    size = np.abs(matrix).ravel()
    scale = float(size.max(initial=0)) or 1.0
    roots, signs = np.sqrt(size / scale), np.sign(matrix).ravel()
    for levels, share in SHADES:
        codes = np.rint(roots * levels)
        if share < 1:
            kept = int(size.size * share)
            codes[size < np.partition(size, size.size - kept)[size.size - kept]] = 0
        if np.count_nonzero(codes) > 3 * room and (levels, share) != SHADES[-1]:
            continue  # more than three a byte never fit: spared the try
        packed = zlib.compress((codes * signs).astype(np.int8).tobytes(), 6)
        if len(packed) <= room:
            break
    return Grid(scale=scale, levels=levels, kept=share, codes=base64.b64encode(packed).decode())


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def schema() -> str:
    _, made = models_json_schema([(Report, "serialization"), (GenerationFacts, "serialization")])
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema(), end="")
