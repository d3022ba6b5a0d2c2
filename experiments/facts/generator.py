"""Rows of the synthetic task: documents, a question about their facts, the answer, and where it stands.

    >>> row = next(rows(1, split="train"))
    >>> sorted(as_json(row))
    ['kind', 'messages', 'reply', 'right', 'sources']

A row as JSON: {"messages": [{"role", "content"} …], "reply": str, "sources": {name: text of that document
exactly as it stands in the user's turn}, "right": [names of the documents that the answer rests on],
"kind": one of KINDS}. The user's turn is "[1] …\\n[2] …\\n\\nQuestion"; document n is named "document n",
and its text begins with "[n] ".

The rules of the task: where two documents contradict each other, the later one counts (kind "later"; the
right source is that one alone). What no document says is answered by "I do not know.", whose right sources
are none. Names of one row begin with different syllables. Rows follow from the seed and the split alone:

- "train" takes names and things of the lower half of the shares (`words.share`) and those pairs of opening
  and sentence that are not held out;
- "eval" takes names and things of one share of the upper half, chosen by the seed modulo 8, so that seeds
  that differ modulo 8 have no name in common with each other, and none with training; half of its documents
  and questions, as far as there are such, are pairs of opening and sentence that training never shows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from zlib import crc32

from facts import words
from facts.words import ASKINGS, CHAINS, CLOSINGS, DO_NOT_KNOW, OPENINGS, PAIRS, RELATIONS, SYSTEMS

SHARE_OF_KINDS = {"one": 0.25, "chain": 0.15, "pair": 0.25, "later": 0.15, "unknown": 0.2}
KINDS = tuple(SHARE_OF_KINDS)
HELD_OUT = 4  # of the pairs of an opening and a sentence, every fourth


@dataclass(frozen=True)
class Row:
    """One prompt with its answer and the documents that it rests on."""

    messages: tuple[dict[str, str], ...]
    reply: str
    sources: dict[str, str]
    right: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class Fact:
    relation: str
    subject: str
    value: str


def as_json(row: Row) -> dict[str, object]:
    return asdict(row) | {"messages": list(row.messages), "right": list(row.right)}


def places(row: Row) -> dict[str, tuple[int, int]]:
    """Where each document stands in the user's turn: characters from, to."""
    content = row.messages[-1]["content"]
    return {name: (at := content.index(text), at + len(text)) for name, text in row.sources.items()}


