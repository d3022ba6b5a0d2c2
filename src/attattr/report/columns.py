"""Tokens side by side in a figure: how wide each is, where it stands, how it is written."""

from __future__ import annotations

import unicodedata

from attattr.report.headline import amount
from attattr.result.attribution import Attribution
from attattr.result.shown import printable
from attattr.result.values import Axis

SOFT = "#6a6a6a"  # colour of what is said beside
LONGEST = 18  # characters of a token that are written
LINE = 7.0  # inches that a line of horizontal tokens may take
NARROW, GAP = 0.165, 0.16  # inches of a column with an upright token; between two texts
WHOLE = 60  # with more tokens, only those with an edge are drawn


def places(columns: list[int], widths: list[float], axis: Axis) -> tuple[list[float], float]:
    """The middle of each column in inches, and where the last one ends; a little room between texts."""
    middles, x, before = [], 0.0, None
    for column, width in zip(columns, widths, strict=True):
        segment = axis.segments[column] if column >= 0 else None
        if before is not None and segment is not None and segment != before:
            x += GAP
        before = segment if segment is not None else before
        middles.append(x + width / 2)
        x += width
    return middles, x


def widths_of(labels: list[str]) -> tuple[list[float], bool]:
    """Inches of each column, and whether its token stands upright: it does where a line has no room."""
    level = [max(0.2, 0.07 * cells(label) + 0.1) for label in labels]
    return (level, False) if sum(level) <= LINE else ([NARROW] * len(labels), True)


def cells(label: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in label)


def written(token: str) -> str:
    token = printable(token)
    token = token if len(token) <= LONGEST else token[: LONGEST - 1] + "…"
    return token if token.strip() else f"'{token}'"


def said(result: Attribution) -> str:
    """What was explained, in a few words."""
    target = result.target
    name = printable(target.label)
    name = name if len(name) <= 40 else name[:39] + "…"
    return f"{name} {amount(target)}"
