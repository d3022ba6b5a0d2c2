"""What cannot be written: told before anything is computed, and where it fails all the same, not lost."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import namedtuple

import pytest

import attattr
import commands
import handmade
import tiny
from attattr.cli import options
from attattr.disk import files


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with data, a model, a table of heads, patterns and a saved result."""
    monkeypatch.chdir(tmp_path)
    model = tiny.bert(labels=2).float()
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model.save_pretrained("m")
    tiny.tokenizer().save_pretrained("m")
    rows = "the film is fine\tgood\nnot very good\tbad\nbad\tbad\ngood\tgood\n"
    (tmp_path / "d.tsv").write_text("sentence\tlabel\n" + rows)
    (tmp_path / "p.jsonl").write_text(attattr.Pattern((attattr.PatternToken(0, 0.5, "film"),)).line())
    handmade.attribution().save("r.attattr")
    (tmp_path / "out").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    commands.run(
        "heads", "rank", "d.tsv", "--model", "m", "--criterion", "taylor,random", "--out", "h.parquet"
    )
    return tmp_path


WORK = {  # verb, the module and function of its work, what it writes, what it shows
    "explain": ("explain film --model m --json out/x.json", "x.json", "Strongest"),
    "explain --save": ("explain film --model m --save out/x.attattr", "x.attattr", "Strongest"),
    "explain --html": ("explain film --model m --html out/x.html", "x.html", "Strongest"),
    "tree": ("tree r.attattr --figure out/x.svg", "x.svg", "handmade"),
    "figure": ("figure r.attattr --out out/x.svg", "x.svg", ""),
    "evaluate": ("evaluate d.tsv --model m --json out/x.json", "x.json", "accuracy"),
    "faithfulness": ("faithfulness d.tsv --model m --limit 2 --json out/x.json", "x.json", "n = 2"),
    "rank": ("heads rank d.tsv --model m --out out/x.parquet", "x.parquet", "the heads that matter most"),
    "rank --figure": ("heads rank d.tsv --model m --figure out/x.svg", "x.svg", "the heads that matter most"),
    "effectiveness": ("heads effectiveness d.tsv --model m --json out/x.json", "x.json", "n = 4"),
    "compare": ("heads compare h.parquet h.parquet --figure out/x.svg", "x.svg", "Over "),
    "curve": (
        "prune curve d.tsv --model m --rank-limit 2 --criteria random --json out/x.json", "x.json",
        "Ranked on 2",
    ),
    "prune": ("prune model --model m --heads h.parquet --out out/x", "x", "heads kept"),
    "mine": ("triggers mine d.tsv --model m --out out/x.jsonl", "x.jsonl", ""),
    "attack": (
        "triggers attack d.tsv --model m --patterns p.jsonl --no-controls --json out/x.json", "x.json",
        "film",
    ),
}  # fmt: skip


# their parts stand beside the output, in whose folder's place a new one is made
RESUMED = ("evaluate", "faithfulness", "rank", "rank --figure", "effectiveness", "curve", "mine", "attack")


@pytest.mark.parametrize("name", WORK)
def test_what_cannot_be_written_at_the_end_is_shown_and_kept(here, monkeypatch, name):
    """The folder goes while the work is done, or a folder takes the place: hours of it had been lost."""
    arguments, file, shown = WORK[name]
    check, load = options.check_files, options.TheModel.load

    def gone() -> None:
        if name in RESUMED:
            (here / "out" / file).mkdir()
            return
        shutil.rmtree(here / "out", ignore_errors=True)
        if name == "prune":  # which makes the folders that it needs
            (here / "out").write_text("")

    if name in ("tree", "figure", "compare"):  # no model is loaded
        monkeypatch.setattr(options, "check_files", lambda *a, **k: (check(*a, **k), gone()))
    else:
        monkeypatch.setattr(options.TheModel, "load", lambda asked: (gone(), load(asked))[1])
    outcome = commands.run(*arguments.split())
    assert outcome.exit_code == 1, outcome.stderr
    assert shown in outcome.stdout
    last = outcome.stderr.strip().splitlines()[-1]
    why = "[A-Z][a-z ]+"  # the system's words
    found = re.fullmatch(rf"Error: cannot write 'out/{re.escape(file)}': {why}; it is in '(.*)'", last)
    assert found, last
    assert os.path.exists(found[1]) and found[1].startswith(str(here / "temporary"))
    assert "Wrote" not in outcome.stderr or found[1] in outcome.stderr.replace(last, "")
    if file.endswith(".json"):
        json.loads((here / found[1]).read_text(encoding="utf-8"))


def test_several_failures_are_all_told(here, monkeypatch):
    load = options.TheModel.load

    def taken(asked):
        for name in ("a.json", "b.svg"):
            (here / "out" / name).mkdir()
        return load(asked)

    monkeypatch.setattr(options.TheModel, "load", taken)
    outputs = ("--json", "out/a.json", "--figure", "out/b.svg")
    outcome = commands.run("heads", "effectiveness", "d.tsv", "--model", "m", *outputs)
    assert outcome.exit_code == 1
    last = outcome.stderr.strip().splitlines()[-1]
    assert "out/a.json" in last and "out/b.svg" in last and last.count("it is in") == 2


BEFORE = (
    "heads rank d.tsv --model m --criterion odd",
    "heads rank d.tsv --model m --target bad",
    "heads rank d.tsv --model m --seed -1",
    "heads rank d.tsv --model m --figure x.gif",
    "heads rank d.tsv --model m --out out",
    "heads effectiveness d.tsv --model m --figure out/no/x.svg",
    "prune curve d.tsv --model m --criteria taylor,odd",
    "prune curve d.tsv --model m --rank-limit 4",
    "prune curve d.tsv --model m --seed -1",
    "prune model --model m --heads h.parquet --out new --keep-heads 1.5",
    "prune model --model m --heads h.parquet --out new --criterion odd",
    "prune model --model m --heads h.parquet --out m",
    "run d.tsv --model m --out new --tol 0",
    "run d.tsv --model m --out new --tol nan",
    "run d.tsv --model m --out d.tsv",
    "run d.tsv --model m --out new --limit 2 --seed -1",
    "evaluate d.tsv --model m --json out",
    "faithfulness d.tsv --model m --seed -1",
    "faithfulness d.tsv --model m --threshold 1",
    "triggers mine d.tsv --model m --out x.jsonl --seed -1",
    "triggers attack d.tsv --model m --patterns p.jsonl --seed -1",
    "check m --tokens 1",
    "check m --tokens 8,0",
    "explain film --model m --tol 0",
)


@pytest.mark.parametrize("arguments", BEFORE)
def test_what_can_be_known_is_said_before_a_model_is_loaded(here, monkeypatch, arguments):
    def load(asked):
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(options.TheModel, "load", load)
    outcome = commands.run(*arguments.split())
    assert outcome.exit_code == 2, outcome.stderr
    assert "Error: " in outcome.stderr and not (here / "new").exists()


def test_a_pruned_model_needs_room(here, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda at: usage(10, 10, 0))
    outcome = commands.run("prune", "model", "--model", "m", "--heads", "h.parquet", "--out", "new")
    assert outcome.exit_code == 1
    assert re.search("'new' takes .* and its disk has 0.0 GB left: make room", outcome.stderr)
    assert not (here / "new").exists()


def test_room_is_asked_where_the_folder_will_be(tmp_path):
    files.check_room(tmp_path / "not" / "yet", 1)
    with pytest.raises(attattr.AttAttrError, match="make room, or name another place"):
        files.check_room(tmp_path / "not" / "yet", 1 << 60)
