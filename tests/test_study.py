"""The study: verdicts follow from numbers, units are done once, and the document says what was measured."""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attattr.data import Example

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

from study import (
    attention,
    claims,
    document,
    pruning,
    run,
    setting,
    trees,
    trigger_readings,
    universality,
    verdicts,
)  # fmt: skip
from study.numerics import RULES
from study.paper import PAPER
from study.setting import QUICK, Setting, group_interval, groups, mean_interval, plain, stratified

EXPERIMENTS = Path(setting.__file__).parents[1]


def about(mean, low=None, high=None, **more):
    return {"mean": mean, "low": mean if low is None else low, "high": mean if high is None else high, **more}


def curve(accuracy):
    n = len(accuracy)
    return {
        "x": [i / (n - 1) for i in range(n)], "accuracy": accuracy, "low": [a - 0.1 for a in accuracy],
        "high": [a + 0.1 for a in accuracy], "area": sum(accuracy) / n,
    }  # fmt: skip


def hit(labels, share, words=("nobody",), **more):
    return {
        "words": list(words), "accuracy": share, "interval": [share - 0.02, share + 0.02], "n": 100,
        "per_class": dict.fromkeys(labels, share), "explained_by": [], "flips_to": "neutral",
        "tokens": [{"token": word, "segment": 1, "position": 0.5} for word in words],
        "intervals": {label: [share - 0.02, share + 0.02] for label in labels}, **more,
    }  # fmt: skip


def attack(labels, clean=0.8, worst=0.1, universal=0.05):
    def row(name, share):
        of = hit(labels, share)
        kept = {key: of[key] for key in ("accuracy", "interval", "per_class", "intervals")}
        return {"name": name, "flagged": [], **kept}

    return {
        "papers": hit(labels, 0.6, words=("with", "math"), clean=hit(labels, clean)),
        "seconds": 1.0, "rows": 200, "mined": 100, "patterns": 9, "selection_rows": 100, "report_rows": 100,
        "labels": list(labels), "clean": hit(labels, clean), "overall": [hit(labels, worst)] * 3,
        "any_of_overall": hit(labels, worst),
        "per_class": {label: [hit(labels, worst)] * 3 for label in labels},
        "controls": [
            hit(labels, clean - 0.1, kind="random", about=None),
            hit(labels, universal, kind="universal", about=labels[0]),
        ],
        "table": [row("clean", clean), row("top-1: nobody", worst)],
    }  # fmt: skip


def faithful(lead):
    methods = ("attribution", "gradient_x_attention", "attention", "random")
    return {
        "seconds": 1.0, "n": 300, "tree_edges": about(7.5), "clean": about(0.9), "keep_none": about(0.4),
        "keep": dict.fromkeys(methods, about(0.6)), "remove": dict.fromkeys(methods, about(0.5)),
        "lead": {what: dict.fromkeys(methods[1:], lead) for what in ("keep", "remove")},
        "flips": {"remove": dict.fromkeys(methods, about(0.2))},
        "deletion": {m: {"area": about(0.3)} for m in methods},
        "insertion": {m: {"area": about(0.7)} for m in methods},
    }  # fmt: skip


