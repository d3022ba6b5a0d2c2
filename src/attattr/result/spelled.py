"""Tokens as the text had them: a vocabulary may drop capitals and accents, the reader's text did not."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from attattr.result.values import Axis
from attattr.result.words import joined, piece

AHEAD = 40  # characters in which the next token is looked for where one was not found


def spelled(axis: Axis, texts: Sequence[str | None]) -> tuple[list[str], list[bool]]:
    """Of each token how the text of its segment has it, and whether it stands there without a space before.

    >>> spelled(Axis(("cafe", "bar", "."), (0, 0, 0), (0, 1, 2), (False, False, False)), ["Café Bar."])
    (['Café', 'Bar', '.'], [False, False, True])

    A token that the text does not have in its place (an unknown one, a part of a character) is as in
    `result.words.piece`.
    """
    names = [piece(axis, i) for i in range(len(axis.tokens))]
    close = [joined(axis.words, i) for i in range(len(axis.tokens))]
    for segment, text in enumerate(texts):
        own = [i for i in range(len(names)) if axis.segments[i] == segment and not axis.special[i]]
        behind = 0
        for i, place in zip(own, standing([names[i] for i in own], text or ""), strict=True):
            if text is None or place is None:
                continue
            first, end = place
            close[i] = close[i] or (first == behind > 0 and i > 0 and axis.segments[i - 1] == segment)
            names[i] = text[first:end] or names[i]
            behind = end
    return names, close


def standing(names: Sequence[str], text: str) -> list[tuple[int, int] | None]:
    """The characters of each token in a text, one behind the other; None where it is not in its place.

    >>> standing(["cafe", "[X]", "bar"], "Café Bar")
    [(0, 4), None, (5, 8)]
    """
    letters, places = _folded(text)
    found: list[tuple[int, int] | None] = []
    at = 0
    for name in names:
        wanted, _ = _folded(name.strip())
        start = letters.find(wanted, at, at + AHEAD + len(wanted)) if wanted else -1
        if start < 0:
            found.append(None)
            continue
        at = start + len(wanted)
        first = places[start]
        found.append((first, first + len(text[first : places[at]].rstrip())))
    return found


def _folded(text: str) -> tuple[str, list[int]]:
    """Without case, accents and spaces; and where in the text each letter is from, the end last."""
    letters, places = [], []
    for at, character in enumerate(text):
        for letter in unicodedata.normalize("NFD", character).lower():
            if not letter.isspace() and unicodedata.category(letter) != "Mn":
                letters.append(letter)
                places.append(at)
    return "".join(letters), [*places, len(text)]
