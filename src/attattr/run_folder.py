"""The folder of a data-set run: what lies in it, reading it back, and writing so that nothing is lost.

manifest.json            what was asked of which model and data; a run is resumed only if it is equal
shards/00000.json        a finished shard: its files and their digests (written last)
inputs/00000.parquet     one row an input          edges/00000.parquet   one row a kept edge
heads/00000.parquet      one row a head            scores/00000.safetensors   store="dense" only
left_out.jsonl           rows of the data that could not be used, with their line and why
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr.errors import AttAttrError, FileFormatError, InputError
from attattr.shown import brief, counted, short

if TYPE_CHECKING:
    import pyarrow.dataset

    from attattr.shards import Shard

FORMAT = 1
SUFFIX = {"scores": ".safetensors"}


@dataclass(frozen=True)
class Run:
    """A run folder read back. The tables are pyarrow datasets: nothing is read until it is asked for."""

    path: Path
    manifest: dict[str, Any]
    finished: tuple[int, ...]  # numbers of the finished shards

    def __repr__(self) -> str:
        done = f"{len(self.finished)} of {counted(self.manifest['shards']['count'], 'shard')}"
        return brief(self, short(str(self.path), 80), done)

    @property
    def complete(self) -> bool:
        """Whether every shard is there."""
        return len(self.finished) == self.manifest["shards"]["count"]

    @property
    def inputs(self) -> pyarrow.dataset.Dataset:
        """One row an input: texts, gold, prediction, probabilities, tokens, gaps."""
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

        from attattr import shards

        if name == "edges" and self.manifest["options"]["store"] != "edges":
            raise InputError(
                f"the run in '{self.path}' kept no edges: it was made with --store "
                f"{self.manifest['options']['store']}"
            )
        files = [str(_file(self.path, name, number)) for number in self.finished]
        schema = {"inputs": shards.INPUTS, "edges": shards.EDGES, "heads": shards.HEADS}[name]
        return pyarrow.dataset.dataset(files, schema=schema, format="parquet")


def open_run(path: str | Path) -> Run:
    """A run folder, finished or not, as lazy tables.

    Raises:
        FileFormatError: not a run folder, or of a newer format.
    """
    path = Path(path)
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileFormatError(f"'{path}' is not a run folder: no manifest.json can be read in it") from error
    if manifest.get("format") != FORMAT:
        raise FileFormatError(
            f"'{path}' is a run of format {manifest.get('format')}, not {FORMAT}: upgrade attattr"
        )
    count = manifest["shards"]["count"]
    return Run(path, manifest, tuple(n for n in range(count) if _marker(path, n).is_file()))


def agree(out: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, or find it there already, the same in all that decides the results."""
    path = out / "manifest.json"
    if not path.exists():
        if any(out.glob("shards/*.json")):
            raise InputError(f"'{out}' holds shards but no manifest: choose another folder")
        write_file(path, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
        return
    old = open_run(out).manifest
    for name, part in manifest.items():
        if name == "environment" or old.get(name) == part:
            continue
        if isinstance(part, dict) and isinstance(old.get(name), dict):
            for key in part:
                if part[key] != old[name].get(key) and (name, key) != ("data", "name"):
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


def sound(out: Path, number: int) -> bool:
    """Whether a shard is finished and its files are as they were written."""
    try:
        files = json.loads(_marker(out, number).read_text(encoding="utf-8"))["files"]
        return all(
            hashlib.sha256(_file(out, name, number).read_bytes()).hexdigest() == digest
            for name, digest in files.items()
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def write_shard(out: Path, number: int, shard: Shard) -> None:
    """The shard's files, and last of all the marker that says it is finished."""
    _marker(out, number).unlink(missing_ok=True)
    for name, content in shard.files.items():
        write_file(_file(out, name, number), content)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in shard.files.items()}
    facts = {"rows": shard.rows, "worst_gap": shard.worst_gap, "files": files}
    write_file(_marker(out, number), (json.dumps(facts) + "\n").encode())


def _marker(out: Path, number: int) -> Path:
    return out / "shards" / f"{number:05d}.json"


def _file(out: Path, name: str, number: int) -> Path:
    return out / name / f"{number:05d}{SUFFIX.get(name, '.parquet')}"


def write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a rename must not survive a power cut that its content does not
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    try:
        out.mkdir(parents=True, exist_ok=True)
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
