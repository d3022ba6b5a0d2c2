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
from hypothesis import given
from hypothesis import strategies as st

import tiny
from attattr.data.examples import Example

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

from study import (
    attention,
    claims,
    document,
    lines,
    pruning,
    run,
    sentences,
    setting,
    trees,
    universality,
    verdicts,
)  # fmt: skip
from study.numerics import RULES
from study.paper import PAPER
from study.setting import QUICK, Setting, group_interval, groups, mean_interval, plain, stratified

EXPERIMENTS = Path(setting.__file__).parents[1]
KINDS = {"positive": ("fine", "lovely", "warm"), "negative": ("dull", "awful", "flat")}
NOUNS = ("film", "plot", "cast", "tale")
SIZES = setting.Sizes()


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


def lost(labels, mean):
    of = {"mean": mean, "interval": [mean - 0.03, mean + 0.03], "n": 100}
    return {"overall": of, "per_class": dict.fromkeys(labels, of)}


def attack(labels, clean=0.8, worst=0.1, universal=0.05, luck=0.5):
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
            *(hit(labels, universal, kind="universal", about=label) for label in labels),
        ],
        "screening_rows": 40, "leans": [],
        "lost": lost(labels, clean - worst),
        "luck": {
            "lost": lost(labels, clean - luck), "ahead": lost(labels, luck - worst),
            "patterns": 9, "overall": [hit(labels, luck, ("pure", "luck"))] * 3,
            "per_class": {label: [hit(labels, luck, ("pure", "luck"))] * 3 for label in labels},
        },
        "table": [row("clean", clean), row("top-1: nobody", worst)],
    }  # fmt: skip


def faithful(lead):
    methods = ("attribution", "gradient_x_attention", "attention", "random")
    return {
        "seconds": 1.0, "n": 300, "tree_edges": about(7.5), "clean": about(0.9), "keep_none": about(0.4),
        "keep": dict.fromkeys(methods, about(0.6)), "remove": dict.fromkeys(methods, about(0.5)),
        "lead": {what: dict.fromkeys(methods[1:], lead) for what in ("keep", "remove")},
        "flips": {what: dict.fromkeys(methods, about(0.2)) for what in ("keep", "remove")},
        "deletion": {m: {"area": about(0.3)} for m in methods},
        "insertion": {m: {"area": about(0.7)} for m in methods},
    }  # fmt: skip


