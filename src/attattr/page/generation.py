"""A generation as the data of its page: the reply, its sources, and each span's report, deflated."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from attattr.page import data as data
from attattr.page.facts import LARGEST, ROOM, report
from attattr.result.generation import Generation, Source, Span, Turn
from attattr.result.shown import counted, printable
from attattr.result.spelled import standing
from attattr.result.words import grouped, piece


def generation(made: Generation, room: int = LARGEST) -> data.GenerationFacts:
    """All that the page of a generation shows. room: bytes of all reports together."""
    import attattr

    reports, spent = [], 0
    for number, span in enumerate(made.explained):
        share = (room - spent) // (len(made.explained) - number)
        packed = _packed(made, span, share)
        kept = packed if spent + len(packed) <= room else None
        spent += len(kept or "")
        reports.append(kept)
    spans = [
        _span(made, span, number, kept)
        for number, (span, kept) in enumerate(zip(made.explained, reports, strict=True))
    ]
    other = made.contrast
    return data.GenerationFacts(
        schema_version=data.SCHEMA_VERSION,
        version=attattr.__version__,
        model=printable(str(made.model.get("name") or made.model.get("class") or "model")),
        revision=made.model.get("revision"),
        turns=[printable(turn.role) for turn in made.turns],
        prompt=_prompt(made),
        sources=[list(source.tokens) for source in made.sources],
        columns=[printable(name) for name in made.columns],
        words=_reply(made.reply, made.spans, len(made.tokens)),
        stopped=made.stopped,
        n_tokens=len(made.tokens),
        spans=spans[: len(made.spans)],
        contrast=None if other is None else spans[-1],
        contrast_words=None if other is None else _reply(other.text, (other,), other.tokens[1]),
        value=data.number(made.value),
        worst_gap=data.number(made.worst_gap),
        notes=_notes(made, sum(kept is None for kept in reports)),
    )


def _packed(made: Generation, span: Span, room: int) -> str:
    text = made.contrast.text if span is made.contrast and made.contrast else made.reply
    # its tokens as prompt and reply have them
    shown = replace(span.attribution, text=made.prompt, text_pair=text)
    facts = report(shown, None, min(ROOM, room)).model_dump_json()
    return base64.b64encode(zlib.compress(facts.encode(), 6)).decode()


def _span(made: Generation, span: Span, number: int, kept: str | None) -> data.SpanFacts:
    row = min(number, len(made.spans) - 1)  # score and effect of a contrast are differences, of the one span
    correlation = float(made.per_source().correlation[row])
    return data.SpanFacts(
        text=printable(span.text),
        value=data.number(span.log_probability),
        worst_gap=data.number(span.attribution.worst_gap),
        score=[data.number(value) for value in made.score[row].tolist()],
        effect=[data.number(value) for value in made.effect[row].tolist()],
        correlation=data.number(correlation),
        report=kept,
    )


def _prompt(made: Generation) -> data.PromptFacts:
    axis = next(iter(made.spans[0].attribution.axes.values()))
    count = len(axis.tokens)
    if len(made.spans[0].attribution.axes) == 1:  # the reply's tokens, but the last, stand behind
        count -= len(made.tokens) - 1
    units = [unit for unit in grouped(axis.words) if unit[-1] < count]
    places = standing([piece(axis, i) for i in range(count)], made.prompt)
    parts: list[Turn | Source] = [*made.turns, *made.sources]
    cuts = [cut for part in parts for cut in (part.start, part.end)]
    pieces = _pieces(made.prompt, units, places, cuts)
    source_of = {token: number for number, source in enumerate(made.sources) for token in source.tokens}
    return data.PromptFacts(
        text=[_shown(each.text) for each in pieces],
        tokens=[each.tokens for each in pieces],
        turn=[_within(each.start, made.turns) for each in pieces],
        source=[
            source_of.get(each.tokens[0]) if each.tokens else _within(each.start, made.sources)
            for each in pieces
        ],
    )


def _reply(text: str, spans: Sequence[Span], count: int) -> data.ReplyFacts:
    """count: its tokens."""
    axis = list(spans[0].attribution.axes.values())[-1]
    first = len(axis.tokens) - (count - 1)
    positions = range(first, len(axis.tokens))
    places = [None] * first + standing([piece(axis, i) for i in positions], text)
    cuts = [cut for span in spans for cut in (span.start, span.end)]
    pieces = _pieces(text, [[i] for i in positions], places, cuts)
    return data.ReplyFacts(
        text=[_shown(each.text) for each in pieces],
        tokens=[each.tokens for each in pieces],
        span=[_within(each.start, spans) for each in pieces],
    )


class _Piece(NamedTuple):
    text: str
    tokens: list[int]
    start: int


def _pieces(
    text: str, units: Sequence[list[int]], places: Sequence[tuple[int, int] | None], cuts: Sequence[int]
) -> list[_Piece]:
    """A text by the words that stand in it, and by what stands between them, cut at `cuts`.

    units: the tokens of each word. Tokens that were not found are of the text between their neighbours.
    """
    found: list[_Piece] = []
    at, ends = 0, sorted({*cuts})
    lost: list[int] = []

    def plain(start: int, end: int) -> None:
        inner = [cut for cut in ends if start < cut < end]
        found.extend(_Piece(text[a:b], [], a) for a, b in pairwise([start, *inner, end]) if a < b)

    def between(end: int) -> None:
        nonlocal lost
        start = at
        if lost and (said := text[at:end].strip()):
            first = text.index(said, at)
            plain(at, first)
            found.append(_Piece(said, lost, first))
            start = first + len(said)
        plain(start, end)
        lost = []

    for unit in units:
        there = [place for token in unit if (place := places[token]) is not None]
        if not there:
            lost += unit
            continue
        between(there[0][0])
        at = there[-1][1]
        found.append(_Piece(text[there[0][0] : at], unit, there[0][0]))
    between(len(text))
    return found


def _within(start: int, parts: Sequence[Turn | Source | Span]) -> int | None:
    return next((n for n, part in enumerate(parts) if part.start <= start < part.end), None)


def _shown(text: str) -> str:
    """Printable, but for tabs and the ends of lines."""
    return "".join(letter if letter in "\n\t" else printable(letter) for letter in text)


def _notes(made: Generation, left_out: int) -> list[str]:
    notes = []
    if made.stopped == "length":
        notes.append(f"The reply was cut at {counted(len(made.tokens), 'token')}, before the model was done.")
    if np.isnan(made.effect[~np.isnan(made.score)]).any():
        notes.append(
            "Of many sources only those of largest |score| are taken out: the others are not measured."
        )
    if left_out:
        notes.append(
            f"For want of room the edges of {counted(left_out, 'span')} of {len(made.explained)} are left "
            "out of this page; the numbers of their sources are all here."
        )
    sites = [site for span in made.explained for site in span.attribution.sites]
    unsure = {site.name for site in sites if site.method == "integral" and not site.converged}
    if unsure:
        notes.append(f"Read with care, not converged in some span: {', '.join(sorted(unsure))}.")
    return [printable(note) for note in notes]
