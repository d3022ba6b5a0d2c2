"""Data-set runs: what is in the tables, and that nothing is lost however a run ends."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from typer.testing import CliRunner

import tiny
from attattr import AttAttrError, Attributor, FileFormatError, InputError, open_run
from attattr.cli import app
from attattr.data.examples import Example, Problem, read_examples
from attattr.disk import files
from attattr.disk.checked import signed
from attattr.runs.run import attribute_data, usable
from attattr.runs.shard import Work
from forked import Forked, command

ROWS = 40
SHARD = 2
WORK = Work(n_steps=4)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a small model, and a data file of ROWS usable rows."""
    home = tmp_path_factory.mktemp("runs")
    model = tiny.bert(labels=2).float()
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model.save_pretrained(home / "model")
    tiny.tokenizer().save_pretrained(home / "model")
    words = "the a film is fine bad not very man woman eats sleeps nobody and or good".split()
    draw = random.Random(0)
    lines = ["sentence\tlabel"]
    lines += [
        f"{' '.join(draw.choices(words, k=draw.randint(2, 12)))}\t{draw.choice(['bad', 'good'])}"
        for _ in range(ROWS)
    ]
    (home / "data.tsv").write_text("\n".join(lines) + "\n")
    return home


def test_an_answer_that_is_not_in_its_text_is_left_out_and_told(tmp_path):
    """It ended the run."""
    model = tiny._ready(transformers.BertForQuestionAnswering, tiny.bert(labels=2).config)
    reads = Attributor(model, tiny.tokenizer())
    rows = [
        Example("the man", text, label=answer, line=line)
        for line, (text, answer) in enumerate(
            [("the film is fine", "fine"), ("a man eats", "film"), ("nobody sleeps", "sleeps")], 2
        )
    ]
    attribute_data(reads, rows, tmp_path / "run", work=replace(WORK, target="gold"))
    assert open_run(tmp_path / "run").inputs.to_table()["target"].to_pylist() == ["fine", "sleeps"]
    (line,) = (tmp_path / "run" / "left_out.jsonl").read_text().splitlines()
    assert json.loads(line)["line"] == 3 and "film" in line


@pytest.fixture(scope="module")
def attributor(home):
    return Attributor.from_pretrained(str(home / "model"))


@pytest.fixture(scope="module")
def examples(home):
    return read_examples(home / "data.tsv")[0]


@pytest.fixture(scope="module")
def whole(home):
    """The tables of a run that nothing interrupted, made by the command in a process of its own."""
    finish(start(home, home / "whole"))
    return tables(home / "whole")


def start(home: Path, out: Path, *more: str, data: str = "data.tsv", limit: int | None = None) -> Forked:
    arguments = ["run", str(home / data), "--model", str(home / "model"), "--out", str(out)]
    return command(*arguments, "--shard-size", str(SHARD), *more, limit=limit)


def finish(process: Forked, code: int = 0) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return out + err


def tables(out: Path) -> dict[str, list[dict]]:
    run = open_run(out)
    assert run.complete
    return {name: getattr(run, name).to_table().to_pylist() for name in ("inputs", "edges", "heads")}


def wait_for(out: Path, shards: int, process: Forked) -> None:
    while len(list(out.glob("shards/*.json"))) < shards and process.returncode is None:
        time.sleep(0.002)


