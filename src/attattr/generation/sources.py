"""The parts of a prompt that a reply may rest on: named by the user, or its turns or paragraphs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from attattr import asked
from attattr.errors import InputError
from attattr.generation.prompt import Prompt
from attattr.generation.spans import tokens_of
from attattr.result.generation import REPLY, Source


def find(prompt: Prompt, given: Any) -> tuple[Source, ...]:
    """The sources in the order in which they stand in the prompt.

    given: name → (start, end), characters of the prompt, or a text that stands there once. None: the turns
    of a chat; of a chat of one turn, or a text, its paragraphs.

    Raises:
        InputError: none, one that is not in the prompt, stands there several times or holds no token; two
            that overlap; a tokenizer that does not say where its tokens stand.
    """
    if prompt.offsets is None:
        raise InputError(
            "where the prompt's characters stand among its tokens is not known of this tokenizer: it takes a "
            "fast one (tokenizer.json)"
        )
    if given is None:
        places = _turns(prompt) if len(prompt.turns) > 1 else _paragraphs(prompt)
    else:
        places = _named(prompt, given)
    places.sort(key=lambda place: place[1])
    for (one, _, end), (other, start, _) in pairwise(places):
        if start < end:
            raise InputError(f"the sources '{one}' and '{other}' overlap: no token can be of both")
    groups = tokens_of(prompt.text, prompt.offsets, [(start, end) for _, start, end in places])
    for (name, *_), group in zip(places, groups, strict=True):
        if not group:
            raise InputError(f"the source '{name}' holds no token of the prompt")
    return tuple(
        Source(name, start, end, group) for (name, start, end), group in zip(places, groups, strict=True)
    )


def _named(prompt: Prompt, given: Any) -> list[tuple[str, int, int]]:
    if not isinstance(given, Mapping) or not given:
        raise InputError(
            "the sources are names with the text of each, or its (start, end) in the prompt: "
            f"{{'name': '…'}}, not {asked.shown(given)}"
        )
    places = []
    for name, where in given.items():
        if not isinstance(name, str) or not name.strip() or name == REPLY:
            raise InputError(f"the name of a source is a text other than '{REPLY}', not {asked.shown(name)}")
        places.append((name, *_place(prompt.text, name, where)))
    return places


def _place(text: str, name: str, where: Any) -> tuple[int, int]:
    if isinstance(where, str):
        if where not in text:
            where = where.replace("\r\n", "\n")  # a file of Windows, in a prompt from elsewhere
        count = text.count(where) if where.strip() else 0
        if not count:
            raise InputError(
                f"the source '{name}' is not in the prompt: its text has to stand there as it is given"
            )
        if count > 1:
            raise InputError(
                f"the source '{name}' stands in the prompt {count} times: give its (start, end) instead"
            )
        return text.index(where), text.index(where) + len(where)
    pair = asked.listed(where, object, f"the source '{name}'")
    if len(pair) != 2:
        raise InputError(f"the source '{name}' is a text or (start, end), characters of the prompt")
    start, end = (asked.whole(each, f"each end of the source '{name}'", 0, len(text)) for each in pair)
    if start >= end:
        raise InputError(f"the source '{name}' is empty")
    return start, end


def _turns(prompt: Prompt) -> list[tuple[str, int, int]]:
    """By their roles; with a number where a role speaks several times."""
    roles = [turn.role for turn in prompt.turns]
    names = [
        f"{role} {roles[: i + 1].count(role)}" if roles.count(role) > 1 else role
        for i, role in enumerate(roles)
    ]
    places = [(name, turn.start, turn.end) for name, turn in zip(names, prompt.turns, strict=True)]
    return [place for place in places if prompt.text[place[1] : place[2]].strip()]


def _paragraphs(prompt: Prompt) -> list[tuple[str, int, int]]:
    """Parted by empty lines; where there is none, the lines."""
    start, end = (prompt.turns[0].start, prompt.turns[0].end) if prompt.turns else (0, len(prompt.text))
    found = _parted(prompt.text, start, end, r"\n[^\S\n]*\n\s*")
    what = "paragraph"
    if len(found) < 2:
        what, found = "line", _parted(prompt.text, start, end, r"\n")
    return [(f"{what} {number}", *place) for number, place in enumerate(found, 1)]


def _parted(text: str, start: int, end: int, between: str) -> list[tuple[int, int]]:
    gaps = [place for match in re.finditer(between, text[start:end]) for place in match.span()]
    ends = [start, *(start + gap for gap in gaps), end]
    return [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if text[a:b].strip()]
