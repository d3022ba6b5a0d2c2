"""Faithfulness of edges against a forward pass of our own, in which edges are really taken out."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from test_tree import LAST, A, B, C, D, R, made
from transformers.models.bert import modeling_bert

import attattr
import commands
import handmade
import tiny
from attattr import build_tree, measure_faithfulness
from attattr.cli import options
from attattr.data.examples import Example
from attattr.errors import InputError
from attattr.measure.faithfulness import FRACTIONS, METHODS, edge_turns, tree_choices

TEXTS = ["the film is very fine", "nobody eats the bad film", "a man and a woman", "not good"]


@functools.cache
def measured():
    """A tiny model, its inputs and what is found for them."""
    attributor = attattr.Attributor(tiny.bert(), tiny.tokenizer())
    told = []
    found = measure_faithfulness(
        attributor, [Example(text) for text in TEXTS], threshold=0.2, seed=3,
        progress=lambda *facts: told.append(facts),
    )  # fmt: skip
    return attributor, found, told


def probabilities(attributor, text, kept=None):
    """By the model's own eager code, each layer's weights multiplied by kept[layer], (H, n, n)."""
    model = attributor.model
    layers = [layer.attention.self for layer in model.bert.encoder.layer]

    def eager(module, query, key, value, mask, scaling=None, **_):
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        weights = (query @ key.transpose(2, 3) * scaling).softmax(-1)
        weights = weights * torch.as_tensor(kept[layers.index(module)], dtype=weights.dtype)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        if kept is not None:
            patch.setattr(modeling_bert, "eager_attention_forward", eager)
            patch.setattr(model.config, "_attn_implementation_internal", "eager")
        return model(**attributor.tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0].numpy()


def test_the_reference_agrees_with_the_model():
    attributor = measured()[0]
    ones = np.ones((3, 2, 7, 7))
    assert probabilities(attributor, TEXTS[0], ones) == pytest.approx(probabilities(attributor, TEXTS[0]))
    assert probabilities(attributor, TEXTS[0], 0 * ones) != pytest.approx(probabilities(attributor, TEXTS[0]))


def test_keeping_and_removing_the_tree_is_what_the_model_does():
    attributor, found, _ = measured()
    f = {"clean": [], "keep": [], "remove": [], "keep_none": []}
    flips, edges = {"keep": [], "remove": []}, []
    for text in TEXTS:
        tree = build_tree(attributor.attribute(text), threshold=0.2)
        edges.append(len(tree.edges))
        n = len(tree.tokens)
        alone = np.zeros((3, n, n))
        alone[:, range(n), range(n)] = 1
        alone[:, tree.terminal] = 1
        keep, remove = alone.copy(), np.ones((3, n, n))
        for edge in tree.edges:
            keep[edge.layer, edge.parent, edge.child] = 1
            remove[edge.layer, edge.parent, edge.child] = 0
        clean = probabilities(attributor, text)
        for name, kept in {"keep": keep, "remove": remove, "keep_none": alone}.items():
            now = probabilities(attributor, text, kept[:, None])
            f[name].append(now[clean.argmax()])
            if name in flips:
                flips[name].append(now.argmax() != clean.argmax())
        f["clean"].append(clean.max())
    assert sum(edges) > 4
    assert found.tree_edges.mean == np.mean(edges)
    assert found.clean.mean == pytest.approx(np.mean(f["clean"]))
    assert found.keep_none.mean == pytest.approx(np.mean(f["keep_none"]))
    assert found.keep["attribution"].mean == pytest.approx(np.mean(f["keep"]))
    assert found.remove["attribution"].mean == pytest.approx(np.mean(f["remove"]))
    for name, of in flips.items():
        assert found.flips[name]["attribution"].mean == np.mean(of)


def weights_and_gradients(attributor, text):
    """A and ∂F/∂A of the untouched model by autograd on the weights themselves, (L, H, n, n)."""
    model = attributor.model
    held = []

    def eager(module, query, key, value, mask, scaling=None, **_):
        weights = (query @ key.transpose(2, 3) * query.shape[-1] ** -0.5).softmax(-1)
        weights.retain_grad()
        held.append(weights)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeling_bert, "eager_attention_forward", eager)
        patch.setattr(model.config, "_attn_implementation_internal", "eager")
        model(**attributor.tokenizer(text, return_tensors="pt")).logits.softmax(-1).max().backward()
    model.zero_grad()
    return [np.stack([getattr(w, of)[0].numpy(force=True) for w in held]) for of in ("data", "grad")]


@pytest.mark.parametrize("method", ["attribution", "gradient_x_attention", "attention"])
def test_curves_are_what_the_model_does(method):
    attributor, found, _ = measured()
    deletion, insertion = [], []
    for text in TEXTS:
        attention, gradient = weights_and_gradients(attributor, text)
        ranking = {
            "attribution": attributor.attribute(text).scores,
            "gradient_x_attention": attention * gradient,
            "attention": attention,
        }[method]
        order = np.argsort(-ranking.ravel(), kind="stable")
        label = probabilities(attributor, text).argmax()
        for curve, kept_first in ((deletion, 0.0), (insertion, 1.0)):
            values = []
            for fraction in FRACTIONS:
                kept = np.full(ranking.size, 1 - kept_first)
                kept[order[: round(fraction * ranking.size)]] = kept_first
                values.append(probabilities(attributor, text, kept.reshape(ranking.shape))[label])
            curve.append(values)
    for curve, expected in ((found.deletion[method], deletion), (found.insertion[method], insertion)):
        assert [value.mean for value in curve.values] == pytest.approx(np.mean(expected, 0), abs=1e-6)
        assert curve.area.mean == pytest.approx(np.mean(np.trapezoid(expected, FRACTIONS, axis=1)), abs=1e-6)


def test_all_curves_begin_and_end_together():
    _, found, _ = measured()
    for method in METHODS:
        ends = [found.deletion[method].values[0], found.insertion[method].values[-1]]
        assert [end.mean for end in ends] == pytest.approx([found.clean.mean] * 2)
        assert found.deletion[method].values[-1] == found.insertion[method].values[0]


def test_intervals_hold_their_means_and_leads_are_differences():
    _, found, told = measured()
    assert (found.n, found.threshold, found.seed) == (4, 0.2, 3)
    assert told == [(1, 4, ""), (2, 4, ""), (3, 4, ""), (4, 4, "")]
    for estimate in (found.clean, *found.keep.values(), *found.remove.values()):
        assert estimate.low <= estimate.mean <= estimate.high
    assert found.clean.low < found.clean.high
    for method in METHODS[1:]:
        assert found.lead["keep"][method].mean == pytest.approx(
            found.keep["attribution"].mean - found.keep[method].mean
        )
        assert found.lead["remove"][method].mean == pytest.approx(
            found.remove[method].mean - found.remove["attribution"].mean
        )


def test_the_seed_settles_what_is_random():
    attributor = measured()[0]
    examples = [Example(TEXTS[2])]
    first, again, other = (measure_faithfulness(attributor, examples, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.deletion["random"] != other.deletion["random"]
    assert first.deletion["attention"] == other.deletion["attention"]
    assert first.clean.low == first.clean.high  # one example: nothing to resample


def test_a_language_model_is_measured_without_flips():
    attributor = attattr.Attributor(tiny.gpt2(), tiny.tokenizer(bert=False))
    found = measure_faithfulness(attributor, [Example(TEXTS[0])])
    assert found.flips is None
    assert json.loads(json.dumps(found.to_json()))["flips"] is None


def test_without_examples_there_is_nothing_to_measure():
    with pytest.raises(InputError, match="no rows"):
        measure_faithfulness(measured()[0], [])


# -- what is chosen ------------------------------------------------------------------------------------


def test_as_many_edges_of_each_layer_are_chosen_where_a_tree_can_have_them():
    result = made({(B, C): 1.0}, {(A, B): 9.0, (A, D): 8.0}, LAST)
    weights = [np.zeros((1, 5, 5)) for _ in result.sites]
    weights[0][0, C, D], weights[0][0, C, C], weights[0][0, R, A] = 0.5, 0.9, 0.8  # diagonal, readout
    weights[1][0, D, A], weights[1][0, B, R], weights[1][0, D, B] = 0.4, 0.3, 0.2
    count, chosen, pool = tree_choices(result, {"attribution": weights, "attention": weights}, 0.4)
    assert count == 3
    assert [np.argwhere(chosen["attribution"][site]).tolist() for site in range(3)] == [
        [[B, C]], [[A, B], [A, D]], [],
    ]  # fmt: skip
    assert [np.argwhere(chosen["attention"][site]).tolist() for site in range(3)] == [
        [[C, D]], [[B, R], [D, A]], [],
    ]  # fmt: skip
    assert not pool[0][R].any()
    assert pool[0].sum() == 5 * 5 - 5 - 4


def test_edges_of_weight_zero_are_not_in_the_ranking():
    scores = [np.array([[[4.0, 1.0], [3.0, -1.0]]]), np.array([[[2.0, 9.0], [5.0, 0.0]]])]
    attention = np.array([[[1.0, 0.0], [0.5, 0.5]]])
    axis = handmade.axis("")
    sites = tuple(handmade.site("x", of, attention) for of in scores)
    turns = edge_turns(handmade.attribution(axes={"input": axis}, sites=sites), scores)
    assert [turn.tolist() for turn in turns] == [[[[1, -1], [2, 5]]], [[[3, -1], [0, 4]]]]


# -- the command ---------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    data = tmp_path / "films.tsv"
    data.write_text("text\tlabel\n" + "".join(f"{text}\tx\n" for text in TEXTS), encoding="utf-8")
    attributor = measured()[0]
    monkeypatch.setattr(options.TheModel, "attributor", lambda asked: attributor)

    def call(*arguments):
        return commands.run("faithfulness", data, "--model", "tiny", *arguments)

    return call


def test_the_table_is_shown(run):
    outcome = run("--limit", "2")
    assert outcome.exit_code == 0, outcome.output
    for words in ("n = 2", "gradient × attention", "without these", "flips", "deletion", "insertion", "50%"):
        assert words in " ".join(outcome.stdout.split())
    assert max(map(len, outcome.stdout.splitlines())) <= 80


def test_json_holds_all_figures(run, tmp_path):
    file = tmp_path / "f.json"
    assert run("--json", str(file), "--threshold", "0.2", "--seed", "3").exit_code == 0
    facts = json.loads(file.read_text(encoding="utf-8"))
    expected = json.loads(json.dumps(measured()[1].to_json()))
    assert {name: facts[name] for name in expected} == expected
    assert facts["schema_version"] == "1"
    assert (facts["limit"], facts["left_out"]) == (100, [])


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--threshold", "1.5"], "--threshold"), (["--json", "no/such/x"], "no/such/x")]
)
def test_wrong_usage_is_found_first(run, arguments, words):
    outcome = run(*arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert words in outcome.stderr