def test_the_tables_hold_what_attribute_says(attributor, examples, tmp_path):
    run = attribute_data(attributor, examples[:6], tmp_path / "run", work=WORK, shard_size=4)
    expected = attributor.attribute(examples[:4], n_steps=4, store="edges")
    expected += attributor.attribute(examples[4:6], n_steps=4, store="edges")
    inputs = run.inputs.to_table().to_pylist()
    assert [row["row"] for row in inputs] == list(range(6))
    for row, result, example in zip(inputs, expected, examples, strict=False):
        assert (row["text"], row["gold"], row["line"]) == (example.text, example.label, example.line)
        assert (row["prediction"], row["target"]) == (result.prediction.label, result.target.label)
        assert {p["label"]: p["probability"] for p in row["probabilities"]} == result.prediction.probabilities
        assert row["gaps"] == result.completeness_gap.tolist()
        assert abs(row["worst_gap"]) == np.abs(result.completeness_gap).max()
        assert tuple(row["tokens"]) == result.tokens
    edges = run.edges.to_table().to_pandas()
    for number, result in enumerate(expected):
        strongest = edges[edges.row == number].nlargest(1, "score").iloc[0]
        best = max(result.top_edges(256), key=lambda edge: edge.score)
        assert (strongest.site, strongest["head"], strongest["query"], strongest.key) == (
            best.site, best.head, best.query, best.key,
        )  # fmt: skip
        assert (strongest.query_token, strongest.key_token) == (best.query_token, best.key_token)
    heads = run.heads.to_table().to_pandas()
    grid = heads[heads.row == 3].pivot_table(index="site", columns="head", values="max")
    np.testing.assert_array_equal(grid.to_numpy(), expected[3].per_head("max"))


def test_dense_runs_keep_every_score(attributor, examples, tmp_path):
    from safetensors.numpy import load_file

    work = Work("gold", "dense", n_steps=4)
    run = attribute_data(attributor, examples[:3], tmp_path, work=work, shard_size=3)
    arrays = load_file(tmp_path / "scores" / "00000.safetensors")
    expected = attributor.attribute(examples[:3], n_steps=4, target=[e.label for e in examples[:3]])
    np.testing.assert_array_equal(arrays["2.1.scores"], expected[2].sites[1].scores)
    with pytest.raises(InputError, match="kept no edges"):
        _ = run.edges


def test_a_run_may_explain_one_label_throughout(attributor, examples, tmp_path):
    work = Work("good", "heads", n_steps=4)
    run = attribute_data(attributor, examples[:3], tmp_path / "run", work=work)
    assert run.inputs.to_table()["target"].to_pylist() == ["good"] * 3
    with pytest.raises(InputError, match="unknown target 'fine': the model's labels are bad, good"):
        attribute_data(attributor, examples[:3], tmp_path / "no", work=replace(work, target="fine"))
    with pytest.raises(InputError, match="unknown store"):
        attribute_data(attributor, examples[:3], tmp_path / "no", work=replace(work, store="fine"))
    assert not (tmp_path / "no").exists()


def test_a_second_start_computes_nothing_again(attributor, examples, tmp_path, monkeypatch):
    first = attribute_data(attributor, examples[:6], tmp_path, work=WORK, shard_size=4)
    monkeypatch.setattr(Attributor, "attribute", lambda *_, **__: pytest.fail("computed again"))
    assert attribute_data(attributor, examples[:6], tmp_path, work=WORK, shard_size=4) == first


@pytest.mark.parametrize("harm", ["cut", "changed", "gone", "marker cut"])
def test_a_damaged_shard_is_made_again(attributor, examples, tmp_path, harm):
    attribute_data(attributor, examples[:6], tmp_path, work=WORK, shard_size=2)
    before = tables(tmp_path)
    file = tmp_path / "edges" / "00001.parquet"
    if harm == "cut":
        os.truncate(file, file.stat().st_size // 2)
    elif harm == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    elif harm == "gone":
        file.unlink()
    else:
        os.truncate(tmp_path / "shards" / "00001.json", 5)
    attribute_data(attributor, examples[:6], tmp_path, work=WORK, shard_size=2)
    assert tables(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"shard_size": 3}, "shards size is 2"),
        ({"work": Work("gold", n_steps=4)}, "options target"),
        ({"examples": slice(1, 6)}, "data rows"),
        ({"examples": slice(1, 7)}, "data sha256"),
        ({"model": True}, "belongs to another model"),
    ],
)
def test_a_folder_of_another_run_is_refused_and_the_difference_named(
    attributor, examples, home, tmp_path, change, named
):
    attribute_data(attributor, examples[:6], tmp_path / "run", work=WORK, shard_size=2)
    rows = examples[change.pop("examples", slice(6))]
    if change.pop("model", False):
        other = Attributor.from_pretrained(str(home / "model"))
        with torch.no_grad():
            other.model.classifier.bias += 1
        other.model.save_pretrained(tmp_path / "model")
        other.tokenizer.save_pretrained(tmp_path / "model")
        os.rename(home / "model", home / "aside")
        os.rename(tmp_path / "model", home / "model")
        try:
            attributor = Attributor.from_pretrained(str(home / "model"))
        finally:
            os.rename(home / "model", tmp_path / "model")
            os.rename(home / "aside", home / "model")
    with pytest.raises(InputError, match=named):
        attribute_data(attributor, rows, tmp_path / "run", **{"work": WORK, "shard_size": 2} | change)


