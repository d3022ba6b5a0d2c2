"""A folder that one process at a time works in, and whether what lies there is of the same work."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from attattr.errors import AttAttrError, InputError

SHOWN = 60  # characters of a value in a message


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    """The folder is made; what goes wrong in writing there, as a sentence.

    >>> with writing(folder / "new"):
    ...     (folder / "new").is_dir()
    True
    """
    try:
        # a link to a folder that is not there yet is followed
        Path(os.path.realpath(out)).mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise AttAttrError(
            f"cannot write into '{out}': {error.strerror or error}; what is finished stays, start "
            "again when there is room and permission"
        ) from error


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """One writer a folder. The lock is the operating system's: it goes with the process.

    Raises:
        InputError: another process has it, or the lock's name is taken by something else.
    """
    import filelock

    place = out / ".lock"
    if os.path.lexists(place) and not (place.is_file() and not place.is_symlink()):
        raise InputError(f"'{place}' is no file of attattr's: take it away, or choose another folder")
    lock = filelock.FileLock(place)
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


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], free: Collection[str | tuple[str, str]] = ()
) -> tuple[str, str, str] | None:
    """The first entry in which two manifests differ: its name, what is there, what is asked for.

    >>> difference({"data": {"rows": 3, "name": "a"}}, {"data": {"rows": 4, "name": "b"}}, {("data", "name")})
    ('data rows', '3', '4')

    Entries one level down are compared one by one, where the old manifest has them.
    free: entries that may differ, by name or, one level down, by both names.
    """
    for name, part in new.items():
        held = old.get(name)
        if name in free or held == part:
            continue
        if not (isinstance(part, dict) and isinstance(held, dict)):
            return name, _short(held), _short(part)
        for key in (key for key in part if key in held):
            if part[key] != held[key] and (name, key) not in free:
                return f"{name} {key}", _short(held[key]), _short(part[key])
    return None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "…"
