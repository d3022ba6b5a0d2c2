"""What the verbs write: whether they can is found out before the work; what fails after it is not lost."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from attattr.disk import files
from attattr.errors import AttAttrError, InputError

PICTURES = (".svg", ".pdf", ".png")
# of the verb that runs: what could not be written, in sentences
_unwritten: ContextVar[list[str] | None] = ContextVar("unwritten", default=None)


def check_files(
    outputs: Mapping[str, str | None],
    inputs: Iterable[str | None] = (),
    *,
    streams: Collection[str] = ("--json",),
    figures: Collection[str] = ("--figure",),
    folders: Collection[str] = (),
) -> None:
    """Found out before anything is computed: can the outputs be written, over no input and no other output?

    Args:
        outputs: option → path; None is one that is not asked for.
        inputs: files and folders that the verb reads, or names of a hub, which are neither.
        streams, figures, folders: the options that take "-", that draw, and that name a folder.
    """
    asked = {option: path for option, path in outputs.items() if path is not None}
    read = [os.path.expanduser(given.removeprefix("file://")) for given in inputs if given]
    for option, path in asked.items():
        if not path:
            raise InputError(f"{option} is empty: give it a name")
        if path == "-" and option not in streams:
            raise InputError(f"{option} cannot go to standard output: give it a name")
        if option in figures and Path(path).suffix.lower() not in PICTURES:
            raise InputError(f"{option} takes a file that ends in .svg, .pdf or .png, not '{path}'")
        if path != "-":
            (files.check_folder if option in folders else files.check)(path)
            _check_apart(option, path, read, files.same if option in folders else files.replaces)
    named = [(option, path) for option, path in asked.items() if path != "-"]
    for (one, first), (other, second) in itertools.combinations(named, 2):
        if files.same(first, second) and not files.same(first, os.devnull):
            raise InputError(f"{one} and {other} must not name the same file")


def _check_apart(option: str, path: str, read: list[str], meets: Callable[[str, str], bool]) -> None:
    for given in read:
        if meets(path, given):
            what = f"'{given}'" if files.same(path, given) else f"a file in '{given}'"
            raise InputError(f"{option} '{path}' would replace {what}, which is read: give another name")


@contextlib.contextmanager
def all_told() -> Iterator[None]:
    """Around a verb: what it could not write is an error when all else is done.

    Raises:
        AttAttrError: as told by `write`.
    """
    failures: list[str] = []
    token = _unwritten.set(failures)
    try:
        yield
    finally:
        _unwritten.reset(token)
    if failures:
        raise AttAttrError("; ".join(failures))


def write(path: str, how: Callable[[str], object]) -> str | None:
    """An output, by a function that writes it where it is told; gives the place where it is.

    The work is done by then: where the place fails all the same (the disk is full, the folder has gone), it
    goes to the temporary folder, and the verb goes on and fails when it ends (`all_told`). None: not even
    there.
    """
    try:
        how(path)
        return path
    except BrokenPipeError:  # the reader has gone
        raise
    except (OSError, AttAttrError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        failures = _unwritten.get()
        if not isinstance(cause, OSError):
            raise
        said = f"cannot write '{path}': {cause.strerror or cause}"
        if failures is None:
            raise AttAttrError(said) from cause
    folder = None
    try:
        folder = tempfile.mkdtemp(prefix="attattr-")
        other = str(Path(folder, Path(path).name))
        how(other)
    except (OSError, AttAttrError):
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        failures.append(said)
        return None
    failures.append(f"{said}; it is in '{other}'")
    return other


def write_text(path: str, text: str) -> str | None:
    """Text into a file, whole or not at all, as `write`; "-" is standard output."""
    if path != "-":
        return write(path, lambda place: files.write(place, text))
    sys.stdout.write(text)
    return path


def write_json(path: str, facts: Any) -> str | None:
    """Strict JSON; to a pipe, which may not take every character, in ASCII alone."""
    return write_text(path, json.dumps(facts, indent=2, ensure_ascii=path == "-", allow_nan=False) + "\n")