def kill_and_resume(home, out, kills, seed):
    draw = random.Random(seed)
    killed = 0
    for _ in range(kills):
        process = start(home, out)
        there = len(list(out.glob("shards/*.json")))
        wait_for(out, there + draw.randint(0, 3), process)
        time.sleep(draw.random() * 0.03)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    finish(start(home, out))
    return killed


def test_killed_three_times_and_resumed_the_tables_are_those_of_an_uninterrupted_run(home, whole, tmp_path):
    assert kill_and_resume(home, tmp_path / "run", 3, seed=1) == 3
    assert tables(tmp_path / "run") == whole
    assert not list((tmp_path / "run").glob("**/*.part"))


@pytest.mark.slow
def test_killed_twenty_times(home, whole, tmp_path):
    killed = sum(kill_and_resume(home, tmp_path / str(n), 4, seed=n) for n in range(5))
    assert killed >= 15  # a run may have come to its end before its turn
    for n in range(5):
        assert tables(tmp_path / str(n)) == whole


def test_ctrl_c_ends_after_the_shard_and_says_how_to_go_on(home, whole, tmp_path):
    out = tmp_path / "run"
    process = start(home, out)
    wait_for(out, 2, process)
    process.send_signal(signal.SIGINT)
    said = finish(process, code=130)
    assert "Start the same command again" in said
    assert 2 <= len(open_run(out).finished) < ROWS // SHARD
    assert all(pq.read_table(file).num_rows for file in out.glob("inputs/*.parquet"))
    finish(start(home, out))
    assert tables(out) == whole


