"""Which model it is: digests, and files that meet another model than their own."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import tiny
from attattr import Attributor, Example, InputError, measure_effects, prune_curves, rank_heads
from attattr.cli import app
from attattr.models.identity import belongs, of_parameters
from attattr.runs.ray import _Worker
from attattr.runs.run import attribute_data, versions
from attattr.runs.shard import Work

ROWS = [Example(f"{word} film", label=label) for word in ("fine", "good") for label in ("good", "bad")]


def made(bias: float = 0.0) -> Attributor:
    model = tiny.bert(labels=2).float()
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    with torch.no_grad():
        model.classifier.bias += bias
    return Attributor(model, tiny.tokenizer())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two models of one class, with the same labels, as folders; and a data file."""
    home = tmp_path_factory.mktemp("identity")
    for name, bias in (("one", 0.0), ("other", 1.0)):
        attributor = made(bias)
        attributor.model.save_pretrained(home / name)
        attributor.tokenizer.save_pretrained(home / name)
    lines = ["sentence\tlabel", *(f"{row.text}\t{row.label}" for row in ROWS)]
    (home / "data.tsv").write_text("\n".join(lines) + "\n")
    return home


def test_the_digest_tells_weights_names_shapes_and_types_apart():
    model = tiny.bert()
    digest = of_parameters(model)
    assert digest == of_parameters(tiny.bert()) and len(digest) == 64
    assert digest != of_parameters(tiny.bert().float())
    assert digest != of_parameters(tiny.bert(labels=2))
    with torch.no_grad():
        model.classifier.bias[0] = torch.nextafter(model.classifier.bias[0], torch.tensor(9.0).double())
    assert digest != of_parameters(model)


def test_the_digest_tells_configs_and_adapters_apart():
    from peft import LoraConfig, get_peft_model

    digests = {
        of_parameters(tiny.bert(**more)) for more in ({}, {"hidden_act": "relu"}, {"layer_norm_eps": 0.1})
    }
    assert len(digests) == 3
    model = tiny.bert()
    model.config.id2label, model.config._name_or_path = {0: "x", 1: "y", 2: "z"}, "elsewhere"
    assert of_parameters(model) in digests
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=["query"]))
    wrapped.add_adapter("other", LoraConfig(r=2, target_modules=["query"]))
    attributor = Attributor(wrapped)
    found = [attributor.digest]
    wrapped.set_adapter("other")
    found.append(attributor.digest)
    with wrapped.disable_adapter():
        found.append(attributor.digest)
    assert len({*found}) == 3 and attributor.digest == found[1]


def test_the_digest_is_kept_until_the_weights_change(monkeypatch):
    attributor, counted = made(), []
    monkeypatch.setattr(
        "attattr.models.identity.of_parameters", lambda model: counted.append(1) or str(len(counted))
    )
    assert attributor.digest == attributor.digest == "1"
    attributor.attribute("a fine film")
    assert attributor.digest == "1"
    with torch.no_grad():
        attributor.model.classifier.bias.add_(1)
    assert attributor.digest == "2"
    attributor.model.load_state_dict(made().model.state_dict())
    assert attributor.digest == "3"
    attributor.model.classifier.weight = torch.nn.Parameter(attributor.model.classifier.weight.clone())
    assert attributor.digest == "4"


def test_weights_that_changed_are_no_longer_those_of_the_files(home):
    attributor = Attributor.from_pretrained(str(home / "one"))
    as_loaded = attributor.facts
    assert as_loaded["digest"] == attributor.info.digest is not None
    attributor.model.to(torch.float64)
    assert attributor.facts["digest"] == as_loaded["digest"]  # moved or widened, it is that model
    belongs(as_loaded, attributor.facts, "it")
    with torch.no_grad():
        attributor.model.classifier.bias.add_(1)
    assert attributor.facts["digest"] is None
    with pytest.raises(InputError, match="belongs to another model"):
        belongs(as_loaded, attributor.facts, "it")


def test_one_adapter_merged_on_two_processors_is_one_model():
    facts = {"name": "sst2", "digest": "a", "adapter_digest": "b", "parameters": "1"}
    belongs(facts, facts | {"parameters": "2"}, "it")
    for change in ({"adapter_digest": "c"}, {"digest": "c"}, {"digest": None, "adapter_digest": None}):
        with pytest.raises(InputError, match=r"'sst2' \(sha256 1….*'sst2' \(sha256 2…"):
            belongs(facts, facts | {"parameters": "2"} | change, "it")
    belongs({"name": "from before"}, facts, "it")
    belongs(None, facts, "it")


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_packed_and_offloaded_weights_have_a_digest():
    from accelerate import cpu_offload

    model = tiny.bert().float()
    digest = of_parameters(model)
    assert of_parameters(cpu_offload(model)) == digest
    value = torch.quantize_per_tensor(torch.arange(4.0), 0.5, 0, torch.qint8)
    module = torch.nn.Module()
    module.register_buffer("packed", value)
    other = torch.nn.Module()
    other.register_buffer("packed", torch.quantize_per_tensor(torch.arange(4.0), 0.25, 0, torch.qint8))
    assert of_parameters(module) != of_parameters(other)


