"""How far the work is: what is said of it, on a terminal and elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import time
from collections.abc import Callable, Iterator

import pytest

import commands
import tiny
from attattr.cli import progress
from attattr.cli.progress import progress_bar, said


class Clock:
    """Seconds that pass when they are told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def terminal(monkeypatch) -> Iterator[Callable[[], str]]:
    """Standard error is one; the function gives what was written to it, less its control sequences."""
    leader, follower = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with os.fdopen(follower, "w") as stream, monkeypatch.context() as here:
        here.setattr(sys, "stderr", stream)  # in the test itself: pytest sets its own before that

        def written() -> str:
            found = b""
            end = time.monotonic() + 0.3  # the bar moves: there is always more
            while time.monotonic() < end and select.select([leader], [], [], 0.2)[0]:
                found += os.read(leader, 1 << 16)
            return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", found.decode(errors="replace"))

        yield written
    os.close(leader)


@pytest.mark.parametrize(
    ("history", "total", "text"),
    [
        ([], 0, ""),
        ([(0, 0)], 0, ""),
        ([], 400, ""),
        ([(7.0, 0)], 400, "0 of 400"),
        ([(7.0, 3), (7.0, 3)], 400, "3 of 400"),
        ([(7.0, 0), (9.0, 0)], 400, "0 of 400"),
        ([(7.0, 0), (7.0, 5)], 400, "5 of 400"),  # no time has passed: no rate
        ([(100.0, 0), (140.0, 124)], 400, "124 of 400, 3.1/s, about 1 min left"),
        ([(100.0, 0), (110.0, 1000)], 9815, "1,000 of 9,815, 100/s, about 1 min left"),
        ([(100.0, 0), (110.0, 399)], 400, "399 of 400, 40/s, about 1 s left"),  # never 0 while work is left
        ([(100.0, 0), (110.0, 400)], 400, "400 of 400, 40/s"),
        ([(0.0, 0), (60.0, 2)], 100, "2 of 100, 2/min, about 49 min left"),
        ([(0.0, 0), (3600.0, 10)], 100, "10 of 100, 0.17/min, about 9 h left"),
        # what another call had done is not counted as done now
        ([(50.0, 9000), (60.0, 9010)], 9815, "9,010 of 9,815, 1.0/s, about 13 min left"),
    ],
)
def test_only_what_is_known_is_said(history, total, text):
    assert said(history, total) == text


def test_off_a_terminal_there_is_a_line_every_half_minute(capsys):
    clock = Clock()
    with progress_bar("attributing", clock=clock) as tell:
        for second in range(100):
            clock.now = 1000.0 + second
            tell(2 * second, 400, "")
        clock.now += 500  # what comes after the work is none of it
    assert capsys.readouterr().err.splitlines() == [
        "attributing: 60 of 400, 2.0/s, about 3 min left",
        "attributing: 120 of 400, 2.0/s, about 2 min left",
        "attributing: 180 of 400, 2.0/s, about 2 min left",
    ]


def test_short_work_has_no_line(capsys):
    clock = Clock()
    with progress_bar("attributing", clock=clock) as tell:
        for second in range(29):
            clock.now = 1000.0 + second
            tell(second, 29, "")
    assert capsys.readouterr() == ("", "")


def test_the_rate_is_that_of_the_work_alone(capsys):
    """Ten minutes of reading before the first input had made it a rate of nothing."""
    clock = Clock()
    with progress_bar("attributing", clock=clock) as tell:
        clock.now += 600
        tell(9000, 9815, "shard 36 of 39")
        clock.now += 10
        tell(9020, 9815, "shard 36 of 39")
        clock.now += 30
        tell(9080, 9815, "shard 36 of 39")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "attributing, shard 36 of 39: 9,000 of 9,815"
    assert second == "attributing, shard 36 of 39: 9,080 of 9,815, 2.0/s, about 6 min left"


def test_each_part_is_counted_anew_and_said_to_be_one(capsys):
    clock = Clock()
    with progress_bar("ranking", parts=True, clock=clock) as tell:
        for now, rate, total in (("attributing", 1, 80), ("differentiating", 10, 500)):
            for second in range(40):
                tell(rate * second, total, now)
                clock.now += 1
    assert capsys.readouterr().err.splitlines() == [
        "ranking, attributing: 30 of 80, 1.0/s, about 50 s left of this part",
        "ranking, differentiating: 200 of 500, 10/s, about 30 s left of this part",
    ]


def test_a_terminal_has_a_bar_with_rate_and_time(monkeypatch):
    clock = Clock()
    with terminal(monkeypatch) as written:
        with progress_bar("attributing", clock=clock) as tell:
            assert not re.search(r"\d", written()), "a number before one is known"
            tell(0, 400, "")
            clock.now += 40
            tell(124, 400, "[x]")
        shown = written()
    assert "None" not in shown
    assert re.search(r"attributing, \[x\] .*━.* 124 of 400, 3.1/s, about 1 min left", shown)


def test_long_verbs_say_how_far_they_are(tmp_path, monkeypatch):
    """Each tells its progress at all; what it says is the same everywhere."""
    model = tiny.bert(labels=2).float()
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model.save_pretrained(tmp_path / "m")
    tiny.tokenizer().save_pretrained(tmp_path / "m")
    data, other, heads = tmp_path / "d.tsv", tmp_path / "o.tsv", tmp_path / "h.parquet"
    patterns = tmp_path / "p.jsonl"
    other.write_text("sentence\tlabel\na film\tgood\nnot a film\tbad\n")
    data.write_text(
        "sentence\tlabel\n" + "the film is fine\tgood\nnot very good\tbad\nbad\tbad\ngood\tgood\n" * 2
    )
    monkeypatch.setattr(progress, "EVERY", 0)
    given = (data, "--model", tmp_path / "m")
    for verb in (
        ["run", *given, "--out", tmp_path / "run"],
        ["evaluate", *given],
        ["faithfulness", *given, "--limit", "2"],
        ["heads", "rank", *given, "--out", heads],
        ["heads", "effectiveness", *given],
        ["prune", "curve", *given, "--rank-limit", "4", "--criteria", "attattr,random"],
        ["prune", "model", *given[1:], "--heads", heads, "--out", tmp_path / "small", "--data", other],
        ["triggers", "mine", *given, "--out", patterns],
        ["triggers", "attack", *given, "--patterns", patterns],
        ["explain", "the film", *given[1:]],
        ["tree", "the film", *given[1:]],
    ):
        outcome = commands.run(*verb)
        told = re.findall(r"^[a-z].*: ([\d,]+) of ([\d,]+)(?:, .*)?$", outcome.stderr, re.M)
        assert outcome.exit_code == 0, (verb, outcome.stderr)
        assert told, (verb, outcome.stderr)
        done, total = told[-1]
        assert done == total or verb[0] in ("heads", "prune", "triggers"), verb  # those tell what they begin
