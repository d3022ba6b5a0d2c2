"""Verbs that were stopped go on, and write what they would have written uninterrupted."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time

import pytest

import tiny
from attattr.cli import resuming
from attattr.disk import units
from attattr.heads import per_input, sensitivity
from attattr.measure import accuracy, faithfulness
from attattr.triggers import mine
from commands import run
from forked import command

WORDS = "the a film is fine bad not very man woman eats sleeps nobody and or good".split()
# a verb's words, and the option that names its output
VERBS = {
    "rank": ("heads rank DATA --criterion attattr,taylor,accuracy_drop --limit 20", "--out"),
    "effectiveness": ("heads effectiveness DATA --limit 12", "--json"),
    "curve": ("prune curve DATA --criteria attattr,taylor,random --rank-limit 8 --steps 4", "--json"),
    "mine": ("triggers mine DATA --limit 12", "--out"),
    "attack": ("triggers attack DATA --patterns PATTERNS", "--json"),
    "faithfulness": ("faithfulness DATA --limit 5", "--json"),
    "evaluate": ("evaluate DATA --batch-size 4", "--json"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a tiny random model, rows of data, and patterns."""
    home = tmp_path_factory.mktemp("home")
    model = tiny.bert(labels=2).float()
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model.save_pretrained(home / "model")
    tiny.tokenizer().save_pretrained(home / "model")
    draw = random.Random(0)
    for name, rows in (("data.tsv", 40), ("many.tsv", 4000)):
        lines = [
            f"{' '.join(draw.choices(WORDS, k=draw.randint(2, 8)))}\t{draw.choice(['bad', 'good'])}\n"
            for _ in range(rows)
        ]
        (home / name).write_text("sentence\tlabel\n" + "".join(lines))
    tokens = [{"tokens": [{"token": word, "segment": 0, "position": 0.5}]} for word in WORDS[:5]]
    (home / "patterns.jsonl").write_text("".join(json.dumps(each) + "\n" for each in tokens))
    return home


