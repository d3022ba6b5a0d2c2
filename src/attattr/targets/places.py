"""Where among an input's tokens a text stands."""

from __future__ import annotations

import unicodedata

from attattr.data.encoding import Encoded
from attattr.errors import InputError
from attattr.result.values import Axis


def first_of(encoded: Encoded) -> Axis:
    """The axis of the text.

    Raises:
        InputError: the input has no tokens.
    """
    axis = encoded.axes.get("input")
    if axis is None:
        raise InputError("the input has no tokens that a target could name")
    return axis


def find(axis: Axis, text: str, segment: int | None = None) -> list[tuple[int, int]]:
    """The (first, last) tokens of each place where a text stands, in reading order.

    >>> axis = Axis(("[CLS]", "new", "##er", "New", "York"), (None, 0, 0, 0, 0), (None, 0, 0, 1, 2), ())
    >>> find(axis, "new york"), find(axis, "new"), find(axis, "newer")
    ([(3, 4)], [(3, 3)], [(1, 2)])

    Case, accents and spaces aside, from the beginning of a token to the end of one; whole words come before
    parts of them. segment: of the first (0) or second (1) text alone.
    """
    wanted = _plain(text)
    inside = [
        i for i, of in enumerate(axis.segments) if of is not None and (segment is None or of == segment)
    ]
    pieces = {i: _plain(axis.tokens[i].removeprefix("##")) for i in inside}
    found = []
    for k, start in enumerate(inside):
        joined = ""
        for end in inside[k:]:
            joined += pieces[end]
            if joined == wanted and pieces[start] and pieces[end]:
                found.append((start, end))
            if not wanted.startswith(joined) or joined == wanted:
                break
    whole = [place for place in found if _begins(axis, place[0]) and _begins(axis, place[1] + 1)]
    return whole or found


def at(axis: Axis, place: int | str) -> int:
    """A token's position by its number, from the end if negative, or by a text that stands there once.

    Raises:
        InputError: there is no such token, or several, which are listed.
    """
    if isinstance(place, str):
        return only(axis, place, find(axis, place), "positions")[0]
    count = len(axis.tokens)
    if not -count <= place < count:
        raise InputError(f"position {place} is out of range: the input has {count} tokens")
    return place % count


def only(axis: Axis, text: str, found: list[tuple[int, int]], what: str) -> tuple[int, int]:
    """The one place that was found.

    Raises:
        InputError: none, or several, which are listed.
    """
    if not found:
        raise InputError(f"'{text}' is not in the input, whose tokens are {' '.join(axis.tokens)[:200]}")
    if len(found) > 1:
        listed = ", ".join(str(a) if what == "positions" else f"{a}..{b}" for a, b in found)
        raise InputError(f"'{text}' is in the input {len(found)} times: give one of the {what} {listed}")
    return found[0]


def begins_word(axis: Axis, i: int) -> bool:
    """Whether a token of a text is the first of its word; True where that is not known."""
    return axis.segments[i] is not None and _begins(axis, i)


def _begins(axis: Axis, i: int) -> bool:
    if not 0 < i < len(axis.tokens) or axis.words[i] is None:
        return True
    return axis.words[i] != axis.words[i - 1]


def _plain(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in apart if not c.isspace() and not unicodedata.combining(c))
