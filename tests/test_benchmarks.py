"""The opponent in the benchmarks computes what it is said to."""

from __future__ import annotations

import sys
from pathlib import Path

import tiny
from attattr import Attributor
from test_engine import close

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import literal


def test_the_literal_algorithm_is_the_left_sum_of_64_steps():
    model, tokenizer = tiny.bert(), tiny.tokenizer()
    expected = Attributor(model, tokenizer).attribute(
        "the film is very good", method="riemann_left", n_steps=64
    )
    found = literal.attribute(model, tokenizer, "the film is very good", padded=False)
    close(found, expected.scores)
    n = len(expected.tokens)
    padded = literal.attribute(model, tokenizer, "the film is very good")
    assert padded.shape[-1] == literal.PADDED
    close(padded[..., :n, :n], expected.scores)
