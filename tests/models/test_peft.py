"""PEFT models whose adapters are not merged: attributed through."""

from __future__ import annotations

import copy

import numpy as np
import peft
import pytest
import torch

import tiny
from attattr import Attributor, UnsupportedModelError
from attattr.measure.masks import Mask, measure
from attattr.models.loading import load

LORA = {
    "SEQ_CLS": (tiny.bert, ["query", "value"]),
    "CAUSAL_LM": (tiny.llama, ["q_proj", "v_proj", "o_proj"]),
}


def with_lora(task):
    make, targets = LORA[task]
    config = peft.LoraConfig(r=2, lora_alpha=8, target_modules=targets, task_type=task)
    model = peft.get_peft_model(make(), config)
    torch.manual_seed(1)
    with torch.no_grad():  # a fresh adapter adds nothing
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.4)
    return model.double().eval()


@pytest.mark.parametrize("task", LORA)
def test_scores_are_those_of_the_merged_model(task):
    model, inputs = with_lora(task), [tiny.text(7), tiny.text(4, seed=1)]
    merged = copy.deepcopy(model).merge_and_unload()
    for one, other in zip(
        Attributor(model).attribute(inputs), Attributor(merged).attribute(inputs), strict=True
    ):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5 * np.abs(other.scores).max())
    bare = Attributor(LORA[task][0]()).attribute(inputs)
    assert not np.allclose(bare[1].scores, one.scores, atol=1e-3)  # the adapter matters


@pytest.mark.parametrize("task", LORA)
def test_the_peft_model_is_left_as_it_was_found(task):
    model = with_lora(task).train()
    before = {name: (p.requires_grad, p.clone()) for name, p in model.named_parameters()}
    Attributor(model).attribute(tiny.text(5))
    assert all(module.training for module in model.modules())
    for name, parameter in model.named_parameters():
        asked, value = before[name]
        assert parameter.requires_grad == asked and torch.equal(parameter, value), name


def test_an_adapter_that_is_switched_off_takes_no_part():
    model = with_lora("SEQ_CLS")
    base = Attributor(tiny.bert()).attribute(tiny.text(6))
    with model.disable_adapter():
        off = Attributor(model).attribute(tiny.text(6))
    np.testing.assert_allclose(off.scores, base.scores, atol=1e-9)


def test_masks_reach_through_the_adapter():
    model = with_lora("SEQ_CLS")
    result = Attributor(model).attribute(tiny.text(6), target=1)
    off = np.ones((3, 2))
    off[1] = 0
    clean, (value,) = measure(Attributor(model), tiny.text(6), [Mask(heads=off)], target=1)
    assert clean == pytest.approx(result.target.value)
    assert value == pytest.approx(result.sites[1].baseline_output)


@pytest.mark.parametrize(
    "config",
    [peft.PromptTuningConfig(num_virtual_tokens=3), peft.PrefixTuningConfig(num_virtual_tokens=3)],
    ids=["prompt", "prefix"],
)
@pytest.mark.parametrize("task", LORA)
def test_prompts_and_prefixes_are_refused_by_name(task, config):
    config = copy.deepcopy(config)
    config.task_type = task
    model = peft.get_peft_model(LORA[task][0](), config)
    with pytest.raises(UnsupportedModelError, match=r"(PROMPT|PREFIX)_TUNING puts positions"):
        Attributor(model)


def test_a_folder_with_an_adapter_is_what_the_unmerged_model_is(tmp_path):
    model = with_lora("SEQ_CLS").float()
    base = tmp_path / "base"
    tiny.bert().float().save_pretrained(base)
    tiny.tokenizer().save_pretrained(base)
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(tmp_path / "adapter")
    tiny.tokenizer().save_pretrained(tmp_path / "adapter")
    loaded = Attributor.from_pretrained(str(tmp_path / "adapter"))
    one = Attributor(model, tiny.tokenizer()).attribute("the film is good")
    other = loaded.attribute("the film is good")
    assert one.tokens == other.tokens
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5 * np.abs(other.scores).max())


@pytest.mark.parametrize(
    ("of_base", "of_adapter", "found"),
    [
        ({0: "bad", 1: "so-so", 2: "good"}, None, ["bad", "so-so", "good"]),
        ({0: "bad", 1: "so-so", 2: "good"}, {0: "no", 1: "perhaps", 2: "yes"}, ["no", "perhaps", "yes"]),
        (None, {0: "no", 1: "perhaps", 2: "yes"}, ["no", "perhaps", "yes"]),
        ({0: "bad", 1: "good"}, None, ["LABEL_0", "LABEL_1", "LABEL_2"]),  # not of this head
        ({0: "bad", 1: "so-so", 2: "good"}, {0: "a", 1: "b"}, ["bad", "so-so", "good"]),
    ],
)
def test_names_of_labels_are_kept_under_an_adapter(tmp_path, of_base, of_adapter, found):
    """They had all become LABEL_0, LABEL_1 …"""
    model = with_lora("SEQ_CLS").float()
    base = tiny.bert(labels=len(of_base or "abc")).float()
    base.config.id2label = of_base or base.config.id2label
    (base if base.config.num_labels == 3 else base.bert).save_pretrained(tmp_path / "base")
    tiny.tokenizer().save_pretrained(tmp_path / "base")
    model.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    if of_adapter:
        base.config.id2label = of_adapter
        base.config.save_pretrained(tmp_path / "adapter")
    loaded = load(tmp_path / "adapter")
    assert list(loaded.model.config.id2label.values()) == found
    assert loaded.model.config.label2id == {name: i for i, name in enumerate(found)}
    assert load(tmp_path / "adapter", labels="x,y,z").model.config.id2label == {0: "x", 1: "y", 2: "z"}