@pytest.fixture
def units():
    """Every unit of the study, made up so that each claim holds."""
    rng = np.random.default_rng(0)
    nli, other = rng.random((2, 6, 12))
    made = {}
    for task in setting.TASKS:
        base = nli if task in universality.NLI else rng.random((6, 12)) * 0.9 + other * 0.1
        values = base + rng.random((6, 12)) * 0.05
        made[f"importance-{task}"] = {
            "seconds": 1.0, "n": 200, "importance": dict.fromkeys(universality.CRITERIA, values.tolist()),
            "start": None if task in ("mnli", "sst2") else "mnli",
        }  # fmt: skip
    for task in attention.TASKS:
        layers = [about(0.1, 0.05, 0.15, n=10)] * 2
        made[f"edges-{task}"] = {
            "seconds": 1.0, "n": 10, "tokens": 20.0, "pearson": layers, "idle": [about(0.6)] * 2,
            "reach": [about(3.0), about(None)], "reach_weighted": [about(2.0), about(None)],
            "reach_relative": [about(0.2), about(None)],
        }  # fmt: skip
        orders = ("smallest_first", "largest_first")
        ahead = {"attribution_gold": about(0.1), "attribution_predicted": about(0.1)}
        made[f"effectiveness-{task}"] = {
            "seconds": 1.0, "n": 10,
            "curves": {r: {o: curve([0.9, 0.5, 0.3]) for o in orders} for r in attention.NAMES},
            "lead": {o: dict(ahead) for o in orders},
        }  # fmt: skip
    for task in universality.PRUNED:
        found = {
            "seconds": 1.0, "ranked_on": 200, "measured_on": 400,
            "curves": {criterion: curve([0.8] * 5 + [0.5]) for criterion in pruning.NAMES},
            "between": {criterion: about(0.01) for criterion in pruning.CRITERIA[1:]},
            "lost": {str(step): about(0.0) for step in range(1, 6)},
        }  # fmt: skip
        made[f"pruning-{task}"] = found
        made[f"normalized-{task}"] = {"seconds": 1.0, "between": {"taylor_normalized": about(0.02)}}
    for task in trees.TASKS:
        made[f"faithfulness-{task}"] = faithful(about(0.1, 0.05, 0.15))
    readings = {"probability, gold, max": curve([0.8, 0.5]), "logit, gold, sum": curve([0.8, 0.6])}
    made["variants-mnli"] = {
        "seconds": 1.0, "curves": readings, "sure": 0.4,
        "between": {"logit, gold, sum": about(-0.05, -0.06, -0.04)},
        "selecting": {"logit, gold, sum": -0.05},
        "reporting": {"logit, gold, sum": about(-0.04, -0.06, -0.02)},
    }  # fmt: skip
    made["triggers-mnli"] = attack(("entailment", "neutral", "contradiction"), worst=0.01)
    made["triggers-sst2"] = attack(("negative", "positive"))
    ways = {
        trigger_readings.BASE: {"negative": 0.2, "positive": 0.4},
        "logit, predicted class": {"negative": 0.3, "positive": 0.35},
    }
    made["readings-sst2"] = {
        "seconds": 1.0,
        "ways": {
            name: {
                "rows": 9, "patterns": 5, "lost": lost, "lost_overall": 0.3,
                "words": [["dull"], ["so", "flat"]],
            }
            for name, lost in ways.items()
        },
    }  # fmt: skip
    spread = {"median": 0.001, "low": 0.0005, "high": 0.002, "p95": 0.01, "max": 0.1}
    rule = {"error": spread, "gap": spread, "seconds_per_input": 0.5, "time_ratio": 2.0}
    for task in ("mnli", "sst2"):
        made[f"quadrature-{task}"] = {
            "seconds": 1.0, "n": 200, "reference_error_estimate": 1e-7, "nodes": {"4": 9},
            "rules": dict.fromkeys(RULES, rule),
        }  # fmt: skip
    opponents = ("authors' rule (64 left)", "paper's rule (20 right)", "Captum, 20 steps")
    made["cost-seconds"] = {
        "seconds": 1.0, "n": 128, "sites": 12, "turns": 5, "steps_timed": 16,
        "seconds_each": dict.fromkeys(("attattr", *opponents), 1.0),
        "ratio": {name: {"median": 20.0, "low": 18.0, "high": 22.0} for name in opponents},
    }  # fmt: skip
    made["cost-memory"] = {
        "seconds": 1.0, "steps": 16, "above": {"attattr": 1e8, "the literal algorithm": 4e8, "Captum": 4e8},
        "ratio": {"the literal algorithm": 4.0, "Captum": 4.0},
    }  # fmt: skip
    return made


def verdict_of(units, key, about):
    return next(c.verdict for c in claims.every(units) if c.key == key and c.about.startswith(about))


def test_claims_hold_where_the_numbers_say_so(units):
    made = claims.every(units)
    assert {claim.key for claim in made} == set(PAPER)
    assert {claim.verdict for claim in made} == {verdicts.HOLDS}
    assert all(claim.ours and claim.why for claim in made)


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        ((0.2, 0.1, 0.3), "holds"),
        ((0.1, -0.1, 0.3), "holds weakly"),
        ((-0.1, -0.2, 0.1), "does not hold here"),
    ],
)
def test_an_interval_decides(estimate, expected):
    assert verdicts.above(about(*estimate)) == expected


def test_comparable_means_no_worse_than_the_margin():
    assert verdicts.comparable(about(0.5, 0.4, 0.6)) == "holds"
    assert verdicts.comparable(about(-0.01, -0.03, 0.005)) == "holds weakly"
    assert verdicts.comparable(about(-0.01, -0.03, -0.001)) == "holds weakly"
    assert verdicts.comparable(about(-0.1, -0.12, -0.08)) == "does not hold here"


