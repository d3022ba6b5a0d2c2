"""attattr run --generate: many prompts into tables, gone on with where it ended."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

import attattr
import chats
import commands
import tiny
from attattr import InputError
from attattr.generation import many
from attattr.generation.many import explain_prompts, read_prompts

ROWS = [
    {"messages": chats.CHAT, "reply": "good film. bad man", "sources": chats.DOCUMENTS, "id": "first"},
    {"prompt": chats.TEXT, "sources": {"one": "nowhere"}, "reply": "good"},
    {"prompt": chats.TEXT},
]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.mark.filterwarnings("ignore:the reply was cut")
def test_prompts_become_tables_and_a_stopped_run_goes_on(data, tmp_path, monkeypatch):
    lm = attattr.Attributor(tiny.gpt2(), chats.tokenizer())
    rows = read_prompts(str(data))
    assert [row.line for row in rows] == [1, 2, 3] and rows[2].reply is None
    how = {"n_steps": 2, "spans": "sentence", "max_new_tokens": 3}
    computed: list[int] = []
    explained = many._explained

    def counted(lm, number, row, options):
        if len(computed) == 2:
            computed.append(-1)
            raise KeyboardInterrupt
        computed.append(number)
        return explained(lm, number, row, options)

    monkeypatch.setattr(many, "_explained", counted)
    with pytest.raises(KeyboardInterrupt):
        explain_prompts(lm, rows, tmp_path / "out", **how)
    assert not (tmp_path / "out" / "spans.parquet").exists()
    assert explain_prompts(lm, rows, tmp_path / "out", **how) == (2, 1)
    assert computed == [0, 1, -1, 2]
    spans = pq.read_table(tmp_path / "out" / "spans.parquet").to_pylist()
    assert [(span["row"], span["text"]) for span in spans[:2]] == [(0, "good film."), (0, "bad man")]
    assert spans[0]["id"] == "first" and spans[0]["stopped"] == "given" and spans[-1]["stopped"] == "length"
    cells = pq.read_table(tmp_path / "out" / "sources.parquet").to_pylist()
    made = lm.attribute_generation(
        chats.CHAT, continuation="good film. bad man", sources=chats.DOCUMENTS, n_steps=2
    )
    expected = made.per_source().rows()
    assert [(c["span"], c["source"]) for c in cells[: len(expected)]] == [
        (c["span"], c["source"]) for c in expected
    ]
    assert [c["effect"] for c in cells[: len(expected)]] == pytest.approx([c["effect"] for c in expected])
    told = json.loads((tmp_path / "out" / "left_out.jsonl").read_text(encoding="utf-8"))
    assert told["line"] == 2 and "the source 'one' is not in the prompt" in told["reason"]
    with pytest.raises(InputError, match="holds what is done of another call: its options"):
        explain_prompts(lm, rows, tmp_path / "out", **how | {"spans": "whole"})


def test_faults_of_the_whole_run_are_told_at_once(data, tmp_path):
    rows = read_prompts(str(data))
    for lm, said in (
        (attattr.Attributor(tiny.gpt2(), chats.tokenizer(None)), "has no chat template"),
        (attattr.Attributor(tiny.bert(), chats.tokenizer()), "writes no text"),
    ):
        with pytest.raises(InputError, match=said):
            explain_prompts(lm, rows, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_decides_on_the_reply_is_part_of_the_run(data, tmp_path):
    lm = attattr.Attributor(tiny.gpt2(), chats.tokenizer())
    rows = read_prompts(str(data))[1:2]  # one that is left out
    assert explain_prompts(lm, rows, tmp_path) == (0, 1)
    lm.tokenizer.chat_template += " "
    with pytest.raises(InputError, match="its writing chat template is"):
        explain_prompts(lm, rows, tmp_path)
    assert explain_prompts(lm, rows, tmp_path, fresh=True) == (0, 1)
    lm.model.generation_config.repetition_penalty = 1.5
    with pytest.raises(InputError, match="its writing generation config is"):
        explain_prompts(lm, rows, tmp_path)


def test_a_row_without_sources_of_its_own(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a", "sources": {"one": null}}\n', encoding="utf-8")
    assert read_prompts(str(file))[0].sources is None


def test_the_command(data, tmp_path):
    folder = chats.folder(tmp_path / "lm", tiny.gpt2())
    words = ["run", data, "--generate", "--model", folder, "--out", tmp_path / "out", "--n-steps", 2]
    done = commands.run(*words, "--max-new-tokens", 2)
    assert done.exit_code == 0, done.stderr
    assert "2 replies in spans.parquet" in done.stdout and "1 prompts could not be explained" in done.stdout
    for more, said in (
        (["--target", "gold"], "--target does not go with --generate"),
        (["--method", "gradient", "--n-steps", "auto", "--refine", "1"], "--refine does not go with"),
        (["--max-new-tokens", "3"], "begin anew (--fresh)"),
        (["--spans", "word"], "'word' is not one of"),
    ):
        refused = commands.run(*words, *more)
        assert refused.exit_code == 2 and said in refused.stderr
    again = commands.run(*words, "--max-new-tokens", 3, "--fresh")
    assert again.exit_code == 0 and "2 replies" in again.stdout
    plain = commands.run("run", data, "--model", folder, "--out", tmp_path / "x", "--spans", "token")
    assert plain.exit_code == 2 and "--spans goes with --generate" in plain.stderr
    other = tmp_path / "texts.jsonl"
    other.write_text('{"text": "a"}\n')
    refused = commands.run("run", other, "--generate", "--model", folder, "--out", tmp_path / "x")
    assert refused.exit_code == 2 and "has no column 'prompt' or 'messages', but text" in refused.stderr


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"n_steps": 0}, "n_steps"),
        ({"method": "magic"}, "method"),
        ({"spans": "letters"}, "spans"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"memory_budget": 0}, "memory_budget"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_error_at_the_start(option, says, data, tmp_path):
    lm = attattr.Attributor(tiny.gpt2(), chats.tokenizer())
    with pytest.raises(InputError, match=says):
        explain_prompts(lm, read_prompts(str(data)), tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()
