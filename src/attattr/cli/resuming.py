"""Verbs that go on where they were stopped: where their finished parts are kept, and what is said of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from attattr.disk import files

if TYPE_CHECKING:
    from attattr.disk.units import Resume

LONGEST = 240  # bytes of a name that still has room for what is put around it


@contextlib.contextmanager
def resuming(fresh: bool, *outputs: str | None) -> Iterator[Resume | None]:
    """What the library is given as `resume`. When the outputs are written: `done`.

    The parts are beside the first output that is a file, else in the user's cache; None: there is none.
    """
    from attattr.disk.units import Resume

    beside = next((file for each in outputs if each and each != "-" and (file := files.regular(each))), None)
    folder = cache() if beside is None else beside.with_name(f".{_short(beside.name)}.attattr")
    resume = None
    if folder is not None:
        resume = Resume(folder, shared=beside is None, fresh=fresh, told=_told)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        yield resume
    except KeyboardInterrupt:
        on = resume is not None and resume.opened
        raise KeyboardInterrupt("the same command goes on where this one ended" if on else "") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def done(resume: Resume | None) -> None:
    """The results are written: the parts go."""
    if resume is not None:
        resume.remove()


def cache() -> Path | None:
    """The user's folder for what can be computed again; None: there is no home."""
    if (given := os.environ.get("XDG_CACHE_HOME")) and os.path.isabs(given):
        return Path(given) / "attattr"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "attattr"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "attattr"


def _short(name: str) -> str:
    return name if len(os.fsencode(name)) <= LONGEST else hashlib.sha256(os.fsencode(name)).hexdigest()


def _told(done: int, total: int) -> None:
    typer.echo(f"going on: {done} of {total} parts were done", err=True)
