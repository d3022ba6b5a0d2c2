"""The facts and arrays of a file as an `Attribution` or a `Generation`; what methods rely on is checked.

Everything here raises ValueError, and shapes are compared before room is made for an array.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from attattr.disk.checked import shaped
from attattr.disk.tensors import Stored, Whole
from attattr.result import picture
from attattr.result.attribution import Attribution
from attattr.result.counterfactual import Counterfactual
from attattr.result.generation import Generation, Source, Span, Turn
from attattr.result.values import Axis, Edges, Prediction, Site, Target
from attattr.result.written import ARRAYS, EDGES

_HEADS = {"head_sum", "head_max", "head_abs"}
_SUMS = _HEADS | {"query_sum", "key_sum"}
# what a site has, by store
LAYOUTS = (_HEADS, _SUMS | {f"edges.{name}" for name in EDGES}, _SUMS | {"scores", "attention"})


class _SiteFacts(BaseModel):
    name: str
    kind: str
    n_heads: Annotated[int, Field(ge=1)]
    query_axis: str
    key_axis: str
    baseline_output: float
    completeness_gap: float
    error_estimate: float
    n_steps: int
    converged: bool
    method: Literal["integral", "gradient"] = "integral"  # files from before have none


class _Facts(BaseModel):
    axes: Annotated[dict[str, Axis], Field(min_length=1)]
    prediction: Prediction
    target: Target
    sites: list[_SiteFacts]
    text: str | None
    text_pair: str | None
    options: dict[str, Any]
    model: dict[str, Any]
    left_out: tuple[str, ...]
    truncated: bool
    picture: str | None = None  # base64; files from before have none


class _SpanFacts(BaseModel):
    text: str
    start: Whole
    end: Whole
    tokens: tuple[Whole, Whole]
    log_probability: float
    attribution: dict[str, Any]


class _GenerationFacts(BaseModel):
    prompt: str
    turns: tuple[Turn, ...]
    reply: str
    stopped: Literal["end", "length", "given"]
    tokens: tuple[str, ...]
    sources: tuple[Source, ...]
    spans: Annotated[list[_SpanFacts], Field(min_length=1)]
    columns: tuple[str, ...]
    contrast: _SpanFacts | None
    options: dict[str, Any]
    model: dict[str, Any]


def attribution(facts: Any, arrays: Mapping[str, Stored]) -> Attribution:
    """The result that a file's JSON and arrays describe.

    Raises:
        ValueError: they describe none; says which part.
    """
    known = shaped(_Facts, facts)
    for name, axis in known.axes.items():
        if len({len(getattr(axis, field.name)) for field in fields(Axis) if field.name != "grid"}) > 1:
            raise ValueError(f"the parts of axis {name} differ in length")
        if axis.grid and (min(axis.grid) < 1 or axis.first_patch < 0):
            raise ValueError(f"the axis {name} has no such grid")
    count = len(next(iter(known.axes.values())).tokens) if known.axes else 0
    for what, about in (("target", known.target), ("prediction", known.prediction)):
        if about.position is not None and not 0 <= about.position < count:
            raise ValueError(f"its {what} is about a token that is not there")
    shaped(str | None, known.model.get("revision"))
    shaped(Counterfactual | None, known.options.get("counterfactual"))
    held = [_held(number, arrays) for number in range(len(known.sites))]
    if any(one not in LAYOUTS or one != held[0] for one in held):
        raise ValueError("its sites do not hold the arrays of one store")
    sites = [_site(number, site, known.axes, arrays) for number, site in enumerate(known.sites)]
    text = known.picture
    seen = None if text is None else picture.checked(base64.b64decode(text, validate=True))
    return Attribution(**dict(known) | {"sites": tuple(sites), "picture": seen})


def generation(facts: Any, arrays: Mapping[str, Stored]) -> Generation:
    """The generation that a file's JSON and arrays describe. Raises: as `attribution`."""
    known = shaped(_GenerationFacts, facts)
    explained = [*known.spans, *([known.contrast] if known.contrast else [])]
    spans = []
    for number, span in enumerate(explained):
        first, end = span.tokens
        if number < len(known.spans) and not (
            first < end <= len(known.tokens) and span.start <= span.end <= len(known.reply)
        ):
            raise ValueError(f"its span {number} is not in its reply")
        own = f"{number}."
        held = {name.removeprefix(own): array for name, array in arrays.items() if name.startswith(own)}
        spans.append(Span(**dict(span) | {"attribution": attribution(span.attribution, held)}))
    for part in (*known.turns, *known.sources):
        if not 0 <= part.start <= part.end <= len(known.prompt):
            raise ValueError("its turns and sources are not in its prompt")
    if known.columns[: len(known.sources)] != tuple(source.name for source in known.sources):
        raise ValueError("its columns are not its sources")
    shape = (len(known.spans), len(known.columns))
    sizes = {"token_log_probability": (len(known.tokens),), "score": shape, "effect": shape}
    found = {name: _read(name, arrays[name], size) for name, size in sizes.items()}
    own_spans, contrast = tuple(spans[: len(known.spans)]), spans[-1] if known.contrast else None
    return Generation(**dict(known) | found | {"spans": own_spans, "contrast": contrast})