def test_a_run_of_models_in_memory_does_not_mix_them(tmp_path):
    work = Work(n_steps=2)
    first = attribute_data(made(), ROWS, tmp_path, work=work, shard_size=2, stop=lambda: True)
    assert not first.complete
    with pytest.raises(InputError, match="belongs to another model"):
        attribute_data(made(1.0), ROWS, tmp_path, work=work, shard_size=2)
    assert attribute_data(made(), ROWS, tmp_path, work=work, shard_size=2).complete


def test_a_manifest_from_before_there_were_digests_is_taken(tmp_path):
    work = Work(n_steps=2)
    attribute_data(made(), ROWS, tmp_path, work=work, shard_size=2, stop=lambda: True)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for name in ("parameters", "class"):
        del manifest["model"][name]
    manifest.pop("sha256", None)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert attribute_data(made(), ROWS, tmp_path, work=work, shard_size=2).complete


def test_a_run_goes_on_on_another_device(tmp_path, monkeypatch):
    """There the batches would be cut otherwise: they are recorded, and not compared."""
    from attattr.engine import batches
    from attattr.engine.room import Room

    work = Work(n_steps=2)
    run = attribute_data(made(), ROWS, tmp_path, work=work, shard_size=2, stop=lambda: True)
    assert run.manifest["environment"]["device"] == "cpu"
    assert run.manifest["environment"]["memory_budget"] == 4 << 30
    assert run.batches["inputs_each"] == [[2]]
    monkeypatch.setattr(batches, "room_for", lambda *_: Room(2))
    other = Work(n_steps=2, memory_budget=1 << 30)
    assert attribute_data(made(), ROWS, tmp_path, work=other, shard_size=2).complete


def test_planned_batches_are_those_that_are_computed(tmp_path, monkeypatch):
    """They had counted the nodes otherwise than the engine did."""
    from attattr.engine import batches
    from attattr.engine.job import Job
    from attattr.engine.room import Room

    monkeypatch.setattr(batches, "room_for", lambda *_: Room(9))
    computed, run = [], Job.run
    monkeypatch.setattr(Job, "run", lambda self, *of: computed.append(len(of[0])) or run(self, *of))
    made_run = attribute_data(made(), ROWS, tmp_path, work=Work(), shard_size=4)
    assert made_run.batches["inputs_each"] == [computed]


def test_a_worker_that_finds_another_model_fails(home):
    facts = Attributor.from_pretrained(str(home / "one")).facts
    _Worker(str(home / "one"), {}, {}, facts, versions())
    with pytest.raises(InputError, match="belongs to another model"):
        _Worker(str(home / "other"), {}, {}, facts, versions())


def test_a_ranking_prunes_its_own_model_alone(tmp_path):
    ranking = rank_heads(made(), ROWS, criteria=["attention"])
    others = [Example("a bad film", label="bad"), Example("a good man", label="good")]
    prune_curves(made(), ranking, others, steps=1)
    with pytest.raises(InputError, match="the ranking belongs to another model"):
        prune_curves(made(1.0), ranking, others, steps=1)
    prune_curves(made(1.0), ranking, others, steps=1, any_model=True)


def test_a_result_is_measured_again_on_its_own_model_alone(tmp_path):
    result = made().attribute("a fine film")
    assert result.model["parameters"] == made().digest
    measure_effects(made(), result, edges=1)
    with pytest.raises(InputError, match="the result belongs to another model"):
        measure_effects(made(1.0), result)
    assert measure_effects(made(1.0), result, edges=1, any_model=True).edge_change.shape == (1,)


def test_the_command_says_both_models_and_how_to_go_on(home, tmp_path):
    def call(*words: str):
        return CliRunner().invoke(app, [str(word) for word in words])

    heads = tmp_path / "heads.parquet"
    ranked = call("heads", "rank", home / "data.tsv", "--model", home / "one", "--out", heads)
    assert ranked.exit_code == 0, ranked.output
    wrong = ["prune", "model", "--model", home / "other", "--heads", heads, "--out", tmp_path / "small"]
    found = call(*wrong)
    assert found.exit_code == 2
    assert str(home / "one") in found.output and str(home / "other") in found.output
    assert "--any-model" in found.output and not (tmp_path / "small").exists()
    assert call(*wrong, "--any-model").exit_code == 0
    config = json.loads((tmp_path / "small" / "config.json").read_text())
    assert (
        config["attattr_pruned_from"]["parameters"] == Attributor.from_pretrained(str(home / "other")).digest
    )
    shutil.rmtree(tmp_path / "small")
    assert call(*wrong[:3], home / "one", *wrong[4:]).exit_code == 0
    # the pruned model is another one too: its heads are numbered as before, but are not those
    small = tmp_path / "small"
    again = call("prune", "model", "--model", small, "--heads", heads, "--out", tmp_path / "smaller")
    assert again.exit_code == 2 and "belongs to another model" in again.output


def test_the_digest_does_not_depend_on_the_number_of_threads(monkeypatch):
    model = tiny.bert()
    found = set()
    for threads in (1, 8):
        monkeypatch.setattr("attattr.models.identity.THREADS", threads)
        found.add(of_parameters(model))
    assert len(found) == 1 and np.all([len(each) == 64 for each in found])
