"""The proof that sources are found: its rows, its table, and its numbers on a tiny random model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import attattr
import chats
import tiny
from attattr import InputError

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

import sources

REPLY = "good film man"


def rows(path: Path, *more: dict) -> Path:
    known = {"messages": chats.CHAT, "reply": REPLY, "sources": chats.DOCUMENTS, "kind": "one"}
    lines = [known | {"right": ["two"]}, known | {"right": ["one", "three"], "kind": "two"}, *more]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def test_the_command_resumes_and_writes_its_table(tmp_path, monkeypatch, capsys):
    chats.folder(tmp_path / "lm", tiny.gpt2())
    document = tmp_path / "page.md"
    document.write_text("before\n{}\nold\n{}\nafter\n".format(*sources.MARKS), encoding="utf-8")
    words = ["--model", str(tmp_path / "lm"), "--rows", str(rows(tmp_path / "rows.jsonl"))]
    words += ["--work", str(tmp_path / "work"), "--document", str(document)]
    measure = sources.measure
    done: list[str] = []

    def stopped(lm, row):
        if done:
            raise KeyboardInterrupt
        done.append(row["kind"])
        return measure(lm, row)

    monkeypatch.setattr(sources, "measure", stopped)
    with pytest.raises(SystemExit) as end:
        sources.main(words)
    assert end.value.code == 130 and "old" in document.read_text(encoding="utf-8")
    counted: list[str] = []
    monkeypatch.setattr(sources, "measure", lambda lm, row: counted.append(row["kind"]) or measure(lm, row))
    sources.main(words)
    assert counted == ["two"]  # the first was kept
    facts = json.loads((tmp_path / "work" / "sources.json").read_text(encoding="utf-8"))
    assert [line["kind"] for line in facts["table"]] == ["one", "two", "all"]
    assert facts["rows"][0]["sources"] == [*chats.DOCUMENTS] and facts["model"]["class"] == "GPT2LMHeadModel"
    page = document.read_text(encoding="utf-8")
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
    assert page.count("\n| ") == 4 and "measured effect" in page
    assert sources.markdown(facts["table"]) in capsys.readouterr().out


def test_attention_and_gradient_by_hand(tmp_path):
    """Attention from the model's own output; gradient × attention by the gradient of a leaf of weights."""
    lm = attattr.Attributor(tiny.gpt2(), chats.tokenizer())
    row = json.loads(rows(tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()[0])
    found = sources.cheaper(lm, row)
    text = lm.tokenizer.apply_chat_template(row["messages"], tokenize=False, add_generation_prompt=True)
    ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    words = lm.tokenizer(REPLY, add_special_tokens=False)["input_ids"]
    lm.model.set_attn_implementation("eager")
    outputs = lm.model(torch.tensor([ids + words[:-1]]), output_attentions=True)
    names = lm.tokenizer.convert_ids_to_tokens(ids)
    start = names.index("a")
    tokens = range(start, start + 4)
    assert names[start : start + 4] == chats.DOCUMENTS["two"].split()
    shares = [w[0, :, len(ids) - 1 :, list(tokens)].sum(-1).mean() for w in outputs.attentions]
    assert found["attention"][1] == pytest.approx(float(sum(shares) / len(shares)), abs=1e-9)
    assert found["last"][1] == pytest.approx(float(shares[-1]), abs=1e-9)
    logs = outputs.logits[0, len(ids) - 1 :].log_softmax(-1)
    value = sum(logs[i, word] for i, word in enumerate(words))
    outside = [i for i in range(len(ids) + len(words) - 1) if i not in tokens]
    gradients = torch.autograd.grad(value, outputs.attentions)
    expected = sum(
        float((g * w)[0][:, outside][:, :, list(tokens)].sum())
        for g, w in zip(gradients, outputs.attentions, strict=True)
    )
    assert found["gradient"][1] == pytest.approx(expected, rel=1e-6)


def test_one_right_source_is_first_two_are_the_first_two():
    row = {"sources": ["a", "b", "c"], "right": ["b"], "effect": [0.5, 1.0, -2.0]}
    assert sources.hit(row, "effect") and not sources.hit(row | {"right": ["a"]}, "effect")
    assert sources.hit(row | {"right": ["a", "b"]}, "effect")
    assert not sources.hit(row | {"right": ["b", "c"]}, "effect")


def test_the_table_counts_by_kind_with_intervals():
    ways = {way: [1.0, 0.0] for way in sources.WAYS}
    one = {"kind": "x", "sources": ["a", "b"], "right": ["a"], **ways}
    lines = sources.table([one, one | {"kind": "y", "edges": [0.0, 1.0]}])
    assert [(line["kind"], line["n"]) for line in lines] == [("x", 1), ("y", 1), ("all", 2)]
    assert [line["edges"]["right"] for line in lines] == [1, 0, 1]
    assert [line["agree"]["right"] for line in lines] == [1, 0, 1]
    low, high = attattr.measure.intervals.wilson(1, 2)
    assert (lines[2]["edges"]["low"], lines[2]["edges"]["high"]) == (low, high)
    assert "50.0% (" in sources.markdown(lines).splitlines()[-1]


def test_rows_that_cannot_be_used(tmp_path):
    path = rows(tmp_path / "rows.jsonl", {"right": []})
    with pytest.raises(InputError, match="line 3 is no row with messages"):
        sources.read_rows(path)
    known = json.loads(path.read_text().splitlines()[0])
    with pytest.raises(InputError, match="'four' is right, and none of its sources"):
        sources.read_rows(rows(path, known | {"right": ["four"]}))
    assert len(sources.read_rows(rows(path, known | {"right": []}))) == 2  # no right source: left out
    with pytest.raises(InputError, match="lacks the marks"):
        sources.into(path)
    lm = attattr.Attributor(tiny.gpt2(), chats.tokenizer())
    with pytest.raises(InputError, match="row 1: the source 'two' is not in the prompt"):
        sources.measured(lm, [known | {"sources": {"two": "nowhere"}}], tmp_path / "work")
    assert np.isfinite(sources.cheaper(lm, known)["last"]).all()
