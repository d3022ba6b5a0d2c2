"""The model is left as it was found, whatever happens."""

from __future__ import annotations

import pytest
import torch
import transformers as t

import tiny
from attattr import Attributor, UnsupportedModelError
from attattr.engine.capture import Capture


def state(model):
    return {
        "training": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grad": [parameter.grad is None for parameter in model.parameters()],
        "implementation": [
            module.config._attn_implementation for module in model.modules() if hasattr(module, "config")
        ],
        "pad": model.config.pad_token_id,
        "forward": [module.__dict__.get("forward") for module in model.modules()],
        "hooks": [
            (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
            for module in model.modules()
        ],
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
    }


def same(a, b):
    weights = zip(a.pop("weights").values(), b.pop("weights").values(), strict=True)
    return a == b and all(torch.equal(x, y) for x, y in weights)


def half_trained(model):
    model.train()
    next(iter(model.parameters())).requires_grad_(False)
    model.get_input_embeddings().forward = model.get_input_embeddings().forward  # a wrapper of someone else
    return model


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_after_a_result(implementation):
    model = half_trained(tiny.bert())
    model.set_attn_implementation(implementation)
    before = state(model)
    Attributor(model).attribute([tiny.text(5), tiny.text(3)])
    assert same(before, state(model))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_exception_in_the_middle(error):
    model = half_trained(tiny.gpt2(t.GPT2ForSequenceClassification, num_labels=3))
    before = state(model)
    assert before["pad"] is None

    def stop(done, total, name):
        if done == 1:
            raise error("stop")

    with pytest.raises(error):
        Attributor(model).attribute([tiny.text(5), tiny.text(3)], progress=stop)
    assert same(before, state(model))


def test_when_entering_itself_fails(monkeypatch):
    model = half_trained(tiny.bert())
    before = state(model)
    monkeypatch.setattr("attattr.engine.structure.blocks_of", lambda model: 1 / 0)
    with pytest.raises(ZeroDivisionError), Capture(model):
        pass
    assert same(before, state(model))


def test_a_model_without_attention_raises_an_error_that_names_it():
    model = t.FNetForSequenceClassification(t.FNetConfig(**tiny.SMALL))
    before = state(model)
    with pytest.raises(UnsupportedModelError, match="no attention of FNetForSequenceClassification"):
        Attributor(model).attribute({"input_ids": tiny.text(5)["input_ids"]})
    assert same(before, state(model))


def test_after_a_result_of_a_model_that_is_seen_at_its_softmax():
    model = half_trained(
        t.BloomForCausalLM(t.BloomConfig(vocab_size=60, hidden_size=16, n_layer=2, n_head=2))
    )
    before = state(model)
    Attributor(model).attribute([tiny.text(5), tiny.text(3)])
    assert same(before, state(model))


def test_a_model_intercepted_in_part_lists_what_was_left_out():
    config = t.Qwen3NextConfig(
        **tiny.SMALL, num_attention_heads=2, num_key_value_heads=1, head_dim=8, linear_num_key_heads=2,
        linear_num_value_heads=2, linear_key_head_dim=8, linear_value_head_dim=8, num_experts=2,
        num_experts_per_tok=1, moe_intermediate_size=8, shared_expert_intermediate_size=8,
        layer_types=["linear_attention", "full_attention", "linear_attention"],
    )  # fmt: skip
    model = t.Qwen3NextForCausalLM(config).eval()
    with pytest.warns(UserWarning, match="layers.0"):
        result = Attributor(model).attribute(tiny.text(5), baseline="uniform")
    assert [site.name for site in result.sites] == ["model.layers.1.self_attn"]
    assert result.left_out == ("model.layers.0", "model.layers.2")


def test_nothing_of_a_capture_lingers_in_a_plain_forward():
    model = tiny.bert()
    inputs = {"input_ids": tiny.text(6)["input_ids"][None]}
    with torch.no_grad():
        before = model(**inputs).logits
        Attributor(model).attribute(tiny.text(5))
        assert torch.equal(before, model(**inputs).logits)
