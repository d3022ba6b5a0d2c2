"""Another input's attention as the baseline, against the algorithm to the letter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_engine import close

import oracle
import tiny
from attattr import Attributor, load
from attattr.data.examples import Example
from attattr.engine.literal import literal_scores
from attattr.engine.quadrature import fixed
from attattr.errors import FileFormatError, InputError
from families import FAMILIES, batched, read_length


def others(family):
    """A counterfactual of each input: other tokens, or another image, as many."""

    def of(example, seed):
        if "pixel_values" in example:
            return tiny.image(seed)
        return {**example, **tiny.text(len(example["input_ids"]), seed)}

    return [of(example, seed) for seed, example in enumerate(family.inputs, 10)]


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "gemma2", "t5", "bart", "vit"])
def test_scores_are_those_of_the_literal_algorithm_with_and_without_padding(name):
    family = FAMILIES[name]
    model, baselines = family.model(), others(FAMILIES[name])
    rule = fixed("gausslegendre", 5)
    together = Attributor(model).attribute(family.inputs, target=1, n_steps=5, baseline=baselines)
    for example, other, result in zip(family.inputs, baselines, together, strict=True):
        alone = Attributor(model).attribute(example, target=1, n_steps=5, baseline=other)
        inputs, function = batched(example), family.function(read_length(example))
        for number in range(len(result.sites)):
            expected = oracle.attribution(
                model, inputs, number, function, rule.nodes, rule.weights, batched(other)
            )[0].numpy()
            before = oracle.value_at(
                model, inputs, number, oracle.attention(model, batched(other))[number][0], function
            )
            assert alone.sites[number].baseline_output == pytest.approx(float(before), abs=1e-10)
            if name in ("t5", "bart") and not expected.any():  # the decoder reads the same in both
                assert result.sites[number].kind == "decoder_self" and not alone.sites[number].scores.any()
                continue
            # Gemma 2 takes its softmax in float32
            close(alone.sites[number].scores, expected, 1e-5 if name == "gemma2" else 1e-10)
            close(result.sites[number].scores, expected, 1e-5)


def test_the_shipped_form_of_the_algorithm_agrees():
    attributor = Attributor(tiny.bert())
    theirs = literal_scores(attributor, tiny.text(5), target=1, n_steps=3, baseline=tiny.text(5, 9))
    ours = attributor.attribute(
        tiny.text(5), target=1, method="riemann_right", n_steps=3, baseline=tiny.text(5, 9)
    )
    for scores, site in zip(theirs, ours.sites, strict=True):
        close(site.scores, scores, 1e-10)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_it_is_complete_from_the_other_inputs_attention(name):
    family = FAMILIES[name]
    example, other = family.inputs[0], others(family)[0]
    result = Attributor(family.model()).attribute(example, baseline=other)
    assert result.converged.all() or name == "t5"  # whose ReLU has kinks
    for site in result.sites:
        change = result.target.value - site.baseline_output
        total = float(site.head_sum.sum())
        assert total - change == pytest.approx(site.completeness_gap, abs=1e-12)
        assert abs(total - change) <= (1e-2 if name == "t5" else 1e-3) * np.abs(site.scores).sum() + 1e-12


def test_the_input_itself_leaves_nothing():
    result = Attributor(tiny.bert()).attribute(tiny.text(5), baseline=tiny.text(5))
    assert not np.abs(result.scores).max() and result.converged.all()
    assert result.options["counterfactual"]["differs"] == {}


@pytest.fixture(scope="module")
def words():
    return Attributor(tiny.bert(), tiny.tokenizer())


def test_texts_pairs_and_token_ids_are_taken(words):
    result = words.attribute("the film is fine", baseline="the film is bad")
    told = result.options["counterfactual"]
    assert result.options["baseline"] == "counterfactual"
    assert told == {
        "text": "the film is bad", "text_pair": None, "differs": {"input": [[4, "fine", "bad"]]}
    }  # fmt: skip
    ids = words.tokenizer("the film is bad")["input_ids"]
    same = words.attribute("the film is fine", baseline={"input_ids": ids})
    np.testing.assert_array_equal(same.scores, result.scores)
    assert same.options["counterfactual"]["text"] is None
    pair = words.attribute("a man eats", "nobody eats", baseline=("a woman eats", "nobody sleeps"))
    assert [each[0] for each in pair.options["counterfactual"]["differs"]["input"]] == [2, 6]
    # what a dict does not name is the input's own: here, which text a token is of
    ids = words.tokenizer("a woman eats", "nobody sleeps")["input_ids"]
    again = words.attribute("a man eats", "nobody eats", baseline={"input_ids": ids})
    np.testing.assert_array_equal(again.scores, pair.scores)


def test_one_for_all_or_one_for_each(words):
    texts = ["the film is fine", "the film is not very good"]
    each = words.attribute(texts, baseline=["the film is bad", "nobody film is not very good"])
    alone = [words.attribute(texts[0], baseline="the film is bad")]
    alone.append(words.attribute(texts[1], baseline="nobody film is not very good"))
    for one, other in zip(each, alone, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-12)
        assert one.options == other.options
    assert [len(r.tokens) for r in words.attribute([texts[0]] * 2, baseline="the film is bad")] == [6, 6]


def test_a_text_that_is_a_name_stands_in_a_list(words):
    text = words.attribute("fine", baseline=["zero"])
    assert text.options["counterfactual"]["text"] == "zero" and text.options["baseline"] != "zero"
    example = words.attribute("fine", baseline=Example("zero"))
    np.testing.assert_array_equal(text.scores, example.scores)


def test_a_continuation_goes_on_from_both():
    attributor = Attributor(tiny.gpt2(), tiny.tokenizer(bert=False))
    result = attributor.attribute("the film is", target="fine and good", baseline="a woman is")
    assert len(result.tokens) == 5 and result.converged.all()
    assert [place for place, *_ in result.options["counterfactual"]["differs"]["input"]] == [0, 1]
    ids = [attributor.tokenizer(f"{text} fine and")["input_ids"] for text in ("the film is", "a woman is")]
    goes_on = attributor.tokenizer("fine and good")["input_ids"]
    raw = attributor.attribute(
        {"input_ids": ids[0]}, baseline={"input_ids": ids[1]}, output="log_probability", n_steps=8,
        target=lambda outputs: sum(
            outputs.logits.log_softmax(-1)[:, place, token] for place, token in enumerate(goes_on, 2)
        ),
    )  # fmt: skip
    fixed_ = attributor.attribute("the film is", target="fine and good", baseline="a woman is", n_steps=8)
    close(raw.scores, fixed_.scores, 1e-8)


@pytest.mark.parametrize("store", ["edges", "heads"])
def test_other_stores_have_the_same_sums(words, store):
    dense = words.attribute("the film is fine", baseline="the film is bad")
    other = words.attribute("the film is fine", baseline="the film is bad", store=store)
    np.testing.assert_allclose(other.per_head("sum"), dense.per_head("sum"), atol=1e-12)


def test_attention_in_blocks_of_queries_is_the_same(words, monkeypatch):
    whole = words.attribute("the film is fine", baseline="the film is bad", n_steps=3)
    monkeypatch.setattr("attattr.engine.recording.BLOCK", 200)
    parts = words.attribute("the film is fine", baseline="the film is bad", n_steps=3)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-12)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("the film is very bad", r"the baseline of the input has 7 tokens where it has 6"),
        ("the film", "has 4 tokens where it has 6: .* or one of zero, uniform"),
        ("Unform", "'Unform': is uniform meant"),
        (("the film", "is fine"), "the input is one text, its baseline a pair of texts"),
        ({"input_ids": [2, 3]}, "has 2 tokens where it has 6"),
        ({"input_ids": [2, 3, 4, 5, 99, 6]}, "of the baseline: input_ids must be"),
        (["fine", "bad"], "2 baselines for 1 inputs"),
        ("", "of the baseline: the text is empty"),
        (3, "of the baseline: an input is a text"),
        (None, "unknown baseline None"),
    ],
)
def test_what_cannot_be_a_baseline_is_told(words, given, says):
    with pytest.raises(InputError, match=says):
        words.attribute("the film is fine", baseline=given)


def test_one_that_does_not_fit_is_named_by_its_number(words):
    with pytest.raises(InputError, match="baseline of input 1 has 3 tokens where it has 4"):
        words.attribute(["the film"] * 2 + ["fine"], baseline=["a film", "the", "bad"])
    with pytest.raises(InputError, match="has 5 tokens where it has 10"):
        Attributor(tiny.vit()).attribute(tiny.image(), baseline={"pixel_values": torch.zeros(3, 9, 9)})


def test_a_file_holds_it_and_a_damaged_one_is_told(words, tmp_path, monkeypatch):
    result = words.attribute("the film is fine", baseline="the film is bad")
    result.save(tmp_path / "a.attattr")
    again = load(tmp_path / "a.attattr")
    assert again.options == result.options
    result.options["counterfactual"] = {"text": 3}
    result.save(tmp_path / "b.attattr")
    with pytest.raises(FileFormatError, match="text"):
        load(tmp_path / "b.attattr")
