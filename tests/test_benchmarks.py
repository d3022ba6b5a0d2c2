"""The opponent in the benchmarks computes what it is said to, and documents hold what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from test_engine import close

import tiny
from attattr import Attributor

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import literal
import speed_page

import runs


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


def test_the_figures_in_the_documents_are_those_of_the_benchmark():
    results = json.loads(runs.OUT.read_text(encoding="utf-8"))
    document = (runs.OUT.parents[1] / "docs" / "runs.md").read_text(encoding="utf-8")
    assert runs.table(results) in document


def test_the_page_of_the_benchmarks_is_written_from_their_figures():
    root = runs.OUT.parents[1]
    results = json.loads((root / "benchmarks" / "speed.json").read_text(encoding="utf-8"))
    assert speed_page.document(results) == (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
