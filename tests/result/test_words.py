"""Words and marks: every view groups and names tokens alike."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from rich.console import Console

import handmade
from attattr.page.facts import report
from attattr.report.terminal import view
from attattr.result.tree import merge_words
from attattr.result.values import Axis
from attattr.result.words import grouped, piece, unmarked

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
