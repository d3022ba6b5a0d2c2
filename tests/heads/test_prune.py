"""Pruned models: equal to masking, and loading again in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tiny
from attattr import Attributor, Example
from attattr.data.examples import digest
from attattr.engine.capture import Capture
from attattr.errors import InputError, ModelError, UnsupportedModelError
from attattr.heads.importance import HeadRanking, Importance
from attattr.heads.prune import heads_to_keep, prune_model
from attattr.heads.prune_curves import prune_curves, split
from attattr.measure.masks import Mask, masked_forward
from attattr.models.sliced import is_pruned, load_pruned, write_pruned
from commands import run
from families import FAMILIES, batched

SLICED = ["bert", "roberta", "distilbert", "gpt2", "llama", "bart", "vit"]
AUTO = {"gpt2": "AutoModelForCausalLM", "llama": "AutoModelForCausalLM", "bart": "AutoModelForSeq2SeqLM",
        "vit": "AutoModelForImageClassification"}  # fmt: skip


def pruned(name, layout="sliced", keep=0.5):
    family = FAMILIES[name]
    attributor, inputs = Attributor(family.model()), batched(family.inputs[0])
    with Capture(attributor.model) as capture:
        recording = capture.record(inputs)
    shape = len(recording.sites), recording.calls[recording.sites[0]].query.shape[1]
    importance = np.random.default_rng(0).random(shape)
    importance[1] = -1  # so that layer 1 loses all its heads
    made = prune_model(attributor, importance, keep, layout)
    assert not made.kept[1].any() and made.kept.any()
    return attributor.model, inputs, made


@pytest.mark.parametrize("layout", ["sliced", "masked"])
@pytest.mark.parametrize("name", SLICED)
def test_a_pruned_model_answers_as_the_masked_one(name, layout, tmp_path):
    model, inputs, made = pruned(name, layout)
    with Capture(model) as capture:
        recording = capture.record(inputs)
        wanted = masked_forward(capture, recording, inputs, [Mask(heads=made.kept.astype(float))]).logits
        clean = recording.outputs.logits
    with torch.no_grad():
        got = made.model(**inputs).logits
    assert float((got - wanted).abs().max()) < 1e-5  # Llama's softmax rounds to float32
    assert made.logits_off < 1e-6
    assert not torch.allclose(got, clean, atol=1e-3)
    if layout == "sliced":
        assert made.model.num_parameters() < model.num_parameters()
    else:
        assert made.model.num_parameters() == model.num_parameters()


@pytest.mark.parametrize("name", SLICED)
def test_a_sliced_folder_loads_without_running_its_code(name, tmp_path):
    _, inputs, made = pruned(name)
    write_pruned(made.model, None, tmp_path / "m", made.facts, made.auto)
    assert made.auto == AUTO.get(name, "AutoModelForSequenceClassification")
    (tmp_path / "m" / "modeling_pruned.py").write_text("raise SystemExit('run')")
    again = load_pruned(tmp_path / "m", dtype=torch.float64)
    with torch.no_grad():
        got, wanted = again(**inputs).logits, made.model(**inputs).logits
    assert float((got - wanted).abs().max()) < 1e-6  # rotary angles are float32 when loaded


PROGRAM = """
import sys, json
sys.modules["attattr"] = None
import torch, transformers
for auto, folder, options in json.loads(sys.argv[1]):
    model = getattr(transformers, auto).from_pretrained(folder, dtype=torch.float64, **options).eval()
    with torch.no_grad():
        print(json.dumps(model(input_ids=torch.tensor([[7, 8, 9, 10]])).logits.tolist()))