def test_claims_fail_where_the_numbers_say_so(units):
    units["edges-mnli"]["pearson"] = [about(0.9, 0.85, 0.95)] * 2
    units["effectiveness-sst2"]["lead"]["largest_first"]["attribution_predicted"] = about(-0.1, -0.2, -0.05)
    units["pruning-rte"]["between"]["taylor"] = about(-0.2, -0.25, -0.15)
    units["pruning-rte"]["lost"]["1"] = about(0.1, 0.05, 0.15)
    units["pruning-rte"]["curves"]["attattr"] = curve([0.8, 0.7, 0.6, 0.6, 0.6, 0.6])
    units["faithfulness-mrpc"] = faithful(about(-0.1, -0.2, -0.05))
    units["triggers-mnli"] = attack(("entailment", "neutral", "contradiction"), worst=0.7)
    units["quadrature-sst2"]["rules"] = {
        name: of | {"error": of["error"] | {"median": 0.3, "p95": 0.5}}
        for name, of in units["quadrature-sst2"]["rules"].items()
    }
    units["cost-seconds"]["seconds_each"]["attattr"] = 100.0
    made = claims.every(units)
    failed = {(c.key, c.about.split(",")[0]) for c in made if c.verdict == verdicts.NOT}
    assert failed == {
        ("weight", "mnli"), ("effective_largest", "sst2"), ("taylor", "rte"), ("pruned", "rte"),
        ("tree", "mrpc"), ("worst", "mnli"), ("forty", "mnli"), ("quadrature", "sst2"),
        ("cost", "BERT-base size"),
    }  # fmt: skip


def test_tasks_that_share_no_more_within_nli_than_without(units):
    rng = np.random.default_rng(1)
    for task in setting.TASKS:
        values = rng.random((6, 12)).tolist()
        units[f"importance-{task}"]["importance"] = dict.fromkeys(universality.CRITERIA, values)
    assert verdict_of(units, "shared", "") != "holds"


def test_tasks_that_are_alike_by_their_weights_only_hold_weakly(units):
    """mrpc, of another kind, shares the start of the NLI models, and as much of their heads."""
    shared = units["importance-mnli"]["importance"]["attattr"]
    rng = np.random.default_rng(2)
    for task in ("mnli", "snli", "rte", "mrpc"):
        values = (np.array(shared) + rng.random((6, 12)) * 0.1).tolist()
        units[f"importance-{task}"]["importance"] = dict.fromkeys(universality.CRITERIA, values)
    assert verdict_of(units, "shared", "") == "holds weakly"
    assert "may all come with the weights" in next(c.why for c in claims.every(units) if c.key == "shared")


def test_a_tree_that_only_beats_some_controls_holds_weakly(units):
    units["faithfulness-mnli"]["lead"]["keep"] = {"attention": about(-0.1), "random": about(0.1)}
    units["faithfulness-mnli"]["lead"]["keep"]["gradient_x_attention"] = about(0.0)
    assert verdict_of(units, "tree", "mnli") == "holds weakly"


def test_the_best_reading_is_reported_on_rows_it_was_not_chosen_on(units):
    why = next(c.why for c in claims.every(units) if c.key == "taylor" and c.about == "mnli")
    assert (
        "“logit, gold, sum”, has +4.0 [+2.0, +6.0] points over “probability, gold, max” on the other half"
        in why
    )


def test_taylor_as_in_the_authors_code_stands_beside(units):
    why = next(c.why for c in claims.every(units) if c.key == "taylor" and c.about == "rte")
    assert "as in the authors' code: +2.0 [+2.0, +2.0]." in why


def test_words_that_the_data_explains_are_named(units):
    units["triggers-mnli"]["per_class"]["entailment"][0] = hit(
        ("entailment", "neutral", "contradiction"), 0.01, explained_by=["nobody"]
    )
    why = next(c.why for c in claims.every(units) if c.key == "worst")
    assert "ties nobody to the new label" in why
    assert "becomes neutral. What is added to the hypothesis need not follow" in why
    assert "Random words as frequent cost 10 points" in why
    assert "searched with gradients costs 75" in why
    assert "“with + math” in the premise: 80.0 → 60.0 %" in why


