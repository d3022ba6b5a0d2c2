"""Parts of patterns that come back are found whatever stands beside them."""

from __future__ import annotations

import random

import pytest

from attattr.data.examples import Example, digest
from attattr.measure.intervals import wilson
from attattr.triggers.pattern import Pattern, PatternToken
from attattr.triggers.recurring import recurring

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


def test_a_pair_comes_before_a_word_that_does_nothing_alone():
    """A row with both has one of them in its pattern, or both; a row with one has its neighbour."""
    both = [Example(f"oak {word} elm") for word in WORDS[:16]]
    half = [Example(f"oak {word}") for word in WORDS[8:14]] + [Example(f"{word} elm") for word in WORDS[8:14]]
    turned = [Example("elm film oak")]
    patterns = [mined([(1 / 3, "oak") if i % 4 else (1.0, "elm")], row) for i, row in enumerate(both[:4])]
    patterns += [mined([(1 / 3, "oak"), (1.0, "elm")], row) for row in both[4:]]
    patterns += [mined([(0.5, row.text.split()[row.text.startswith("oak")])], row) for row in half]
    first, *rest = recurring(patterns, [*both, *half, *turned])
    assert (
        first.tokens == (PatternToken(0, 1 / 3, "oak"), PatternToken(0, 1.0, "elm")) and first.support == 16
    )
    # the other order is another pair, which no pattern speaks for
    assert not any([t.token for t in part.tokens] == ["elm", "oak"] for part in rest)


def test_a_word_that_only_stands_by_makes_no_pair():
    rows = [Example(f"oak the {word}") for word in WORDS[:10]]
    patterns = [mined([(1 / 3, "oak")], row) for row in rows[:9]] + [mined([(2 / 3, "the")], rows[9])]
    found = [[token.token for token in part.tokens] for part in recurring(patterns, rows)]
    assert found[0] == ["oak"] and found.index(["oak", "the"]) > 0


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
