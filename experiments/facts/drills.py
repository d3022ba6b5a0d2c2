"""Exercises before whole questions: documents, then all that they state, again and in another order.

Each sentence asks for what the documents say of its subject, so that a row has several times the questions of
one with a chat. Only what follows from the documents is counted.
"""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor

from facts import words
from facts.generator import Fact, Names, in_words
from facts.tokens import BEGIN, END
from facts.words import RELATIONS


def drill(draw: random.Random, facts: int) -> list[tuple[str, float]]:
    """Parts of a text, and whether they count."""
    told = _facts(draw, facts)
    documents = "\n".join(f"[{n}] {in_words(draw, fact, 'train')}" for n, fact in enumerate(told, 1))
    parts = [(f"{BEGIN}<|user|>{documents}{END}<|assistant|>", 0.0)]
    again = told * 2
    draw.shuffle(again)
    for at, fact in enumerate(again):
        relation = RELATIONS[fact.relation]
        forms = [q.answer for q in relation.questions if q.answer.index("{a}") < q.answer.index("{b}")]
        before, after = draw.choice([*forms, *(f"{says}." for says in relation.says)]).split(" {b}")
        said = before.format(a=fact.subject)
        parts += [(" " * (at > 0) + said[0].upper() + said[1:], 0.0), (f" {fact.value}", 1.0), (after, 0.0)]
    return parts


def _facts(draw: random.Random, count: int) -> list[Fact]:
    """Of one relation, or of any; then often two about one subject."""
    names = Names(draw, tuple(range(words.SHARES // 2)))
    one = draw.choice([*RELATIONS, *RELATIONS, None])
    found: list[Fact] = []
    while len(found) < count:
        name = one or draw.choice(list(RELATIONS))
        relation = RELATIONS[name]
        subject = names.new(relation.subject)
        if found and not one and draw.random() < 0.5:
            last = found[-1]
            if last.relation != name and RELATIONS[last.relation].subject == relation.subject:
                subject = last.subject
        found.append(Fact(name, subject, names.new(relation.value)))
    draw.shuffle(found)
    return found


def drills(tokenizer: Any, draw: random.Random, size: int) -> tuple[Tensor, Tensor]:
    """A batch of about so many tokens: token ids, weights."""
    facts = draw.randint(1, 4)
    rows = [drill(draw, facts) for _ in range(max(1, size // (31 * facts)))]
    ids = iter(tokenizer([text for row in rows for text, _ in row], add_special_tokens=False).input_ids)
    each = [[(token, weight) for _, weight in row for token in next(ids)] for row in rows]
    length = max(map(len, each))
    tokens = torch.full((len(rows), length), tokenizer.pad_token_id)
    weights = torch.zeros(len(rows), length)
    for at, row in enumerate(each):
        tokens[at, : len(row)] = torch.tensor([token for token, _ in row])
        weights[at, : len(row)] = torch.tensor([weight for _, weight in row])
    return tokens, weights
