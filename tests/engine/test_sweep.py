"""A few model types of the sweep, and what the whole of it left in docs/models.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sweep
from attattr import Attributor
from attattr.engine.capture import Capture
from every_model import HEADS, make, pairs

FEW = {
    ("sequence classification", "bert"): "interface",
    ("sequence classification", "deberta-v2"): "softmax",
    ("causal LM", "qwen3"): "interface",  # grouped heads, norms of queries and keys
    ("causal LM", "gptj"): "softmax",
    ("seq2seq LM", "mbart"): "interface",
    ("image classification", "vit"): "interface",
}
DOCS = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.mark.filterwarnings("ignore")  # of transformers, about sizes no model has
@pytest.mark.parametrize(("head", "kind"), FEW)
def test_these_hold(head, kind):
    row = sweep.judge(head, kind)
    assert row["cell"] == "ok", row
    assert row["way"] == FEW[head, kind] and row["dtype"] == "float64" and row["gap"] <= 1e-4
    assert not row["left_out"]


def test_a_model_without_attention_is_refused_with_a_reason():
    row = sweep.judge("sequence classification", "fnet")
    assert (row["outcome"], row["cell"]) == ("unsupported", "no attention: Fourier transforms")
    assert "FNetForSequenceClassification" in row["said"]


def test_a_wrong_integral_is_found(monkeypatch):
    import attattr.engine.integral

    original = attattr.engine.integral.answered

    def wrong(*given):
        return [answer._replace(sums=1.01 * answer.sums) for answer in original(*given)]

    monkeypatch.setattr(attattr.engine.integral, "answered", wrong)
    assert sweep.judge("sequence classification", "bert")["outcome"] == "rough"  # and it said so itself


def test_a_wrong_resume_is_found(monkeypatch):
    model, example = make("causal LM", "llama")
    Attributor(model).attribute(example)  # its own check comes before
    original = Capture.resume

    def off(self, recording, inputs, parts):
        parts = [part._replace(context=part.context * 1.0001) for part in parts]
        return original(self, recording, inputs, parts)

    monkeypatch.setattr(Capture, "resume", off)
    monkeypatch.setattr("attattr.engine.shortcuts.proven", lambda batch: batch)
    with pytest.raises(AssertionError):
        sweep.examine(model, example)


def cells():
    lines = DOCS.read_text(encoding="utf-8").partition("## Every type")[2].partition("## ")[0].splitlines()
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in lines if line.startswith("| ")]
    header, body = rows[0], [row for row in rows[1:] if not row[0].startswith("---")]
    assert header == ["model type", *HEADS]
    return {(head, row[0]): cell for row in body for head, cell in zip(HEADS, row[1:], strict=True)}


def test_the_table_holds_every_pair_with_ok_or_a_reason():
    found = cells()
    assert {pair for pair, cell in found.items() if cell != "—"} == set(pairs())
    assert all(found.values())
    good = [pair for pair, cell in found.items() if cell == "ok"]
    assert len(good) >= 150 and set(FEW) <= set(good)
    for cell in set(found.values()) - {"ok", "—"}:
        assert re.match(r"[a-z]", cell) and "Error" not in cell, cell
    said = re.search(r"\*\*(\d+) of (\d+)\*\*", DOCS.read_text(encoding="utf-8"))
    assert said and (int(said[1]), int(said[2])) == (len(good), len(pairs()))