def pruned(attattr=0.8, taylor=0.79, others=0.6, random=(0.5, 0.7)):
    """Curves that stand at one height until all heads are gone, in three groups of rows a little apart."""

    def of(height):
        return [[height + off] * 5 + [0.3] for off in (-0.01, 0.0, 0.01)]

    heights = {"attattr": attattr, "taylor": taylor, "accuracy_drop": others, "attention": others}
    heights |= {f"random {i + 1}": height for i, height in enumerate(random)}
    return {
        "seconds": 1.0, "ranked_on": 200, "measured_on": 60,
        "groups": {"sizes": [20] * 3, "accuracy": {name: of(height) for name, height in heights.items()}},
        "curves": {name: curve([height] * 5 + [0.3]) for name, height in heights.items()},
        "lost": {str(step): about(0.0) for step in range(1, 6)},
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
            "seconds": 1.0, "n": 10, "tokens": 20.0, "pearson": layers, "spearman": layers,
            "idle": [about(0.6)] * 2,
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
        made[f"pruning-{task}"] = pruned()
        made[f"normalized-{task}"] = {"seconds": 1.0, "between": {"taylor_normalized": about(0.02)}}
    for task in trees.TASKS:
        made[f"faithfulness-{task}"] = faithful(about(0.1, 0.08, 0.12))
    readings = {"probability, gold, max": curve([0.8, 0.5]), "logit, gold, sum": curve([0.8, 0.6])}
    made["variants-mnli"] = {
        "seconds": 1.0, "curves": readings, "sure": 0.4,
        "between": {"logit, gold, sum": about(-0.05, -0.06, -0.04)},
        "selecting": {"logit, gold, sum": -0.05},
        "reporting": {"logit, gold, sum": about(-0.04, -0.06, -0.02)},
    }  # fmt: skip
    made["attack-mnli"] = attack(("entailment", "neutral", "contradiction"), worst=0.01)
    made["attack-sst2"] = attack(("negative", "positive"))
    spread = {
        "median": 0.001, "low": 0.0005, "high": 0.002, "p95": 0.01, "p95_low": 0.005, "p95_high": 0.02,
        "max": 0.1,
    }  # fmt: skip
    rule = {"error": spread, "gap": spread, "seconds_per_input": 0.5, "time_ratio": 2.0}
    for task in ("mnli", "sst2"):
        made[f"reference-{task}"] = {
            "seconds": 1.0, "n": 20, "error": spread, "finer": {"method": "gausslegendre", "n_steps": 64}
        }  # fmt: skip
        made[f"quadrature-{task}"] = {
            "seconds": 1.0, "n": 200, "reference_error_estimate": 1e-7, "nodes": {"4": 9},
            "rules": dict.fromkeys(RULES, rule),
        }  # fmt: skip
    opponents = ("authors' rule (64 left)", "paper's rule (20 right)", "Captum, 20 steps")
    made["cost-seconds"] = {
        "seconds": 1.0, "n": 128, "sites": 12, "turns": 5, "steps_timed": 16, "nodes": [4],
        "seconds_each": dict.fromkeys(("attattr", *opponents), 1.0),
        "ratio": {name: {"median": 20.0, "low": 18.0, "high": 22.0} for name in opponents},
    }  # fmt: skip
    made["cost-nodes"] = {
        "seconds": 1.0, "turns": 5,
        "ratio": {
            nodes: {"median": ratio, "low": ratio, "high": ratio} for nodes, ratio in (("4", 1.0), ("7", 1.6))
        },
    }  # fmt: skip
    made["cost-memory"] = {
        "seconds": 1.0, "steps": 16, "above": {"attattr": 1e8, "the literal algorithm": 4e8, "Captum": 4e8},
        "ratio": {"the literal algorithm": 4.0, "Captum": 4.0},
    }  # fmt: skip
    return {name: unit | {"made": made_by(name)} for name, unit in made.items()}


def made_by(name, sizes=SIZES):
    number = next(number for number, part in document.PARTS.items() if name in part.UNITS)
    of = run.sizes_of(number, Setting(Path(), Path(), sizes).facts())
    return {"commit": "abc1234", "machine": setting.machine(), "sizes": of}


def about_all():
    """The setting as study.json has it."""
    facts = Setting(Path(), Path()).facts()
    del facts["sizes"]
    return facts


def text_of(units):
    return document.text({"setting": about_all(), "units": units})


def verdict_of(units, key, about):
    return next(c.verdict for c in claims.every(units) if c.key == key and c.about.startswith(about))


def test_claims_hold_where_the_numbers_say_so(units):
    made = claims.every(units)
    assert {claim.key for claim in made} == set(PAPER) == set(verdicts.RULES) == set(sentences.SENTENCES)
    assert {claim.verdict for claim in made if claim.key != "cost"} == {verdicts.HOLDS}
    assert {claim.verdict for claim in made if claim.key == "cost"} == {verdicts.APART}
    assert all(claim.ours and claim.facts for claim in made)


def test_a_claim_is_one_row_and_one_verdict(units):
    table = text_of(units).split("## Claims")[1].split("## How")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(PAPER) == 12
    for row, said in zip(rows, PAPER.values(), strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[0] == said.claim
        assert cells[2].count(". ") == 0  # one sentence
        assert cells[3].strip("*") in verdicts.VERDICTS


def test_the_first_screen_is_ten_lines_best_first(units):
    units["pruning-rte"] |= pruned(attattr=0.55, taylor=0.79)
    said = [line for line in text_of(units).split("## Claims")[0].splitlines() if line.startswith("- ")]
    assert len(said) == len(lines.LINES) == 10
    assert {key for keys in lines.LINES.values() for key in keys} == set(PAPER)
    order = [verdicts.VERDICTS.index(line.split("**")[1].strip(".").lower()) for line in said]
    assert order == sorted(order)
    assert "at worst 24 behind (rte, 0% of the heads gone)" in next(line for line in said if "Taylor" in line)
    assert "surely more than 40 in 5 of 5 classes and surely more than random ones in 5" in text_of(units)
    units["attack-sst2"] |= attack(("negative", "positive"), worst=0.6)
    assert "in 3 of 5 classes (not negative of sst2 and positive of sst2)" in text_of(units)


def test_of_several_tasks_the_worst_decides_or_it_holds_in_part(units):
    def verdict(key):
        return sentences.verdict(claims.every(units), key)

    assert verdict("taylor") == verdict("forty") == verdicts.HOLDS
    units["normalized-rte"]["between"]["taylor_normalized"] = about(-0.03, -0.05, -0.01)
    assert verdict("taylor") == verdicts.OPEN
    units["normalized-rte"]["between"]["taylor_normalized"] = about(-0.03, -0.04, -0.025)
    assert verdict("taylor") == verdicts.IN_PART  # surely so on the others
    units["attack-sst2"] = attack(("negative", "positive"), worst=0.6)
    assert verdict("forty") == verdicts.NOT  # the claim is about both
    assert verdicts.together(["holds weakly", "does not hold here"]) == verdicts.NOT


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        ((0.2, 0.1, 0.3), "holds"),
        ((0.1, -0.1, 0.3), "holds weakly"),
        ((-0.1, -0.2, 0.1), "cannot tell"),
        ((-0.1, -0.2, -0.05), "does not hold here"),
    ],
)
def test_an_interval_decides(estimate, expected):
    assert verdicts.above(about(*estimate)) == expected


