"""Quantised weights: what can be done with them is done, the rest is refused in a sentence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import tiny
from attattr import Attributor, Example, UnsupportedModelError, check_model, prune_model, rank_heads
from attattr.errors import ModelError
from attattr.measure.check import _storages
from attattr.measure.masks import Mask, measure
from attattr.models.loading import _check_finite, load


class Wrapped(torch.Tensor):
    """Eight-bit numbers and a scale, as torchao's tensors hold them: gradients pass to what they multiply."""

    whole: torch.Tensor
    scale: torch.Tensor

    @staticmethod
    def __new__(cls, whole, scale):
        made = torch.Tensor._make_wrapper_subclass(cls, whole.shape, dtype=scale.dtype)
        made.whole, made.scale = whole, scale
        return made

    def __init__(self, whole, scale): ...

    @classmethod
    def of(cls, tensor):
        scale = tensor.abs().amax(1, keepdim=True) / 127
        return cls((tensor / scale).round().to(torch.int8), scale)

    def __tensor_flatten__(self):
        return ["whole", "scale"], None

    def dequantize(self):
        return self.whole * self.scale

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is nn.functional.linear:
            return func(args[0], args[1].dequantize(), *args[2:])
        return super().__torch_function__(func, types, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[override]
        if func is torch.ops.aten.detach.default:
            return cls(args[0].whole, args[0].scale)
        raise NotImplementedError(f"{func}: no storage, no isfinite, no transpose")


def weights_alone(change=lambda weight: weight):
    model = tiny.bert().float()
    for part in model.bert.encoder.modules():
        if isinstance(part, nn.Linear):
            part.weight = nn.Parameter(Wrapped.of(change(part.weight.detach())), requires_grad=False)
    return model


def the_same_in_plain_numbers():
    model = weights_alone()
    for part in model.modules():
        if isinstance(getattr(part, "weight", None), Wrapped):
            part.weight = nn.Parameter(part.weight.dequantize())
    return model


def packed():
    """torch.ao's: the weight is a method, and no gradient passes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(tiny.bert().float(), {nn.Linear}, dtype=torch.qint8)


def test_weights_that_let_gradients_pass_are_attributed():
    quantised, plain = Attributor(weights_alone()), Attributor(the_same_in_plain_numbers())
    one, other = (attributor.attribute(tiny.text(6)) for attributor in (quantised, plain))
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-6 * np.abs(other.scores).max())
    assert check_model(quantised, tokens=(6,)).zero_usable


def test_what_a_wrapper_holds_is_counted_and_looked_at():
    weight = Wrapped.of(torch.ones(4, 8))
    assert sum(_storages(weight).values()) == 4 * 8 + 4 * 4
    _check_finite(weights_alone(), "m")
    with pytest.raises(ModelError, match=r"the weights of 'm' are not finite in bert\.encoder\.layer\.0"):
        _check_finite(weights_alone(lambda weight: weight * np.nan), "m")


@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_numbers_of_eight_bits(value):
    model = nn.Linear(2, 2, bias=False)
    model.weight = nn.Parameter(torch.full((2, 2), value).to(torch.float8_e4m3fn), requires_grad=False)
    if value == 1:
        _check_finite(model, "m")
    else:
        with pytest.raises(ModelError, match="not finite in weight"):
            _check_finite(model, "m")


def test_layers_that_hand_on_no_gradient_are_refused():
    one = Attributor(packed(), tiny.tokenizer())
    examples = [Example("the film", label="LABEL_0"), Example("a film", label="LABEL_1")]
    for refused in (
        lambda: one.attribute("the film"),
        lambda: check_model(one, tokens=(6,)),
        lambda: rank_heads(one, examples, criteria=["taylor"]),
    ):
        with pytest.raises(UnsupportedModelError, match=r"self\.query is quantised .* no gradient"):
            refused()
    clean, (silenced,) = measure(one, "the film", [Mask(heads=np.zeros((3, 2)))])  # needs none
    assert clean != silenced


@pytest.mark.parametrize("make", [weights_alone, packed])
@pytest.mark.parametrize("layout", ["sliced", "masked"])
def test_quantised_models_are_not_pruned(make, layout):
    with pytest.raises(UnsupportedModelError, match="is quantised: prune the model before"):
        prune_model(Attributor(make()), np.eye(3, 2), 0.5, layout)


def test_a_model_that_cannot_be_moved_or_cast_is_an_error(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise ValueError("`.to` is not supported for 8-bit models.\nUse them as they are.")

    tiny.bert().save_pretrained(tmp_path)
    monkeypatch.setattr(transformers.PreTrainedModel, "to", refuse)
    with pytest.raises(ModelError, match=r"cannot be loaded: `\.to` is not supported for 8-bit models\.$"):
        load(tmp_path, device="cpu")
