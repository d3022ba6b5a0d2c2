"""The engine against the paper's algorithm to the letter, against Captum, and against itself."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from torch.testing import assert_close

import oracle
import tiny
from attattr import Attributor
from attattr.engine.quadrature import fixed
from families import FAMILIES, batched, read_length


def close(scores, expected, relative=1e-5):
    scale = float(np.abs(expected).max())
    assert scale > 1e-9, "nothing to compare"
    np.testing.assert_allclose(scores, expected, atol=relative * scale, rtol=0)


@pytest.mark.parametrize("baseline", ["zero", "uniform"])
@pytest.mark.parametrize("name", FAMILIES)
def test_scores_are_those_of_the_literal_algorithm_with_and_without_padding(name, baseline):
    family = FAMILIES[name]
    model = family.model()
    rule = fixed("gausslegendre", 5)
    together = Attributor(model).attribute(family.inputs, target=1, n_steps=5, baseline=baseline)
    for example, result in zip(family.inputs, together, strict=True):
        alone = Attributor(model).attribute([example], target=1, n_steps=5, baseline=baseline)[0]
        inputs, function = batched(example), family.function(read_length(example))
        calls = len(oracle.attention(model, inputs))
        assert len(result.sites) == len(alone.sites) == calls
        for number in range(calls):
            expected = oracle.attribution(
                model, inputs, number, function, rule.nodes, rule.weights, baseline
            )[0].numpy()
            close(alone.sites[number].scores, expected)
            close(result.sites[number].scores, expected)


@pytest.mark.parametrize("method", ["riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"])
def test_the_named_riemann_sums_are_the_literal_ones(method):
    model, example = tiny.bert(), tiny.text(6)
    rule = fixed(method, 6)
    result = Attributor(model).attribute(example, target=1, method=method, n_steps=6)
    function = FAMILIES["bert"].function(6)
    for number, site in enumerate(result.sites):
        expected = oracle.attribution(model, batched(example), number, function, rule.nodes, rule.weights)
        close(site.scores, expected[0].numpy())


@pytest.mark.parametrize("baseline", ["zero", "uniform"])
@pytest.mark.parametrize("name", FAMILIES)
def test_nodes_at_both_ends_are_the_literal_ones(name, baseline):
    """α = 1 is taken from one backward for all sites, α = 0 gives F(A⁰) besides."""
    family = FAMILIES[name]
    model, example = family.model(), family.inputs[1]
    inputs, function = batched(example), family.function(read_length(example))
    rule = fixed("riemann_trapezoid", 3)
    options = {"target": 1, "baseline": baseline}
    result = Attributor(model).attribute(example, method="riemann_trapezoid", n_steps=3, **options)
    inner = Attributor(model).attribute(example, n_steps=2, **options)  # F(A⁰) from a forward of its own
    for number, site in enumerate(result.sites):
        expected = oracle.attribution(model, inputs, number, function, rule.nodes, rule.weights, baseline)
        close(site.scores, expected[0].numpy())
        assert site.baseline_output == pytest.approx(inner.sites[number].baseline_output, abs=1e-6)


@pytest.mark.parametrize("name", ["bert", "llama", "t5", "vit"])
def test_captum_agrees(name):
    """captum's IntegratedGradients over A ↦ F(A), one site at a time, from zero attention."""
    family = FAMILIES[name]
    model, example = family.model(), family.inputs[1]
    inputs, function = batched(example), family.function(read_length(example))
    result = Attributor(model).attribute(example, target=1, n_steps=6)
    for number, (weights, _) in enumerate(oracle.attention(model, inputs)):
        steps = captum.attr.IntegratedGradients(
            lambda a, number=number: torch.cat(
                [oracle.value_at(model, inputs, number, row[None], function) for row in a]
            )
        )
        expected = steps.attribute(weights, baselines=0, method="gausslegendre", n_steps=6)[0].numpy()
        close(result.sites[number].scores, expected)


@pytest.mark.filterwarnings("ignore:.*less exact than asked for")
@pytest.mark.parametrize("name", FAMILIES)
def test_the_acceptance_rule_holds_at_every_converged_site(name):
    family = FAMILIES[name]
    model = family.model()
    for baseline in ("zero", "uniform"):
        for result in Attributor(model).attribute(family.inputs, target=1, baseline=baseline):
            for site in result.sites:
                total = np.abs(site.scores).sum()
                change = result.target.value - site.baseline_output
                assert site.completeness_gap == pytest.approx(site.scores.sum() - change, abs=1e-12)
                if site.converged:
                    assert abs(site.completeness_gap) <= max(1e-3 * total, 1e-14)
                    assert site.error_estimate <= 0.05
                else:
                    assert site.n_steps == 64


