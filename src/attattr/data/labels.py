"""Which class of a model a data set's label means."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence

LONGEST = 20  # characters of the number of a class
NUMBER = re.compile(r"(\d+)(?:\.0+)?", re.ASCII)  # of a class: 1, and 1.0 as tables with gaps write it


def is_number(label: str) -> bool:
    """Whether a label is the number of a class.

    >>> is_number("1"), is_number("1.0"), is_number("3.8"), is_number("-1")
    (True, True, False, False)
    """
    return NUMBER.fullmatch(label) is not None


def classes(names: Sequence[str], labels: Iterable[str]) -> dict[str, int]:
    """The class of each of a data set's labels, as its index; a label that means none is not there.

    >>> classes(["bad", "good"], ["Good", "dull"])
    {'Good': 1}

    By name, case aside; 1.0 is the name "1". Where not one of the labels is a name, yet every one the number
    of a class (1, or 1.0), they are those numbers, in the model's own order; a warning says so, since only
    the user knows whether the data has that order too. Classes that are called by numbers are never counted.

    >>> classes(["1", "2"], ["1.0", "2.0"])
    {'1.0': 0, '2.0': 1}

    names: of the model's classes, in index order.
    """
    labels = list(labels)
    exact = {name: i for i, name in enumerate(names)}
    loose = {name.lower(): i for i, name in reversed(list(enumerate(names)))}
    found = {label: exact.get(label, loose.get(label.lower(), exact.get(_whole(label)))) for label in labels}
    named = {label: i for label, i in found.items() if i is not None}
    if named or not labels or not all(map(is_number, labels)) or any(map(is_number, names)):
        return named
    numbers = {label: int(_whole(label)) for label in labels if len(label) < LONGEST}
    if len(numbers) < len(labels) or max(numbers.values()) >= len(names):
        return {}
    said = ", ".join(f"{i} is {name}" for i, name in enumerate(names[:10]))
    warnings.warn(
        f"the data's labels are numbers, taken for the model's classes in its order: {said}", stacklevel=3
    )
    return numbers


def _whole(label: str) -> str:
    """1.0 as it is written without a point; what is no number of a class as it is."""
    found = NUMBER.fullmatch(label)
    return found[1] if found else label