ESTIMATES = st.tuples(st.floats(-1, 1), st.floats(0, 1))


@given(st.lists(ESTIMATES, min_size=1, max_size=4), st.floats(1, 10), st.floats(-1, 1), st.floats(-1, 1))
def test_fewer_inputs_never_make_a_claim_of_several_figures_better_than_in_doubt(of, wider, strong, weak):
    """Whichever way figures are put together: what holds with wider intervals held with narrow ones."""

    def verdict(widened):
        spans = [about(mean, mean - half * widened, mean + half * widened) for mean, half in of]
        both = [[verdicts.above(each, bound) for each in spans] for bound in (max(strong, weak), weak)]
        stepped = [verdicts.stepped(*pair) for pair in zip(*both, strict=True)]
        return verdicts.least(both[1]), verdicts.together(both[1]), verdicts.least(stepped)

    for sure, unsure in zip(verdict(1), verdict(wider), strict=True):
        better = verdicts.VERDICTS.index(unsure) < verdicts.VERDICTS.index(sure)
        assert not better or (sure == verdicts.NOT and unsure in (verdicts.OPEN, verdicts.IN_PART))


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(1, 10))
def test_fewer_inputs_never_make_a_doubtful_verdict_hold_or_fail(mean, half, wider):
    """A wider interval: what was sure may become doubtful, and nothing else changes."""
    sure, unsure = (verdicts.above(about(mean, mean - h, mean + h)) for h in (half, half * wider))
    assert unsure == sure or {sure, unsure} in (
        {"holds", "holds weakly"},
        {"does not hold here", "cannot tell"},
    )
    if sure in ("holds weakly", "cannot tell"):
        assert unsure == sure


def test_the_other_side_of_a_bound():
    assert verdicts.below(about(0.01, 0.0, 0.02), 0.03) == "holds"
    assert verdicts.below(about(0.05, 0.02, 0.08), 0.03) == "cannot tell"
    assert verdicts.below(about(0.05, 0.04, 0.08), 0.03) == "does not hold here"
    assert verdicts.least(["holds", "cannot tell", "holds weakly"]) == "cannot tell"


