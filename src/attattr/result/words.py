"""Tokens as a reader sees them: which make a word, and without the marks of their vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attattr import asked
from attattr.errors import InputError
from attattr.result.attribution import Attribution
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


@dataclass(frozen=True)
class WordEffects:
    """What attending to each token of an axis gave in one layer: values (n,) in units of F, and their sum."""

    axis: str
    layer: int  # number of the site
    values: np.ndarray
    total: float


def word_effects(result: Attribution, layer: int | None = None) -> WordEffects:
    """Per token the sum of its column of scores in one layer: all heads, all queries. They make up the total.

    >>> found = word_effects(result)
    >>> found.layer, found.values.tolist(), found.total
    (1, [0.0, -0.25, 0.5, 0.0, 0.0], 0.25)

    layer: number of the site; None: the last one in which the tokens of the first axis attend to each other
    (of an encoder–decoder the encoder's last), or, where none does, the last that attends to them. Layers are
    never added: each tells of the whole output.

    Raises:
        InputError: no such layer, or a store without sums per token.
    """
    first = next(iter(result.axes))
    if layer is None:
        looked = [n for n, site in enumerate(result.sites) if site.key_axis == first]
        own = [n for n in looked if result.sites[n].query_axis == first]
        if not looked:
            return WordEffects(first, max(len(result.sites) - 1, 0), np.zeros(len(result.tokens)), 0.0)
        layer = (own or looked)[-1]
    layer = asked.whole(layer, "the layer")
    if layer >= len(result.sites):
        raise InputError(f"there is no layer {layer}: this result has 0 to {len(result.sites) - 1}")
    site = result.sites[layer]
    if site.key_sum is None:
        raise InputError("this result has no sums per token: it was made with store='heads'")
    values = site.key_sum.sum(0, dtype=np.float64)
    return WordEffects(site.key_axis, layer, values, float(values.sum()))


def rule(result: Attribution, effects: WordEffects, what: str = "each token") -> str:
    """The rule in words: of which layer, and what its values add up to.

    >>> rule(result, word_effects(result))
    'What attending to each token gave in layer 1; together +0.25'
    """
    several = len({site.kind for site in result.sites}) > 1
    kind = f" ({result.sites[effects.layer].kind.replace('_', ' ')})" if several else ""
    return f"What attending to {what} gave in layer {effects.layer}{kind}; together {effects.total:+.3g}"
