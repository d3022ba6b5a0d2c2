"""Known truth: the hand-written models do what they say, and their edges are true and inert as said."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from attattr import Attributor
from attattr.measure.masks import Mask, measure

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

from truth import contestants, document, run, scoring, shapley
from truth.families import FAMILIES, METHODS
from truth.model import CompiledForSequenceClassification, compiled

DOCS = Path(__file__).resolve().parents[1] / "docs"
EVERY = [(name, norm) for name in FAMILIES for norm in (False, True)]


def attributor(name, norm=False):
    return Attributor(compiled(FAMILIES[name].plan(norm)))


@pytest.mark.parametrize(("name", "norm"), EVERY)
def test_the_model_answers_right(name, norm):
    family, rng = FAMILIES[name], Random(0)
    model = compiled(family.plan(norm))
    for length in (8, 16, 32, 64):
        inputs = [family.draw(rng, length) for _ in range(20)]
        given = [family.ids(one.tokens, one.second) for one in inputs]
        with torch.no_grad():
            outputs = model(**{key: torch.tensor([each[key] for each in given]) for key in given[0]})
        assert outputs.logits.argmax(-1).tolist() == [one.label for one in inputs]


@pytest.mark.parametrize(("name", "norm"), EVERY)
def test_inert_edges_move_nothing_and_true_ones_do(name, norm):
    """Whichever true edges are there, the others change nothing together; every true one does."""
    family, given = FAMILIES[name], attributor(name, norm)
    draw = np.random.default_rng(0)
    for length in (8, 16):
        (one,) = run.drawn(family, length, 1)
        places = family.places(one)
        subsets = list(itertools.product((1.0, 0.0), repeat=len(places)))
        if len(subsets) > 8:  # all, none, all but one, one alone
            alone = np.eye(len(places))
            subsets = [*map(tuple, (np.ones(len(places)), np.zeros(len(places)), *(1 - alone), *alone))]
        shape = (len(family.layers), given.model.config.num_attention_heads, length, length)
        masks = []
        for kept in subsets:
            for others in (np.ones(shape), np.zeros(shape), (draw.random(shape) < 0.5).astype(float)):
                for place, there in zip(places, kept, strict=True):
                    others[place] = there
                masks.append(Mask(edges=dict(enumerate(others))))
        _, found = measure(given, family.ids(one.tokens, one.second), masks)
        found = found.reshape(-1, 3)
        assert np.ptp(found, axis=1).max() < (0.1 if norm else 1e-5)
        assert found[0, 0] - found[subsets.index((0.0,) * len(places)), 0] > 0.35
        by = dict(zip(subsets, found[:, 0], strict=True))
        for i in range(len(places)):
            changes = [
                abs(by[kept] - by[without])
                for kept in subsets
                if kept[i] and (without := (*kept[:i], 0.0, *kept[i + 1 :])) in by
            ]
            assert max(changes) > 0.02


@pytest.mark.parametrize("name", FAMILIES)
def test_a_counterfactual_is_as_long_and_answered_otherwise(name):
    family = FAMILIES[name]
    model = compiled(family.plan(False))
    for one in run.drawn(family, 8, 5):
        assert len(one.other) == len(one.tokens) == 8 and one.other != one.tokens
        batch = [family.ids(tokens, one.second) for tokens in (one.tokens, one.other)]
        with torch.no_grad():
            p = model(**{key: torch.tensor([each[key] for each in batch]) for key in batch[0]})
        p = p.logits.softmax(-1)[:, one.label]
        assert p[0] - p[1] > 0.3


def test_it_is_a_model_of_transformers(tmp_path):
    model = compiled(FAMILIES["bracket"].plan(True))
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float64)
    assert isinstance(again, CompiledForSequenceClassification)
    assert AutoConfig.from_pretrained(tmp_path).norm
    given = FAMILIES["bracket"].ids(run.drawn(FAMILIES["bracket"], 16, 1)[0].tokens)
    ids = torch.tensor([given["input_ids"]])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, again(ids).logits)
        padded = torch.tensor([[*given["input_ids"], 0, 0]])
        mask = torch.tensor([[1] * 16 + [0] * 2])
        torch.testing.assert_close(model(padded, attention_mask=mask).logits, model(ids).logits)


def test_removal_is_what_a_mask_of_one_edge_does():
    family, given = FAMILIES["induction"], attributor("induction", True)
    (one,) = run.drawn(family, 8, 1)
    inputs = family.ids(one.tokens)
    (scores,) = contestants.removal(given, [inputs], [None])
    shape = scores[0].shape
    places = [*family.places(one), (0, 2, 3, 4), (1, 3, 0, 5), (1, 3, 2, 5), (0, 0, 1, 1)]
    masks = []
    for site, *place in places:
        kept = np.ones(shape)
        kept[tuple(place)] = 0
        masks.append(Mask(edges={site: kept}))
    clean, found = measure(given, inputs, masks)
    np.testing.assert_allclose([scores[s][tuple(p)] for s, *p in places], clean - found, atol=1e-12)


def test_shapley_values_add_up_and_share_what_stands_in_for_each_other():
    family, given = FAMILIES["or"], attributor("or")
    (one,) = run.drawn(family, 8, 1)
    inputs = family.ids(one.tokens)
    players, values = shapley.values(given, inputs, 2000, 0)
    shape = (given.model.config.num_attention_heads, 8, 8)
    clean, (nothing,) = measure(given, inputs, [Mask(edges={0: np.zeros(shape)})])
    assert values.sum() == pytest.approx(clean - nothing, abs=1e-9)
    worth = {tuple(map(int, player)): value for player, value in zip(players, values, strict=True)}
    true = [worth.pop(place) for place in family.places(one)]
    np.testing.assert_allclose(true, (clean - nothing) / 2, atol=0.03)  # the orders are drawn
    assert np.abs(list(worth.values())).max() < 1e-9


def test_ties_count_as_their_mean():
    rng = np.random.default_rng(0)
    strength, true = rng.integers(0, 3, 12).astype(float), np.arange(12) < 4
    drawn = []
    for _ in range(4000):
        broken = strength + 1e-3 * rng.random(12)
        drawn.append([scoring.area(broken, true), scoring.precision(broken, true)])
    expected = [scoring.area(strength, true), scoring.precision(strength, true)]
    np.testing.assert_allclose(np.mean(drawn, axis=0), expected, atol=0.01)


def test_every_method_has_a_name_and_what_must_fail_is_one():
    assert METHODS.keys() == contestants.CONTESTANTS.keys()
    assert all(family.fails.keys() <= METHODS.keys() for family in FAMILIES.values())


def made_up(good):
    """Results in which every method has the same average precision everywhere."""

    def about(mean):
        return {"mean": mean, "low": mean, "high": mean, "n": 200}

    of = {name: about(good) for name in run.MEASURES} | {"by length": [good]}
    each = {
        name: {"shapley": {"average precision": 1.0, "sum": 0.5}, "players": 9, "seconds": 1.0}
        | {method: {"Spearman": 0.5, "top": 1.0} for method in METHODS}
        for name in FAMILIES
    }
    return {
        "schema_version": "1", "seconds": 60.0,
        "machine": {"torch": "2", "transformers": "5", "attattr": "0", "machine": "m", "threads": 1},
        "setting": {"sizes": {"inputs": [[8, 200]], "tiny": 1, "permutations": 10000}},
        "ranked": {kind: {name: dict.fromkeys(METHODS, of) for name in FAMILIES} for kind in run.KINDS},
        "shapley": dict.fromkeys(run.KINDS, each),
    }  # fmt: skip


def test_the_document_follows_from_the_numbers():
    good, bad = document.text(made_up(1.0)), document.text(made_up(0.1))
    assert "AttAttr from zero finds them in 10 of 10 families" in good and "**no**" in good
    assert "AttAttr from zero finds them in 0 of 10 families" in bad
    assert "It loses “previous”, “induction”" in bad.replace("\n  ", " ")
    predicted = sum(len(family.fails) for family in FAMILIES.values())
    assert f"Of {predicted} predictions that a method misses true edges, 0 came true" in good
    assert f"{predicted} came true" in bad and "**no**" not in bad
    # what must fail is said before what was measured
    assert good.index("## What must fail") < good.index("## What was measured")


def test_the_document_in_the_repository_is_of_its_numbers():
    path = DOCS / "truth.json"
    if not path.exists():
        pytest.skip("not measured yet")
    results = json.loads(path.read_text(encoding="utf-8"))
    assert path.with_suffix(".md").read_text(encoding="utf-8") == document.text(results)


@pytest.mark.slow
def test_all_of_it_runs_and_goes_on_where_it_was(tmp_path, capsys):
    run.measure(tmp_path / "work", run.QUICK, tmp_path / "docs")
    run.document(tmp_path / "docs")
    units = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*.unit")}
    assert len(units) == 3 * len(EVERY)
    before = (tmp_path / "docs/truth.json").read_bytes()
    run.measure(tmp_path / "work", run.QUICK, tmp_path / "docs")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*.unit")} == units
    assert (tmp_path / "docs/truth.json").read_bytes() == before
    text = (tmp_path / "docs/truth.md").read_text(encoding="utf-8")
    assert "## The answer" in text and (tmp_path / "docs/truth/compiled.svg").exists()
