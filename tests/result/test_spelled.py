"""Tokens beside the text that they are of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from attattr.result.spelled import spelled
from attattr.result.values import Axis


def axis(*tokens: str, segments=None, words=None) -> Axis:
    n = len(tokens)
    special = tuple(token in ("[CLS]", "[SEP]", "[UNK]") for token in tokens)
    return Axis(tokens, segments or (0,) * n, words or tuple(range(n)), special)


def test_capitals_accents_and_spaces_come_back():
    tokens = ("cafe", "zu", "##rich", "does", "n", "'", "t", "cafe")
    found = spelled(axis(*tokens, words=(0, 1, 1, 2, 3, 4, 5, 6)), ["Café ZÜrich  doesn't, CAFÉ"])
    assert found[0] == ["Café", "ZÜ", "rich", "does", "n", "'", "t", "CAFÉ"]
    assert found[1] == [False, False, True, False, True, True, True, False]


def test_combining_marks_belong_to_their_letter():
    assert spelled(axis("cafe", "bar"), ["Cafe\u0301 bar"])[0] == ["Cafe\u0301", "bar"]


def test_what_is_not_in_the_text_stays_and_the_rest_is_found_again():
    names, close = spelled(axis("the", "[UNK]", "film", "�", "ends"), ["The ☃ Film 漢 Ends"])
    assert names == ["The", "[UNK]", "Film", "�", "Ends"] and not any(close)


def test_each_segment_is_looked_for_in_its_own_text():
    names, close = spelled(axis("a", "b", "a", "b", segments=(0, 0, 1, 1)), ["A b", "a B"])
    assert names == ["A", "b", "a", "B"] and not any(close)
    assert spelled(axis("a", "b", segments=(0, 1)), [None, None])[0] == ["a", "b"]


@given(st.text(max_size=30))
def test_words_cut_at_spaces_are_the_words_of_the_text(text):
    words = text.split()
    lowered = axis(*(word.lower() for word in words))
    assert len(spelled(lowered, [text])[0]) == len(words)
    plain = "".join(c if c.isascii() and c.isalnum() else " " for c in text).split()
    assert spelled(axis(*(word.lower() for word in plain)), [" ".join(plain)])[0] == plain
