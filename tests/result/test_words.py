"""Words and marks: every view groups and names tokens alike."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

import handmade
from attattr import InputError
from attattr.page.facts import report
from attattr.report.terminal import view
from attattr.result.tree import merge_words
from attattr.result.values import Axis
from attattr.result.words import grouped, piece, unmarked, word_effects

AXIS = Axis(
    tokens=("[CLS]", "un", "##like", "##ly", " film", "##x", "[SEP]"),
    segments=(None, 0, 0, 0, 0, 0, None),
    words=(None, 0, 0, 0, 1, None, None),
    special=(True, False, False, False, False, False, True),
)
NAMES = ["[CLS]", "unlikely", "film", "x", "[SEP]"]


def test_special_tokens_keep_what_looks_like_a_mark():
    axis = replace(AXIS, tokens=("##", *AXIS.tokens[1:]))
    assert [piece(axis, i) for i in range(7)] == ["##", "un", "like", "ly", "film", "x", "[SEP]"]


def test_marks_go_from_the_front_alone():
    assert [unmarked(raw) for raw in ("##a##", "▁▁a▁b", "ĠaĠ", "a")] == ["a##", "a▁b", "aĠ", "a"]


def test_words_page_and_terminal_agree():
    scores = np.zeros((1, 7, 7), np.float32)
    scores[0, 0, 2] = 0.5
    site = handmade.site("layer.0", scores, np.full_like(scores, 1 / 7))
    result = handmade.attribution(axes={"input": AXIS}, sites=(site,))
    assert list(merge_words(result).tokens) == NAMES
    assert ["".join(piece(AXIS, i) for i in group) for group in grouped(AXIS.words)] == NAMES
    words = report(result).words
    assert words is not None and words.names == NAMES and words.members == grouped(AXIS.words)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(view(result, colour=True))
    shown = console.export_text()
    assert "[CLS] unlikely film x [SEP]" in shown and "[CLS] → unlikely[##like]" in shown


def test_what_words_gave_adds_up_to_the_layers_scores():
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(2, 3, 5, 5)).astype(np.float32)
    sites = tuple(handmade.site(f"layer.{n}", each, np.abs(each)) for n, each in enumerate(scores))
    result = handmade.attribution(sites=sites)
    for layer, each in ((None, scores[1]), (0, scores[0])):
        found = word_effects(result, layer)
        np.testing.assert_allclose(found.values, each.sum((0, 1)), atol=1e-5)
        assert found.total == found.values.sum() and found.total == pytest.approx(each.sum(), abs=1e-5)
    with pytest.raises(InputError, match="there is no layer 2: this result has 0 to 1"):
        word_effects(result, 2)
    with pytest.raises(InputError, match="no sums per token"):
        word_effects(handmade.attribution("heads"))


def test_words_of_an_encoder_decoder_are_those_of_the_encoders_last_layer():
    def site(kind, query, key, n):
        return handmade.site(
            kind,
            np.full((1, *n), 0.1, np.float32),
            np.ones((1, *n)),
            kind=kind,
            query_axis=query,
            key_axis=key,
        )

    sites = (
        site("encoder_self", "input", "input", (7, 7)),
        site("decoder_self", "output", "output", (5, 5)),
        site("cross", "output", "input", (5, 7)),
    )
    result = handmade.attribution(axes={"input": AXIS, "output": handmade.axis("a b c")}, sites=sites)
    assert (word_effects(result).layer, word_effects(result).axis) == (0, "input")
    assert (word_effects(result, 1).axis, len(word_effects(result, 1).values)) == ("output", 5)
