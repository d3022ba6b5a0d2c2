"""A first look: gradient × attention from one backward, and the integral where it is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import attattr
import tiny
from attattr import Attributor
from attattr.cli.options import steps
from attattr.errors import InputError
from attattr.report.terminal import _exactness
from families import FAMILIES


@pytest.mark.parametrize("family", ["bert", "llama", "t5"])
def test_without_an_integral_it_is_the_gradient_times_the_attention(family):
    one = Attributor(FAMILIES[family].model())
    quick = one.attribute(FAMILIES[family].inputs, method="gradient")
    letter = one.attribute(FAMILIES[family].inputs, method="riemann_right", n_steps=1)
    for a, b in zip(quick, letter, strict=True):
        for site, other in zip(a.sites, b.sites, strict=True):
            np.testing.assert_array_equal(site.scores, other.scores)
            assert site.completeness_gap == other.completeness_gap != 0
            assert (site.method, other.method) == ("gradient", "integral")
            assert (site.n_steps, site.error_estimate, site.converged) == (1, 1, False)


@pytest.mark.parametrize("baseline", ["zero", "uniform"])
def test_the_sites_that_add_up_to_the_most_are_integrated(baseline):
    """Of each input its own, in one batch: two of a model with six."""
    one = Attributor(tiny.bart())
    inputs = [tiny.source(n, seed, start=2) for seed, n in enumerate((7, 4, 7))]
    whole = one.attribute(inputs, baseline=baseline)
    quick = one.attribute(inputs, baseline=baseline, method="gradient")
    refined = one.attribute(inputs, baseline=baseline, method="gradient", refine=2, internal_batch_size=100)
    chosen = set()
    for full, first, found in zip(whole, quick, refined, strict=True):
        order = np.argsort([-abs(float(site.head_sum.sum())) for site in first.sites])[:2]
        chosen.add(tuple(order))
        for number, site in enumerate(found.sites):
            of, method = (full, "integral") if number in order else (first, "gradient")
            assert site.method == method
            np.testing.assert_allclose(site.scores, of.sites[number].scores, rtol=0, atol=1e-9)
            np.testing.assert_allclose(site.completeness_gap, of.sites[number].completeness_gap, atol=1e-9)
            assert (site.n_steps, site.converged) == (of.sites[number].n_steps, of.sites[number].converged)
    assert len(chosen) > 1, "inputs of a batch that differ in their sites"


def test_all_sites_refined_are_the_whole_result():
    one = Attributor(tiny.bert())
    found = one.attribute(tiny.text(7), method="gradient", refine=99)
    np.testing.assert_array_equal(found.scores, one.attribute(tiny.text(7)).scores)
    assert {site.method for site in found.sites} == {"integral"}


def test_a_first_look_runs_one_backward(monkeypatch):
    one = Attributor(tiny.bert())
    one.attribute(tiny.text(5))
    backwards = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: backwards.append(1) or grad(*a, **k))
    one.attribute(tiny.text(5), method="gradient")
    assert len(backwards) == 2  # for all sites, and to find the rows that are read


def test_the_result_says_so_and_keeps_it(tmp_path):
    found = Attributor(tiny.bert()).attribute(tiny.text(7), method="gradient", refine=1)
    assert sorted(site.method for site in found.sites) == ["gradient", "gradient", "integral"]
    found.save(tmp_path / "x.attattr")
    again = attattr.load(tmp_path / "x.attattr")
    assert [site.method for site in again.sites] == [site.method for site in found.sites]
    assert again.options["refine"] == 1
    assert [site["method"] for site in found.to_json()["sites"]] == [site.method for site in found.sites]
    said = "gradient × attention, no integral, in 2 of 3 layers"
    assert any(said in str(line) for line in _exactness(found))
    assert "no integral, in 2 of 3 layers" in found.to_html()
    whole = Attributor(tiny.bert()).attribute(tiny.text(7))
    assert "refine" not in whole.options and "no integral" not in whole.to_html()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refine": 2}, "refine goes with method='gradient'"),
        ({"method": "gradient", "n_steps": 4}, "has no nodes"),
        ({"method": "gradient", "refine": 0}, "refine must be a whole number from 1"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(InputError, match=message):
        Attributor(tiny.bert()).attribute(tiny.text(4), **options)
    assert steps("gradient", "auto") == "auto"
