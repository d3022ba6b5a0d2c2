"""Finished parts of a long piece of work, in a folder: what a call that was stopped goes on from.

parts.json       what the parts are of; those of other work are refused
NAME.unit        a finished part: arrays and JSON, with their digest (a safetensors file)
NAME.SHARE.unit  a share of a part that is not finished

What is damaged, or was not written to its end, is computed again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from attattr.disk import digests, files, tensors
from attattr.disk.checked import parse, signed, unsigned
from attattr.disk.held import difference, locked, writing
from attattr.errors import AttAttrError, InputError

VERSION = "1"
MANIFEST = "parts.json"
SUFFIX = ".unit"
FACTS, DIGEST = "facts", "sha256"  # of a unit's metadata
Value = dict[str, Any]  # arrays of floats or whole numbers, and what JSON holds


def _silent(done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Resume:
    """Where the parts of a call are kept, for who wants more than a folder.

    shared: the folder is for calls of every kind, and each has a folder of its own in it, named by what
    it is of; where that cannot be written, or another process has it, nothing is kept. fresh: forget what
    is there. told: called with (parts done, parts in all) where the call goes on. opened: folders that
    calls have used.
    """

    folder: Path
    shared: bool = False
    fresh: bool = False
    told: Callable[[int, int], None] = _silent
    opened: list[Path] = field(default_factory=list)

    def within(self, name: str) -> Resume:
        """For one of several calls that make one piece of work."""
        return self if self.shared else replace(self, folder=self.folder / name)

    def remove(self) -> None:
        """The work is done and its results are written: the parts go, if no other process is at them."""
        for folder in self.opened:
            with contextlib.suppress(OSError, InputError):
                with locked(folder):
                    _clear(folder)
                (folder / ".lock").unlink(missing_ok=True)
                folder.rmdir()
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # if nothing else is in it


@dataclass(frozen=True)
class Units:
    """Parts that are done, by name; without a folder, nothing is kept. shared: as of `Resume`."""

    folder: Path | None = None
    prefix: str = ""
    shared: bool = False

    def get(self, name: str, compute: Callable[[], Value]) -> Value:
        """What is kept under that name, or else is computed, and kept.

        >>> kept = Units(folder)
        >>> kept.get("a", lambda: {"scores": np.ones(2), "label": "good"})["label"]
        'good'
        >>> kept.get("a", lambda: {"scores": 1 / 0})["scores"]
        array([1., 1.])

        Raises:
            AttAttrError: it cannot be written.
        """
        if self.folder is None:
            return compute()
        file = self.folder / f"{self.prefix}{name}{SUFFIX}"
        found = _read(file)
        if found is None:
            found = compute()
            try:
                with writing(self.folder):
                    files.write(file, _bytes(found))
            except AttAttrError:
                if not self.shared:
                    raise
        return found

    def within(self, name: str) -> Units:
        """Shares of a part: what takes long by itself can be stopped in between, too."""
        return replace(self, prefix=f"{self.prefix}{name}.")


NOTHING_KEPT = Units()


@contextlib.contextmanager
def opened(resume: Resume, facts: Mapping[str, Any], total: int) -> Iterator[Units]:
    """The parts of the work that the facts (JSON) describe, for this process alone.

    Raises:
        InputError: the folder has parts of other work (the message says in what), or another process
            works in it.
        AttAttrError: nothing can be written there.
    """
    manifest = json.loads(json.dumps({"version": VERSION, **facts}))
    folder = resume.folder / digests.of_json(manifest)[:32] if resume.shared else resume.folder
    units, done = Units(folder, shared=resume.shared), None
    with contextlib.ExitStack() as held:
        try:
            with writing(folder):
                held.enter_context(locked(folder))
                done = _agree(folder, manifest, resume.fresh)
            resume.opened.append(folder)
        except AttAttrError:
            if not resume.shared:
                raise
            units = NOTHING_KEPT
        if done is not None:
            resume.told(done, total)
        yield units


def _agree(folder: Path, manifest: dict[str, Any], fresh: bool) -> int | None:
    """How many parts are done; None: it is new. What no sound manifest vouches for is not there."""
    file = folder / MANIFEST
    for part in folder.glob(files.PARTS):
        part.unlink()
    old = None
    if not fresh:
        with contextlib.suppress(OSError, ValueError):
            old, _ = unsigned(parse(file.read_text(encoding="utf-8")), known=())
    if old is not None and (found := difference(old, manifest)):
        name, held, now = found
        raise InputError(
            f"'{folder}' holds what is done of another call: its {name} is {held}, now it is {now}; ask for "
            "the same, or begin anew (delete the folder, --fresh)"
        )
    if old is None:
        _clear(folder)
        files.write(file, json.dumps(signed(manifest), indent=1, ensure_ascii=False) + "\n")
    kept = [unit for unit in folder.glob(f"*{SUFFIX}") if _read(unit) is not None]
    return sum("." not in unit.stem for unit in kept) if kept else None


def _clear(folder: Path) -> None:
    """Only what is attattr's: the folder may be anybody's."""
    for file in (*folder.glob(f"*{SUFFIX}"), *folder.glob(files.PARTS), folder / MANIFEST):
        file.unlink(missing_ok=True)


def _bytes(value: Value) -> bytes:
    from safetensors.numpy import save

    arrays = {n: np.ascontiguousarray(v) for n, v in value.items() if isinstance(v, np.ndarray)}
    text = json.dumps({name: each for name, each in value.items() if name not in arrays})
    return save(arrays, {FACTS: text, DIGEST: tensors.digest(text, arrays)})


def _read(file: Path) -> Value | None:
    """What a unit holds; None: it is not there, or not as it was written."""
    try:
        with file.open("rb") as unit:
            metadata, arrays = tensors.contents(unit)
            if metadata[DIGEST] != tensors.digest(metadata[FACTS], arrays):
                return None
            return {name: array.read() for name, array in arrays.items()} | parse(metadata[FACTS])
    except (OSError, ValueError, KeyError):
        return None
