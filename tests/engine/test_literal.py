"""The shipped form of the paper's algorithm against the engine, and against the tests' own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_engine import close

import oracle
import tiny
from attattr import Attributor
from attattr.engine.literal import literal_scores
from attattr.measure.check import check_model
from families import FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_the_engine_gives_the_scores_of_the_paper_to_the_letter(name):
    family = FAMILIES[name]
    attributor = Attributor(family.model())
    theirs = literal_scores(attributor, family.inputs[0], target=1, n_steps=3)
    ours = attributor.attribute(family.inputs[0], target=1, method="riemann_right", n_steps=3)
    assert len(theirs) == len(ours.sites)
    for scores, site in zip(theirs, ours.sites, strict=True):
        close(site.scores, scores)


def test_it_is_what_the_tests_own_algorithm_gives():
    model, inputs = tiny.bert(), tiny.text(5)
    batch = {name: value[None] for name, value in inputs.items()}
    for site, scores in enumerate(literal_scores(Attributor(model), inputs, target=2, n_steps=4)):
        wanted = oracle.attribution(
            model, batch, site, lambda outputs: outputs.logits.softmax(-1)[:, 2],
            np.arange(1, 5) / 4, np.full(4, 0.25),
        )  # fmt: skip
        close(scores, wanted[0].numpy(), 1e-9)


def test_check_measures_the_distance(monkeypatch):
    attributor = Attributor(tiny.bert())
    assert check_model(attributor, tokens=(5,)).literal is None
    found = check_model(attributor, tokens=(5,), literal=True)
    assert found.literal is not None and found.literal < 1e-9
    monkeypatch.setattr(
        "attattr.measure.check.literal_scores",
        lambda *args, **kwargs: [2 * each for each in literal_scores(*args, **kwargs)],
    )
    wrong = check_model(attributor, tokens=(5,), literal=True).literal
    assert wrong == pytest.approx(0.5, abs=1e-6)


def test_nothing_is_left_behind():
    model = tiny.bert().train()
    literal_scores(Attributor(model), tiny.text(4), n_steps=1)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters()) and torch.is_grad_enabled()
