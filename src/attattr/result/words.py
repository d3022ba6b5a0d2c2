"""Tokens as a reader sees them: which make a word, and without the marks of their vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

from attattr.result.values import Axis

MARKS = ("##", "Ġ", "▁")  # how WordPiece, byte-level BPE and SentencePiece mark their pieces


def joined(words: Sequence[int | None], i: int) -> bool:
    """Whether a token goes on with the word before it. words: the number of each token's word.

    >>> [joined((None, 0, 0, 1, None, None), i) for i in range(6)]
    [False, False, True, False, False, False]
    """
    return i > 0 and words[i] is not None and words[i] == words[i - 1]


def grouped(words: Sequence[int | None]) -> list[list[int]]:
    """The positions of each word; a token whose word is not known stands alone.

    >>> grouped((None, 0, 0, 1, None, None))
    [[0], [1, 2], [3], [4], [5]]
    """
    groups: list[list[int]] = []
    for i in range(len(words)):
        if joined(words, i):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def piece(axis: Axis, i: int) -> str:
    """A token of a result without the marks of a word piece, a patch as (row, column); special tokens as they
    are."""
    if axis.grid is not None and i >= axis.first_patch:
        return "({}, {})".format(*divmod(i - axis.first_patch, axis.grid[1]))
    return axis.tokens[i] if axis.special[i] else plain(axis.tokens[i])


def plain(token: str) -> str:
    """A token as results have it, a space for "Ġ" and "▁", without the marks of a word piece.

    >>> plain("##ing"), plain(" film"), plain(" ")
    ('ing', 'film', ' ')
    """
    return token.removeprefix("##").strip(" ") or token


def unmarked(raw: str) -> str:
    """A token as its vocabulary has it, without the mark.

    >>> unmarked("##ing"), unmarked("Ġfilm"), unmarked("▁film")
    ('ing', 'film', 'film')
    """
    return raw.removeprefix("##").lstrip("Ġ▁")
