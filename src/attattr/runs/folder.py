"""The folder of a data-set run: what lies in it, reading it back, and writing so that nothing is lost.

manifest.json            what was asked of which model and data; a run is resumed only if it is equal
shards/00000.json        a finished shard: its rows, its files and their digests (written last)
inputs/00000.parquet     one row an input          edges/00000.parquet   one row a kept edge
heads/00000.parquet      one row a head            scores/00000.safetensors   store="dense" only
left_out.jsonl           rows of the data that could not be used, with their line and why

What is damaged is refused when it is read, and computed again when the run is resumed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field

from attattr.disk import digests, files
from attattr.disk.checked import parse, shaped, signed, unsigned
from attattr.errors import AttAttrError, FileFormatError, InputError
from attattr.models.identity import belongs
from attattr.result.shown import brief, counted, short

if TYPE_CHECKING:
    import pyarrow.dataset

    from attattr.data.examples import Problem
    from attattr.runs.shard import Shard

FORMAT = 1
# parts of the manifest that may differ; which model it is says `identity.belongs`
FREE = {("data", "name"), ("model", "parameters"), ("model", "digest"), ("model", "adapter_digest")}
SUFFIX = {"scores": ".safetensors"}
AGAIN = "start the run again, which computes what is damaged anew"
MANIFEST = ("format", "model", "data", "options", "shards", "batches", "versions", "environment")  # keys
Whole = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    name: str


class _Data(BaseModel):
    rows: Whole


class _Options(BaseModel):
    store: Literal["edges", "heads", "dense"]
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
    batches: _Batches


class _LeftOut(BaseModel):
    line: int
    reason: str


class _Marker(BaseModel):
    rows: Whole
    worst_gap: float
    files: dict[str, str]
    left_out: list[_LeftOut] = []


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

        from attattr.runs.tables import SCHEMAS

        if name == "edges" and self.manifest["options"]["store"] != "edges":
            raise InputError(
                f"the run in '{self.path}' kept no edges: it was made with --store "
                f"{self.manifest['options']['store']}"
            )
        parts = [_file(self.path, name, number) for number in self.finished]
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
    path = Path(path)
    manifest = _manifest(path)
    markers: dict[int, _Marker] = {}
    for number in _numbers(path, manifest["shards"]["count"]):
        try:
            markers[number] = _read_marker(path, number, manifest)
        except (OSError, ValueError) as error:
            marker = _marker(path, number)
            raise FileFormatError(f"'{marker}' is damaged ({error}): {AGAIN}") from error
    known = {
        _file(path, name, n): digest for n, marker in markers.items() for name, digest in marker.files.items()
    }
    return Run(path, manifest, tuple(markers), sum(len(m.left_out) for m in markers.values()), known)


def _manifest(path: Path) -> dict[str, Any]:
    """What the manifest says, without its digest; one from before there were digests has none."""
    file = path / "manifest.json"
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


def _numbers(path: Path, count: int) -> list[int]:
    """Of the shards that have a marker; looked for in the folder, since `count` may be anything."""
    found = {int(marker.stem) for marker in path.glob("shards/*.json") if marker.stem.isdecimal()}
    return sorted(n for n in found if n < count and _marker(path, n).is_file())


def _read_marker(out: Path, number: int, manifest: Mapping[str, Any]) -> _Marker:
    """What a finished shard's marker says. OSError, ValueError: it is none."""
    from attattr.runs.tables import FILES

    text = _marker(out, number).read_text(encoding="utf-8")
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


def agree(out: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, or find it there already, the same in all that decides the results."""
    path = out / "manifest.json"
    if not path.exists():
        if any(out.glob("shards/*.json")):
            raise InputError(f"'{out}' holds shards but no manifest: choose another folder")
        files.write(path, json.dumps(signed(manifest), indent=1, ensure_ascii=False) + "\n")
        return
    old = _manifest(out)
    belongs(old["model"], manifest["model"], f"the run in '{out}'")
    for name, part in manifest.items():
        # batches follow from the rest and the device, which changes no more than rounding
        if name in ("environment", "batches") or old.get(name) == part:
            continue
        if isinstance(part, dict) and isinstance(old.get(name), dict):
            for key in part:
                if part[key] != old[name].get(key) and (name, key) not in FREE and key in old[name]:
                    raise InputError(
                        f"'{out}' holds another run: its {name} {key} is {_short(old[name].get(key))}, asked "
                        f"for is {_short(part[key])}; choose another folder, or ask for the same"
                    )
            continue
        raise InputError(
            f"'{out}' holds another run: its {name} is {_short(old.get(name))}, not {_short(part)}"
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def sound(out: Path, number: int, manifest: Mapping[str, Any]) -> bool:
    """Whether a shard is finished and its files are as they were written."""
    try:
        held = _read_marker(out, number, manifest).files
        return all(digests.sha256(_file(out, name, number)) == digest for name, digest in held.items())
    except (OSError, ValueError):
        return False


def forget(out: Path, numbers: Iterable[int]) -> None:
    """Shards that are to be computed again are not finished."""
    for number in numbers:
        _marker(out, number).unlink(missing_ok=True)


def write_shard(out: Path, number: int, shard: Shard) -> None:
    """The shard's files, and last of all the marker that says it is finished."""
    _marker(out, number).unlink(missing_ok=True)
    for name, content in shard.files.items():
        _file(out, name, number).parent.mkdir(exist_ok=True)
        files.write(_file(out, name, number), content)
    held = {name: hashlib.sha256(content).hexdigest() for name, content in shard.files.items()}
    facts = {"rows": shard.rows, "worst_gap": shard.worst_gap, "files": held}
    if shard.left_out:
        facts["left_out"] = [problem._asdict() for problem in shard.left_out]
    _marker(out, number).parent.mkdir(exist_ok=True)
    files.write(_marker(out, number), json.dumps(signed(facts)) + "\n")


def write_left_out(out: Path, problems: Sequence[Problem], manifest: Mapping[str, Any]) -> None:
    """Rows that cannot be used, and inputs that the finished shards had to leave out."""
    every = [problem._asdict() for problem in problems]
    for number in _numbers(out, manifest["shards"]["count"]):
        with contextlib.suppress(OSError, ValueError):
            every += [each.model_dump() for each in _read_marker(out, number, manifest).left_out]
    lines = [json.dumps(each, ensure_ascii=False) + "\n" for each in every]
    files.write(out / "left_out.jsonl", "".join(lines))


def _marker(out: Path, number: int) -> Path:
    return out / "shards" / f"{number:05d}.json"


def _file(out: Path, name: str, number: int) -> Path:
    return out / name / f"{number:05d}{SUFFIX.get(name, '.parquet')}"


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    try:
        # a link to a folder that is not there yet is followed
        Path(os.path.realpath(out)).mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise AttAttrError(
            f"cannot write into '{out}': {error.strerror or error}; what is finished stays, start the run "
            "again when there is room and permission"
        ) from error


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """One writer a folder. The lock is the operating system's: it goes with the process."""
    import filelock

    lock = filelock.FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(
            f"another process is writing into '{out}': wait for it, or choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()
