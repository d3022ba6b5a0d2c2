"""Putting a pattern's tokens into other inputs, at the same relative places.

Token ids are inserted into the encoded input; nothing is tokenised twice. Source: Hao et al. 2021
(arXiv 2004.11207).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from attattr.choices import INSERT_INTO
from attattr.data.encoding import Encoded
from attattr.data.examples import Example
from attattr.data.pieces import byte_level, readable
from attattr.errors import InputError
from attattr.result.values import Axis
from attattr.result.words import MARKS
from attattr.triggers.pattern import Pattern


class Piece(NamedTuple):
    """One vocabulary piece of a pattern and where it goes."""

    segment: int
    position: float
    id: int
    name: str = ""  # as it is shown


@dataclass(frozen=True)
class Inserted:
    """An input with a trigger, and which positions are new.

    cut: how many of the text's own tokens had to go.
    """

    encoded: Encoded
    places: tuple[int, ...]
    cut: int


def places(m: int, positions: Sequence[float]) -> list[int]:
    """Where w tokens go in a text of m: indices from 1 to m + w, in ascending order.

    >>> places(6, [0.25, 1.0]), places(3, [1.0, 1.0]), places(3, [0.01])
    ([2, 8], [4, 5], [1])

    Index c = max(round((m + w) · position), previous c + 1), Python's round, previous c = 0 at first.
    Where that would lead beyond the end, the last tokens stand at the end, in their order.
    """
    total = m + len(positions)
    found: list[int] = []
    for position in positions:
        found.append(max(round(total * position), (found or [0])[-1] + 1))
    # both sequences ascend strictly, and so does the smaller of them
    return [min(c, m + j) for j, c in enumerate(found, 1)]


def pieces_of(pattern: Pattern, tokenizer: Any, insert_into: str = "auto", pair: bool = True) -> list[Piece]:
    """A pattern's tokens as pieces of a vocabulary, in the order in which they are inserted.

    All pieces of a word have its position and so stand side by side.

    Args:
        insert_into: "auto": each token into the text it was mined from; "premise": all into the first
            text, "hypothesis": into the second, "both": into each of them.
        pair: whether the inputs are pairs of texts.

    Raises:
        InputError: a token that the vocabulary does not have; a second text where there is none.
    """
    if insert_into not in INSERT_INTO:
        raise InputError(f"cannot insert into '{insert_into}': choose one of {', '.join(INSERT_INTO)}")
    segments = {"premise": (0,), "hypothesis": (1,), "both": (0, 1)}.get(insert_into)
    found = []
    for token in pattern.tokens:
        for segment in segments or (token.segment,):
            if segment and not pair:
                raise InputError(
                    f"the pattern {pattern.text} goes into a second text, but the data has single texts: "
                    "insert it into the premise"
                )
            found += [
                Piece(segment, token.position, i, readable(tokenizer, tokenizer.convert_ids_to_tokens(i)))
                for i in _ids(token.token, pattern.pieces, tokenizer)
            ]
    return sorted(found, key=lambda piece: (piece.segment, piece.position))


def insert(encoded: Encoded, pieces: Sequence[Piece], longest: int | None = None) -> Inserted:
    """An input with the pieces in it; the text is shortened from its end where all would be too long.

    longest: how many tokens the model takes; None: any number.

    Raises:
        InputError: the trigger alone is too long, or the input has no second text to put it into.
    """
    features, axis = encoded.features, encoded.axes["input"]
    if pieces and pieces[-1].segment and encoded.example.text is not None and not encoded.example.text_pair:
        raise InputError("a trigger for the second text was given for an input of one text")
    own = [[i for i, of in enumerate(axis.segments) if of == k] for k in (0, 1)]
    excess = 0 if longest is None else max(0, len(axis.segments) + len(pieces) - longest)
    if excess > len(own[0]) + len(own[1]):
        raise InputError(f"a trigger of {len(pieces)} tokens does not fit the {longest} the model takes")
    starts = [own[0][0] if own[0] else int(bool(axis.special) and axis.special[0])]
    starts.append(own[1][0] if own[1] else len(axis.special) - int(any(axis.special[-1:])))
    gone = set()
    for _ in range(excess):  # the longer text gives way
        gone.add(max(own, key=len).pop())
    before: dict[int, list[Piece]] = {}  # by the old token they stand before
    for k, indices in enumerate(own):
        new = [piece for piece in pieces if piece.segment == k]
        stops = [*indices, indices[-1] + 1 if indices else starts[k]]
        for j, c in enumerate(places(len(indices), [piece.position for piece in new])):
            before.setdefault(stops[c - 1 - j], []).append(new[j])
    order: list[int | Piece] = []
    for i in range(len(axis.segments) + 1):
        order += before.get(i, [])
        if i < len(axis.segments) and i not in gone:
            order.append(i)
    made = dict(features)
    for name, values in features.items():
        if isinstance(values, list) and len(values) == len(axis.segments):
            beside = [values[min(start, len(values) - 1)] for start in starts]
            made[name] = [
                values[each]
                if isinstance(each, int)
                else (each.id if name == "input_ids" else beside[each.segment])
                for each in order
            ]
    now = Axis(
        tokens=tuple(each.name if isinstance(each, Piece) else axis.tokens[each] for each in order),
        segments=tuple(each.segment if isinstance(each, Piece) else axis.segments[each] for each in order),
        words=tuple(None if isinstance(each, Piece) else axis.words[each] for each in order),
        special=tuple(not isinstance(each, Piece) and axis.special[each] for each in order),
    )
    own_axes = {"input": now}
    if "output" in encoded.axes:  # a classifier's decoder reads the input itself, shifted by one
        own_axes["output"] = _shifted(now, encoded.axes["output"])
    example = Example(inputs=made, label=encoded.example.label)
    at = tuple(i for i, each in enumerate(order) if isinstance(each, Piece))
    return Inserted(Encoded(example, made, own_axes, truncated=False), at, len(gone))


def word_ids(pattern: Pattern, tokenizer: Any) -> list[tuple[int, list[int]]]:
    """Each token of a pattern as its text (0 or 1) and its pieces' ids."""
    return [(token.segment, _ids(token.token, pattern.pieces, tokenizer)) for token in pattern.tokens]


