"""Inputs and stores that cannot be had: found early, said in a sentence, and no reason to stop the others."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import tiny
from attattr import AttAttrError, Attributor, Example, InputError
from attattr.cli import app
from attattr.engine.capture import Capture
from attattr.engine.memory import of_machine, out_of_memory
from attattr.engine.recording import _fused_agrees
from attattr.engine.ways import Ways, known, remember
from attattr.errors import ImpossibleError
from attattr.runs.run import attribute_data
from attattr.runs.shard import Work

PROVEN = Ways(softmax=False, ending=True, proven=True)
TEXTS = ["a fine film", "the man eats and eats and eats", "nobody sleeps", "not good"]
ROWS = [
    Example(text, label=label, line=i + 2) for i, (text, label) in enumerate(zip(TEXTS, "abab", strict=True))
]


@pytest.fixture
def attributor():
    model = tiny.bert(labels=2).float()
    model.config.id2label, model.config.label2id = {0: "a", 1: "b"}, {"a": 0, "b": 1}
    return Attributor(model, tiny.tokenizer())


@pytest.fixture
def too_long(monkeypatch):
    """Inputs of more than 6 tokens find no memory, at whatever number of rows."""
    resume = Capture.resume

    def limited(self, recording, inputs, parts):
        if parts[0].context.shape[1] > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return resume(self, recording, inputs, parts)

    monkeypatch.setattr(Capture, "resume", limited)


def test_a_run_leaves_out_what_finds_no_memory_and_says_so(attributor, too_long, tmp_path):
    remember(attributor.model, PROVEN)
    told = []
    run = attribute_data(
        attributor, ROWS, tmp_path, work=Work(n_steps=2), shard_size=2, progress=lambda s: told.append(s)
    )
    assert run.complete and run.left_out == 1
    assert run.inputs.to_table()["row"].to_pylist() == [0, 2, 3]  # the others keep their numbers
    assert told[-1].inputs_done == 4
    (line,) = (tmp_path / "left_out.jsonl").read_text().splitlines()
    assert json.loads(line) == {"line": 3, "reason": "not enough memory for an input of 9 tokens: shorten it"}
    again = attribute_data(attributor, ROWS, tmp_path, work=Work(n_steps=2), shard_size=2)
    assert again.left_out == 1 and (tmp_path / "left_out.jsonl").read_text().splitlines() == [line]


@pytest.mark.parametrize("store", ["edges", "heads", "dense"])
def test_a_shard_of_nothing_but_impossible_inputs(attributor, too_long, tmp_path, store):
    remember(attributor.model, PROVEN)
    work = Work(n_steps=2, store=store)
    run = attribute_data(attributor, ROWS[1:3], tmp_path, work=work, shard_size=1)
    assert run.complete and run.left_out == 1
    assert run.inputs.to_table()["row"].to_pylist() == [1]
    if store == "edges":
        assert set(run.edges.to_table()["row"].to_pylist()) == {1}


def test_the_library_raises_at_the_first(attributor, too_long):
    remember(attributor.model, PROVEN)
    with pytest.raises(AttAttrError, match="not enough memory for an input of 9 tokens"):
        attributor.attribute(TEXTS, n_steps=2)


def test_an_input_that_overflows_spoils_no_other(attributor):
    """One input of a batch whose output is not finite."""
    embeddings = attributor.model.get_input_embeddings()
    with torch.no_grad():
        embeddings.weight[attributor.tokenizer.convert_tokens_to_ids("nobody")] = torch.inf
    found = attributor.attributed(ROWS, None, _options(), keep_going=True)
    assert [isinstance(each, ImpossibleError) for each in found] == [False, False, True, False]
    assert "not finite" in str(found[2])
    expected = attributor.attribute(TEXTS[3], n_steps=2)
    assert np.allclose(found[3].scores, expected.scores, atol=1e-6)
    with pytest.raises(AttAttrError, match="not finite"):
        attributor.attribute(TEXTS, n_steps=2)


def _options():
    from attattr.engine.options import Options

    return Options(None, "gausslegendre", 2, 1e-3, "zero", None, None, "dense")


def test_the_command_says_how_many(too_long, attributor, tmp_path):
    attributor.model.save_pretrained(tmp_path / "model")
    attributor.tokenizer.save_pretrained(tmp_path / "model")
    lines = ["sentence\tlabel", *(f"{row.text}\t{row.label}" for row in ROWS)]
    (tmp_path / "data.tsv").write_text("\n".join(lines) + "\n")
    words = ["run", "data.tsv", "--model", "model", "--out", "out"]
    words = [str(tmp_path / word) if word in ("data.tsv", "model", "out") else word for word in words]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert "1 inputs could not be attributed; left_out.jsonl says why" in found.output


def test_no_memory_in_a_shortcut_is_not_taken_for_a_model_that_has_none(attributor, monkeypatch):
    """It would switch every shortcut off, for good."""
    resume, failures = Capture.resume, [1]

    def once(self, *args):
        if failures:
            failures.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return resume(self, *args)

    monkeypatch.setattr(Capture, "resume", once)
    found = attributor.attribute(TEXTS[:2], n_steps=2)
    assert not failures and known(attributor.model) == PROVEN
    assert len(found) == 2


def test_no_memory_for_fused_attention_is_an_error():
    def crowded(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        _fused_agrees(crowded, torch.zeros(1), (), {})


def test_no_memory_while_padding_is_looked_at_is_no_error(attributor, monkeypatch):
    wanted = attributor.attribute(TEXTS, n_steps=2)
    record, failures = Capture.record, [1]

    def once(self, inputs, share=1):
        if failures:
            failures.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return record(self, inputs, share)

    monkeypatch.setattr(Capture, "record", once)
    for a, b in zip(attributor.attribute(TEXTS, n_steps=2), wanted, strict=True):
        assert np.array_equal(a.scores, b.scores)


def test_every_score_of_a_long_text_is_refused_before_anything_is_computed(attributor, monkeypatch):
    monkeypatch.setattr("attattr.engine.memory.of_machine", lambda: 20_000)
    monkeypatch.setattr(Capture, "record", lambda *_: pytest.fail("computed"))
    text = "a fine film " * 15  # 47 tokens: 3 layers × 2 heads × 47² × 8 bytes
    with pytest.raises(
        InputError, match=r"store='dense' would keep 0\.0 GB of scores \(1 inputs.*store='edges'"
    ):
        attributor.attribute(text)
    monkeypatch.undo()
    monkeypatch.setattr("attattr.engine.memory.of_machine", lambda: 20_000)
    assert attributor.attribute(text, store="edges", n_steps=2).sites[0].edges is not None
    assert attributor.attribute("a fine film", n_steps=2).scores.shape == (3, 2, 5, 5)


def test_a_long_text_is_kept_by_its_edges(attributor, monkeypatch):
    def store():
        return attributor.attribute("a fine film", store="auto", n_steps=2).options["store"]

    assert store() == "dense"
    monkeypatch.setattr("attattr.engine.attributor.LONGEST_DENSE", 4)
    assert store() == "edges"


def test_what_counts_as_a_lack_of_memory():
    assert out_of_memory(MemoryError()) and out_of_memory(
        RuntimeError("DefaultCPUAllocator: can't allocate memory")
    )
    assert not out_of_memory(ValueError("out of memory")) and not out_of_memory(RuntimeError("shapes"))
    assert 1 << 28 < of_machine() < 1 << 50


def test_a_tuple_of_targets_says_what_it_is(attributor):
    assert attributor.attribute(TEXTS[:2], target=("a", "b"), n_steps=2)[0].target.kind == "difference"
    with pytest.raises(InputError, match=r"a tuple is one target for every input.*give a list"):
        attributor.attribute(TEXTS, target=("a", "b", "a", "b"))
    with pytest.raises(InputError) as error:
        attributor.attribute(TEXTS[:1], target=("a", "b", "a"))
    assert "give a list" not in str(error.value)


@pytest.mark.parametrize("target", [np.int64(1), torch.tensor(1), np.uint8(1)])
def test_numbers_of_other_kinds_are_labels_too(attributor, target):
    assert attributor.attribute("a fine film", target=target, n_steps=2).target.label == "b"
    with pytest.raises(InputError):
        attributor.attribute("a fine film", target=np.float64(1))