def test_claims_fail_where_the_numbers_say_so(units):
    units["edges-mnli"]["pearson"] = [about(0.9, 0.85, 0.95)] * 2
    units["effectiveness-sst2"]["lead"]["largest_first"]["attribution_predicted"] = about(-0.1, -0.2, -0.05)
    units["pruning-rte"] = pruned(attattr=0.55, taylor=0.79)
    units["pruning-rte"]["lost"] = {str(step): about(0.1, 0.05, 0.15) for step in range(1, 6)}
    units["faithfulness-mrpc"] = faithful(about(-0.1, -0.2, -0.05))
    units["attack-mnli"] = attack(("entailment", "neutral", "contradiction"), worst=0.7)
    units["quadrature-sst2"]["rules"] = {
        name: of
        | {"error": of["error"] | {"median": 0.3, "low": 0.2, "high": 0.4, "p95": 0.5} | {"p95_high": 0.6}}
        for name, of in units["quadrature-sst2"]["rules"].items()
    }
    made = claims.every(units)
    failed = {(c.key, c.about.split(",")[0]) for c in made if c.verdict == verdicts.NOT}
    assert failed == {
        ("weight", "mnli"), ("effective_largest", "sst2"), ("taylor", "rte"), ("better", "rte"),
        ("pruned", "rte"), ("tree", "mrpc"), ("worst", "mnli"), ("forty", "mnli"), ("quadrature", "sst2"),
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
    assert "may all come with the weights" in next(c.facts for c in claims.every(units) if c.key == "shared")


def test_a_tree_has_to_be_ahead_of_gradient_x_attention_too(units):
    lead = units["faithfulness-mnli"]["lead"]["remove"]
    for beside in (about(-0.02, -0.03, -0.01), about(0.01, -0.05, 0.07)):  # surely behind; of few inputs
        units["faithfulness-mnli"]["lead"]["remove"] = lead | {"gradient_x_attention": beside}
        assert verdict_of(units, "tree", "mnli") == "holds weakly"
    said = next(c.ours for c in claims.every(units) if c.key == "tree")
    assert (
        "kept alone they bring back 40 %" in said
    )  # 0.4 with none of the edges, 0.6 with the tree's, 0.9 with all
    units["faithfulness-mnli"]["lead"]["keep"]["random"] = about(-0.1)
    assert verdict_of(units, "tree", "mnli") == "does not hold here"


def test_a_tree_whose_effect_is_sure_and_next_to_nothing(units):
    """Taking all edges out costs 0.5: a tenth of that is what counts."""
    small = units["faithfulness-mnli"]["lead"]["keep"] | {"random": about(0.02, 0.01, 0.03)}
    units["faithfulness-mnli"]["lead"]["keep"] = small
    assert verdict_of(units, "tree", "mnli") == "holds in part"  # it is what counts when removed
    units["faithfulness-mnli"]["lead"]["remove"] = small
    assert verdict_of(units, "tree", "mnli") == "does not hold here"


def test_pruning_is_compared_before_the_curves_reach_the_bottom(units):
    """Behind half of the heads AttAttr is far ahead; before, behind: the whole curve does not decide."""
    unit = units["pruning-mnli"]
    for group in unit["groups"]["accuracy"]["attattr"]:
        group[:] = [0.8, 0.7, 0.7, 0.8, 0.8, 0.3]
    for group in unit["groups"]["accuracy"]["taylor"]:
        group[:] = [0.8, 0.8, 0.8, 0.4, 0.3, 0.3]
    assert pruning.gap(unit, "taylor")["mean"] > 0.1
    assert pruning.gap(unit, "taylor", 0.5)["mean"] == pytest.approx(-0.075)  # 0, −0.1, −0.1 at 0, 20, 40 %
    assert pruning.farthest(unit, "taylor")[0] == pytest.approx(0.8)
    share, by = pruning.farthest(unit, "taylor", behind=True)
    assert (share, by["mean"]) == pytest.approx((0.2, -0.1))
    assert "farthest behind -10.0 [-10.0, -10.0] at 20%" in pruning.apart(unit, "taylor")
    assert "never behind" in pruning.apart(pruned(), "accuracy_drop")
    assert verdict_of(units, "taylor", "mnli") == "does not hold here"


def test_random_orders_and_groups_of_rows_both_count():
    heights = np.array([[0.1, 0.3], [0.5, 0.7]])  # orders lie 0.4 apart, groups 0.2
    found = pruning.crossed_interval(heights)
    assert found["mean"] == pytest.approx(0.4)
    error = math.sqrt(0.08 / 2 + 0.02 / 2)
    assert found["high"] == pytest.approx(0.4 + 12.706 * error, rel=1e-4)


def test_an_order_that_empties_the_last_layer(units):
    importance = np.ones((6, 12))
    importance[-1] = 0.5  # the last layer goes first: 12 of 72 heads
    units["importance-mnli"]["importance"]["taylor"] = importance.tolist()
    assert pruning.emptied(units, "mnli", "taylor") == pytest.approx(0.2)
    assert "Taylor takes the last layer's last head at 20%" in next(
        c.facts for c in claims.every(units) if c.key == "taylor" and c.about == "mnli"
    )


def test_the_best_reading_is_reported_on_rows_it_was_not_chosen_on(units):
    why = next(c.facts for c in claims.every(units) if c.key == "taylor" and c.about == "mnli")
    assert (
        "“logit, gold, sum”, has +4.0 [+2.0, +6.0] points over “probability, gold, max” on the other half"
        in why
    )


def test_taylor_as_in_the_authors_code_stands_beside(units):
    why = next(c.facts for c in claims.every(units) if c.key == "taylor" and c.about == "rte")
    assert "AttAttr against plain Taylor: farthest ahead" in why
    assert next(c.ours for c in claims.every(units) if c.key == "taylor" and c.about == "rte").endswith(
        "normalised +2.0 [+2.0, +2.0]"
    )
    units["normalized-rte"]["between"]["taylor_normalized"] = about(-0.03, -0.05, -0.01)
    assert verdict_of(units, "taylor", "rte") == "cannot tell"


def test_weight_that_goes_with_the_score_in_one_layer_holds_in_part(units):
    """However low the others are: no average hides it."""
    units["edges-mnli"]["pearson"] = [*[about(0.1, 0.05, 0.15)] * 3, about(0.6, 0.5, 0.7)]
    assert verdict_of(units, "weight", "mnli") == "holds in part"
    assert claims.every(units)[0].ours == "r = 0.10 to 0.10 in 3 of 4 layers, 0.60 [0.50, 0.70] in layer 3"
    units["edges-mnli"]["pearson"][-1] = about(0.4, 0.2, 0.6)
    assert verdict_of(units, "weight", "mnli") == "cannot tell"


def test_a_median_counts_with_its_interval(units):
    def rule(**of):
        error = {"median": 0.03, "low": 0.02, "high": 0.04, "p95": 0.04, "p95_low": 0.03, "p95_high": 0.045}
        for each in units["quadrature-mnli"]["rules"].values():
            each["error"] = error | of
        return verdict_of(units, "quadrature", "mnli")

    assert rule() == "holds"
    assert (
        rule(p95_high=0.06)
        == rule(p95_low=None, p95_high=None)
        == rule(p95=0.2, p95_high=0.3)
        == "holds weakly"
    )
    assert rule(median=0.12, low=0.11, high=0.13, p95=0.2, p95_high=0.3) == "does not hold here"
    assert rule(median=0.12, low=0.09, high=0.14, p95=0.2, p95_high=0.3) == "cannot tell"


def test_words_that_the_data_explains_are_named(units):
    units["attack-mnli"]["per_class"]["entailment"][0] = hit(
        ("entailment", "neutral", "contradiction"), 0.01, explained_by=["nobody"]
    )
    why = next(c.facts for c in claims.every(units) if c.key == "worst")
    assert "ties nobody to the new label" in why
    assert "becomes neutral. What is added to the hypothesis need not follow" in why
    assert "The worst of 9 random patterns" in why
    assert "“⟨2⟩ pure + ⟨2⟩ luck”, 50.0 [48.0, 52.0] %: mining finds what luck does not." in why
    assert "searched with gradients: 5.0 [3.0, 7.0] %" in why
    assert "“with + math”, in the premise" in why
    assert "80.0 [78.0, 82.0] → 60.0 [58.0, 62.0] % of entailment, of all 100 rows" in why


def test_a_class_that_luck_turns_over_as_well(units):
    three = ("entailment", "neutral", "contradiction")
    units["attack-mnli"] = attack(three, worst=0.05, luck=0.05)
    assert "this easy to turn over" in next(c.facts for c in claims.every(units) if c.key == "worst")
    assert verdict_of(units, "worst", "mnli") == "holds weakly"
    units["attack-mnli"] = attack(three, worst=0.01, luck=0.15)
    assert verdict_of(units, "worst", "mnli") == "holds"
    units["attack-mnli"] = attack(three, worst=0.2, luck=0.15)  # 60 points, and luck costs more
    assert verdict_of(units, "worst", "mnli") == "does not hold here"
    assert verdict_of(units, "forty", "mnli") == "does not hold here"
    units["attack-mnli"] = attack(three, worst=0.05, luck=0.05)  # luck leaves nothing to be ahead by
    assert verdict_of(units, "forty", "mnli") == "holds weakly"


def test_few_rows_do_not_refute_a_fall(units):
    """38 points lost, of so few rows that it may be 60: that is in doubt, not refuted."""
    worst = units["attack-mnli"]["per_class"]["entailment"][0]
    worst["per_class"]["entailment"], worst["intervals"]["entailment"] = 0.42, [0.2, 0.65]
    assert verdict_of(units, "worst", "mnli") == "cannot tell"
    worst["per_class"]["entailment"], worst["intervals"]["entailment"] = 0.42, [0.41, 0.43]
    assert verdict_of(units, "worst", "mnli") == "cannot tell"  # the clean accuracy has its interval too
    worst["per_class"]["entailment"], worst["intervals"]["entailment"] = 0.6, [0.55, 0.65]
    assert verdict_of(units, "worst", "mnli") == "does not hold here"


def test_a_claim_that_the_mining_fails_and_not_the_model(units):
    units["attack-sst2"] = attack(("negative", "positive"), worst=0.6)
    claim = next(c for c in claims.every(units) if c.key == "forty" and c.about == "sst2")
    assert claim.verdict == "does not hold here"
    assert "searched with gradients: negative 75 [72, 78], positive 75 [72, 78]" in claim.facts
    assert "So of negative, positive the model can be made to lose that much" in claim.facts
    assert "surely in no class" in claim.facts
    assert "mean of the classes 20.0 [17.9, 22.1]" in claim.ours
    assert "more than 40 points does not hold here, ahead of random patterns by -10.0" in claim.facts
    assert "becomes: negative → neutral, positive → neutral." in claim.facts


def test_labels_of_another_case_and_models_of_another_grid(units):
    units["attack-mnli"] = attack(("ENTAILMENT", "NEUTRAL", "CONTRADICTION"), worst=0.01)
    assert verdict_of(units, "worst", "mnli") == "holds"
    for name in universality.CRITERIA:
        units["importance-mnli"]["importance"][name] = np.ones((12, 12)).tolist()
    claim = next(c for c in claims.every(units) if c.key == "shared")
    assert claim.about == "snli, rte, mrpc, sst2"
    assert "Left out, as of another number of layers or heads: mnli" in claim.facts
    assert "Of another grid of heads, and left out: mnli" in universality.section(units)


def test_the_document_is_the_same_from_the_same_numbers(units, tmp_path):
    made = Setting(tmp_path, tmp_path / "work")
    for name in ("effectiveness-sst2", "edges-sst2", "pruning-rte", "pruning-sst2", "pruning-mrpc"):
        del units[name]  # drawing takes its time
    units["tree-sst2"] = {
        "seconds": 1.0, "made": made_by("tree-sst2"), "drawing": "<svg/>\n", "texts": ["fine"],
        "label": "positive", "probability": 0.9,
    }  # fmt: skip
    results = {"schema_version": document.SCHEMA_VERSION, "setting": about_all(), "units": units}
    document.write(results, tmp_path / "docs")
    first = {path.name: path.read_bytes() for path in (tmp_path / "docs").rglob("*.*")}
    run.document(made, tmp_path / "docs")  # no units: from study.json
    again = {path.name: path.read_bytes() for path in (tmp_path / "docs").rglob("*.*")}
    assert first == again
    assert first["tree-sst2.svg"] == b"<svg/>\n"
    text = first["study.md"].decode()
    for number in range(1, 8):
        assert f"## {number}. " in text
        assert f"`make study PARTS={number}`" in text
        assert f"| [{number}](#verdicts-of-part-{number}) |" in text  # from a claim to its part
        assert f"\n### Verdicts of part {number}\n" in text
    linked = set(re.findall(r"\(study/([^)]*)\)", text))
    assert linked <= set(first)
    assert "None" not in text
    assert "nan" not in text.lower().split()


def test_a_part_that_was_not_measured_is_left_out(units):
    only = {name: unit for name, unit in units.items() if name.startswith("importance")}
    text = text_of(only)
    assert "## 3. " in text
    assert "## 5. " not in text
    assert "Not measured yet: edges-mnli" in text
    assert [claim.key for claim in claims.every(only)] == ["shared"]


def test_other_parts_keep_their_figures_in_a_fresh_folder_of_units(units, tmp_path):
    made = Setting(tmp_path, tmp_path / "work")
    earlier = {"cost-seconds": units["cost-seconds"], "of an earlier version": {"seconds": 1.0}}
    setting.write_json(
        tmp_path / "study.json", {"schema_version": "2", "setting": about_all(), "units": earlier}
    )
    run.check(made)
    made.unit("cost-memory", lambda: units["cost-memory"], made_by("cost-memory"))
    run.document(made, tmp_path)
    assert set(json.loads((tmp_path / "study.json").read_text())["units"]) == {"cost-seconds", "cost-memory"}
    other = replace(made, sizes=QUICK, work=tmp_path / "other")
    run.check(other)
    other.unit("cost-memory", lambda: units["cost-memory"], made_by("cost-memory", QUICK))
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(SystemExit, match=r"has 1 units of another setting.*another --out"):
        run.document(other, tmp_path)
    assert (tmp_path / "study.json").read_bytes() == before
    other.unit("cost-seconds", lambda: units["cost-seconds"], made_by("cost-seconds", QUICK))
    run.document(other, tmp_path)  # nothing is lost: all of it is of the new setting
    made = json.loads((tmp_path / "study.json").read_text())["units"]
    assert set(made) == {"cost-seconds", "cost-memory"}
    assert made["cost-seconds"]["made"]["sizes"] == {"turns": QUICK.turns, "tokens": QUICK.tokens}


def test_units_go_by_the_sizes_of_their_part_alone(units, tmp_path):
    """Other sizes of part 5 leave the figures of part 7 as they are."""
    setting.write_json(
        tmp_path / "study.json",
        {
            "schema_version": "2",
            "setting": about_all(),
            "units": {name: units[name] for name in ("cost-seconds", "cost-memory", "attack-sst2")},
        },
    )
    more = replace(setting.Sizes(), attack=900)
    made = Setting(tmp_path, tmp_path / "work", more)
    run.check(made)
    made.unit("attack-sst2", lambda: units["attack-sst2"], made_by("attack-sst2", more))
    run.document(made, tmp_path)
    found = json.loads((tmp_path / "study.json").read_text())["units"]
    assert set(found) == {"cost-seconds", "cost-memory", "attack-sst2"}
    assert found["attack-sst2"]["made"]["sizes"]["attack"] == 900


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


def test_rankings_of_another_setting_do_not_mix_either(tmp_path):
    """A run that was stopped before its first unit has left the heads it ranked."""
    made = Setting(tmp_path, tmp_path / "work")
    run.check(made)
    (made.work / "heads-mnli.parquet").touch()
    with pytest.raises(SystemExit, match="another --work"):
        run.check(replace(made, sizes=QUICK))


def test_other_data_of_the_same_name_do_not_mix(data, tmp_path):
    made = Setting(data, tmp_path / "work")
    run.check(made)
    made.unit("one", dict)
    with gzip.open(data / "sst2_dev.tsv.gz", "wt") as file:
        file.write("sentence1\tsentence2\tlabel\nother\t\tpositive\n")
    with pytest.raises(SystemExit, match="sizes, models or data"):
        run.check(made)


def test_what_cannot_be_measured_does_not_end_the_rest(driver, data, small, tmp_path, capsys):
    """sst2's rows are there, those of the other tasks are not."""
    words = ["--quick", "--parts", "6", *small, "--data", str(data), "--work", str(tmp_path / "work")]
    with pytest.raises(SystemExit, match="error: 2 units failed: quadrature-mnli, reference-mnli"):
        driver.main(words)
    assert "quadrature-mnli failed: there is no file" in capsys.readouterr().err
    # of a handful of rows: beside its units, not in docs/
    made = json.loads((tmp_path / "work" / "docs" / "study.json").read_text())
    assert set(made["units"]) == {"quadrature-sst2", "reference-sst2"}


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
    assert attention.spearman(weights, -np.exp(weights)) == pytest.approx(1)
    scores = np.zeros_like(weights)
    scores[:, 1] = weights[:, 1]  # the first query of each head cannot score: it does not count
    assert attention.pearson(*attention.counted(weights, scores)) == pytest.approx(1)
    assert attention.pearson(weights, scores) < 0.6
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
    rows = [
        f"a {word} {noun}\t\t{label}" for label, words in KINDS.items() for word in words for noun in NOUNS
    ]
    for name in ("sst2_dev", "sst2_train"):
        with gzip.open(folder / f"{name}.tsv.gz", "wt") as file:
            file.write("sentence1\tsentence2\tlabel\n" + "\n".join(rows) + "\n")
    return folder


@pytest.fixture
def small(tmp_path):
    """A small model that knows the words of `data`, as the driver is told of it."""
    tokenizer, model = tiny.tokenizer(more=[*KINDS["positive"], *KINDS["negative"], *NOUNS]), tiny.bert(2)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.id2label, model.config.label2id = dict(enumerate(KINDS)), {"positive": 0, "negative": 1}
    for part in (model.float(), tokenizer):
        part.save_pretrained(tmp_path / "model")
    return ["--model", f"sst2={tmp_path / 'model'}"]


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
        (["--parts", "6", "--data", "nowhere"], "error: nothing to write", "failed: there is no file"),
    ],
)
def test_what_a_user_gets_wrong(driver, tmp_path, capsys, words, code, said):
    with pytest.raises(SystemExit) as stopped:
        driver.main([*words, "--work", str(tmp_path), "--out", str(tmp_path)])
    assert stopped.value.code == code or str(stopped.value.code).startswith(str(code))
    assert said in capsys.readouterr().err


def test_a_quick_run_of_one_part_resumes_and_documents(driver, data, small, tmp_path):
    work, out = tmp_path / "work", tmp_path / "docs"
    words = ["--quick", "--parts", "6", "--tasks", "sst2", *small, "--data", str(data)]
    words += ["--work", str(work), "--out", str(out)]
    driver.main(words)
    units = json.loads((out / "study.json").read_text())["units"]
    assert set(units) == {"quadrature-sst2", "reference-sst2"}
    assert units["quadrature-sst2"]["n"] == QUICK.quadrature
    made = units["quadrature-sst2"]["made"]
    assert made["sizes"] == {"pool": QUICK.pool, "quadrature": QUICK.quadrature}
    assert made["commit"] == setting.commit()
    assert made["machine"]["torch"]
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
