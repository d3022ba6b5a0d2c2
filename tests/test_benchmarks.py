"""The opponent in the benchmarks computes what it is said to, and documents hold what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from test_engine import close

import tiny
from attattr import Attributor, Example
from attattr.engine import literal as by_the_letter
from families import FAMILIES

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import gpu
import literal
import speed
import speed_page
import trained

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


# -- benchmarks/gpu.py, as far as a CPU goes -------------------------------------------------------------


def test_without_a_gpu_nothing_is_measured_and_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert end.value.code == 1 and "no GPU" in capsys.readouterr().err


def test_a_device_that_computes_otherwise_fails(monkeypatch, capsys):
    bert = {"bert": FAMILIES["bert"]}
    assert gpu.families_agree("cpu", bert) and "MORE" not in capsys.readouterr().out
    real = by_the_letter.literal_scores
    monkeypatch.setattr(
        by_the_letter, "literal_scores", lambda *given, **more: [1.01 * each for each in real(*given, **more)]
    )
    assert not gpu.families_agree("cpu", bert)
    said = capsys.readouterr().out
    assert "bert, from the paper's algorithm to the letter: 9.9e-03, which is MORE than 1.0e-04" in said


def test_what_a_decoder_costs_is_a_row_of_the_table(capsys):
    gpu.costs("cpu", gpu.TINY, (16,))
    row = capsys.readouterr().out.splitlines()[-1].split("|")
    assert [cell.strip() for cell in row[1:3]] == ["tiny", "16"]


# -- the sections of trained models, on a tiny one -------------------------------------------------------


@pytest.fixture
def few(monkeypatch):
    """A model and two inputs in place of the trained ones and their data."""
    model = tiny.bert().requires_grad_(False)
    attributor = Attributor(model, tiny.tokenizer())
    examples = [Example("the film is very good"), Example("not a bad man")]
    monkeypatch.setattr(trained, "FILES", {"tiny": ""})
    monkeypatch.setattr(trained, "TURNS", 1)
    monkeypatch.setattr(trained, "opened", lambda name, data, **options: (attributor, examples))
    return attributor, examples


def test_steps_to_equal_error_are_as_many_as_it_says(few):
    attributor, examples = few
    found = trained.equal(Path())["tiny"]
    for example, row in zip(examples, found, strict=True):
        exact = attributor.attribute(example, n_steps=trained.REFERENCE)
        for rule, (method, _) in trained.SUMS.items():
            assert row[rule]["few"] / row[rule]["many"] == pytest.approx(4, rel=0.1)
            n = round(row[rule]["steps"])
            reached = trained.distance(attributor.attribute(example, method=method, n_steps=n), exact)
            assert reached == pytest.approx(row["error"], rel=0.1)
    page = speed_page.document({"machine": MACHINE, "equal": {"tiny": found}, "when": {"equal": WHEN}})
    assert "| tiny |" in page and "this process had 20% of a core" in page


def test_what_is_timed_of_trained_models_is_shown_first(few):
    times, work = trained.trained(Path()), trained.limit(Path())
    assert [row["nodes"] for row in times["tiny"]] == [
        [site.n_steps for site in few[0].attribute(example).sites] for example in few[1]
    ]
    assert work["tiny"]["their_flop"] > work["tiny"]["flop"] > 0
    results = {
        "limit": work,
        "trained": times,
        "machine": MACHINE,
        "when": dict.fromkeys(("limit", "trained"), WHEN),
    }
    page = speed_page.document(results)
    assert page.index("## One input, trained models") < page.index("## What stands in the way")
    assert page.count("| tiny |") == (3 if trained.HALF else 2)


@pytest.mark.parametrize("captum", [True, False])
def test_all_that_is_timed_beside_one_input_has_as_many_turns(captum, monkeypatch):
    monkeypatch.setattr(speed, "turns", lambda contestants, count: {"who": list(contestants), "count": count})
    found = speed.beside(tiny.bert().requires_grad_(False), tiny.text(5), captum=captum, count=2)
    assert found["count"] == 2 and ("Captum, 50 steps" in found["who"]) is captum


MACHINE = {"torch": "2", "machine": "m", "threads": 1}
WHEN = {"date": "2020-01-01", "share": 0.2}
