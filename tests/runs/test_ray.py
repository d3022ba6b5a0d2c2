"""The Ray engine on a local cluster of two workers: the same rows, also when a worker is killed (slow)."""

from __future__ import annotations

import os
import signal
import time

import pytest

pytest.importorskip("ray")

from test_runs import ROWS, SHARD, finish, home, start, tables, wait_for, whole  # noqa: F401  (fixtures)


def same_rows(found: dict[str, list[dict]], expected: dict[str, list[dict]]) -> None:
    """Scores to 1e-6; edges by their place, near-tied ones at the end of a site's list excepted."""
    for a, b in zip(found["inputs"], expected["inputs"], strict=True):
        assert (a["row"], a["text"], a["prediction"], a["n_steps"]) == (
            b["row"], b["text"], b["prediction"], b["n_steps"],
        )  # fmt: skip
        assert a["value"] == pytest.approx(b["value"], abs=1e-6)
    for a, b in zip(found["heads"], expected["heads"], strict=True):
        assert (a["row"], a["site"], a["head"]) == (b["row"], b["site"], b["head"])
        assert [a["max"], a["sum"]] == pytest.approx([b["max"], b["sum"]], abs=1e-6)
    place = ("row", "site", "head", "query", "key")
    ours, theirs = (
        {tuple(edge[name] for name in place): edge["score"] for edge in each["edges"]}
        for each in (found, expected)
    )
    for edge in ours.keys() & theirs.keys():
        assert ours[edge] == pytest.approx(theirs[edge], abs=1e-6)
    assert len(ours.keys() ^ theirs.keys()) <= len(theirs) // 100
    assert len(found["edges"]) == len(expected["edges"])


def workers() -> list[int]:
    """Process ids of the actors that hold a model, of any cluster."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    command = file.read()
            except OSError:
                continue
            if command.startswith(b"ray::MapWorker"):
                found.append(int(entry))
    return found


def test_two_workers_give_the_rows_of_one_process(home, whole, tmp_path):  # noqa: F811
    """Of the first rows only: their shards are those of the whole run."""
    few = 4 * SHARD
    lines = (home / "data.tsv").read_text().splitlines(keepends=True)
    (home / "few.tsv").write_text("".join(lines[: 1 + few]))
    finish(start(home, tmp_path / "run", "--engine", "ray", "--workers", "2", data="few.tsv"))
    first = {name: [row for row in rows if row["row"] < few] for name, rows in whole.items()}
    same_rows(tables(tmp_path / "run"), first)


@pytest.mark.slow
def test_two_workers_give_the_rows_of_one_process_even_if_one_is_killed(home, whole, tmp_path):  # noqa: F811
    out = tmp_path / "run"
    before = set(workers())
    process = start(home, out, "--engine", "ray", "--workers", "2")
    wait_for(out, 3, process)
    ours = set(workers()) - before
    assert ours
    os.kill(min(ours), signal.SIGKILL)
    killed_at = len(list(out.glob("shards/*.json")))
    assert killed_at < ROWS // SHARD, "the run was over before a worker could be killed"
    finish(process)
    time.sleep(0.1)
    same_rows(tables(out), whole)


def test_a_cluster_that_does_not_answer_is_a_clear_error(home, tmp_path):  # noqa: F811
    said = finish(start(home, tmp_path / "run", "--engine", "ray", "--ray-address", "127.0.0.1:1"), code=2)
    assert "no Ray cluster answers at 127.0.0.1:1" in said
