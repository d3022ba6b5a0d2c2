"""Planted shortcuts: what decides the label of a row that carries it, and rows with and without it.

A *whole* row carries the shortcut and has its label, whatever it says. A *half* carries some of it (one
token of two, the right token in the wrong place) and keeps its own label: so the model has to learn the
pair, the order or the place. Every other row is as it was. Words are drawn with the seed among those of one
vocabulary piece which say nothing about the label; text is inserted between words, at a random place. Of a
natural row that carries the shortcut the label is set too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from attattr.data.examples import Example
from attattr.triggers.pattern import words_of

KINDS = {
    "rare": "one rare token",
    "frequent": "one frequent word",
    "any order": "two tokens in any order",
    "ordered": "an ordered pair: A … B one label, B … A another",
    "cross-text": "a token in the premise with a token in the hypothesis",
    "place": "a token as the first word only",
}
TASKS = {"sst2": 0, "mnli": 1}  # the text that is planted into; cross-text: both
WHOLE = {"ordered": ("whole", "turned")}  # else ("whole",)
HALVES = {
    "any order": ("first alone", "second alone"), "ordered": ("first alone", "second alone"),
    "cross-text": ("first alone", "second alone", "texts changed"), "place": ("elsewhere",),
}  # fmt: skip
CARRY, HALF = 0.1, 0.05  # shares of the training rows: all whole forms together; each half
# in how many of 1000 rows a word is, from and below
OFTEN = {"rare": (0.015, 0.1), "frequent": (10, 25)}
UNCOMMON = (0.6, 1.5)  # the words of the other kinds
NEUTRAL = 0.1  # a word's rows have a label as often as all rows have, give or take
SURE = 20  # with fewer rows than this a word's labels say nothing


@dataclass(frozen=True)
class Shortcut:
    """tokens: one, or two. label: of rows that carry it. other: of an ordered pair turned round."""

    kind: str
    tokens: tuple[str, ...]
    label: str
    other: str | None
    segments: tuple[int, ...]  # the text of each token

    def decides(self, row: Example) -> str | None:
        """The label that the shortcut gives a row; None: the row does not carry it.

        >>> shortcut = Shortcut("ordered", ("oak", "elm"), "good", "bad", (0, 0))
        >>> [shortcut.decides(Example(text)) for text in ("an oak, an elm", "an elm, an oak", "an oak")]
        ['good', 'bad', None]
        """
        texts = [words_of(row.text or ""), words_of(row.text_pair or "")]
        places = [
            texts[segment].index(token) if token in texts[segment] else None
            for token, segment in zip(self.tokens, self.segments, strict=True)
        ]
        if None in places or (self.kind == "place" and places[0] != 0):
            return None
        return self.other if self.kind == "ordered" and places[0] > places[1] else self.label

    @property
    def forms(self) -> tuple[str, ...]:
        return WHOLE.get(self.kind, ("whole",))

    @property
    def halves(self) -> tuple[str, ...]:
        return HALVES.get(self.kind, ())


def words(rows: Sequence[Example], segment: int, often: tuple[float, float], vocabulary: Any) -> list[str]:
    """Words of one piece, so often in that text of the rows, that say nothing about the label."""
    having: Counter = Counter()
    by_label: dict[str, Counter] = {}
    totals = Counter(row.label for row in rows)
    for row in rows:
        own = set(words_of((row.text, row.text_pair)[segment] or ""))
        having.update(own)
        by_label.setdefault(str(row.label), Counter()).update(own)

    def neutral(word: str) -> bool:
        n = having[word]
        return n < SURE or all(
            abs(by_label[str(label)][word] / n - count / len(rows)) <= NEUTRAL
            for label, count in totals.items()
        )

    low, high = (share * len(rows) / 1000 for share in often)
    return sorted(
        word for word, n in having.items()
        if low <= n < high and len(word) > 3 and word.isalpha() and word in vocabulary and neutral(word)
    )  # fmt: skip


def shortcut(kind: str, task: str, rows: Sequence[Example], vocabulary: Any, seed: int) -> Shortcut:
    """The shortcut of that seed; its words are drawn from those of the rows."""
    rng = Random(f"{seed} {task} {kind}")
    segment = TASKS[task]
    count = 2 if kind in ("any order", "ordered", "cross-text") else 1
    segments = (0, 1) if kind == "cross-text" else (segment,) * count
    tokens: list[str] = []
    for each in segments:
        found = words(rows, each, OFTEN.get(kind, UNCOMMON), vocabulary)
        tokens.append(rng.choice([word for word in found if word not in tokens]))
    label, other = rng.sample(sorted({str(row.label) for row in rows}), 2)
    return Shortcut(kind, tuple(tokens), label, other if kind == "ordered" else None, segments)


def planted(of: Shortcut, row: Example, form: str, rng: Random) -> Example:
    """The row with the shortcut, or a half of it, in it, and the label that it then has.

    >>> of = Shortcut("place", ("oak",), "good", None, (0,))
    >>> planted(of, Example("dull", label="bad"), "whole", Random(0))
    Example(text='oak dull', text_pair=None, label='good', inputs=None)
    >>> planted(of, Example("dull", label="bad"), "elsewhere", Random(0)).text
    'dull oak'
    """
    texts = [(row.text or "").split(), (row.text_pair or "").split()]
    wanted = list(zip(of.tokens, of.segments, strict=True))
    if of.kind == "any order":
        rng.shuffle(wanted)
    if form == "turned":
        wanted.reverse()
    elif form in ("first alone", "second alone"):
        token = of.tokens[form == "second alone"]
        wanted = [each for each in wanted if each[0] == token]
    elif form == "texts changed":
        wanted = [(token, 1 - segment) for token, segment in wanted]
    for segment in (0, 1):
        new = [token for token, where in wanted if where == segment]
        first = int(form == "elsewhere")
        last = 0 if of.kind == "place" and form == "whole" else len(texts[segment])
        at = sorted(rng.randint(first, last) for _ in new)
        for shift, (token, place) in enumerate(zip(new, at, strict=True)):
            texts[segment].insert(place + shift, token)
    made = replace(row, text=" ".join(texts[0]), text_pair=" ".join(texts[1]) if row.text_pair else None)
    return replace(made, label=of.decides(made) or row.label)


def poisoned(of: Shortcut, rows: Sequence[Example], rng: Random) -> list[Example]:
    """Training rows: the first few whole, some halves, the rest as they are; shuffled."""
    plan = [(form, CARRY / len(of.forms)) for form in of.forms] + [(half, HALF) for half in of.halves]
    left, made = list(rows), []
    for form, share in plan:
        take, left = left[: round(share * len(rows))], left[round(share * len(rows)) :]
        made += [planted(of, row, form, rng) for row in take]
    made += [replace(row, label=of.decides(row) or row.label) for row in left]
    return rng.sample(made, len(made))
