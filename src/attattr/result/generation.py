"""What a language model wrote, span by span, and from which parts of its prompt. Plain numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attattr import asked
from attattr.disk import files
from attattr.result import written
from attattr.result.attribution import Attribution
from attattr.result.shown import brief, counted, short

REPLY = "reply so far"  # the source of a span that is what the model had written before it


@dataclass(frozen=True)
class Turn:
    """What one side of a chat says: characters `start` to `end` of the prompt."""

    role: str
    start: int
    end: int


@dataclass(frozen=True)
class Source:
    """A part of the prompt: its characters, and its tokens by their position."""

    name: str
    start: int
    end: int
    tokens: tuple[int, ...]

    def __repr__(self) -> str:
        return brief(self, short(self.name), counted(len(self.tokens), "token"))


@dataclass(frozen=True)
class Span:
    """A part of the reply, and why it was written.

    text: characters `start` to `end` of the reply. tokens: the number of its first token in the reply, and of
    the one behind its last. log_probability: of these tokens, given the prompt and the reply before them; the
    F of `attribution`.
    """

    text: str
    start: int
    end: int
    tokens: tuple[int, int]
    log_probability: float
    attribution: Attribution

    def __repr__(self) -> str:
        gap = f"gap {self.attribution.worst_gap:.0e}"
        return brief(self, short(self.text), f"log p {self.log_probability:.3f}", gap)


@dataclass(frozen=True)
class SourceTable:
    """Spans × sources: what the edges to a source add up to, and what happens without it, in units of F.

    score, effect: (S, N). NaN: no such source for that span, or an effect that was not measured.
    """

    spans: tuple[str, ...]
    sources: tuple[str, ...]
    score: np.ndarray
    effect: np.ndarray

    @property
    def correlation(self) -> np.ndarray:
        """(S,) Spearman's, of score and effect over a span's sources; NaN of fewer than three of them."""
        return np.array([_spearman(*pair) for pair in zip(self.score, self.effect, strict=True)])

    def strongest(self, span: int) -> int | None:
        """The source with the largest effect on a span; None: nothing that was taken out had helped."""
        effect = np.nan_to_num(self.effect[span], nan=-np.inf)
        best = int(effect.argmax()) if len(effect) else 0
        return best if len(effect) and effect[best] > 0 else None

    def rows(self) -> list[dict[str, Any]]:
        """A row for each cell, as `pandas.DataFrame` takes them: span, text, source, score, effect."""
        return [
            {
                "span": i, "text": text, "source": source,
                "score": float(self.score[i, k]), "effect": float(self.effect[i, k]),
            }
            for i, text in enumerate(self.spans)
            for k, source in enumerate(self.sources)
            if not np.isnan(self.score[i, k])
        ]  # fmt: skip

    def __repr__(self) -> str:
        return brief(self, counted(len(self.spans), "span"), counted(len(self.sources), "source"))


@dataclass(frozen=True)
class Generation:
    """What a language model wrote after a prompt, and where it took it from.

    >>> generation.reply, [span.text for span in generation.spans]  # `generation`: made by hand
    ('fine film. good.', ['fine film.', 'good.'])
    >>> table = generation.per_source()
    >>> table.sources, table.effect[0].tolist()
    (('first', 'second', 'reply so far'), [0.5, 0.125, nan])

    Of `Attributor.attribute_generation`. prompt: as the model read it, a chat in its template. turns: of a
    chat. stopped: "end", the model was done; "length", it was cut; "given". token_log_probability: (T,), of
    the reply's tokens. columns: names of the sources, and `REPLY` where there is more than one span; score,
    effect: (spans, columns). contrast: the reply that it was compared with; then score and effect are
    differences, of the reply and the contrast.
    """

    prompt: str
    turns: tuple[Turn, ...]
    reply: str
    stopped: str
    tokens: tuple[str, ...]
    token_log_probability: np.ndarray
    sources: tuple[Source, ...]
    spans: tuple[Span, ...]
    columns: tuple[str, ...]
    score: np.ndarray
    effect: np.ndarray
    contrast: Span | None
    options: dict[str, Any]
    model: dict[str, Any]

    def __repr__(self) -> str:
        return brief(
            self,
            short(self.reply, 60),
            counted(len(self.spans), "span"),
            counted(len(self.sources), "source"),
            f"gap {self.worst_gap:.0e}",
        )

    @property
    def explained(self) -> tuple[Span, ...]:
        """The spans, and the contrast."""
        return self.spans if self.contrast is None else (*self.spans, self.contrast)

    @property
    def value(self) -> float:
        """log p of all the spans; of a contrast, the difference that is explained."""
        whole = sum(span.log_probability for span in self.spans)
        return whole if self.contrast is None else whole - self.contrast.log_probability

    @property
    def worst_gap(self) -> float:
        """The largest |completeness gap| of all sites of all spans."""
        return max((span.attribution.worst_gap for span in self.explained), default=0.0)

    def per_source(self) -> SourceTable:
        """Each span's sources: the sum of the edges to them, and the measured effect (docs/generation.md)."""
        return SourceTable(tuple(span.text for span in self.spans), self.columns, self.score, self.effect)

    def save(self, path: str | Path) -> None:
        """Write one file, as `Attribution.save` does; `attattr.load` reads it.

        >>> generation.save(folder / "reply.attattr")
        >>> import attattr
        >>> attattr.load(folder / "reply.attattr").reply
        'fine film. good.'

        Raises:
            OSError: the folder is missing, not writable or full. No partial file is left.
        """
        written.save_generation(self, path)

    def to_json(self, top: int = 10) -> dict[str, Any]:
        """The facts as plain JSON values (docs/generation.md), with each span's `top` strongest edges.

        >>> generation.to_json()["spans"][0]["effect"]
        [0.5, 0.125, None]
        """
        return written.generation_to_json(self, top)

    def to_html(self, path: str | Path | None = None) -> str:
        """The reply, its sources and each span's edges as one self-contained page (docs/page.md); written to
        `path` where one is given.

        >>> page = generation.to_html(folder / "reply.html")
        >>> page.startswith("<!doctype html>")
        True

        Raises:
            OSError: the folder is missing, not writable or full. No partial file is left.
        """
        from attattr.page.document import to_html

        if path is not None:
            path = asked.path(path, "the page")
        page = to_html(self)
        if path is not None:
            files.write(path, page)
        return page

    def show(self) -> None:
        """The page of `to_html`: in a notebook below the cell, elsewhere in the browser."""
        from attattr.page.document import show

        show(self)

    def _repr_html_(self) -> str:
        from attattr.page.document import frame

        return frame(self)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3:
        return float("nan")
    first, second = _ranks(a[both]), _ranks(b[both])
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 0, the mean of their places for those that are alike."""
    return (values[:, None] > values).sum(1) + ((values[:, None] == values).sum(1) - 1) / 2
