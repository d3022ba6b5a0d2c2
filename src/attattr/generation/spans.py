"""The reply cut into spans, and which tokens a stretch of characters has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from attattr import asked
from attattr.errors import InputError

SPANS = ("whole", "sentence", "token")
# an end of a sentence with the quotes and brackets that close behind it, or a line's end
_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*|\n)\s*")


def tokens_of(
    text: str, offsets: Sequence[tuple[int, int] | None], ranges: Sequence[tuple[int, int]]
) -> list[tuple[int, ...]]:
    """The numbers of the tokens of each range of characters.

    >>> tokens_of("a fine film", [(0, 1), (1, 6), (6, 11)], [(0, 2), (2, 11)])
    [(0,), (1, 2)]

    A token is of the range in which its first character that is no space stands; where it is all spaces, its
    first. So no token is of two ranges that do not overlap.
    """
    places = []
    for offset in offsets:
        if offset is None:
            places.append(-1)
            continue
        start, end = offset
        start = min(start, len(text) - 1)  # what adds no character of its own stands at the last
        covered = text[start:end]
        places.append(start + (len(covered) - len(covered.lstrip()) if covered.strip() else 0))
    return [tuple(i for i, place in enumerate(places) if start <= place < end) for start, end in ranges]


def sentences(text: str) -> list[tuple[int, int]]:
    """The characters of each sentence and the spaces behind it: every character is of one.

    >>> [text[a:b] for text in ["Yes. No (3.5 “very.”) so"] for a, b in sentences(text)]
    ['Yes. ', 'No (3.5 “very.”) ', 'so']
    """
    ends = [match.end() for match in _END.finditer(text) if match.end() < len(text)]
    return [(a, b) for a, b in zip([0, *ends], [*ends, len(text)], strict=True) if text[a:b].strip()]


def cut(text: str, offsets: Sequence[tuple[int, int]], spans: Any) -> list[tuple[int, int, tuple[int, int]]]:
    """Each span: its characters, spaces around it aside, and its first token and the one behind its last.

    spans: "whole", "sentence", "token", or a list of (start, end) characters.

    Raises:
        InputError: something else; a range that is not in the reply or has no token; two that overlap.
    """
    count = len(offsets)
    if isinstance(spans, str):
        asked.choice(spans, "spans", SPANS)
        groups: list[tuple[int, ...]] = [tuple(range(count))]
        ranges = [(0, len(text))]
        if spans == "token":
            groups, ranges = [(i,) for i in range(count)], list(offsets)
        if spans == "sentence" and text.strip():
            ranges = sentences(text)
            ranges[0] = (0, ranges[0][1])
            groups = tokens_of(text, offsets, ranges)
    else:
        ranges = [_range(each, text) for each in asked.listed(spans, object, "the spans")]
        groups = tokens_of(text, offsets, ranges)
        for (start, end), group in zip(ranges, groups, strict=True):
            if not group:
                raise InputError(f"the span from {start} to {end} holds no token of the reply")
        for (start, end), (behind, last) in pairwise(sorted(ranges)):
            if behind < end:
                raise InputError(
                    f"the spans from {start} to {end} and from {behind} to {last} overlap: no token can be "
                    "of both"
                )
    if not ranges:
        raise InputError("there are no spans: give whole, sentence, token or a list of (start, end)")
    found = [(*_tight(text, *place), group) for place, group in zip(ranges, groups, strict=True) if group]
    return [(start, end, (group[0], group[-1] + 1)) for start, end, group in found]


def _range(given: Any, text: str) -> tuple[int, int]:
    what = "a span is (start, end), characters of the reply"
    pair = asked.listed(given, object, what)
    if len(pair) != 2:
        raise InputError(f"{what}, not {len(pair)} numbers")
    start, end = (asked.whole(each, "each end of a span", 0, len(text)) for each in pair)
    if start >= end:
        raise InputError(f"the span from {start} to {end} is empty")
    return start, end


def _tight(text: str, start: int, end: int) -> tuple[int, int]:
    inner = text[start:end]
    if not inner.strip():
        return start, end
    return start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())
