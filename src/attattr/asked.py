"""Values that a caller gives, checked where they are used: a wrong one is told in a sentence.

All of these raise InputError; numbers of numpy count as Python's.
"""

from __future__ import annotations

import errno
import math
import numbers
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from attattr.errors import InputError

SHOWN = 60  # characters of a value in a message
Progress = Callable[[int, int, str], None]  # is told: steps done, steps in all, what is being done


def shown(value: Any) -> str:
    """A value for a message, cut short.

    >>> shown("three"), shown(np.float32(0.5)), shown([1] * 100)
    ("'three'", '0.5', 'a list')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is not None and not isinstance(value, str | int | float):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def whole(value: Any, what: str, least: int | None = 0, most: int | None = None) -> int:
    """A whole number in a range, and no truth value. least: None: any.

    >>> whole(np.int64(3), "the limit")
    3
    >>> whole(-1, "the seed")
    Traceback (most recent call last):
    attattr.errors.InputError: the seed must be a whole number from 0, not -1
    """
    right = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if right and (least is None or value >= least) and (most is None or value <= most):
        return int(value)
    span = ("" if least is None else f" from {least}") + ("" if most is None else f" to {most}")
    raise InputError(f"{what} must be a whole number{span}, not {shown(value)}")


def seed(value: Any) -> int:
    """Of what is drawn at random.

    >>> seed(7)
    7
    """
    return whole(value, "the seed")


def number(
    value: Any, what: str, right: str = "a number", low: float = -math.inf, high: float = math.inf
) -> float:
    """A finite number, both ends of the range included; `right` says what is right.

    >>> number(2, "the share", "a number from 0 to 1", 0, 1)
    Traceback (most recent call last):
    attattr.errors.InputError: the share must be a number from 0 to 1, not 2
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            if math.isfinite(found := float(value)) and low <= found <= high:
                return found
        except OverflowError:
            pass
    raise InputError(f"{what} must be {right}, not {shown(value)}")


def choice(value: Any, what: str, known: Collection[str]) -> str:
    """One of some names.

    >>> choice("dens", "store", ["dense", "edges"])
    Traceback (most recent call last):
    attattr.errors.InputError: unknown store 'dens': choose one of dense, edges
    """
    if not isinstance(value, str) or value not in known:
        raise InputError(f"unknown {what} {shown(value)}: choose one of {', '.join(known)}")
    return value


def flag(value: Any, what: str) -> bool:
    """True or False.

    >>> flag(np.True_, "pieces")
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{what} must be True or False, not {shown(value)}")
    return bool(value)


def instance(value: Any, kind: type, what: str) -> Any:
    """An object of a class.

    >>> instance(None, dict, "the result")
    Traceback (most recent call last):
    attattr.errors.InputError: the result must be of the class dict, not None
    """
    if not isinstance(value, kind):
        raise InputError(f"{what} must be of the class {kind.__name__}, not {shown(value)}")
    return value


def listed(value: Any, kind: type, what: str) -> list[Any]:
    """Objects of a class, as a list.

    >>> listed("ab", int, "the layers")
    Traceback (most recent call last):
    attattr.errors.InputError: the layers must be a list of int, not 'ab'
    """
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | dict):
        raise InputError(f"{what} must be a list of {kind.__name__}, not {shown(value)}")
    try:
        found = list(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be a list of {kind.__name__}: {error}") from error
    for item in found:
        if not isinstance(item, kind):
            raise InputError(f"{what} must be a list of {kind.__name__}, with {shown(item)} in it")
    return found


def function(value: Any, what: str) -> Any:
    """Something that can be called, or None.

    >>> function(print, "progress") is print
    True
    """
    if value is not None and not callable(value):
        raise InputError(f"{what} must be a function or None, not {shown(value)}")
    return value


def progress(value: Any) -> Progress:
    """Who is told how far the work is; None: nobody.

    >>> progress(print)(1, 2, "attributing")
    1 2 attributing
    >>> progress(None)(1, 2, "attributing")
    """
    return function(value, "progress") or (lambda done, total, now: None)


def attributor(value: Any) -> Any:
    """An Attributor, or what has a model and a tokenizer as it does.

    >>> attributor(None)
    Traceback (most recent call last):
    attattr.errors.InputError: give an Attributor, not None
    """
    if isinstance(value, type) or not (hasattr(value, "model") and hasattr(value, "tokenizer")):
        raise InputError(f"give an Attributor, not {shown(value)}")
    return value


def attribution(value: Any) -> Any:
    """What `attribute` gives: something with sites and axes.

    >>> attribution(3)
    Traceback (most recent call last):
    attattr.errors.InputError: give one result of Attributor.attribute, not 3
    """
    if isinstance(value, type) or not (hasattr(value, "sites") and hasattr(value, "axes")):
        raise InputError(f"give one result of Attributor.attribute, not {shown(value)}")
    return value


def path(value: Any, what: str) -> Path:
    """The name of a file or folder.

    >>> path(b"x", "the file").name
    Traceback (most recent call last):
    attattr.errors.InputError: the file must be a name or a Path, not a bytes
    """
    if isinstance(value, str) and not value:
        raise InputError(f"{what} is empty: give a name")
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{what} must be a name or a Path, not {shown(value)}")
    try:
        os.stat(value)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise InputError(f"{what} cannot be read, {shown(str(value))}: {error.strerror}") from error
    except ValueError as error:  # NUL, or half of a character
        raise InputError(f"{what} is no name that a file can have") from error
    return Path(value)


def grid(value: Any, what: str) -> np.ndarray:
    """Numbers of layers × heads, (L, H).

    >>> grid([[1, 2], [3, 4]], "the importance").shape
    (2, 2)
    """
    try:
        found = np.asarray(value, float)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"{what} must be an array of numbers, layers × heads, not {shown(value)}") from error
    if found.ndim != 2 or not found.size:
        size = " × ".join(map(str, found.shape)) or "a single number"
        raise InputError(f"{what} must be an array of layers × heads, not of {size}")
    return found