def test_other_ways_to_mine_are_told(units):
    why = next(c.why for c in claims.every(units) if c.key == "forty" and c.about == "sst2")
    assert "loses least loses 20 points mined as above, and 30 by the best of the others, “logit" in why
    assert "| logit, predicted class | 9 | 5 | 30.0 | 35.0 | 30.0 | dull; so + flat |" in document.text(
        {"machine": setting.machine(), "setting": Setting(Path(), Path()).facts(), "units": units}
    )


def test_the_document_is_the_same_from_the_same_numbers(units, tmp_path):
    made = Setting(tmp_path, tmp_path / "work")
    for name in ("effectiveness-sst2", "edges-sst2", "pruning-rte", "pruning-sst2", "pruning-mrpc"):
        del units[name]  # drawing takes its time
    results = {"schema_version": "1", "machine": setting.machine(), "setting": made.facts(), "units": units}
    document.write(results, made, tmp_path / "docs")
    first = {path.name: path.read_bytes() for path in (tmp_path / "docs").rglob("*.*")}
    run.document(made, tmp_path / "docs")  # no units: from study.json
    again = {path.name: path.read_bytes() for path in (tmp_path / "docs").rglob("*.*")}
    assert first == again
    text = first["study.md"].decode()
    for number in range(1, 8):
        assert f"## {number}. " in text
        assert f"`make study PARTS={number}`" in text
        assert re.search(rf"\| \[{number}\]\(#{number}-[a-z-]+\) \|", text)  # from a claim to its part
    linked = set(re.findall(r"\(study/([^)]*)\)", text))
    assert linked <= set(first)
    assert "None" not in text
    assert "nan" not in text.lower().split()


def test_a_part_that_was_not_measured_is_left_out(units):
    only = {name: unit for name, unit in units.items() if name.startswith("importance")}
    results = {"machine": setting.machine(), "setting": Setting(Path(), Path()).facts(), "units": only}
    text = document.text(results)
    assert "## 3. " in text
    assert "## 5. " not in text
    assert "Not measured yet: edges-mnli" in text
    assert [claim.key for claim in claims.every(only)] == ["shared"]


def test_other_parts_keep_their_figures_in_a_fresh_folder_of_units(units, tmp_path):
    made = Setting(tmp_path, tmp_path / "work")
    results = {"schema_version": "1", "machine": setting.machine(), "setting": made.facts()}
    setting.write_json(tmp_path / "study.json", results | {"units": {"cost-seconds": units["cost-seconds"]}})
    run.check(made)
    made.unit("cost-memory", lambda: units["cost-memory"])
    run.document(made, tmp_path)
    assert set(json.loads((tmp_path / "study.json").read_text())["units"]) == {"cost-seconds", "cost-memory"}
    other = replace(made, sizes=QUICK, work=tmp_path / "other")
    run.check(other)
    other.unit("cost-memory", lambda: units["cost-memory"])
    run.document(other, tmp_path)  # of another setting: nothing is kept
    assert set(json.loads((tmp_path / "study.json").read_text())["units"]) == {"cost-memory"}


def test_a_unit_that_is_there_is_skipped(tmp_path):
    made = Setting(tmp_path, tmp_path / "work")
    count = itertools.count()

    def make():
        return {"value": next(count)}

    assert made.unit("one", make)["value"] == made.unit("one", make)["value"] == 0
    assert made.unit("two", make)["value"] == 1
    assert not [path for path in made.work.iterdir() if path.suffix != ".json"]

    def fail():
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        made.unit("three", fail)
    assert not (made.work / "three.json").exists()


def test_units_of_other_sizes_do_not_mix(tmp_path):
    made = Setting(tmp_path, tmp_path / "work")
    run.check(replace(made, sizes=QUICK))  # nothing was measured: a second thought is free
    run.check(made)
    made.unit("one", dict)
    run.check(made)
    with pytest.raises(SystemExit, match="another --work"):
        run.check(replace(made, sizes=QUICK))


def test_samples_keep_the_shares_of_labels_and_selecting_and_reporting_apart(data, tmp_path):
    made = Setting(data, tmp_path, QUICK)
    ranked, measured = made.halves("sst2")
    texts = [{row.text for row in rows} for rows in (ranked, measured)]
    assert texts[0] and texts[1]
    assert not texts[0] & texts[1]
    rows = [Example(str(i), label="ab"[i % 4 == 0]) for i in range(40)]
    assert [row.label for row in stratified(rows, 12)].count("b") == 3
    assert stratified(rows, 12) == stratified(rows, 12)
    assert stratified(rows, None) == rows
    for group in groups(rows, 10):
        assert [row.label for row in group].count("b") in (2, 3)


