"""What F is: labels, differences, callables, next tokens, continuations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny
from attattr import Attributor, InputError


@pytest.fixture(scope="module")
def classifier():
    model = tiny.bert()
    model.config.id2label = {0: "no", 1: "maybe", 2: "yes"}
    return Attributor(model, tiny.tokenizer())


@pytest.fixture(scope="module")
def decoder():
    return Attributor(tiny.gpt2(), tiny.tokenizer(bert=False))


def logits(attributor, text):
    inputs = attributor.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        return attributor.model(**inputs).logits


def test_the_prediction_unless_told_otherwise(classifier):
    result = classifier.attribute("the film is fine")
    p = logits(classifier, "the film is fine").softmax(-1)[0]
    best = int(p.argmax())
    assert result.target.label == result.prediction.label == classifier.labels[best]
    assert result.target.output == "probability"
    assert result.target.value == pytest.approx(float(p[best]))
    assert result.prediction.probabilities == pytest.approx(
        dict(zip(classifier.labels, p.tolist(), strict=True))
    )


@pytest.mark.parametrize("target", ["yes", "YES", 2, -1])
def test_a_label_by_name_or_index(classifier, target):
    result = classifier.attribute("the film is fine", target=target, output="log_probability")
    p = logits(classifier, "the film is fine").log_softmax(-1)[0, 2]
    assert (result.target.label, result.target.value) == ("yes", pytest.approx(float(p)))


def test_a_pair_is_a_difference_of_logits_and_linear_in_its_sides(classifier):
    both, yes, no = (
        classifier.attribute("not very fine", target=target, output=output, n_steps=6)
        for target, output in ((("yes", "no"), None), ("yes", "logit"), ("no", "logit"))
    )
    assert (both.target.kind, both.target.label, both.target.output) == ("difference", "yes - no", "logit")
    np.testing.assert_allclose(both.scores, yes.scores - no.scores, atol=1e-12)


def test_a_callable(classifier):
    def margin(outputs):
        return outputs.logits[:, 1] ** 2

    result = classifier.attribute("not very fine", target=margin)
    assert result.target.value == pytest.approx(float(logits(classifier, "not very fine")[0, 1] ** 2))
    assert result.target.label == "margin"
    with pytest.raises(InputError, match="one number an input"):
        classifier.attribute("not very fine", target=lambda outputs: outputs.logits)


def test_a_target_for_each_input(classifier):
    first, second = classifier.attribute(
        ["a film", ("a man eats", "nobody eats")], target=["no", ("yes", "no")]
    )
    assert first.target.label == "no"
    assert second.target.label == "yes - no"
    assert second.segments == (None, 0, 0, 0, None, 1, 1, None)
    with pytest.raises(InputError, match="1 targets for 2 inputs"):
        classifier.attribute(["a film", "a man"], target=["no"])


def test_the_next_token(decoder):
    result = decoder.attribute("the film is")
    p = logits(decoder, "the film is")[0, -1].softmax(-1)
    assert result.target.kind == "token"
    assert result.target.index == (int(p.argmax()),)
    assert result.target.value == pytest.approx(float(p.max()))
    assert list(result.prediction.probabilities.values()) == pytest.approx(p.topk(10).values.tolist())
    assert result.tokens == ("the", "film", "is")


def test_a_continuation_is_its_summed_log_probability(decoder):
    result = decoder.attribute("the film", target="is very fine")
    steps = logits(decoder, "the film is very fine")[0].log_softmax(-1)
    ids = decoder.tokenizer("is very fine")["input_ids"]
    expected = sum(float(steps[1 + i, token]) for i, token in enumerate(ids))
    assert (result.target.kind, result.target.output) == ("continuation", "log_probability")
    assert result.target.value == pytest.approx(expected)
    assert result.tokens == ("the", "film", "is", "very")  # the last token is predicted, never read
    assert result.prediction.index == int(logits(decoder, "the film")[0, -1].argmax())
    for site in result.sites:
        change = result.target.value - site.baseline_output
        assert site.scores.sum() - change == pytest.approx(site.completeness_gap, abs=1e-9)


def test_continuations_of_an_encoder_decoder():
    attributor = Attributor(tiny.t5(), tiny.tokenizer())
    result = attributor.attribute("the film is fine", target="very good", n_steps=8)
    assert {site.kind for site in result.sites} == {"encoder_self", "decoder_self", "cross"}
    cross = next(site for site in result.sites if site.kind == "cross")
    assert cross.scores.shape == (2, 2 + 1 - 1, len(result.tokens))
    assert (cross.query_axis, cross.key_axis) == ("output", "input")


@pytest.mark.parametrize(
    ("target", "output", "message"),
    [
        ("perhaps", None, "no, maybe, yes"),
        (3, None, "out of range"),
        (("yes", "no", "maybe"), None, "pair"),
        ("yes", "softmax", "probability, logit, log_probability"),
        (1.5, None, "unknown target"),
    ],
)
def test_targets_that_cannot_be_are_said_so(classifier, target, output, message):
    with pytest.raises(InputError, match=message):
        classifier.attribute("a film", target=target, output=output)


def test_one_logit_has_no_probability_to_explain():
    attributor = Attributor(tiny.bert(labels=1), tiny.tokenizer())
    with pytest.raises(InputError, match="logit"):
        attributor.attribute("a film", output="probability")
    assert attributor.attribute("a film", output="logit").target.output == "logit"


def test_several_labels_at_once_are_sigmoids():
    model = tiny.bert(problem_type="multi_label_classification")
    attributor = Attributor(model, tiny.tokenizer())
    result = attributor.attribute("a film", target=1)
    assert result.target.value == pytest.approx(float(logits(attributor, "a film").sigmoid()[0, 1]))
