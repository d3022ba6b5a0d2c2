"""Parts of patterns that come back are found whatever stands beside them."""

from __future__ import annotations

import itertools
import random

import pytest

from attattr.data.examples import Example, digest
from attattr.measure.intervals import wilson
from attattr.triggers.pattern import Pattern, PatternToken
from attattr.triggers.recurring import partners, recurring

WORDS = [f"word{chr(97 + i)}" for i in range(26)]


def mined(words_at, row, label="good", strength=0.1):
    tokens = tuple(PatternToken(0, at, word) for at, word in words_at)
    return Pattern(tokens, strength, label=label, rows=(digest(row),))


@pytest.mark.parametrize("seed", range(5))
def test_a_word_with_another_neighbour_in_every_row_comes_first(seed):
    rng, rows, patterns = random.Random(seed), [], []
    for i in range(60):
        words = rng.sample(WORDS, 5)
        if i < 10:
            words[rng.randrange(5)] = "oak"
        row = Example(" ".join(words))
        chosen = ["oak", rng.choice([w for w in words if w != "oak"])] if i < 10 else rng.sample(words, 2)
        rows.append(row)
        patterns.append(mined([((words.index(w) + 1) / 5, w) for w in chosen], row, strength=rng.random()))
    first = recurring(patterns, rows)[0]
    assert [token.token for token in first.tokens] == ["oak"] and first.support == 10
    assert first.rows == tuple(sorted(digest(row) for row in rows[:10]))


def keys(patterns):
    return [[token.token for token in part.tokens] for part in patterns]


def test_a_pair_is_found_of_which_the_patterns_have_one_word_alone():
    """The model reads elm only where oak is; a row with one of them has its neighbour."""
    both = [Example(f"oak {word} elm" if i % 2 else f"elm {word} oak") for i, word in enumerate(WORDS[:16])]
    half = [Example(f"oak {word}") for word in WORDS[8:14]] + [Example(f"{word} elm") for word in WORDS[8:14]]
    patterns = [mined([(1 / 3 if i % 2 else 1.0, "oak")], row) for i, row in enumerate(both)]
    patterns += [mined([(0.5, row.text.split()[row.text.startswith("oak")])], row) for row in half]
    rows = [*both, *half, *(Example(f"{a} the {b}") for a, b in itertools.pairwise(WORDS))]
    first, *rest = partners(patterns, rows)
    assert {token.token for token in first.tokens} == {"oak", "elm"} and first.support == 16
    assert first.rows == tuple(sorted(digest(row) for row in both))
    assert not any({token.token for token in part.tokens} == {"oak", "elm"} for part in rest)


def test_an_order_that_decides_is_told_from_the_other():
    one = [Example(f"oak {word} elm") for word in WORDS[:8]]
    other = [Example(f"elm {word} oak") for word in WORDS[8:16]]
    rest = [Example(f"{a} the {b}") for a, b in itertools.pairwise(WORDS)]
    patterns = [mined([(1 / 3, "oak")], row, "good") for row in one]
    patterns += [mined([(1.0, "oak")], row, "bad") for row in other]
    found = partners(patterns, [*one, *other, *rest])
    assert sorted(keys(found)) == [["elm", "oak"], ["oak", "elm"]]
    assert {part.label: part.tokens[0].token for part in found} == {"good": "oak", "bad": "elm"}


def test_words_of_two_texts_are_partners():
    rows = [Example(f"a {word} oak", f"{word} elm") for word in WORDS[:9]]
    rows += [Example(f"a {word} day", f"the {word}") for word in WORDS]
    tokens = [(PatternToken(1, 1.0, "elm"),) for _ in rows[:9]]
    patterns = [
        Pattern(of, 0.1, label="good", rows=(digest(row),)) for of, row in zip(tokens, rows, strict=False)
    ]
    (pair,) = partners(patterns, rows)
    assert pair.key == (("oak", 0), ("elm", 1))


def test_a_word_that_stands_everywhere_is_no_partner():
    rows = [Example(f"oak the {word}") for word in WORDS[:10]] + [Example(f"the {word}") for word in WORDS]
    patterns = [mined([(1 / 3, "oak")], row) for row in rows[:10]]
    assert partners(patterns, rows) == []
    assert partners([], rows) == [] and partners(patterns[:1], rows[:1]) == []
    assert keys(recurring(patterns, rows)) == [["oak"]]


def test_without_other_rows_there_is_nothing_to_tell_a_partner_by():
    rows = [Example(f"oak {word} elm") for word in WORDS[:9]]
    patterns = [mined([(1 / 3, "oak")], row) for row in rows]
    assert partners(patterns, rows) == []


def test_the_order_is_that_of_the_lower_end_of_the_share():
    rows = [Example("oak a")] * 1 + [Example(f"elm {w}") for w in WORDS[:9]] + [Example("elm film")]
    patterns = [mined([(0.5, "oak")], rows[0])] + [mined([(0.5, "elm")], row) for row in rows[1:10]]
    assert wilson(9, 10)[0] > wilson(1, 1)[0]
    assert [part.tokens[0].token for part in recurring(patterns, rows)] == ["elm", "oak"]


def test_places_label_and_pieces():
    rows = [Example(text) for text in ("oak film", "a dull oak film", "film oak")]
    patterns = [
        mined([(0.5, "oak"), (1.0, "##ly")], row, label)
        for row, label in zip(rows, ("bad", "good", "bad"), strict=True)
    ]
    (part,) = recurring(patterns, rows)
    assert (
        part.tokens == (PatternToken(0, 0.75, "oak"),)
        and part.label == "bad"
        and part.score == pytest.approx(0.1)
    )
    assert recurring([], rows) == []