def without(
    encoded: Encoded, words: Sequence[tuple[int, list[int]]], draw: np.random.Generator | None = None
) -> Encoded | None:
    """An input without the first occurrence of each word; None if it has not all of them, or nothing else.

    words: `word_ids`. draw: as many other tokens of the same texts are taken out instead, drawn at random;
    None if there are not as many.
    """
    axis = encoded.axes["input"]
    gone: set[int] = set()
    for segment, ids in words:
        own = [i for i, of in enumerate(axis.segments) if of == segment and i not in gone]
        spelled = [encoded.features["input_ids"][i] for i in own]
        starts = [k for k in range(len(own)) if spelled[k : k + len(ids)] == ids]
        if not starts:
            return None
        gone |= set(own[starts[0] : starts[0] + len(ids)])
    if draw is not None:
        others = set()
        for segment in {segment for segment, _ in words}:
            left = [i for i, of in enumerate(axis.segments) if of == segment and i not in gone]
            count = sum(axis.segments[i] == segment for i in gone)
            if len(left) < count:
                return None
            others |= set(draw.choice(left, count, replace=False).tolist())
        gone = others
    kept = [i for i in range(len(axis.segments)) if i not in gone]
    if all(axis.segments[i] is None for i in kept):
        return None
    return _made(encoded, kept)


def _made(encoded: Encoded, kept: Sequence[int]) -> Encoded:
    """An input of some of its tokens."""
    n = len(encoded.axes["input"].segments)
    features = {
        name: [values[i] for i in kept] if isinstance(values, list) and len(values) == n else values
        for name, values in encoded.features.items()
    }
    axis = encoded.axes["input"]
    now = Axis(
        *(tuple(getattr(axis, name)[i] for i in kept) for name in ("tokens", "segments", "words", "special"))
    )
    axes = {"input": now}
    if "output" in encoded.axes:
        axes["output"] = _shifted(now, encoded.axes["output"])
    return Encoded(Example(inputs=features, label=encoded.example.label), features, axes, truncated=False)


def _shifted(axis: Axis, before: Axis) -> Axis:
    """An axis behind the token that `before` begins with, and without its own last."""
    return Axis(
        **{
            field.name: (*getattr(before, field.name)[:1], *getattr(axis, field.name)[:-1])
            for field in fields(Axis)
        }
    )


def _ids(token: str, pieces: bool, tokenizer: Any) -> list[int]:
    unknown = tokenizer.unk_token_id
    if pieces or token.startswith(MARKS):
        found = [tokenizer.convert_tokens_to_ids(token)]
    else:
        spaced = " " + token if byte_level(tokenizer) else token  # there a word begins with its space
        found = tokenizer(spaced, add_special_tokens=False)["input_ids"]
    if not found or None in found or (unknown in found and token != tokenizer.unk_token):
        raise InputError(
            f"the model's vocabulary has no '{token}': the patterns are of another tokenizer; mine them "
            "without --pieces, or from this model"
        )
    return found
