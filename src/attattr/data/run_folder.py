"""The folder of a data-set run: what lies in it, and reading it back.

manifest.json            what was asked of which model and data; a run is resumed only if it is equal
shards/00000.json        a finished shard: its rows, its files and their digests (written last)
inputs/00000.parquet     one row an input          edges/00000.parquet   one row a kept edge
heads/00000.parquet      one row a head            scores/00000.safetensors   store="dense" only
left_out.jsonl           rows of the data that could not be used, with their line and why

What is damaged is refused. Writing it: runs/folder.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from attattr import asked
from attattr.choices import Kept
from attattr.disk import digests
from attattr.disk.checked import parse, shaped, unsigned
from attattr.errors import FileFormatError, InputError, MissingFileError
from attattr.result.shown import brief, counted, short

if TYPE_CHECKING:
    import pyarrow.dataset


FORMAT = 1
SUFFIX = {"scores": ".safetensors"}
AGAIN = "start the run again, which computes what is damaged anew"
MANIFEST = ("format", "model", "data", "options", "shards", "batches", "versions", "environment")  # keys
Whole = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    name: str


class _Data(BaseModel):
    rows: Whole


class _Options(BaseModel):
    store: Kept
    target: str


class _Shards(BaseModel):
    size: Annotated[int, Field(ge=1)]
    count: Whole


class _Batches(BaseModel):
    padding_share: float


class _Manifest(BaseModel):
    """What is read of a manifest."""

    model: _Model
    data: _Data
    options: _Options
    shards: _Shards
    batches: _Batches | None = None  # of a run from before the markers had them


class _LeftOut(BaseModel):
    line: int
    reason: str


class _Layout(BaseModel):
    inputs_each: list[Whole] = []
    tokens: Whole = 0
    computed: Whole = 0  # with padding


class _Marker(BaseModel):
    rows: Whole
    worst_gap: float
    files: dict[str, str]
    left_out: list[_LeftOut] = []
    batches: _Layout = _Layout()


@dataclass(frozen=True)
class Run:
    """A run folder read back. The tables are pyarrow datasets: nothing is read until it is asked for.

    A table that is asked for the first time has its files compared with their digests.
    """

    path: Path
    manifest: dict[str, Any]
    finished: tuple[int, ...]  # numbers of the finished shards
    left_out: int  # inputs that could not be attributed: left_out.jsonl says why
    _digests: Mapping[Path, str]
    batches: dict[str, Any] = field(default_factory=dict)  # inputs_each, by finished shard; padding_share
    _sound: set[Path] = field(default_factory=set, compare=False)  # files found as written

    def __repr__(self) -> str:
        done = f"{len(self.finished)} of {counted(self.manifest['shards']['count'], 'shard')}"
        return brief(self, short(str(self.path), 80), done)

    @property
    def complete(self) -> bool:
        """Whether every shard is there."""
        return len(self.finished) == self.manifest["shards"]["count"]

    @property
    def inputs(self) -> pyarrow.dataset.Dataset:
        """One row an input: texts, gold, prediction, probabilities, tokens, gaps.

        Raises:
            FileFormatError: a file is not as it was written, or gone; as for the other tables.
        """
        return self._table("inputs")

    @property
    def edges(self) -> pyarrow.dataset.Dataset:
        """One row a kept edge: row (of inputs), site, head, query, key, tokens, score, attention.

        Raises:
            InputError: the run kept none (store is not "edges").
        """
        return self._table("edges")

    @property
    def heads(self) -> pyarrow.dataset.Dataset:
        """One row a head of an input: row, site, head, max, sum, mean_abs of its scores."""
        return self._table("heads")

    def _table(self, name: str) -> pyarrow.dataset.Dataset:
        import pyarrow.dataset

        from attattr.data.run_tables import SCHEMAS

        if name == "edges" and self.manifest["options"]["store"] != "edges":
            raise InputError(
                f"the run in '{self.path}' kept no edges: it was made with --store "
                f"{self.manifest['options']['store']}"
            )
        parts = [table_file(self.path, name, number) for number in self.finished]
        for file in parts:
            if file not in self._sound:
                _check(file, self._digests[file], SCHEMAS[name])
                self._sound.add(file)
        return pyarrow.dataset.dataset(list(map(str, parts)), schema=SCHEMAS[name], format="parquet")


def open_run(path: str | Path) -> Run:
    """A run folder, finished or not, as lazy tables.

    Raises:
        FileFormatError: not a run folder, damaged, or of a newer format.
    """
    path = asked.path(path, "the folder of a run")
    manifest = read_manifest(path)
    markers: dict[int, _Marker] = {}
    for number in numbers(path, manifest["shards"]["count"]):
        try:
            markers[number] = read_marker(path, number, manifest)
        except (OSError, ValueError) as error:
            at = marker_file(path, number)
            raise FileFormatError(f"'{at}' is damaged ({error}): {AGAIN}") from error
    known = {
        table_file(path, name, n): digest
        for n, marker in markers.items()
        for name, digest in marker.files.items()
    }
    left_out = sum(len(marker.left_out) for marker in markers.values())
    return Run(path, manifest, tuple(markers), left_out, known, _batches(manifest, markers.values()))


def _batches(manifest: Mapping[str, Any], markers: Iterable[_Marker]) -> dict[str, Any]:
    if "batches" in manifest:
        return manifest["batches"]
    layouts = [marker.batches for marker in markers]
    tokens, computed = (sum(getattr(each, name) for each in layouts) for name in ("tokens", "computed"))
    return {
        "inputs_each": [each.inputs_each for each in layouts],
        "padding_share": round(1 - tokens / computed, 4) if computed else 0.0,
    }


def read_manifest(path: Path) -> dict[str, Any]:
    """What the manifest says, without its digest; one from before there were digests has none."""
    file = path / "manifest.json"
    if not file.is_file():
        raise MissingFileError(f"'{path}' is not a run folder: there is no manifest.json in it")
    try:
        facts = parse(file.read_text(encoding="utf-8"))
        if isinstance(facts, dict) and facts.get("format", FORMAT) != FORMAT:
            raise FileFormatError(
                f"'{path}' is a run of format {facts['format']}, not {FORMAT}: upgrade attattr"
            )
        facts, _ = unsigned(facts, MANIFEST)
        known = shaped(_Manifest, facts)
        if known.shards.count != -(-known.data.rows // known.shards.size):
            raise ValueError(f"{known.data.rows} rows do not make {known.shards.count} shards")
    except OSError as error:
        raise FileFormatError(f"'{path}' is not a run folder: no manifest.json can be read in it") from error
    except ValueError as error:
        raise FileFormatError(
            f"'{file}' is damaged ({error}): put it back, or make the run in another folder"
        ) from error
    return facts


def numbers(path: Path, count: int) -> list[int]:
    """Of the shards that have a marker; looked for in the folder, since `count` may be anything."""
    found = {int(marker.stem) for marker in path.glob("shards/*.json") if marker.stem.isdecimal()}
    return sorted(n for n in found if n < count and marker_file(path, n).is_file())


def read_marker(out: Path, number: int, manifest: Mapping[str, Any]) -> _Marker:
    """What a finished shard's marker says. OSError, ValueError: it is none."""
    from attattr.data.run_tables import FILES

    text = marker_file(out, number).read_text(encoding="utf-8")
    facts, _ = unsigned(parse(text), known=_Marker.model_fields)
    marker = shaped(_Marker, facts)
    size, rows = manifest["shards"]["size"], manifest["data"]["rows"]
    if marker.rows + len(marker.left_out) != min(size, rows - number * size):
        raise ValueError(f"a shard of {marker.rows} rows has no place there")
    if marker.files.keys() != FILES[manifest["options"]["store"]]:
        raise ValueError(f"it names the files {', '.join(marker.files) or 'of no table'}")
    return marker


def _check(file: Path, digest: str, schema: pyarrow.Schema) -> None:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        if digests.sha256(file) == digest and pq.read_schema(file).equals(schema):
            return
    except (OSError, pyarrow.ArrowException) as error:
        raise FileFormatError(f"'{file}' cannot be read ({error}): {AGAIN}") from error
    raise FileFormatError(f"'{file}' is not as it was written: {AGAIN}")


def sound(out: Path, number: int, manifest: Mapping[str, Any]) -> bool:
    """Whether a shard is finished and its files are as they were written."""
    try:
        held = read_marker(out, number, manifest).files
        return all(digests.sha256(table_file(out, name, number)) == digest for name, digest in held.items())
    except (OSError, ValueError):
        return False


def marker_file(out: Path, number: int) -> Path:
    return out / "shards" / f"{number:05d}.json"


def table_file(out: Path, name: str, number: int) -> Path:
    return out / name / f"{number:05d}{SUFFIX.get(name, '.parquet')}"