def test_f_of_the_clean_model_and_of_zero_attention_are_read_right():
    model, example = tiny.bert(), tiny.text(6)
    result = Attributor(model).attribute(example, target=2)
    with torch.no_grad():
        clean = model(**batched(example)).logits.softmax(-1)[0]
    assert result.target.value == pytest.approx(float(clean[2]), abs=1e-12)
    assert list(result.prediction.probabilities.values()) == pytest.approx(clean.tolist(), abs=1e-12)
    weights = oracle.attention(model, batched(example))[1][0]
    zero = oracle.value_at(
        model, batched(example), 1, torch.zeros_like(weights), lambda o: o.logits.softmax(-1)[:, 2]
    ).detach()
    assert result.sites[1].baseline_output == pytest.approx(float(zero), abs=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_many_lengths_in_one_batch_are_each_as_if_alone_in_float32(name):
    family = FAMILIES[name]
    model = family.model().float()
    if "input_ids" not in family.inputs[0]:
        pytest.skip("images are not padded")
    extra = {k: v for k, v in family.inputs[0].items() if k != "input_ids"}
    inputs = [tiny.text(length, seed=length) | extra for length in (3, 12, 5, 4, 8)]
    attributor = Attributor(model)
    together = attributor.attribute(inputs, target=1, n_steps=6)
    for example, result in zip(inputs, together, strict=True):
        alone = attributor.attribute(example, target=1, n_steps=6)
        assert result.tokens == alone.tokens
        for a, b in zip(result.sites, alone.sites, strict=True):
            assert a.scores.shape == b.scores.shape
            assert_close(
                torch.tensor(a.scores),
                torch.tensor(b.scores),
                rtol=0,
                atol=1e-5 * float(np.abs(b.scores).max()),
            )


def test_the_same_call_gives_the_same_bits_whatever_the_batch_is_cut_into():
    model = tiny.bert().float()
    inputs = [tiny.text(n, seed=n) for n in (5, 9, 5, 3)]
    first = Attributor(model).attribute(inputs)
    for a, b in zip(first, Attributor(model).attribute(inputs), strict=True):
        assert np.array_equal(a.scores, b.scores)
    for a, b in zip(first, Attributor(model).attribute(inputs, internal_batch_size=1), strict=True):
        close(a.scores, b.scores)


def test_edges_and_heads_are_what_dense_holds():
    model, example = tiny.bert(), tiny.text(9)
    attributor = Attributor(model)
    dense, edges, heads = (
        attributor.attribute(example, store=store) for store in ("dense", "edges", "heads")
    )
    assert dense.top_edges(20) == edges.top_edges(20)
    for reduce in ("max", "sum", "mean_abs"):
        np.testing.assert_array_equal(dense.per_head(reduce), edges.per_head(reduce))
        np.testing.assert_array_equal(dense.per_head(reduce), heads.per_head(reduce))
    np.testing.assert_allclose(dense.per_head("max"), dense.scores.max((2, 3)))
    assert edges.sites[0].scores is None and heads.sites[0].edges is None


def test_some_layers_only():
    model, example = tiny.bert(), tiny.text(5)
    every = Attributor(model).attribute(example)
    some = Attributor(model).attribute(example, layers=[2, -3])
    assert [site.name for site in some.sites] == [every.sites[2].name, every.sites[0].name]
    close(some.sites[0].scores, every.sites[2].scores)  # rows in other groups round otherwise
    close(some.sites[1].scores, every.sites[0].scores)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_run_and_say_how_exact_they_are(dtype):
    model = tiny.bert()
    exact = Attributor(model).attribute(tiny.text(6), target=1)
    half = Attributor(model.to(dtype)).attribute(tiny.text(6), target=1)
    assert half.scores.dtype == np.float32
    off = np.abs(half.scores - exact.scores).sum() / np.abs(exact.scores).sum()
    assert 0 < off < 0.2
    assert np.isfinite(half.error_estimate).all()
