"""The Ray engine on a local cluster of two workers: the same rows, also when a worker is killed (slow)."""

from __future__ import annotations

import os
import signal
import time

import pytest

pytest.importorskip("ray")

from test_runs import ROWS, SHARD, finish, home, start, tables, wait_for, whole  # noqa: F401  (fixtures)

from attattr import Attributor
from attattr.data.examples import Example
from attattr.errors import AttAttrError, InputError
from attattr.runs import ray as of_ray
from attattr.runs.run import versions
from attattr.runs.shard import Work


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


def test_a_worker_with_another_version_fails_and_says_so():
    installed = versions() | {"torch": "1.0"}
    with pytest.raises(InputError, match=r"torch .* and not 1\.0: install the same"):
        of_ray._Worker("sst2", {}, {}, {}, installed)


def test_a_worker_with_other_weights_or_precision_fails():
    facts = Attributor.from_pretrained("sst2").facts
    with pytest.raises(InputError, match="belongs to another model"):
        of_ray._Worker("mnli", {}, {}, facts, versions())
    with pytest.raises(InputError, match="opens the model in bfloat16, the run is in float32"):
        of_ray._Worker("sst2", {"dtype": "bfloat16"}, {}, facts, versions())


def test_workers_with_a_gpu_open_the_model_there_in_the_precision_it_has_here():
    of, facts = of_ray._of_workers, {"dtype": "float16"}
    assert of({"device": "cpu"}, facts, 0) == {"device": "cpu"}
    assert of({"device": "cpu"}, facts, 0.5) == {"device": "cuda", "dtype": "float16"}
    assert of({"dtype": "bfloat16"}, facts, 1) == {"device": "cuda", "dtype": "bfloat16"}
    assert of({"device_map": "auto"}, facts, 1) == {"device_map": "auto"}
    assert of({"quantize": "4bit"}, facts, 1)["dtype"] is None


def test_too_few_gpus_are_told():
    of_ray._check_gpus(1, 0.5)
    with pytest.raises(InputError, match="the cluster has 0 GPUs, a worker asks for"):
        of_ray._check_gpus(0, 0.5)


@pytest.mark.slow
def test_gpus_that_no_machine_has_are_a_clear_error(home, tmp_path):  # noqa: F811
    words = ("--engine", "ray", "--worker-gpus", "100000", "--device", "cpu")
    assert "GPUs, a worker asks for 100000" in finish(start(home, tmp_path / "run", *words), code=2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_worker_asks_ray_for_its_gpus_and_computes_there():
    """A cluster that says it has one: without CUDA the worker fails there, and not before."""
    import ray
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU: docs/runs.md says how to use it")
    attributor = Attributor.from_pretrained("sst2")
    ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    try:
        engine = of_ray.ray_engine("sst2", {}, facts=attributor.facts, workers=1, num_gpus=1)
        with pytest.raises(AttAttrError, match="the device 'cuda' is not there"):
            list(engine([(0, 0, [Example("a fine film")])], Work()))
    finally:
        ray.shutdown()
