"""Head importance: closed forms, a brute-force oracle, its file, and the commands."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

import tiny
from attattr import Attributor, Example
from attattr.choices import CRITERIA
from attattr.data.examples import digest
from attattr.errors import FileFormatError, InputError
from attattr.heads.effectiveness import Curve, measure_effectiveness
from attattr.heads.importance import correlate, load_heads, rank_heads
from commands import run

TEXTS = [
    ("the film is good", "c"), ("bad", "a"), ("a man eats and a woman sleeps", "b"), ("not very fine", "a"),
    ("nobody eats", "c"), ("the bad woman", "b"), ("is the film fine or bad", "b"), ("man", "a"),
]  # fmt: skip
ROWS = [Example(text, label=label) for text, label in TEXTS]


@pytest.fixture(scope="module")
def attributor():
    model = tiny.bert()
    model.config.id2label = dict(enumerate("abc"))
    model.config.label2id = {label: i for i, label in enumerate("abc")}
    return Attributor(model, tiny.tokenizer())


@pytest.fixture(scope="module")
def ranking(attributor):
    return rank_heads(attributor, ROWS, criteria=CRITERIA)


def test_attattr_is_the_mean_of_the_largest_scores_of_the_gold_class(attributor, ranking):
    results = [attributor.attribute(row.text, target=row.label) for row in ROWS]
    wanted = np.mean([result.scores.max((2, 3)) for result in results], 0)
    np.testing.assert_allclose(ranking.of("attattr").mean, wanted, atol=1e-9)
    for reduce, function in (("sum", np.sum), ("mean_abs", lambda s, axis: np.abs(s).mean(axis))):
        got = rank_heads(attributor, ROWS, reduce=reduce, target="predicted").of().mean
        wanted = np.mean([function(attributor.attribute(r.text).scores, axis=(2, 3)) for r in ROWS], 0)
        np.testing.assert_allclose(got, wanted, atol=1e-9)


def test_taylor_is_context_times_gradient_of_the_loss(attributor, ranking):
    """With hooks on the output projections, whose input is the context."""
    model = attributor.model
    found = []
    for row in ROWS:
        seen, hooks = [], []
        for layer in model.bert.encoder.layer:

            def keep(module, args, seen=seen):
                args[0].retain_grad()
                seen.append(args[0])

            hooks.append(layer.attention.output.dense.register_forward_pre_hook(keep))
        inputs = attributor.tokenizer(row.text, return_tensors="pt")
        loss = torch.nn.functional.cross_entropy(
            model(**inputs).logits, torch.tensor(["abc".index(row.label)])
        )
        loss.backward()
        model.zero_grad()
        for hook in hooks:
            hook.remove()
        found.append([(c * c.grad)[0].unflatten(-1, (2, 8)).sum((0, 2)).abs().detach().numpy() for c in seen])
    wanted = np.mean(found, 0)
    np.testing.assert_allclose(ranking.of("taylor").mean, wanted, rtol=1e-5)
    np.testing.assert_allclose(
        ranking.of("taylor_normalized").mean, wanted / np.linalg.norm(wanted, axis=1)[:, None], rtol=1e-5
    )


def test_attention_is_the_mean_of_the_largest_weights_padding_aside(attributor, ranking):
    wanted = np.mean([attributor.attribute(row.text).attention.max((2, 3)) for row in ROWS], 0)
    np.testing.assert_allclose(ranking.of("attention").mean, wanted, rtol=1e-6)


def test_accuracy_drop_is_counted_with_the_head_s_projection_zeroed(attributor, ranking):
    def right():
        with torch.no_grad():
            return np.array([
                attributor.model(**attributor.tokenizer(row.text, return_tensors="pt")).logits.argmax().item()
                == "abc".index(row.label)
                for row in ROWS
            ])  # fmt: skip

    clean = right()
    for layer in range(3):
        weight = attributor.model.bert.encoder.layer[layer].attention.output.dense.weight
        for head in range(2):
            before = weight.detach().clone()
            with torch.no_grad():
                weight[:, head * 8 : head * 8 + 8] = 0
            drop = clean.mean() - right().mean()
            with torch.no_grad():
                weight.copy_(before)
            assert ranking.of("accuracy_drop").mean[layer, head] == pytest.approx(drop)


def test_labels_that_are_numbers_of_classes_rank_as_names_do(attributor, ranking):
    rows = [Example(text, label=str("abc".index(label))) for text, label in TEXTS]
    with pytest.warns(UserWarning, match="0 is a, 1 is b, 2 is c"):
        found = rank_heads(attributor, rows, criteria=["attattr"])
    np.testing.assert_array_equal(found.of("attattr").mean, ranking.of("attattr").mean)


def test_intervals_hold_the_mean_and_random_has_none(ranking):
    for criterion in CRITERIA:
        found = ranking.of(criterion)
        if criterion == "random":
            assert np.isnan(found.low).all() and sorted(found.mean.ravel()) == [1, 2, 3, 4, 5, 6]
        else:
            assert (found.low <= found.mean + 1e-12).all() and (found.mean <= found.high + 1e-12).all()
    assert (ranking.of("attattr").low < ranking.of("attattr").high).any()


def test_the_same_seed_gives_the_same_ranking_and_another_another(attributor):
    orders = [
        rank_heads(attributor, ROWS[:2], criteria=["random"], seed=seed).ranked() for seed in (1, 1, 2, 3, 4)
    ]
    assert orders[0] == orders[1] and len({tuple(order) for order in orders}) > 2


def test_ranked_goes_from_the_most_important_down(ranking):
    mean = ranking.of("taylor").mean
    order = [mean[pair] for pair in ranking.ranked("taylor")]
    assert order == sorted(order, reverse=True) and len(order) == 6


def test_a_saved_ranking_is_the_same_when_read_again(ranking, tmp_path):
    ranking.save(tmp_path / "heads.parquet")
    again = load_heads(tmp_path / "heads.parquet")
    assert again.sites == ranking.sites and again.rows == ranking.rows and again.facts == ranking.facts
    for criterion in CRITERIA:
        for name in ("mean", "low", "high"):
            np.testing.assert_array_equal(
                getattr(again.of(criterion), name), getattr(ranking.of(criterion), name)
            )
    import pandas

    table = pandas.read_parquet(tmp_path / "heads.parquet")
    assert list(table.columns) == ["criterion", "site", "name", "head", "importance", "low", "high", "rank"]


def test_rows_that_were_ranked_on_are_known_again(ranking):
    new = Example("good", label="a")
    assert ranking.unlike([*ROWS, new]) == [new]
    assert digest(Example("a", "b")) != digest(Example("a b")) != digest(Example("b", "a"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"criteria": ["magic"]}, "unknown criterion 'magic': choose one of attattr"),
        ({"reduce": "median"}, "unknown reduction"),
        ({"target": "b"}, "gold or the predicted"),
        ({"examples": ROWS[:1]}, "two inputs or more"),
        ({"examples": [Example("x", label="z"), Example("y", label="a")]}, "labels are a, z"),
    ],
)
def test_what_cannot_be_ranked_is_said(attributor, changes, message):
    options = {"examples": ROWS} | changes
    with pytest.raises(InputError, match=message):
        rank_heads(attributor, options.pop("examples"), **options)


def test_a_file_that_is_no_ranking_is_said(tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(FileFormatError, match="heads rank"):
        load_heads(tmp_path / "x.parquet")


def test_effectiveness_ends_where_every_head_is_out_whatever_the_ranking(attributor):
    found = measure_effectiveness(attributor, ROWS)
    ends = {(curve.accuracy[0], curve.accuracy[-1]) for of in found.curves.values() for curve in of.values()}
    assert len(ends) == 1 and found.n == len(ROWS)
    # of two heads, the smaller first and the larger first are each other's complement at k = 1
    results = [attributor.attribute(row.text) for row in ROWS]
    right = 0
    from attattr.measure.accuracy import predict
    from attattr.measure.masks import Mask

    for row, result in zip(ROWS, results, strict=True):
        kept = np.zeros((3, 2))
        kept[np.arange(3), result.per_head("max").argmax(1)] = 1
        logits = predict(attributor.model, attributor.tokenizer, [row], masks=[Mask(heads=kept)])
        right += "abc"[logits[0].argmax()] == row.label
    curve = found.curves["attribution_predicted"]["smallest_first"]
    assert curve.accuracy[1] == right / len(ROWS)


def test_the_area_of_a_curve_is_its_mean_height():
    assert Curve.of([0, 1, 2], [4, 2, 0], 4).area == 0.5
    assert Curve.of([0.0, 1.0], [3, 3], 3).area == 1.0


@given(arrays(float, (3, 4), elements=st.floats(-5, 5).map(lambda x: round(x, 3)), unique=True))
def test_correlations_are_scipy_s_and_scaling_does_not_matter(first):
    second = first**3 + np.arange(12).reshape(3, 4) * 0.1
    found = correlate(first, second)
    assert found.pearson == pytest.approx(np.corrcoef(first.ravel(), second.ravel())[0, 1], abs=1e-9)
    assert found.spearman == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic)
    assert found.pearson_interval[0] <= found.pearson <= found.pearson_interval[1]
    assert correlate(2 * first + 1, second).pearson == pytest.approx(found.pearson, abs=1e-6)


def test_only_equal_grids_that_vary_can_be_compared():
    with pytest.raises(InputError, match="1 × 2 heads, b 1 × 3"):
        correlate(np.ones((1, 2)), np.ones((1, 3)))
    with pytest.raises(InputError, match="same for every head"):
        correlate(np.ones((2, 2)), np.arange(4.0).reshape(2, 2))


@pytest.fixture(scope="module")
def folder(attributor, tmp_path_factory):
    made = tmp_path_factory.mktemp("heads")
    attributor.model.float().save_pretrained(made / "model")
    attributor.model.double()
    attributor.tokenizer.save_pretrained(made / "model")
    lines = ["text\tlabel", *(f"{text}\t{label}" for text, label in TEXTS)]
    (made / "data.tsv").write_text("\n".join(lines) + "\n")
    return made


def test_the_commands_rank_compare_and_measure(folder):
    data = (folder / "data.tsv", "--model", folder / "model")
    for name, seed in (("one", 0), ("two", 1), ("three", 2)):
        done = run(
            "heads", "rank", *data, "--criterion", "taylor,random", "--seed", seed, "--limit", 5,
            "--out", folder / f"{name}.parquet", "--figure", folder / f"{name}.svg",
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "95 % interval" in done.stdout and (folder / f"{name}.svg").stat().st_size > 1000
    tables = [folder / f"{name}.parquet" for name in ("one", "two", "three")]
    done = run("heads", "compare", *tables, "--json", folder / "r.json", "--figure", folder / "r.svg")
    assert done.exit_code == 0, done.output
    pairs = json.loads((folder / "r.json").read_text())["pairs"]
    assert [pair["names"] for pair in pairs] == [["one", "two"], ["one", "three"], ["two", "three"]]
    assert run("heads", "compare", *tables[:2], "--figure", folder / "s.svg").exit_code == 0
    done = run("heads", "effectiveness", *data, "--json", folder / "e.json", "--figure", folder / "e.svg")
    assert done.exit_code == 0, done.output
    facts = json.loads((folder / "e.json").read_text())
    assert facts["leak_free"]["attribution_gold"] is False
    assert facts["curves"]["attention"]["largest_first"]["x"] == [0, 1, 2]


def test_a_disk_that_fills_up_is_said(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    data = (folder / "data.tsv", "--model", folder / "model", "--limit", 5)
    for output in ("full.parquet", "full.svg"):
        option = "--figure" if output.endswith("svg") else "--out"
        with monkeypatch.context() as patch:
            patch.setattr("os.replace", full)
            done = run("heads", "rank", *data, "--criterion", "taylor", option, folder / output)
        assert done.exit_code == 1
        assert f"cannot write into '{folder / f'.{output}.attattr'}': No space left" in done.stderr
        assert not list(folder.glob("full*"))


def test_wrong_usage_is_said_with_exit_code_2(folder):
    done = run("heads", "compare", folder / "data.tsv")
    assert done.exit_code == 2 and "two tables" in done.stderr
    done = run("heads", "rank", folder / "data.tsv", "--model", folder / "model", "--criterion", "magic")
    assert done.exit_code == 2 and "unknown criterion 'magic'" in done.stderr


def test_predicted_classes_need_no_labels(attributor):
    plain = [Example(row.text, row.text_pair) for row in ROWS]
    found = rank_heads(attributor, plain, target="predicted").of().mean
    np.testing.assert_array_equal(found, rank_heads(attributor, ROWS, target="predicted").of().mean)
    for more in ({}, {"target": "predicted", "criteria": ["attattr", "taylor"]}):
        with pytest.raises(InputError, match="no labels"):
            rank_heads(attributor, plain, **more)