def _held(number: int, arrays: Mapping[str, Stored]) -> set[str]:
    return {name for name in (*ARRAYS, *(f"edges.{each}" for each in EDGES)) if f"{number}.{name}" in arrays}


def _site(number: int, site: _SiteFacts, axes: Mapping[str, Axis], arrays: Mapping[str, Stored]) -> Site:
    queries, keys = (_length(axes, name) for name in (site.query_axis, site.key_axis))
    heads = site.n_heads
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_HEADS, (heads,)) | {
        "scores": (heads, queries, keys),
        "attention": (heads, queries, keys),
        "query_sum": (heads, queries),
        "key_sum": (heads, keys),
    }
    found: dict[str, Any] = dict.fromkeys(ARRAYS)
    for name, shape in shapes.items():
        if f"{number}.{name}" in arrays:
            found[name] = _read(f"{number}.{name}", arrays[f"{number}.{name}"], shape)
    edges = None
    if f"{number}.edges.{EDGES[0]}" in arrays:
        of_edges = {name: arrays[f"{number}.edges.{name}"] for name in EDGES}
        edges = _edges(f"{number}.edges", of_edges, (heads, queries, keys))
    return Site(**dict(site), **found, edges=edges)


def _length(axes: Mapping[str, Axis], name: str) -> int:
    if name not in axes or not axes[name].tokens:
        raise ValueError(f"there are no tokens of an axis {name}")
    return len(axes[name].tokens)


def _read(name: str, array: Stored, shape: Sequence[int], kind: str = "f") -> np.ndarray:
    if array.shape != tuple(shape) or array.dtype.kind != kind:
        raise ValueError(f"its array {name} is {array.dtype} {array.shape}, not of shape {tuple(shape)}")
    return array.read()


def _edges(name: str, arrays: Mapping[str, Stored], size: tuple[int, int, int]) -> Edges:
    """Places within `size` (heads, queries, keys), none twice, the strongest first."""
    count = len(_read(f"{name}.score", arrays["score"], arrays["score"].shape[:1]))
    places = [_read(f"{name}.{side}", arrays[side], (count,), "i") for side in EDGES[:3]]
    values = [_read(f"{name}.{value}", arrays[value], (count,)) for value in EDGES[3:]]
    # it refuses what is out of range itself
    if len(np.unique(np.ravel_multi_index(places, size))) != count:
        raise ValueError(f"its {name} name one twice")
    strength = np.abs(values[0])
    if not (strength[:-1] >= strength[1:]).all() or np.isnan(strength).any():
        raise ValueError(f"its {name} are not the strongest first")
    return Edges(*places, *values)
