"""An attribution or a generation written: as one file that `file.load` reads again, or as plain JSON values.

They are described in docs/schema.md and docs/generation.md. Never pickle: a stranger's file can be opened.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save as to_bytes

from attattr import asked
from attattr.disk import files
from attattr.disk.tensors import digest
from attattr.result.values import Axis, Edges

if TYPE_CHECKING:
    from attattr.result.attribution import Attribution
    from attattr.result.generation import Generation, Span

FORMAT_VERSION = "1"  # of files
SCHEMA_VERSION = "1"  # of to_json
GENERATION = "generation"  # the kind of a file that holds one; one of an attribution has none
GENERATION_FORMAT_VERSION = "1"
GENERATION_SCHEMA_VERSION = "1"
ARRAYS = ("scores", "attention", "head_sum", "head_max", "head_abs", "query_sum", "key_sum")
GENERATION_ARRAYS = ("token_log_probability", "score", "effect")
EDGES = tuple(field.name for field in fields(Edges))
KEY, DIGEST = "attattr", "sha256"  # entries of the safetensors metadata


def save(result: Attribution, path: str | Path) -> None:
    """Write a result; the file appears under its name only when it is whole.

    Raises:
        OSError: the folder is not there, not writable or full.
    """
    _write(path, _facts(result) | {"version": FORMAT_VERSION}, _arrays(result))


def save_generation(made: Generation, path: str | Path) -> None:
    """Write a generation: each span's attribution as in a file of its own, its arrays as SPAN.NAME.

    Raises:
        OSError: the folder is not there, not writable or full.
    """
    arrays = {name: getattr(made, name) for name in GENERATION_ARRAYS}
    spans = []
    for number, span in enumerate(made.explained):
        arrays |= {f"{number}.{name}": array for name, array in _arrays(span.attribution).items()}
        spans.append(vars(span) | {"attribution": _facts(span.attribution)})
    facts = {
        "version": GENERATION_FORMAT_VERSION,
        "kind": GENERATION,
        **{name: value for name, value in vars(made).items() if name not in (*GENERATION_ARRAYS, "spans")},
        "turns": [vars(turn) for turn in made.turns],
        "sources": [vars(source) for source in made.sources],
        "spans": spans[: len(made.spans)],
        "contrast": spans[-1] if made.contrast is not None else None,
    }
    _write(path, facts, arrays)


def _write(path: str | Path, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    path = asked.path(path, "the file of a result")
    text = json.dumps(facts)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    files.write(path, to_bytes(arrays, {KEY: text, DIGEST: digest(text, arrays)}))


def _arrays(result: Attribution) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for number, site in enumerate(result.sites):
        for name in ARRAYS:
            if getattr(site, name) is not None:
                arrays[f"{number}.{name}"] = getattr(site, name)
        for name in EDGES if site.edges is not None else ():
            arrays[f"{number}.edges.{name}"] = getattr(site.edges, name)
    return arrays


def _facts(result: Attribution) -> dict[str, Any]:
    sites = [
        {f.name: getattr(site, f.name) for f in fields(site) if f.name not in (*ARRAYS, "edges")}
        for site in result.sites
    ]
    return {f.name: getattr(result, f.name) for f in fields(result)} | {
        "axes": {name: asdict(axis) for name, axis in result.axes.items()},
        "prediction": asdict(result.prediction),
        "target": asdict(result.target),
        "sites": sites,
        "picture": None if result.picture is None else base64.b64encode(result.picture).decode(),
    }


def to_json(result: Attribution, top: int) -> dict[str, Any]:
    """See `Attribution.to_json`."""
    first_site = result.sites[0] if result.sites else None
    has_edges = first_site is None or first_site.scores is not None or first_site.edges is not None
    has_sums = first_site is None or first_site.key_sum is not None
    return _strict(
        {
            "schema_version": SCHEMA_VERSION,
            "model": dict(result.model),
            "text": result.text,
            "text_pair": result.text_pair,
            "truncated": result.truncated,
            **_axis_facts(result._first),
            "axes": {name: _axis_facts(axis) | {"grid": axis.grid} for name, axis in result.axes.items()},
            "prediction": {
                "label": result.prediction.label,
                "probability": result.prediction.probability,
                "probabilities": dict(result.prediction.probabilities),
                "position": result.prediction.position,
            },
            "target": {
                "kind": result.target.kind,
                "label": result.target.label,
                "output": result.target.output,
                "value": result.target.value,
                "position": result.target.position,
            },
            "options": dict(result.options),
            "per_token": result.per_token().tolist() if has_sums else None,
            "sites": [
                {
                    "name": site.name,
                    "kind": site.kind,
                    "heads": site.n_heads,
                    "query_axis": site.query_axis,
                    "key_axis": site.key_axis,
                    "baseline_output": site.baseline_output,
                    "completeness_gap": site.completeness_gap,
                    "error_estimate": site.error_estimate,
                    "n_steps": site.n_steps,
                    "converged": site.converged,
                    "method": site.method,
                }
                for site in result.sites
            ],
            "left_out": list(result.left_out),
            "edges": _edges(result, top) if has_edges else None,
        }
    )


def generation_to_json(made: Generation, top: int) -> dict[str, Any]:
    """See `Generation.to_json`."""
    return _strict(
        {
            "schema_version": GENERATION_SCHEMA_VERSION,
            "model": dict(made.model),
            "options": dict(made.options),
            "prompt": made.prompt,
            "turns": [vars(turn) for turn in made.turns],
            "reply": made.reply,
            "stopped": made.stopped,
            "tokens": made.tokens,
            "token_log_probability": made.token_log_probability.tolist(),
            "value": made.value,
            "worst_gap": made.worst_gap,
            "sources": [
                vars(source) | {"text": made.prompt[source.start : source.end]} for source in made.sources
            ],
            "columns": made.columns,
            "spans": [
                _span(span, top) | {"score": score, "effect": effect, "correlation": correlation}
                for span, score, effect, correlation in zip(
                    made.spans, made.score.tolist(), made.effect.tolist(),
                    made.per_source().correlation.tolist(), strict=True,
                )
            ],
            "contrast": None if made.contrast is None else _span(made.contrast, top),
        }
    )  # fmt: skip


def _span(span: Span, top: int) -> dict[str, Any]:
    result = span.attribution
    return {
        "text": span.text,
        "start": span.start,
        "end": span.end,
        "tokens": span.tokens,
        "log_probability": span.log_probability,
        "worst_gap": result.worst_gap,
        "sites": len(result.sites),
        "not_converged": [site.name for site in result.sites if not site.converged],
        "edges": _edges(result, top) if all(s.scores is not None or s.edges for s in result.sites) else None,
    }


def _edges(result: Attribution, top: int) -> list[dict[str, Any]]:
    names = ("site", "name", "head", "query", "key", "score", "attention")
    return [{name: getattr(edge, name) for name in names} for edge in result.top_edges(top)]


def _axis_facts(axis: Axis) -> dict[str, Any]:
    return {"tokens": list(axis.tokens), "segments": list(axis.segments), "words": list(axis.words)}


def _strict(value: Any) -> Any:
    """JSON has no NaN and no infinity, no tuples and no numpy numbers."""
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
