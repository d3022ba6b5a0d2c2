"""Numbers and tables as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from study.setting import Facts


def span(of: Facts, scale: float = 1.0, digits: int = 2, sign: bool = False) -> str:
    """An estimate to be read: mean [low, high]."""
    plus = "+" if sign else ""
    numbers = [
        "–" if of[key] is None else f"{round(scale * of[key], digits) + 0.0:{plus}.{digits}f}"  # no −0.0
        for key in ("mean", "low", "high")
    ]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"


def points(of: Facts, sign: bool = False) -> str:
    """Of accuracy, in points of a hundred."""
    return span(of, 100, 1, sign)


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table with a line's end behind it."""
    lines = [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in (header, *rows)
    ]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]]) + "\n"


def reach(values: Iterable[float], digits: int = 0, sign: bool = False) -> str:
    """From the least to the most.

    >>> reach([5.4, 7.1, 6.0], 1), reach([2.04, 1.96], 1), reach([-0.2, 2.4], 1, True)
    ('5.4 to 7.1', '2.0', '−0.2 to +2.4')
    """
    plus = "+" if sign else ""
    ends = [f"{round(value, digits) + 0.0:{plus}.{digits}f}" for value in sorted(values)]
    return (ends[0] if ends[0] == ends[-1] else f"{ends[0]} to {ends[-1]}").replace("-", "−")


def listed(words: Sequence[str]) -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