def test_two_writers_on_one_folder_are_refused_and_a_killed_one_leaves_no_lock(home, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with (out / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        said = finish(start(home, out), code=2)
    assert "another process is writing" in said
    process = start(home, out)
    wait_for(out, 1, process)
    process.send_signal(signal.SIGSTOP)  # it holds the lock, and cannot come to its end meanwhile
    try:
        assert "another process is writing" in finish(start(home, out), code=2)
    finally:
        process.kill()
        process.communicate()
    assert not open_run(out).complete
    finish(start(home, out))


def test_a_full_disk_is_said_so_and_finished_shards_stay(home, whole, tmp_path):
    """No file may grow beyond what a small shard needs: writing a larger one fails as on a full disk."""
    sizes = sorted(file.stat().st_size for file in (home / "whole" / "edges").iterdir())
    limit = sizes[len(sizes) // 2]
    out = tmp_path / "run"
    said = finish(start(home, out, limit=limit), code=1)
    assert "cannot write into" in said
    assert not list(out.glob("**/*.part"))
    finish(start(home, out))
    assert tables(out) == whole


def test_bad_rows_are_reported_by_line_and_kept_out(home, tmp_path):
    data = tmp_path / "data.tsv"
    data.write_text("sentence\tlabel\na film\tgood\n\tbad\nnot good\tdreadful\nnobody eats\tbad\n")
    command = ["run", str(data), "--model", str(home / "model"), "--target", "gold", "--out"]
    command.append(str(tmp_path / "run"))
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    assert "line 3: no text in sentence" in done.stderr
    assert "line 4: unknown label 'dreadful'" in done.stderr
    assert open_run(tmp_path / "run").inputs.to_table()["line"].to_pylist() == [2, 5]
    lines = (tmp_path / "run" / "left_out.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [3, 4]
    strict = CliRunner().invoke(app, [*command[:-1], str(tmp_path / "other"), "--strict"])
    assert strict.exit_code == 2
    assert not (tmp_path / "other").exists()


def test_data_of_another_task_is_an_error_that_lists_both_sides(attributor):
    from attattr import Example

    with pytest.raises(InputError, match=r"entailment.*bad, good"):
        usable(attributor, [Example("a film", label="entailment")], needs_label=True)
    good, bad = usable(
        attributor, [Example("a film"), Example("a man", label="good", line=3)], needs_label=True
    )
    assert [example.label for example in good] == ["good"]
    assert bad == [Problem(0, "no label")]


def run_on(tmp_path, name, content, model, *more):
    """`attattr run` on a file of that content; what it said, and its table of inputs."""
    (tmp_path / name).write_text(content)
    command = ["run", str(tmp_path / name), "--model", str(model), "--out", str(tmp_path / "run"), *more]
    done = CliRunner().invoke(app, command)
    return done, open_run(tmp_path / "run").inputs.to_table().to_pylist() if not done.exit_code else []


def test_a_target_that_needs_no_label_takes_any_and_none(home, tmp_path):
    content = "sentence\tlabel\na film\tjoy\nnot good\t\nnobody eats\t-\n"
    done, rows = run_on(tmp_path, "data.tsv", content, home / "model", "--store", "heads")
    assert [row["gold"] for row in rows] == ["joy", None, None]
    assert "kept out" not in done.stderr
    done, _ = run_on(tmp_path, "data.tsv", content, home / "model", "--target", "gold")
    assert done.exit_code == 2 and "the data's are joy, the model's bad, good" in done.stderr


def test_scores_are_kept_beside_a_model_of_one_output(home, tmp_path):
    """Regression: its value is explained."""
    tiny.bert(labels=1).float().save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    content = "sentence1\tsentence2\tlabel\na film\tthe film\t3.80\nnot good\tgood\t0.0\n"
    _, rows = run_on(tmp_path, "data.tsv", content, tmp_path / "model")
    assert [(row["gold"], row["output"]) for row in rows] == [("3.80", "value"), ("0.0", "value")]


@pytest.mark.filterwarnings("ignore:the data's labels are numbers")
def test_numbers_of_classes_are_gold_labels(home, tmp_path):
    content = '{"text": "a film", "label": 1}\n{"text": "film", "label": -1}\n{"text": "bad", "label": 0}\n'
    done, rows = run_on(tmp_path, "x.jsonl", content, home / "model", "--target", "gold", "--store", "heads")
    assert [(row["gold"], row["target"]) for row in rows] == [("good", "good"), ("bad", "bad")]
    assert "line 2: no label in label" in done.stderr
    (tmp_path / "other").mkdir()
    _, rows = run_on(tmp_path / "other", "x.jsonl", content, home / "model", "--store", "heads")
    assert [row["gold"] for row in rows] == ["1", None, "0"]  # as they are


def test_a_disk_without_room_for_the_other_shards_is_told_after_the_first(
    attributor, examples, tmp_path, monkeypatch
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda at: usage(10, 10, 10))
    with pytest.raises(AttAttrError, match=r"takes .* GB, and its disk has 0\.0 GB left"):
        attribute_data(attributor, examples[:8], tmp_path, work=WORK, shard_size=2)
    assert open_run(tmp_path).finished == (0,)
    attribute_data(attributor, examples[:2], tmp_path / "one", work=WORK, shard_size=2)  # no others


def test_inputs_are_tokenised_shard_by_shard(attributor, examples, tmp_path, monkeypatch):
    """100,000 inputs tokenised before the first is attributed were a minute of waiting."""
    from attattr.runs import shard

    seen: list[int] = []
    encode = shard.encode
    monkeypatch.setattr(shard, "encode", lambda *a, **k: seen.append(len(a[2])) or encode(*a, **k))
    tokenised: list[int] = []
    inner = attributor.tokenizer.__class__.__call__

    def counting(tokenizer, *texts, **options):
        tokenised.append(1)
        return inner(tokenizer, *texts, **options)

    monkeypatch.setattr(attributor.tokenizer.__class__, "__call__", counting)
    run = attribute_data(attributor, examples[:8], tmp_path, work=WORK, shard_size=2, stop=lambda: True)
    assert run.finished == (0,)
    assert seen == [2] and len(tokenised) == 2  # once each
    again = attribute_data(attributor, examples[:8], tmp_path, work=WORK, shard_size=2)
    assert [sum(each) for each in again.batches["inputs_each"]] == [2, 2, 2, 2]
    assert 0 <= again.batches["padding_share"] < 1


def test_a_run_whose_batches_stand_in_the_manifest_is_resumed(attributor, examples, tmp_path):
    """As they did when every input was tokenised before the first was attributed."""
    parts = {"work": WORK, "shard_size": 2}
    whole = attribute_data(attributor, examples[:6], tmp_path / "whole", **parts)
    attribute_data(attributor, examples[:6], tmp_path / "run", **parts, stop=lambda: True)
    for file, change in (
        ("manifest.json", lambda facts: facts | {"batches": whole.batches}),
        ("shards/00000.json", lambda facts: {k: v for k, v in facts.items() if k != "batches"}),
    ):
        facts = json.loads((tmp_path / "run" / file).read_text())
        del facts["sha256"]
        (tmp_path / "run" / file).write_text(json.dumps(signed(change(facts))))
    kept = (tmp_path / "run" / "shards" / "00000.json").read_bytes()
    again = attribute_data(attributor, examples[:6], tmp_path / "run", **parts)
    assert (tmp_path / "run" / "shards" / "00000.json").read_bytes() == kept  # not computed again
    assert again.batches == whole.batches and len(whole.batches["inputs_each"]) == 3
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def test_a_folder_that_cannot_be_made_is_a_clear_error(attributor, examples, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AttAttrError, match="cannot write into"):
        attribute_data(attributor, examples[:2], tmp_path / "file" / "run", work=WORK)


def test_what_a_killed_run_left_is_cleared_away_and_no_more(attributor, examples, tmp_path):
    attribute_data(attributor, examples[:2], tmp_path, work=WORK)
    left = [tmp_path / files.PARTS.replace("*", "0"), tmp_path / "edges" / files.PARTS.replace("*", "1")]
    mine = [tmp_path / "film.part", tmp_path / "edges" / "film.part"]
    for path in (*left, *mine):
        path.write_text("")
    attribute_data(attributor, examples[:2], tmp_path, work=WORK)
    assert [path.exists() for path in (*left, *mine)] == [False, False, True, True]


def test_a_run_goes_where_a_link_leads_but_to_no_address(attributor, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("real")
    assert attribute_data(attributor, examples[:2], "link", work=WORK).complete
    assert open_run(tmp_path / "real").complete and (tmp_path / "link").is_symlink()
    for out in ("", "s3://bucket/run"):
        with pytest.raises(InputError, match=r"is empty|is an address"):
            attribute_data(attributor, examples[:2], out, work=WORK)
    assert sorted(os.listdir()) == ["link", "real"]


def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(FileFormatError, match="not a run folder"):
        open_run(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(FileFormatError, match="upgrade attattr"):
        open_run(tmp_path)


def test_a_run_folder_is_data_again(attributor, examples, tmp_path):
    attribute_data(attributor, examples[:6], tmp_path, work=WORK, shard_size=4)
    again, problems = read_examples(tmp_path)
    assert not problems
    assert [(e.text, e.label, e.line) for e in again] == [(e.text, e.label, e.line) for e in examples[:6]]
    assert len(read_examples(tmp_path, limit=2)[0]) == 2


def test_status_counts_up_to_the_end(attributor, examples, tmp_path):
    told = []
    attribute_data(attributor, examples[:6], tmp_path, work=WORK, shard_size=4, progress=told.append)
    assert (told[0].inputs_done, told[0].shards_done) == (0, 0)
    assert (told[-1].inputs_done, told[-1].shards_done, told[-1].shards) == (6, 2, 2)
    assert told[-1].worst_gap
