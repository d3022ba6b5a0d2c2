"""Half precision, and what must not leak in from outside: autocast, TF32, inference mode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from attattr import AttAttrError, Attributor, UnsupportedModelError, measure_faithfulness
from attattr.data.examples import Example
from attattr.engine.capture import IMPLEMENTATION
from attattr.engine.precision import BLIND, PEAK, as_given, lifts
from attattr.engine.structure import lock_of

# |scores − exact|₁ / |exact|₁ that half precision may cost at a site (measured: 0.005 and 0.064)
COST = {"float16": 0.02, "bfloat16": 0.1}
SATURATED = "a gorgeous, witty, seductive movie"  # p = 0.999


def off(found, exact):
    pairs = zip(found.sites, exact.sites, strict=True)
    return np.array([np.abs(a.scores - b.scores).sum() / np.abs(b.scores).sum() for a, b in pairs])


@pytest.fixture(scope="module")
def exact():
    return Attributor.from_pretrained("sst2", dtype="float64").attribute(SATURATED)


@pytest.mark.parametrize("dtype", COST)
def test_half_precision_is_close_at_every_site_of_a_saturated_input(dtype, exact):
    assert exact.prediction.probability > 0.998
    found = Attributor.from_pretrained("sst2", dtype=dtype).attribute(SATURATED)
    assert (off(found, exact) < COST[dtype]).all(), off(found, exact)
    assert found.converged.all()
    # what rounding may hide of the gap is far below F here, of which it was a share once
    assert np.abs(found.completeness_gap).max() < 4 * torch.finfo(getattr(torch, dtype)).eps * 0.05


def saturated(dtype, factor=1e4):
    """A tiny model so sure that float16 gradients of its probability are all 0."""
    model = tiny.bert(labels=2)
    with torch.no_grad():
        model.classifier.weight.mul_(factor / model.classifier.weight.abs().max())
        logits = model(input_ids=tiny.text(9)["input_ids"][None]).logits[0]
        model.classifier.weight.mul_(18 / (logits[0] - logits[1]).abs())  # p = 1 − 1.5e-8
        model.classifier.bias.zero_()
    return model.to(dtype)


@pytest.mark.parametrize(("dtype", "cost"), [(torch.float32, 1e-4), (torch.float16, 0.03)])
def test_the_gradients_of_a_very_sure_model_do_not_underflow(dtype, cost):
    """bfloat16 has too few digits for logits of 18, of which p (1 − p) is made."""
    wanted = Attributor(saturated(torch.float64)).attribute(tiny.text(9), target=0, n_steps=8)
    found = Attributor(saturated(dtype)).attribute(tiny.text(9), target=0, n_steps=8)
    assert wanted.prediction.probability > 1 - 2e-8
    assert (off(found, wanted) < cost).all(), off(found, wanted)


def test_gradients_that_overflow_are_tried_with_less():
    model = tiny.bert(labels=2)
    with torch.no_grad():
        model.classifier.weight.mul_(3e3)
    model = model.to(torch.float16)
    wide = Attributor(tiny.bert(labels=2).double())
    with torch.no_grad():
        wide.model.classifier.weight.copy_(model.classifier.weight)
    found = Attributor(model).attribute(tiny.text(6), target=0, output="logit", n_steps=4)
    wanted = wide.attribute(tiny.text(6), target=0, output="logit", n_steps=4)
    assert (off(found, wanted) < 0.05).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_function_of_half_precision_is_scaled_too(dtype):
    """Its own steps are in half precision: what is scaled must not overflow there, nor be of another type."""
    weights = torch.tensor([1.0, -1.0], dtype=dtype)
    targets = {
        "probability": lambda outputs: outputs.logits.softmax(-1)[:, 0],
        "difference": lambda outputs: outputs.logits @ weights.to(outputs.logits.dtype),
    }
    exact = Attributor(tiny.bert(labels=2))
    half = Attributor(tiny.bert(labels=2).to(dtype))
    for target in targets.values():
        wanted = exact.attribute(tiny.text(7), target=target, n_steps=4)
        assert (off(half.attribute(tiny.text(7), target=target, n_steps=4), wanted) < 0.15).all()


def test_the_importance_of_a_very_sure_models_heads_does_not_underflow():
    """Taylor importance is a gradient of the loss, which is next to nothing there."""
    from attattr.heads.sensitivity import sensitivities

    rows, tell = [Example("a fine film"), Example("a man eats")], lambda *_: None
    wanted, found = (
        sensitivities(Attributor(saturated(dtype), tiny.tokenizer()), rows, np.zeros(2, int), tell).taylor
        for dtype in (torch.float64, torch.float16)
    )
    assert wanted.max() > 0 and np.abs(found - wanted).max() < 0.05 * wanted.max()


def test_lifts_are_powers_of_two_near_the_peak():
    gradient = torch.tensor([[1e-9, -3e-9], [0.25, 0.1], [0.0, 0.0]])
    scale = lifts(gradient, torch.zeros(3))
    assert torch.equal(torch.log2(scale), torch.log2(scale).round())
    lifted = (gradient.abs().amax(1) * scale)[:2]
    assert ((lifted > PEAK / 2) & (lifted <= PEAK)).all() and scale[2] == 1
    assert torch.equal(lifts(None, torch.zeros(2)), torch.full((2,), BLIND))


@pytest.fixture(scope="module")
def attributor():
    return Attributor(tiny.bert(labels=2).float(), tiny.tokenizer())


def test_inference_mode_outside_changes_nothing(attributor):
    rows = [Example("a fine film"), Example("a man eats")]
    wanted = attributor.attribute("a fine film", n_steps=6)
    figures = measure_faithfulness(attributor, rows)
    with torch.inference_mode():
        found = attributor.attribute("a fine film", n_steps=6)
        again = measure_faithfulness(attributor, rows)
        assert torch.is_inference_mode_enabled()
    assert np.array_equal(found.scores, wanted.scores) and wanted.scores.any()
    assert again == figures


def test_weights_that_were_made_in_inference_mode_are_refused():
    with torch.inference_mode():
        model = tiny.bert()
    with pytest.raises(UnsupportedModelError, match=r"inference_mode.*load the model outside"):
        Attributor(model).attribute(tiny.text(4))
    assert model.config._attn_implementation != IMPLEMENTATION
    with ThreadPoolExecutor(1) as threads:  # and the lock is free for others
        assert threads.submit(lock_of(model).acquire, timeout=1).result()


def test_a_target_that_detaches_is_an_error_that_names_the_site(attributor):
    def detached(outputs):
        return outputs.logits.detach().softmax(-1)[:, 0]

    for n_steps in (4, "auto"):
        with pytest.raises(
            AttAttrError, match=r"no gradient reaches the attention of bert\.encoder\.layer\.0"
        ):
            attributor.attribute("a fine film", target=detached, n_steps=n_steps)


def test_a_step_between_the_nodes_is_no_broken_graph_and_is_said(attributor):
    """A gradient that is there, and 0 at every node: not an error, but never without a word."""

    def step(outputs):
        logits = outputs.logits[:, 0]
        return logits * 0 + (logits > threshold)

    def look(outputs):
        ends.append(outputs.logits[:, 0])
        return ends[-1]

    ends: list[torch.Tensor] = []
    attributor.attribute("a fine film", target=look, n_steps=3)
    found = [float(x) for values in ends for x in values.detach()]
    threshold = (found[0] + min(found, key=lambda x: -abs(x - found[0]))) / 2
    with pytest.warns(UserWarning, match="though the output changes without its attention"):
        result = attributor.attribute("a fine film", target=step, n_steps=3)
    assert not any(site.converged for site in result.sites if abs(site.completeness_gap) > 0.5)


def test_an_output_that_does_not_change_has_no_scores(attributor):
    def constant(outputs):
        return outputs.logits[:, 0] * 0 + 3

    found = attributor.attribute("a fine film", target=constant)
    assert not found.scores.any() and found.converged.all()


def test_weights_whose_graph_breaks_are_an_error():
    """What int8 weights with dynamic activations do: the product is computed, its gradient is not."""

    class Quantised(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x.detach())

    model = tiny.bert(labels=2)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.__class__ = Quantised
    with pytest.raises(AttAttrError, match="no gradient reaches"):
        Attributor(model).attribute(tiny.text(5), n_steps=4)


def test_autocast_outside_changes_nothing(attributor):
    wanted = attributor.attribute("a fine film")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attributor.attribute("a fine film")
        assert torch.is_autocast_enabled("cpu")
    assert np.array_equal(found.scores, wanted.scores)


def test_coarse_products_are_off_inside_and_as_they_were_outside(attributor):
    backends: Any = torch.backends
    places = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul)
    seen = []

    def look(outputs):
        seen.append([place.fp32_precision for place in places])
        return outputs.logits[:, 0]

    torch.set_float32_matmul_precision("medium")
    try:
        before = [place.fp32_precision for place in places]
        assert set(before) == {"tf32", "bf16"}
        attributor.attribute("a fine film", target=look, n_steps=2)
        assert seen and all(each in ("ieee", "none") for now in seen for each in now)
        with as_given(torch.device("cpu")):  # others may read the older switches meanwhile
            assert not backends.cuda.matmul.allow_tf32 and not backends.cudnn.allow_tf32
            assert torch.get_float32_matmul_precision() == "highest"
        assert [place.fp32_precision for place in places] == before
        with as_given(torch.device("cpu")):
            with pytest.raises(ZeroDivisionError), as_given(torch.device("cpu")):
                _ = 1 / 0
            assert places[0].fp32_precision == "ieee"  # the outer one still holds
        assert [place.fp32_precision for place in places] == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_compiled_model_is_unwrapped(attributor):
    compiled = torch.compile(attributor.model)
    found = Attributor(compiled, attributor.tokenizer)
    assert found.model is attributor.model
    wanted = attributor.attribute("a fine film")
    assert np.array_equal(found.attribute("a fine film").scores, wanted.scores)
    parallel = torch.nn.DataParallel(attributor.model)
    assert Attributor(parallel).model is attributor.model


def test_a_model_compiled_in_place_is_run_as_it_is_written(attributor):
    model = tiny.bert(labels=2).float()

    def compiled(*args, **kwargs):
        pytest.fail("the compiled forward was called")

    model._compiled_call_impl = compiled
    found = Attributor(model, attributor.tokenizer).attribute("a fine film")
    assert np.array_equal(found.scores, attributor.attribute("a fine film").scores)
    assert model._compiled_call_impl is compiled