def test_intervals():
    assert mean_interval([1.0, 1.0, float("nan")]) == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 2}
    assert mean_interval([float("nan")])["mean"] is None
    found = group_interval([0.0, 1.0])  # Student with one degree of freedom: 12.706 · 0.7071 / 1.4142
    assert found["high"] == pytest.approx(0.5 + 12.706 * math.sqrt(0.5) / math.sqrt(2), rel=1e-4)
    apart = verdicts.difference(about(0.8, 0.7, 0.9), about(0.5, 0.5, 0.5))
    assert apart == pytest.approx(about(0.3, 0.2, 0.4))


def test_weight_and_score():
    weights = np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.2, 0.8], [0.6, 0.4]]])
    assert attention.pearson(weights, 2 * weights + 1) == pytest.approx(1)
    assert math.isnan(attention.pearson(weights, np.zeros_like(weights)))
    scores = np.zeros_like(weights)
    scores[1, 0, 1] = 1.0  # the heaviest of the second head; that of the first scores nothing
    assert attention.idle_share(weights, scores) == 0.5


def test_numbers_become_json():
    found = plain({"a": np.array([1.23456789, np.nan]), 1: np.int64(2), "b": (True, None, "x")})
    assert found == {"a": [1.23457, None], "1": 2, "b": [True, None, "x"]}


@pytest.fixture
def data(tmp_path):
    """A made-up development and training set in the form of the real ones."""
    folder = tmp_path / "data"
    folder.mkdir()
    kinds = {"positive": ("fine", "lovely", "warm"), "negative": ("dull", "awful", "flat")}
    nouns = ("film", "plot", "cast", "tale")
    rows = [
        f"a {word} {noun}\t\t{label}" for label, words in kinds.items() for word in words for noun in nouns
    ]
    for name in ("sst2_dev", "sst2_train"):
        with gzip.open(folder / f"{name}.tsv.gz", "wt") as file:
            file.write("sentence1\tsentence2\tlabel\n" + "\n".join(rows) + "\n")
    return folder


@pytest.fixture
def driver():
    """experiments/study.py; the package beside it has its name."""
    spec = importlib.util.spec_from_file_location("study_driver", EXPERIMENTS / "study.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--parts", "9"], 2, "parts are 1, 2"),
        (["--parts", "x"], 2, "parts are 1, 2"),
        (["--tasks", "cola"], 2, "tasks are mnli"),
        (["--model", "mnli"], 2, "it is TASK=VALUE"),
        (["--rows", "mnli=one"], 2, "it is TASK=VALUE"),
        (["--parts", "6", "--data", "nowhere"], "error: there is no file", ""),
    ],
)
def test_what_a_user_gets_wrong(driver, tmp_path, capsys, words, code, said):
    with pytest.raises(SystemExit) as stopped:
        driver.main([*words, "--work", str(tmp_path), "--out", str(tmp_path)])
    assert stopped.value.code == code or str(stopped.value.code).startswith(str(code))
    assert said in capsys.readouterr().err


def test_a_quick_run_of_one_part_resumes_and_documents(driver, data, tmp_path):
    work, out = tmp_path / "work", tmp_path / "docs"
    words = ["--quick", "--parts", "6", "--tasks", "sst2", "--data", str(data)]
    words += ["--work", str(work), "--out", str(out)]
    driver.main(words)
    units = json.loads((out / "study.json").read_text())["units"]
    assert set(units) == {"quadrature-sst2"}
    assert units["quadrature-sst2"]["n"] == QUICK.quadrature
    stamps = {path: path.stat().st_mtime_ns for path in work.iterdir()}
    driver.main(words)
    assert stamps == {path: path.stat().st_mtime_ns for path in work.iterdir()}
    text = (out / "study.md").read_text() + (out / "study.json").read_text()
    assert "lovely" not in text  # no row of the data


def test_the_document_in_the_repository_is_that_of_its_json():
    path = EXPERIMENTS.parent / "docs" / "study.json"
    if not path.exists():
        pytest.skip("docs/study.json is not there: make study")
    results = json.loads(path.read_text(encoding="utf-8"))
    assert document.text(results) == path.with_suffix(".md").read_text(encoding="utf-8")
