"""A folder of good and broken inputs of every kind, and the rule that every command has to keep with them."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transformers as t

import attattr
import commands
import handmade
import tiny
from attattr.heads.importance import HeadRanking, Importance

ROWS = "sentence\tlabel\nthe film is fine\tgood\nthe film is bad\tbad\ngood film\tgood\nnot good\tbad\n"
DATA: dict[str, bytes] = {
    "t.tsv": ROWS.encode(),
    "empty.tsv": b"",
    "header.tsv": b"sentence\tlabel\n",
    "blank.tsv": b"\n\n\n",
    "one.tsv": b"sentence\na film\nbad\n",
    "nameless.tsv": b"\t\na\tb\n",
    "twice.tsv": b"sentence\tsentence\na\tb\n",
    "other.tsv": b"x\ty\na film\tgood\nbad\tbad\n",
    "strangers.tsv": b"sentence\tlabel\na film\t7\nbad\teight\n",
    "same.tsv": b"sentence\tlabel\na film\tgood\nthe film\tgood\n",
    "nul.tsv": b"sentence\tlabel\na\0film\tgood\nb\tbad\n",
    "latin.tsv": b"sentence\tlabel\nfilm\xe9\tgood\nbad\tbad\n",
    "utf16.tsv": ROWS.encode("utf-16"),
    "binary.tsv": bytes(range(256)) * 8,
    "huge.tsv": b"sentence\tlabel\n" + b"film " * 400_000 + b"\tgood\nbad\tbad\n",
    "ragged.csv": b"sentence,label\na,good,x,y\nb\n",
    "later.csv": b"sentence,label\na,good\nb,bad,x,y\n",
    "quote.csv": b'sentence,label\n"a,good\n',
    "x.jsonl": b'{"sentence": "a film", "label": "good"}\n{"sentence": "bad", "label": "bad"}\n',
    "bad.jsonl": b'{"sentence": "a film"\n',
    "list.jsonl": b"[1, 2]\n[3]\n",
    "numbers.jsonl": b'{"sentence": 1, "label": 2}\n',
    "nested.jsonl": b'{"sentence": {"a": "b"}, "label": ["c"]}\n',
    "deep.jsonl": b'{"sentence": ' + b"[" * 5000 + b"]" * 5000 + b"}\n",
    "bad.parquet": b"PAR1" + b"\0" * 50 + b"PAR1",
    "empty.parquet": b"",
    "plain.tsv.gz": b"not packed",
    "cut.tsv.gz": gzip.compress(ROWS.encode() * 50)[:40],
    "x.pdf": b"%PDF",
}
OTHERS: dict[str, bytes] = {
    "text.attattr": b"a film",
    "empty.attattr": b"",
    "text.parquet": b"importance",
    "bad.patterns": b"{}\n",
    "binary.patterns": b"\xff\xfe\0",
    "empty.patterns": b"",
    "bad.json": b"{",
    "other.json": b'{"schema_version": "1"}',
    "list.json": b"[]",
    "deep.json": b"[" * 100_000,
}


def make_files(folder: Path) -> None:
    """All that needs no model."""
    for name, content in (DATA | OTHERS).items():
        (folder / name).write_bytes(content)
    for name in ("folder", "folder.tsv", "folder.attattr", "folder.parquet", "folder.json", "none"):
        (folder / name).mkdir()
    result = handmade.attribution()
    result.save(folder / "r.attattr")
    handmade.attribution("heads").save(folder / "heads.attattr")
    (folder / "cut.attattr").write_bytes((folder / "r.attattr").read_bytes()[:-7])
    draw = np.random.default_rng(0)
    HeadRanking({"taylor": Importance(*draw.random((3, 3, 2)))}, ("0", "1", "2"), ("ab",), {}).save(
        folder / "h.parquet"
    )
    HeadRanking({"taylor": Importance(*draw.random((3, 2, 2)))}, ("0", "1"), (), {}).save(
        folder / "two.parquet"
    )
    (folder / "cut.parquet").write_bytes((folder / "h.parquet").read_bytes()[:-7])
    pattern = attattr.Pattern((attattr.PatternToken(0, 0.5, "film"),))
    (folder / "p.jsonl").write_text(pattern.line())
    (folder / "second.jsonl").write_text(attattr.Pattern((attattr.PatternToken(1, 0.5, "film"),)).line())
    os.mkfifo(folder / "pipe")
    (folder / "gone").symlink_to("nowhere")


def make_models(folder: Path) -> None:
    """Models that can be used, that cannot, and that are broken."""
    model = tiny.bert(labels=2).float()
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model.save_pretrained(folder / "m")
    tiny.tokenizer().save_pretrained(folder / "m")
    config = json.loads((folder / "m" / "config.json").read_text())
    tiny.bert(labels=2).float().save_pretrained(folder / "mute")
    tiny.gpt2().float().save_pretrained(folder / "lm")
    tiny.tokenizer(bert=False).save_pretrained(folder / "lm")
    sizes = t.BertConfig(**tiny.SMALL, num_attention_heads=2)
    for name, kind in (
        ("bare", t.BertModel), ("tokens", t.BertForTokenClassification), ("qa", t.BertForQuestionAnswering),
        ("mlm", t.BertForMaskedLM), ("choice", t.BertForMultipleChoice),
    ):  # fmt: skip
        kind(sizes).save_pretrained(folder / name)
        tiny.tokenizer(mask=name == "mlm").save_pretrained(folder / name)
    tiny.bert(labels=1).float().save_pretrained(folder / "number")
    tiny.tokenizer().save_pretrained(folder / "number")
    shutil.copytree(folder / "m", folder / "weightless")
    (folder / "weightless" / "model.safetensors").unlink()
    shutil.copytree(folder / "m", folder / "cut")
    (folder / "cut" / "model.safetensors").write_bytes(
        (folder / "m" / "model.safetensors").read_bytes()[:999]
    )
    for name, facts in {
        "strange": config | {"architectures": ["NoSuchModel"], "model_type": "no_such"},
        "nothing": {}, "list": [], "wide": config | {"hidden_size": 17}, "text": "config",
        "many": config | {"num_hidden_layers": "many"}, "narrow": config | {"vocab_size": 7},
        "unnamed": config | {"architectures": None},
    }.items():  # fmt: skip
        shutil.copytree(folder / "m", folder / name)
        (folder / name / "config.json").write_text(json.dumps(facts))
    (folder / "nojson").mkdir()
    (folder / "nojson" / "config.json").write_bytes(b"\xff{")
    of_m: dict[str, Any] = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(folder / "m"),
        "task_type": "SEQ_CLS",
    }
    adapters: dict[str, Any] = {
        "adapter-list": [],
        "adapter-nothing": {},
        "adapter-strange": of_m | {"peft_type": "MAGIC"},
        "adapter-baseless": of_m | {"base_model_name_or_path": str(folder / "no base")},
        "adapter-empty": of_m,
        "adapter-number": of_m | {"base_model_name_or_path": 7},
    }
    for prompt in ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING"):
        adapters[prompt.lower()] = of_m | {"peft_type": prompt, "num_virtual_tokens": 3}
    for name, facts in adapters.items():
        (folder / name).mkdir()
        (folder / name / "adapter_config.json").write_text(json.dumps(facts))
    good = attattr.Attributor(model, tiny.tokenizer())
    rows = [attattr.Example("the film is fine", label="good"), attattr.Example("bad", label="bad")]
    attattr.attribute_data(good, rows, folder / "run", work=attattr.Work(n_steps=2), shard_size=1)
    shutil.copytree(folder / "run", folder / "hurt")
    next((folder / "hurt" / "inputs").glob("*.parquet")).write_bytes(b"hurt")
    shutil.copytree(folder / "run", folder / "unmade")
    (folder / "unmade" / "manifest.json").write_text("{}")


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


def command(*arguments: str) -> Outcome:
    """The command in this process, told plainly."""
    done = commands.run(*arguments)
    return Outcome(done.exit_code, done.stdout, done.stderr)


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def kept(outcome: Outcome, arguments: tuple[str, ...], new: set[str]) -> None:
    """One sentence of our own, a code that is promised, and no file that was not asked for."""
    said = (arguments, outcome)
    assert outcome.code in (0, 1, 2, 130), said
    assert "Traceback" not in outcome.stdout + outcome.stderr, said
    assert "ATTATTR_TRACEBACK" not in outcome.stderr, said  # only the catch-all says so
    if outcome.code:
        lines = outcome.stderr.strip().splitlines()
        usage = any(line.startswith("Usage:") for line in lines)
        assert usage or (lines and lines[-1].startswith("Error: ")), said
        assert sum(line.startswith("Error: ") for line in lines) <= 1, said
    asked = {os.path.normpath(each) for each in arguments}
    asked |= {os.path.relpath(os.path.realpath(each)) for each in arguments if os.path.islink(each)}
    assert not {name for name in new if not asked & {name, *map(str, Path(name).parents)}}, (said, new)
