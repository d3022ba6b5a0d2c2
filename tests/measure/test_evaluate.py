"""Predictions and accuracy: the same in any batch, counted rightly, and shown by the command."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import torch
import transformers as t
import typer
from typer.testing import CliRunner

import tiny
from attattr.cli import options
from attattr.cli.evaluate import evaluate as evaluate_command
from attattr.cli.models import models as models_command
from attattr.data.examples import Example, as_examples
from attattr.errors import AttAttrError, InputError
from attattr.measure.accuracy import evaluate_model, gold_indices, predict, score
from attattr.measure.intervals import wilson

TEXTS = as_examples([tiny.text(n, seed=n) for n in (7, 3, 12, 5, 3, 9)])


@pytest.mark.parametrize(
    "model",
    [
        tiny.bert,
        tiny.roberta,
        lambda: tiny.gpt2(t.GPT2ForSequenceClassification, num_labels=3),  # has no pad token
        lambda: tiny.llama(t.LlamaForSequenceClassification, num_labels=3),
    ],
)
def test_logits_are_those_of_each_input_alone_in_the_given_order(model):
    model = model()
    alone = np.concatenate([model(tensors(e)[None]).logits.detach().numpy() for e in TEXTS])
    assert np.ptp(alone, axis=0).min() > 1e-3  # the order can be told
    for batch_size in (1, 4, 32):
        np.testing.assert_allclose(predict(model, None, TEXTS, batch_size=batch_size), alone, rtol=1e-9)
    assert predict(model, None, []).shape == (0, alone.shape[1])


def tensors(example: Example) -> torch.Tensor:
    return example.inputs["input_ids"]


def test_images_and_half_precision():
    images = as_examples([tiny.image(i) for i in range(3)])
    model = tiny.vit()
    expected = model(torch.stack([tiny.image(i)["pixel_values"] for i in range(3)])).logits
    np.testing.assert_allclose(predict(model, None, images, batch_size=2), expected.detach(), rtol=1e-9)
    assert predict(model.bfloat16(), None, images).dtype == np.float32


def test_the_model_is_left_as_it_was_found():
    model = tiny.gpt2(t.GPT2ForSequenceClassification, num_labels=3)
    model.train()
    model.transformer.h[1].eval()
    flags = [module.training for module in model.modules()]
    first = predict(model, None, TEXTS)
    assert np.array_equal(first, predict(model, None, TEXTS))  # no dropout
    with pytest.raises(ZeroDivisionError):
        predict(model, None, TEXTS, progress=lambda *facts: 1 / 0)
    assert [module.training for module in model.modules()] == flags
    assert model.config.pad_token_id is None


def test_progress_counts_rows():
    told = []
    predict(tiny.bert(), None, TEXTS, batch_size=4, progress=lambda *facts: told.append(facts))
    assert told == [(4, 6, ""), (6, 6, "")]


def test_language_models_have_no_accuracy():
    for function in (predict, evaluate_model):
        with pytest.raises(InputError, match="GPT2LMHeadModel predicts tokens"):
            function(tiny.gpt2(), None, TEXTS)
    with pytest.raises(InputError, match="batch size must be a whole number from 1"):
        predict(tiny.bert(), None, TEXTS, batch_size=0)


# -- counting ------------------------------------------------------------------------------------------


def labelled(labels) -> list[Example]:
    return [Example(inputs=e.inputs, label=label) for e, label in zip(TEXTS, labels, strict=True)]


def test_accuracy_is_counted_from_the_predictions():
    model = tiny.bert(id2label={0: "Yes", 1: "no", 2: "maybe"})
    names = ["Yes", "no", "maybe"]
    predicted = predict(model, None, TEXTS).argmax(-1)
    gold = [names[i] for i in predicted]
    found = evaluate_model(model, None, labelled([label.upper() for label in gold]))
    assert found.accuracy == 1
    assert found.n == 6
    assert found.labels == ("Yes", "no", "maybe")
    gold[2] = names[(predicted[2] + 1) % 3]
    found = evaluate_model(model, None, labelled(gold), batch_size=2)
    assert found.accuracy == 5 / 6
    assert found.confusion[(predicted[2] + 1) % 3][predicted[2]] == 1
    assert np.sum(found.confusion) == 6
    assert found.interval == wilson(5, 6)


def test_labels_that_differ_are_an_error_that_lists_both():
    model = tiny.bert(id2label={0: "yes", 1: "no", 2: "maybe"})
    with pytest.raises(InputError, match=r"data's labels are LABEL_1, yes; the model's are yes, no, maybe"):
        evaluate_model(model, None, labelled(["yes"] * 5 + ["LABEL_1"]))
    with pytest.raises(InputError, match="no labels"):
        evaluate_model(model, None, TEXTS)
    with pytest.raises(InputError, match="no rows"):
        evaluate_model(model, None, [])
    with pytest.raises(InputError, match="single output"):
        evaluate_model(tiny.bert(labels=1), None, labelled(["yes"] * 6))


def test_exact_names_come_before_loose_ones():
    model = tiny.bert(id2label={0: "a", 1: "A", 2: "b"})
    assert gold_indices(model, [Example("x", label=name) for name in ("A", "a", "B")])[1].tolist() == [
        1,
        0,
        2,
    ]


def test_numbers_of_classes_are_gold_labels_and_scores_are_not():
    model = tiny.bert(labels=3)
    model.config.id2label = {0: "yes", 1: "no", 2: "maybe"}

    def gold(*labels):
        return gold_indices(model, [Example("x", label=label) for label in labels])[1].tolist()

    with pytest.warns(UserWarning, match="0 is yes, 1 is no, 2 is maybe"):
        assert gold("2", "0.0", "1") == [2, 0, 1]
    for labels in (("0", "3"), ("0", "yes"), ("0.5", "1.0"), ("1", "-1")):
        with pytest.raises(
            InputError, match=rf"labels are .*{re.escape(labels[1])}.*; the model's are yes, no"
        ):
            gold(*labels)


def test_score_by_hand():
    found = score(["a", "b", "c"], np.array([0, 0, 0, 1]), np.array([0, 0, 2, 0]))
    assert found.confusion == ((2, 0, 1), (1, 0, 0), (0, 0, 0))
    assert found.accuracy == 0.5
    assert (found.per_class["a"].accuracy, found.per_class["a"].n) == (2 / 3, 3)
    assert (found.per_class["b"].accuracy, found.per_class["c"].accuracy) == (0, None)
    assert json.loads(json.dumps(found.to_json()))["per_class"]["c"] == {
        "accuracy": None,
        "interval": None,
        "n": 0,
    }


# -- the commands --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    from test_models import bert, wordpiece

    torch.manual_seed(0)
    bert(id2label={0: "bad", 1: "good"}).save_pretrained(tmp_path / "model")
    wordpiece().save_pretrained(tmp_path / "model")
    (tmp_path / "data.tsv").write_text(
        "text\tlabel\na fine film\tgood\n\tgood\nboring films\tbad\nfilms .\tgood\n"
    )
    return tmp_path


def run(command, *arguments):
    app = typer.Typer()
    app.command()(options.flattened(command))
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_shows_accuracy_and_rows_kept_out(folder):
    result = run(
        evaluate_command, folder / "data.tsv", "--model", folder / "model", "--json", folder / "x.json"
    )
    assert result.exit_code == 0, result.exception
    assert "line 3: no text in text" in result.stderr
    assert "line 3" not in result.stdout
    facts = json.loads((folder / "x.json").read_text())
    assert facts["n"] == 3
    assert facts["left_out"] == [{"line": 3, "reason": "no text in text"}]
    assert facts["schema_version"] == "1"
    assert facts["model"]["digest"]
    assert f"accuracy {facts['accuracy']:.2%}" in result.stdout
    assert "n = 3" in result.stdout
    assert not math.isnan(facts["interval"][0])
    assert {path.name for path in folder.iterdir()} == {"model", "data.tsv", "x.json"}


def test_json_on_standard_output_is_json_alone(folder):
    result = run(
        evaluate_command, folder / "data.tsv", "--model", folder / "model", "--json", "-", "--limit", 1
    )
    assert json.loads(result.stdout)["n"] == 1


def test_labels_can_be_given_and_wrong_ones_list_both(folder):
    result = run(evaluate_command, folder / "data.tsv", "--model", folder / "model", "--labels", "good,bad")
    assert result.exit_code == 0
    result = run(evaluate_command, folder / "data.tsv", "--model", folder / "model", "--labels", "x,y")
    assert isinstance(result.exception, InputError)
    assert "bad, good; the model's are x, y" in str(result.exception)


def test_an_unwritable_path_is_found_before_anything_else(folder):
    for path, reason in ((folder / "no" / "x.json", "No such file"), (folder, "is a folder")):
        result = run(evaluate_command, "nosuch.tsv", "--model", "nosuch/model", "--json", path)
        assert isinstance(result.exception, InputError)
        assert f"cannot write '{path}'" in str(result.exception)
        assert reason in str(result.exception)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    options.write_text(path, "old")
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(AttAttrError, match="No space left"):
        options.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_models_lists_what_is_embedded(monkeypatch, tmp_path):
    from attattr.models import embedded

    card = {
        "name": "sst2", "task": "sentiment", "base": "some/base", "labels": ["negative", "positive"],
        "bytes": 5_711_564, "dev": {"shipped": {"accuracy": 0.905, "n": 872}},
    }  # fmt: skip
    (tmp_path / "sst2").mkdir()
    (tmp_path / "sst2" / "card.json").write_text(json.dumps(card))
    monkeypatch.setattr(embedded, "ADAPTERS", tmp_path)
    monkeypatch.setattr(embedded, "WHOLE", tmp_path / "whole")
    result = run(models_command)
    for fact in ("sst2", "sentiment", "negative, positive", "90.5%", "872", "5.7 MB", "some/base"):
        assert fact in result.stdout
    assert "Not in this installation: mnli, snli, mrpc, rte, facts" in result.stdout
    assert json.loads(run(models_command, "--json", "-").stdout) == {
        "schema_version": "1",
        "models": {"sst2": card},
    }
