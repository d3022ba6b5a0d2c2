"""Tables for a terminal that lose nothing where it is narrow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

GAP = 2  # spaces between columns
NARROW = 16  # cells that words keep where there is no more room


def banded(
    names: Sequence[str], rows: Sequence[Sequence[str | Text]], width: int, *, words: Collection[int] = (0,)
) -> RenderableType:
    """A table in so many cells; what does not fit beside the first column stands in further tables below.

    >>> from rich.console import Console
    >>> Console(width=20).print(banded(["heads", "ours", "chance"], [["all", "81.25 %", "50.00 %"]], 20))
    heads     ours
    all    81.25 %
    <BLANKLINE>
    heads   chance
    all    50.00 %

    Numbers are never broken; columns of words (`words`, their positions) are folded where they are long.
    """
    columns = [[Text(name), *(_text(row[i]) for row in rows)] for i, name in enumerate(names)]
    whole = [max(line.cell_len for line in column) for column in columns]
    narrow = min(NARROW, width // 3)
    least = [
        min(size, narrow) if i in words else min(width - narrow - GAP, _unbroken(column))
        for i, (size, column) in enumerate(zip(whole, columns, strict=True))
    ]
    bands, used = [[0]], least[0]
    for i in range(1, len(columns)):
        if used + GAP + least[i] > width and len(bands[-1]) > 1:
            bands.append([0])
            used = least[0]
        bands[-1].append(i)
        used += GAP + least[i]
    made: list[RenderableType] = []
    for band in bands:
        spare = width - sum(least[i] for i in band) - GAP * (len(band) - 1)
        table = Table(box=None, padding=0, header_style="underline")
        for place, i in enumerate(band):
            more = max(0, min(spare, whole[i] - least[i]))
            spare -= more
            if place:
                table.add_column(width=GAP)
            side: Literal["left", "right"] = "left" if i in words else "right"
            table.add_column(columns[i][0], width=least[i] + more, overflow="fold", justify=side)
        for line in zip(*(columns[i][1:] for i in band), strict=True):
            table.add_row(line[0], *(cell for each in line[1:] for cell in ("", each)))
        made += [Text(), table] if made else [table]
    return Group(*made)


def _text(cell: str | Text) -> Text:
    return Text(cell) if isinstance(cell, str) else cell


def _unbroken(column: Sequence[Text]) -> int:
    """The width that keeps cells on one line, and the words of the name whole."""
    name, *cells = column
    return max([*map(cell_len, name.plain.split()), *(cell.cell_len for cell in cells)], default=0)