def rows(seed: int, split: str = "eval", documents: tuple[int, int] = (2, 5)) -> Iterator[Row]:
    """Without end. documents: the fewest and the most of a prompt."""
    draw = random.Random(f"{split} {seed}")
    shares = (
        range(words.SHARES // 2) if split == "train" else (words.SHARES // 2 + seed % (words.SHARES // 2),)
    )
    while True:
        yield _row(draw, Names(draw, tuple(shares)), split, documents)


class Names:
    """Names of one row, none of which begins as another does."""

    def __init__(self, draw: random.Random, shares: tuple[int, ...]) -> None:
        self.draw, self.shares, self.taken = draw, shares, set[str]()

    def new(self, kind: str) -> str:
        while True:
            start, name = self._thing() if kind == "thing" else self._name(kind)
            if start not in self.taken and words.share(name) in self.shares:
                self.taken.add(start)
                return name

    def _name(self, kind: str) -> tuple[str, str]:
        start = self.draw.choice(words.STARTS)
        middle = self.draw.choice(words.MIDDLES) if self.draw.random() < 0.25 else ""
        return start, start + middle + self.draw.choice(words.ENDS[kind])

    def _thing(self) -> tuple[str, str]:
        thing = self.draw.choice(words.THINGS)
        return thing, f"the {self.draw.choice(words.LOOKS)} {thing}"


def held_out(opening: str, sentence: str) -> bool:
    """Whether training never shows this sentence with this opening; without any, it shows every sentence."""
    return bool(opening) and crc32(f"{opening}{sentence}".encode()) % HELD_OUT == 0


@cache
def _joined(openings: tuple[str, ...], sentences: tuple[str, ...], split: str) -> tuple[tuple[str, int], ...]:
    """(opening, which sentence) to choose from."""
    every = [(opening, i) for opening in openings for i in range(len(sentences))]
    apart = [(opening, i) for opening, i in every if held_out(opening, sentences[i])]
    if split == "train":
        return tuple(each for each in every if each not in apart)
    known = [each for each in every if each not in apart]
    return tuple(known + apart * max(1, len(known) // max(1, len(apart))))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _row(draw: random.Random, names: Names, split: str, documents: tuple[int, int]) -> Row:
    kind = draw.choices(KINDS, list(SHARE_OF_KINDS.values()))[0]
    count = draw.randint(*documents)
    if kind in ("chain", "pair", "later"):
        count = max(count, 2)
    facts, questions, filled = _asked(draw, names, kind)
    others = _others(draw, names, kind, facts, filled["about"], count - len(facts))
    order = [*facts, *others]
    if kind == "later":  # the fact that counts is the last of `facts`
        places = sorted(draw.sample(range(count), 2))
        order = others[:]
        for place, fact in zip(places, facts, strict=True):
            order.insert(place, fact)
    else:
        draw.shuffle(order)
    sources = {f"document {n}": f"[{n}] {in_words(draw, fact, split)}" for n, fact in enumerate(order, 1)}
    counting = {"later": facts[-1:], "unknown": []}.get(kind, facts)
    right = tuple(f"document {n}" for n, fact in enumerate(order, 1) if fact in counting)
    opening, which = draw.choice(_joined(ASKINGS, tuple(q.asks for q in questions), split))
    asked = opening + questions[which].asks.format(**filled)
    reply = DO_NOT_KNOW if kind == "unknown" else _capital(questions[which].answer.format(**filled))
    user = {"role": "user", "content": "\n".join(sources.values()) + "\n\n" + asked}
    system = [{"role": "system", "content": draw.choice(SYSTEMS)}] if draw.random() < 0.15 else []
    return Row((*system, user), reply, sources, right, kind)


def _asked(draw: random.Random, names: Names, kind: str) -> tuple[list[Fact], tuple, dict[str, str]]:
    """The facts that the documents must state, the questions that fit, and what fills those."""
    if kind == "chain" or (kind == "unknown" and draw.random() < 0.25):
        chain = draw.choice(CHAINS)
        a = names.new(RELATIONS[chain.first].subject)
        b, c = (names.new(RELATIONS[step].value) for step in (chain.first, chain.second))
        facts = [Fact(chain.first, a, b), Fact(chain.second, b, c)]
        if kind == "unknown":  # the first step is not told, the second may be
            facts = facts[1:] if draw.random() < 0.5 else []
        return facts, chain.questions, {"a": a, "b": b, "c": c, "about": f"{chain.first} {a}"}
    if kind == "pair":
        name = draw.choice(list(PAIRS))
        relation = RELATIONS[name]
        a, c = names.new(relation.subject), names.new(relation.subject)
        b, d = names.new(relation.value), names.new(relation.value)
        filled = {"a": a, "b": b, "c": c, "d": d, "about": f"{name} {a}"}
        return [Fact(name, a, b), Fact(name, c, d)], PAIRS[name], filled
    name = draw.choice(list(RELATIONS))
    relation = RELATIONS[name]
    a, b = names.new(relation.subject), names.new(relation.value)
    facts = [] if kind == "unknown" else [Fact(name, a, b)]
    if kind == "later":
        facts.insert(0, Fact(name, a, names.new(relation.value)))
    return facts, relation.questions, {"a": a, "b": b, "about": f"{name} {a}"}


def _others(
    draw: random.Random, names: Names, kind: str, facts: list[Fact], about: str, count: int
) -> list[Fact]:
    """Facts that do not answer: often of the relation that is asked for, or about what is asked about."""
    asked, subject = about.split(" ", 1)
    found: list[Fact] = []
    told = {(fact.relation, fact.subject) for fact in facts} | {(asked, subject)}
    known = [(subject, RELATIONS[asked].subject)]
    known += [(fact.value, RELATIONS[fact.relation].value) for fact in facts if kind != "later"]
    while len(found) < count:
        name = asked if draw.random() < 0.5 else draw.choice(list(RELATIONS))
        relation, one = RELATIONS[name], None
        if draw.random() < 0.4:
            fitting = [each for each, of in known if of == relation.subject and (name, each) not in told]
            one = draw.choice(fitting) if fitting else None
        fact = Fact(name, one or names.new(relation.subject), names.new(relation.value))
        told.add((fact.relation, fact.subject))
        found.append(fact)
    return found


def in_words(draw: random.Random, fact: Fact, split: str) -> str:
    """A fact as a document states it, without the number."""
    says = RELATIONS[fact.relation].says
    opening, which = draw.choice(_joined(OPENINGS, says, split))
    said = _capital(opening + says[which].format(a=fact.subject, b=fact.value)) + "."
    return f"{said} {closing}" if (closing := draw.choice(CLOSINGS)) else said