@pytest.fixture(autouse=True)
def _small_shares(request, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if "many" not in request.node.name:
        for module in (accuracy, sensitivity, per_input):
            monkeypatch.setattr(module, "SHARE", 8)
        monkeypatch.setattr(faithfulness, "SHARE", 1)
        monkeypatch.setattr(mine, "CHUNK", 3)


def asked(home, verb, out=None, data="data.tsv", **more):
    words, option = VERBS[verb]
    places = {"DATA": home / data, "PATTERNS": home / "patterns.jsonl"}
    said = [str(places.get(word, word)) for word in words.split()] + ["--model", str(home / "model")]
    return said + ([option, str(out)] if out else []) + [part for pair in more.items() for part in pair]


@contextlib.contextmanager
def stopped_after(count, monkeypatch):
    """Ctrl-C when so many parts, or shares of parts, were written."""
    real, written = units._bytes, []

    def interrupt(value):
        if len(written) == count:
            raise KeyboardInterrupt
        written.append(value)
        return real(value)

    with monkeypatch.context() as patch:
        patch.setattr(units, "_bytes", interrupt)
        yield


def parts(folder):
    return sorted(folder.glob(f".*.attattr/**/*{units.SUFFIX}"))


@pytest.mark.parametrize("verb", VERBS)
def test_interrupted_and_called_again_it_writes_the_same(home, tmp_path, monkeypatch, verb):
    whole = tmp_path / "whole" / "out"
    whole.parent.mkdir()
    assert run(*asked(home, verb, whole)).exit_code == 0
    assert [each.name for each in whole.parent.iterdir()] == ["out"]
    out = tmp_path / "out"
    done = 0
    for count in (2, 1):  # twice, the second time after one part more
        with stopped_after(count, monkeypatch):
            ended = run(*asked(home, verb, out))
        assert ended.exit_code == 130
        assert "interrupted: the same command goes on where this one ended" in ended.stderr
        assert ("going on: " in ended.stderr) == (done > 0)
        done += count
        assert len(parts(tmp_path)) == done and not out.exists()
    damaged = parts(tmp_path)[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    kept = {file: file.stat().st_mtime_ns for file in parts(tmp_path)[1:]}
    with monkeypatch.context() as patch:
        patch.setattr(units.Resume, "remove", lambda self: None)
        ended = run(*asked(home, verb, out))
    assert ended.exit_code == 0 and "going on: " in ended.stderr
    assert {file: file.stat().st_mtime_ns for file in kept} == kept  # and not computed again
    assert out.read_bytes() == whole.read_bytes()
    ended = run(*asked(home, verb, out))  # everything is there; now the folder goes
    assert ended.exit_code == 0 and out.read_bytes() == whole.read_bytes()
    told = [line.split() for line in ended.stderr.splitlines() if line.startswith("going on: ")]
    assert len(told) == 1 + (verb == "curve")  # which ranks, then takes heads out
    # the controls of an attack are one part, which is kept in shares
    assert all(int(words[2]) == int(words[4]) - (verb == "attack") for words in told)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "whole"]


@pytest.mark.parametrize(
    ("verb", "change", "named"),
    [
        ("rank", ("--reduce", "sum"), 'its options reduce is "max", now it is "sum"'),
        ("effectiveness", ("--limit", "11"), "its data rows is 12, now it is 11"),
        ("curve", ("--steps", "5"), "its options steps is 4, now it is 5"),
        ("mine", ("--pieces",), "its options pieces is false, now it is true"),
        ("attack", ("--insert-into", "premise"), "its options insert_into"),
        ("faithfulness", ("--threshold", "0.3"), "its options threshold is 0.4, now it is 0.3"),
        ("evaluate", ("--labels", "good,bad"), "its model labels"),
    ],
)
def test_parts_of_another_call_are_refused_and_fresh_begins_anew(
    home, tmp_path, monkeypatch, verb, change, named
):
    out = tmp_path / "out"
    with stopped_after(4 if verb == "curve" else 1, monkeypatch):
        assert run(*asked(home, verb, out)).exit_code == 130
    ended = run(*asked(home, verb, out), *change)
    assert ended.exit_code == 2 and named in ended.stderr and "begin anew (--fresh)" in ended.stderr
    ended = run(*asked(home, verb, out), *change, "--fresh")
    assert ended.exit_code == 0 and "going on" not in ended.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("verb", VERBS)
def test_without_an_output_the_parts_are_in_the_cache(home, tmp_path, monkeypatch, verb):
    dash = "-" if verb == "mine" else None  # its output has to be named
    with stopped_after(3, monkeypatch):
        ended = run(*asked(home, verb, dash))
    assert ended.exit_code == 130 and "goes on" in ended.stderr
    assert len(list((tmp_path / "cache" / "attattr").glob(f"*/*{units.SUFFIX}"))) == 3
    ended = run(*asked(home, verb, dash))
    assert ended.exit_code == 0 and "going on" in ended.stderr
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_device_gets_no_folder_beside_it_and_a_long_name_has_one(tmp_path, monkeypatch):
    with resuming.resuming(False, os.devnull) as resume:
        assert resume and resume.folder == tmp_path / "cache" / "attattr" and resume.shared
    name = "x" * 255
    with resuming.resuming(False, None, str(tmp_path / name)) as resume:
        assert resume and not resume.shared
        resume.folder.mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "out")
    with resuming.resuming(False, str(tmp_path / "link")) as resume:
        assert resume and resume.folder == tmp_path / "there" / ".out.attattr"


def wait_for(folder, count, process):
    while process.returncode is None and len(parts(folder)) < count:
        time.sleep(0.005)


def ended(process):
    process.communicate(600)
    return process.returncode


def test_sigterm_is_told_as_ctrl_c_is(home, tmp_path):
    process = command(*asked(home, "faithfulness", tmp_path / "out", "many.tsv", **{"--limit": "100"}))
    wait_for(tmp_path, 1, process)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 130 and parts(tmp_path)


@pytest.mark.slow
def test_killed_twenty_times_with_many_rows_each_verb_writes_what_it_would_have(home, tmp_path):
    draw = random.Random(1)
    more = {"evaluate": {"--batch-size": "2"}, "attack": {"--batch-size": "8"}}
    grown = {  # rows
        "rank": "100", "effectiveness": "150", "curve": "1500", "mine": "600", "attack": "1200",
        "faithfulness": "24",
    }  # fmt: skip
    killed = {}
    for verb in VERBS:
        words = {"--limit": grown[verb]} if verb in grown else {}
        (tmp_path / verb / "whole").mkdir(parents=True)
        whole, out = tmp_path / verb / "whole" / "out", tmp_path / verb / "out"
        said = [asked(home, verb, name, "many.tsv", **words, **more.get(verb, {})) for name in (whole, out)]
        assert ended(command(*said[0])) == 0
        killed[verb] = 0
        for _ in range(3):
            process = command(*said[1])
            wait_for(out.parent, len(parts(out.parent)) + draw.randint(1, 3), process)
            time.sleep(draw.random() * 0.03)
            process.kill()
            killed[verb] += ended(process) == -signal.SIGKILL
        assert ended(command(*said[1])) == 0 and out.read_bytes() == whole.read_bytes(), verb
        assert [each.name for each in out.parent.iterdir() if each.name != "whole"] == ["out"]
    assert sum(killed.values()) >= 20 and min(killed.values()) >= 2, killed
