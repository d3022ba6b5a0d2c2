"""What a command explains: texts as given, in files that they name, or on standard input; an image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from attattr.cli import images
from attattr.errors import InputError


def inputs(given: list[str]) -> str | tuple[str, str] | dict[str, Any]:
    """What is explained: a text, a pair of texts or an image, as `Attributor.attribute` takes it.

    Raises:
        InputError: as `read`; an image that cannot be read, or is not alone.
    """
    image = next(filter(images.is_image, given), None)
    if image is None:
        found = read(given)
        return found[0] if len(found) == 1 else (found[0], found[1])
    if len(given) > 1:
        raise InputError(f"'{image}' is an image: it is explained alone, without a second input")
    return {"image": images.read(image)}


def read(given: list[str]) -> list[str]:
    """One text or two. A file that is there is read, which is told; "-" is standard input.

    Raises:
        InputError: more than two, an empty one, "-" twice, a file that cannot be read or is not UTF-8.
    """
    check_count(given)
    if given.count("-") > 1:
        raise InputError("standard input is one text: give - once, and the other text as a file or in words")
    found = [_read(name) for name in given]
    for name, text in zip(given, found, strict=True):
        if not text.strip():
            what = "the text" if text is name else _called(name)
            raise InputError(f"{what} is empty: there is nothing to explain")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError("the text is not valid UTF-8")
    return found


def check_count(given: list[str]) -> None:
    if len(given) > 2:
        raise InputError(f"one text or two can be explained, not {len(given)}: put each in quotes")


def _read(name: str) -> str:
    """The text that a file or standard input holds, less the line ends behind it; else the name itself."""
    if name != "-" and not _is_file(name):
        return name
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = content.decode("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise InputError(f"{_called(name)} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        if name == "-" and images.is_one(content):
            raise InputError("standard input holds an image: save it, and give the file's name") from None
        raise InputError(f"{_called(name)} is not UTF-8: save the text in UTF-8") from None
    if name != "-":
        typer.echo(f"Read the text from the file {name}: {len(text):,} characters.", err=True)
    return text


def _called(name: str) -> str:
    return "standard input" if name == "-" else f"the file '{name}'"


def files(given: list[str]) -> list[str]:
    """Those that are read from files: texts, and saved results."""
    return [name for name in given if _is_file(name) or is_result(name)]


def is_result(name: str) -> bool:
    """Whether it names a saved result: by its ending, be it there or not, since nobody means to explain that
    name; or because the file that is there is one: it begins with a length, in eight bytes."""
    if name.endswith(".attattr"):
        return True
    try:
        if not Path(name).is_file():  # a pipe is read once, and waits
            return False
        with open(name, "rb") as file:
            return file.read(8)[4:] == bytes(4)
    except (OSError, ValueError):  # too long for a name, or with characters that none has
        return False


def _is_file(name: str) -> bool:
    """Whether there is such a file, or pipe."""
    try:
        return Path(name).is_file() or Path(name).is_fifo()
    except (OSError, ValueError):  # too long for a name, or with characters that none has
        return False
