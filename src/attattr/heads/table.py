"""The file of a ranking of heads: a Parquet table, with a digest of all that it says in its metadata.

One row a criterion and head; docs/heads.md.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field

from attattr.disk import digests, files
from attattr.disk.checked import DIGEST, parse, shaped
from attattr.errors import FileFormatError, MissingFileError

if TYPE_CHECKING:
    from attattr.heads.importance import HeadRanking

VERSION = "2"
FIRST = "1"  # had no digest
ROWS = 1_000_000  # far more heads than any model has; a small file may claim any number
NUMBERS = ("importance", "low", "high")
Whole = Annotated[int, Field(ge=0)]


class _Facts(BaseModel):
    """What stands in the metadata besides the ranking's own facts."""

    version: str
    sites: Annotated[tuple[str, ...], Field(min_length=1)]
    rows: tuple[str, ...]


class _Columns(BaseModel):
    criterion: Annotated[list[str], Field(min_length=1)]
    site: list[Whole]
    name: list[str]
    head: list[Whole]
    importance: list[float]
    low: list[float]
    high: list[float]
    rank: list[Whole]


def write(ranking: HeadRanking, path: Path) -> None:
    """See `HeadRanking.save`."""

    rows = []
    for criterion, found in ranking.importances.items():
        place = {pair: rank for rank, pair in enumerate(ranking.ranked(criterion), 1)}
        for (site, head), rank in sorted(place.items()):
            numbers = {k: float(getattr(found, k)[site, head]) for k in ("mean", "low", "high")}
            about = {"criterion": criterion, "site": site, "name": ranking.sites[site], "head": head}
            rows.append(about | {"importance": numbers.pop("mean")} | numbers | {"rank": rank})
    facts = {"version": VERSION, "sites": ranking.sites, "rows": ranking.rows, **ranking.facts}
    table = pa.Table.from_pylist(rows)
    facts[DIGEST] = _digest(facts, table.to_pydict())
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"attattr": json.dumps(facts)}), sink)
    files.write(path, sink.getvalue().to_pybytes())


def _digest(facts: dict[str, Any], columns: dict[str, list[Any]]) -> str:
    return digests.of_json({"facts": facts, "columns": columns})


def read(path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """Importances by criterion as (mean, low, high) of (L, H) each, the sites' names, rows, facts.

    Raises:
        FileFormatError: as `load_heads`.
    """
    if not path.is_file():
        raise MissingFileError(f"there is no file '{path}'")
    try:
        facts, columns = _contents(path)
        known = shaped(_Facts, facts)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise FileFormatError(f"'{path}' is no sound table of `attattr heads rank`: {error}") from error
    if known.version not in (FIRST, VERSION):
        raise FileFormatError(f"'{path}' is of version {known.version}, not {VERSION}: upgrade attattr")
    digest = facts.pop(DIGEST, None)
    try:
        if (digest or known.version == VERSION) and digest != _digest(facts, columns):
            raise ValueError("its checksum differs")
        importances = _importances(columns, known.sites)
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"'{path}' is damaged ({error}): rank the heads again") from error
    if digest is None:
        warnings.warn(
            f"'{path}' has no checksum: damage would go unnoticed; rank the heads again to have one",
            stacklevel=3,
        )
    rest = {name: value for name, value in facts.items() if name not in ("version", "sites", "rows")}
    return importances, known.sites, known.rows, rest


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows > ROWS:
            raise ValueError(f"it claims {file.metadata.num_rows} rows")
        table = file.read()
    facts = parse((table.schema.metadata or {})[b"attattr"].decode("utf-8"))
    if not isinstance(facts, dict):
        raise ValueError("its metadata is no JSON object")
    return facts, table.to_pydict()


def _importances(columns: dict[str, list[Any]], sites: tuple[str, ...]) -> dict[str, np.ndarray]:
    known = shaped(_Columns, columns)
    places = list(zip(known.criterion, known.site, known.head, strict=True))
    criteria, heads = dict.fromkeys(known.criterion), 1 + max(known.head)
    # all of them differ and lie in the grid, and there are as many as it has places
    if len({*places}) < len(criteria) * len(sites) * heads or max(known.site) >= len(sites):
        raise ValueError("it does not have every head once for each criterion")
    found = {criterion: np.empty((3, len(sites), heads)) for criterion in criteria}
    for place, (criterion, site, head) in enumerate(places):
        found[criterion][:, site, head] = [getattr(known, name)[place] for name in NUMBERS]
    return found