"""


def test_a_fresh_process_without_attattr_loads_each(tmp_path):
    asked, wanted = [], []
    for name, layout in (("bert", "masked"), ("bert", "sliced"), ("llama", "sliced")):
        _, _, made = pruned(name, layout)
        folder = tmp_path / f"{name}-{layout}"
        write_pruned(made.model, None, folder, made.facts, made.auto)
        asked.append([made.auto, str(folder), {"trust_remote_code": True} if layout == "sliced" else {}])
        with torch.no_grad():
            wanted.append(made.model(input_ids=torch.tensor([[7, 8, 9, 10]])).logits.numpy())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asked)], capture_output=True, text=True, check=False,
        env={"PATH": "", "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]
    for line, logits in zip(done.stdout.splitlines()[-3:], wanted, strict=True):
        np.testing.assert_allclose(json.loads(line), logits, atol=1e-6)


def test_grouped_heads_go_together():
    _, _, made = pruned("llama")
    groups = made.kept.reshape(len(made.kept), 2, 2)
    assert (groups.any(2) == groups.all(2)).all()


def test_shared_layers_cannot_be_pruned_and_position_biases_only_masked():
    with pytest.raises(UnsupportedModelError, match="share their weights"):
        prune_model(Attributor(tiny.albert()), np.ones((3, 2)), 0.5)
    t5 = Attributor(tiny.t5())
    importance = np.arange(12.0).reshape(6, 2)
    with pytest.raises(UnsupportedModelError, match="use --format masked"):
        prune_model(t5, importance, 0.5)
    assert prune_model(t5, importance, 0.5, "masked").logits_off < 1e-6


@pytest.mark.parametrize(
    ("importance", "keep", "layout", "message"),
    [
        (np.ones((3, 3)), 0.5, "sliced", "of 3 × 3 heads, the model has 3 × 2"),
        (np.ones((3, 2)), 1.5, "sliced", "from 0 to 1"),
        (np.ones((3, 2)), 0.5, "thin", "unknown format"),
    ],
)
def test_what_cannot_be_asked_is_said(importance, keep, layout, message):
    with pytest.raises(InputError, match=message):
        prune_model(Attributor(tiny.bert()), importance, keep, layout)


@given(arrays(float, (3, 4), elements=st.floats(-3, 3)), st.floats(0, 1), st.sampled_from([1, 2, 4]))
def test_the_most_important_stay_in_whole_groups(importance, keep, group):
    kept = heads_to_keep(importance, keep, [group] * 3)
    groups = kept.reshape(3, 4 // group, group)
    assert (groups.all(2) == groups.any(2)).all()
    assert kept.sum() <= round(keep * 12) < kept.sum() + group
    means = importance.reshape(3, 4 // group, group).mean(2)
    if groups.any() and not groups.all():
        assert means[groups.any(2)].min() >= means[~groups.any(2)].max()


def test_a_folder_that_is_there_is_not_overwritten(tmp_path):
    _, _, made = pruned("bert")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine").write_text("precious")
    with pytest.raises(InputError, match="choose a new folder"):
        write_pruned(made.model, None, tmp_path / "m", made.facts, made.auto)
    assert (tmp_path / "m" / "mine").read_text() == "precious"
    assert not is_pruned(tmp_path / "m")
    with pytest.raises(ModelError, match="not the folder of a sliced model"):
        load_pruned(tmp_path / "m")


def test_a_pruned_model_goes_where_a_link_leads(tmp_path):
    _, _, made = pruned("bert")
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new"):
        (tmp_path / f"to {name}").symlink_to(name)
        write_pruned(made.model, None, tmp_path / f"to {name}", made.facts, made.auto)
        assert (tmp_path / f"to {name}").is_symlink() and is_pruned(tmp_path / name)
    with pytest.raises(InputError, match="is an address"):
        write_pruned(made.model, None, "s3://bucket/model", made.facts, made.auto)


LABELS = dict(enumerate("abc"))
WORDS = "the a film is fine bad not very man woman eats sleeps nobody and or good".split()
ROWS = [
    Example(" ".join(np.random.default_rng(i).choice(WORDS, 2 + i % 5)), label="abc"[i % 3])
    for i in range(24)
]


@pytest.fixture(scope="module")
def attributor():
    model = tiny.bert()
    model.config.id2label, model.config.label2id = LABELS, {v: k for k, v in LABELS.items()}
    return Attributor(model, tiny.tokenizer())


def made_ranking(rows, **importances):
    found = {name: Importance(mean, mean, mean) for name, mean in importances.items()}
    return HeadRanking(found, tuple("xyz"), tuple(map(digest, rows)), {})


def test_curves_are_measured_on_other_rows_than_heads_were_ranked_on(attributor):
    from attattr.measure.accuracy import evaluate_model, predict

    first, others = split(ROWS, 6, 0)
    importance = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = prune_curves(attributor, made_ranking(first, up=importance, down=-importance), ROWS, steps=3)
    unlike = [row for row in ROWS if digest(row) not in set(map(digest, first))]
    assert found.measured_on == len(unlike) <= len(others) and found.ranked_on == 6
    whole = evaluate_model(attributor.model, attributor.tokenizer, unlike)
    assert {curve.accuracy[0] for curve in found.curves.values()} == {whole.accuracy}
    assert len({curve.accuracy[-1] for curve in found.curves.values()}) == 1
    kept = np.array([[0, 0], [1, 1], [1, 1]])
    logits = predict(attributor.model, attributor.tokenizer, unlike, masks=Mask(heads=kept))
    right = np.mean([LABELS[i] == row.label for i, row in zip(logits.argmax(-1), unlike, strict=True)])
    assert found.curves["up"].accuracy[1] == pytest.approx(right)
    with pytest.raises(InputError, match="measured on others"):
        prune_curves(attributor, made_ranking(ROWS, up=importance), ROWS)


def test_a_split_is_disjoint_complete_and_seeded():
    first, others = split(ROWS, 5, 3)
    assert len(first) == 5 and [row for row in ROWS if row in first or row in others] == ROWS
    assert split(ROWS, 5, 3)[0] == first
    with pytest.raises(InputError, match="too few"):
        split(ROWS, 24, 0)


@pytest.fixture(scope="module")
def folder(attributor, tmp_path_factory):
    made = tmp_path_factory.mktemp("prune")
    attributor.model.float().save_pretrained(made / "model")
    attributor.model.double()
    attributor.tokenizer.save_pretrained(made / "model")
    lines = ["text\tlabel", *(f"{row.text}\t{row.label}" for row in ROWS)]
    (made / "data.tsv").write_text("\n".join(lines) + "\n")
    return made


def test_the_commands_prune_and_the_result_is_explained_and_evaluated(folder):
    table = folder / "heads.parquet"
    model = ("--model", folder / "model")
    ranked = run(
        "heads", "rank", folder / "data.tsv", *model, "--criterion", "taylor", "--limit", 8, "--out", table
    )
    assert ranked.exit_code == 0, ranked.output
    to = ("--out", folder / "half", "--data", folder / "data.tsv", "--json", folder / "report.json")
    done = run("prune", "model", *model, "--heads", table, *to)
    assert done.exit_code == 0, done.output
    report = json.loads((folder / "report.json").read_text())
    assert report["parameters"][1] < report["parameters"][0] and sum(report["kept_heads"]) == 3
    assert report["ranked_on"] == 8 and report["accuracy"][0]["n"] <= 16
    for command in (
        ("evaluate", folder / "data.tsv", "--model", folder / "half"),
        ("explain", "the film is good", "--model", folder / "half"),
    ):
        done = run(*command)
        assert done.exit_code == 0, done.output
    again = run("prune", "model", *model, "--heads", table, "--out", folder / "half")
    assert again.exit_code == 2 and "choose a new folder" in again.stderr


def test_the_command_draws_curves(folder):
    how = ("--criteria", "taylor,random", "--rank-limit", 6, "--steps", 2)
    to = ("--json", folder / "c.json", "--figure", folder / "c.svg")
    done = run("prune", "curve", folder / "data.tsv", "--model", folder / "model", *how, *to)
    assert done.exit_code == 0, done.output
    facts = json.loads((folder / "c.json").read_text())
    assert list(facts["curves"]) == ["taylor", "random"] and facts["ranked_on"] == 6
    assert facts["curves"]["taylor"]["x"] == [0, 0.5, 1] and (folder / "c.svg").stat().st_size > 1000
