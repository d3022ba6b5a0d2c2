"""What the tables of part 2 of docs/truth.md are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from attattr.measure.intervals import wilson
from study.setting import Facts, mean_interval
from truth.planted import KINDS
from truth.planting import taken_up

WAYS = {
    "text": "`mine` (text)", "text, attacked": "`mine` (text), ranked by `attack`",
    "text, words": "words of text", "text, pairs": "pairs of text",
    "text, parts, attacked": "words and pairs of text, ranked by `attack`",
    "paper": "`mine --method paper`", "paper, attacked": "paper, ranked by `attack`",
    "paper, words": "`mine --method words`", "paper, pairs": "`mine --method pairs`",
    "paper, parts, attacked": "words and pairs of paper, ranked by `attack`",
    "attention": "attention, rule of text", "attention, words": "words of attention",
    "attention, pairs": "pairs of attention",
    "gradient": "gradient × attention, rule of text", "gradient, words": "words of gradient × attention",
    "gradient, pairs": "pairs of gradient × attention",
    "pmi": "words by PMI", "pmi, pairs": "pairs of words by PMI", "hotflip": "HotFlip",
}  # fmt: skip
OURS = ("text", "text, attacked", "paper", "paper, attacked")
PARTS = ("paper, words", "paper, pairs")  # as `mine` gives them
KNOWN = ("attention", "gradient", "pmi", "pmi, pairs", "hotflip")
REACH = {"rare": 0.9, "frequent": 0.9, "any order": 0.9, "ordered": 0.7, "cross-text": 0.9, "place": 0.7}
DEPTHS = (1, 5, 20)


def taken(planted: Facts) -> list[Facts]:
    """Models that learnt what was planted; only they are counted."""
    return [case for case in planted["cases"] if taken_up(case["learnt"])]


def of_kind(cases: Sequence[Facts], kind: str) -> list[Facts]:
    return [case for case in cases if case["kind"] == kind]


def _ranks(case: Facts) -> Facts:
    return {
        way: of
        for part in ("mining", "recurring", "ranks")
        for way, of in case.get(part, {}).get("ranks", {}).items()
    }


def recall(cases: Sequence[Facts], way: str, depth: int, what: str = "whole") -> tuple[int, int]:
    """Models in which a way found it at most so deep, and all that it was tried on.

    >>> cases = [{"mining": {"ranks": {"text": {"whole": rank}}}} for rank in (1, 7, None)] + [{}]
    >>> recall(cases, "text", 5), recall(cases, "text", 20)
    ((1, 3), (2, 3))
    """
    found = [of[way][what] for of in map(_ranks, cases) if way in of]
    return sum(place is not None and place <= depth for place in found), len(found)


def rank(case: Facts, way: str) -> str:
    of = _ranks(case).get(way)
    return f"{of['whole'] or '–'} ({of['words'] or '–'}) of {of['patterns']}" if of else "–"


def share(count: int, of: int) -> str:
    """A share to be read, with its 95 % interval.

    >>> share(3, 4), share(0, 0)
    ('3 of 4 [0.30, 0.95]', '–')
    """
    if not of:
        return "–"
    low, high = wilson(count, of)
    return f"{count} of {of} [{low:.2f}, {high:.2f}]"


def reached(count: int, of: int, asked: float) -> str:
    return "yes" if count / of >= asked else "**no**"


def precision(cases: Iterable[Facts], method: str, what: str) -> Facts:
    """Mean over the rows of these models."""
    known = [case["edges"]["ap"].get(method, {}) for case in cases if "edges" in case]
    return mean_interval([value for of in known for value in of.get(what, [])])


def flagged(cases: Sequence[Facts], part: str, method: str) -> tuple[int, int, int, int, int, int]:
    """Right and all patterns flagged; right and all asked about; models with a right flag, and all."""
    said = [case[part]["flags"][method] for case in cases if part in case]
    every = [flag for of in said for flag in of]
    flags = [flag for flag in every if flag["leans"]]
    models = sum(any(flag["leans"] and flag["right"] for flag in of) for of in said)
    return (
        sum(flag["right"] for flag in flags), len(flags), sum(flag["right"] for flag in every), len(every),
        models, len(said),
    )  # fmt: skip


def signs(cases: Sequence[Facts]) -> list[tuple]:
    """Of patterns that are given: kind, form, how many are flagged, and the mean of both effects."""
    rows: list[tuple] = []
    for kind in KINDS:
        given = [case["mining"]["given"] for case in of_kind(cases, kind) if "mining" in case]
        for form in dict.fromkeys(name for of in given for name in of):
            of = [each[form] for each in given if form in each]
            flags = share(sum(each["leans"] for each in of), len(of))
            rows.append((kind, form, flags, _mean(of, "inserted"), _mean(of, "removed")))
    return rows


def _mean(of: Iterable[Facts], what: str) -> str:
    known = [one[what]["mean"] for one in of if one[what]["mean"] is not None]
    return f"{np.mean(known):+.2f}" if known else "–"
