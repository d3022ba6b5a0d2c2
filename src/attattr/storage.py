"""One attribution in one file: safetensors for the arrays, JSON in its metadata for the rest.

The format is described in docs/schema.md. Never pickle: a file from a stranger can be opened.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from attattr.errors import FileFormatError
from attattr.result import Attribution, Axis, Edges, Prediction, Site, Target

VERSION = 1
KEY = "attattr"  # of the JSON in the safetensors metadata
ARRAYS = ("scores", "attention", "head_sum", "head_max", "head_abs", "query_sum", "key_sum")
EDGES = tuple(field.name for field in fields(Edges))


def save(result: Attribution, path: str | Path) -> None:
    """Write a result; the file appears under its name only when it is whole.

    Raises:
        OSError: the folder is not there, not writable or full.
    """
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}
    facts: dict[str, Any] = {
        field.name: getattr(result, field.name)
        for field in fields(result)
        if field.name not in ("axes", "prediction", "target", "sites")
    }
    facts["axes"] = {name: asdict(axis) for name, axis in result.axes.items()}
    facts |= {"prediction": asdict(result.prediction), "target": asdict(result.target), "sites": []}
    for number, site in enumerate(result.sites):
        for name in ARRAYS:
            if getattr(site, name) is not None:
                arrays[f"{number}.{name}"] = np.ascontiguousarray(getattr(site, name))
        for name in EDGES if site.edges is not None else ():
            arrays[f"{number}.edges.{name}"] = np.ascontiguousarray(getattr(site.edges, name))
        plain = {f.name: getattr(site, f.name) for f in fields(site) if f.name not in (*ARRAYS, "edges")}
        facts["sites"].append(plain)
    metadata = {KEY: json.dumps({"version": VERSION} | facts)}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        save_file(arrays, temporary, metadata=metadata)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load(path: str | Path) -> Attribution:
    """Read what `Attribution.save` wrote.

    Raises:
        FileFormatError: there is no such file, it is not one of attattr's, is cut short or damaged, or
            was written by a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"there is no file '{path}'")
    try:
        with safe_open(path, framework="np") as file:
            facts = json.loads((file.metadata() or {}).get(KEY, "null"))
            if not isinstance(facts, dict):
                raise FileFormatError(f"'{path}' is a safetensors file, but not one of attattr's results")
            if facts.get("version") != VERSION:
                raise FileFormatError(
                    f"'{path}' has format {facts.get('version')}, this attattr reads {VERSION}: upgrade attattr"
                )
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _build(facts, arrays)
    except FileFormatError:
        raise
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        raise FileFormatError(
            f"'{path}' is not a whole attattr result (cut short or damaged): {error}"
        ) from error


def _build(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> Attribution:
    sites = []
    for number, plain in enumerate(facts["sites"]):
        edges = None
        if f"{number}.edges.{EDGES[0]}" in arrays:
            edges = Edges(*(arrays[f"{number}.edges.{name}"] for name in EDGES))
        sites.append(Site(edges=edges, **{n: arrays.get(f"{number}.{n}") for n in ARRAYS}, **plain))
    target = facts["target"]
    known = {field.name for field in fields(Attribution)}
    rest = {name: value for name, value in facts.items() if name in known}
    return Attribution(
        **rest
        | {
            "axes": {
                name: Axis(**{side: tuple(values) for side, values in axis.items()})
                for name, axis in facts["axes"].items()
            },
            "prediction": Prediction(**facts["prediction"]),
            "target": Target(**target | {"index": tuple(target["index"])}),
            "sites": tuple(sites),
            "left_out": tuple(facts["left_out"]),
        }
    )
