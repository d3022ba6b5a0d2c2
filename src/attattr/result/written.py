"""An attribution written: as one file that `file.load` reads again, or as plain JSON values.

Both are described in docs/schema.md. Never pickle: a file from a stranger can be opened.
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

FORMAT_VERSION = "1"  # of files
SCHEMA_VERSION = "1"  # of to_json
ARRAYS = ("scores", "attention", "head_sum", "head_max", "head_abs", "query_sum", "key_sum")
EDGES = tuple(field.name for field in fields(Edges))
KEY, DIGEST = "attattr", "sha256"  # entries of the safetensors metadata


def save(result: Attribution, path: str | Path) -> None:
    """Write a result; the file appears under its name only when it is whole.

    Raises:
        OSError: the folder is not there, not writable or full.
    """
    path = asked.path(path, "the file of a result")
    arrays: dict[str, np.ndarray] = {}
    sites = []
    for number, site in enumerate(result.sites):
        for name in ARRAYS:
            if getattr(site, name) is not None:
                arrays[f"{number}.{name}"] = getattr(site, name)
        for name in EDGES if site.edges is not None else ():
            arrays[f"{number}.edges.{name}"] = getattr(site.edges, name)
        sites.append(
            {f.name: getattr(site, f.name) for f in fields(site) if f.name not in (*ARRAYS, "edges")}
        )
    facts = {f.name: getattr(result, f.name) for f in fields(result)} | {
        "version": FORMAT_VERSION,
        "axes": {name: asdict(axis) for name, axis in result.axes.items()},
        "prediction": asdict(result.prediction),
        "target": asdict(result.target),
        "sites": sites,
        "picture": None if result.picture is None else base64.b64encode(result.picture).decode(),
    }
    text = json.dumps(facts)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    files.write(path, to_bytes(arrays, {KEY: text, DIGEST: digest(text, arrays)}))


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
                }
                for site in result.sites
            ],
            "left_out": list(result.left_out),
            "edges": [
                {
                    "site": edge.site,
                    "name": edge.name,
                    "head": edge.head,
                    "query": edge.query,
                    "key": edge.key,
                    "score": edge.score,
                    "attention": edge.attention,
                }
                for edge in result.top_edges(top)
            ]
            if has_edges
            else None,
        }
    )


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
