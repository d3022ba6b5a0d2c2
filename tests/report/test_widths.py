"""What the verbs print at 60, 80 and 120 columns: nothing is lost, or wider, and no pipe gets codes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import handmade
from attattr.cli import check, evaluate, faithfulness, heads, models, prune, tree, triggers
from attattr.heads.effectiveness import RANKINGS, Curve, Effectiveness
from attattr.heads.importance import Correlation, HeadRanking, Importance
from attattr.heads.prune_curves import PruneCurves, PruneReport
from attattr.measure.accuracy import score
from attattr.measure.check import Check, Cost
from attattr.measure.faithfulness import Estimate, Faithfulness, FaithfulnessCurve
from attattr.page.triggers import page
from attattr.report.terminal import view
from attattr.report.triggers_table import markdown, percent
from attattr.result.tree import build_tree
from attattr.result.values import Target
from attattr.triggers.pattern import Pattern, PatternToken

ATTACK = Path(__file__).parents[1] / "fixtures" / "first_version" / "attack.json"
LABELS = ("entailment", "not_entailment", "contradiction", "equivalent", "somebody else")
NAMES = ("attribution", "gradient_x_attention", "attention", "random")


def curve() -> Curve:
    return Curve.of([0, 0.5, 1], [999, 750, 333], 1000)


def estimate(mean: float = -0.125) -> Estimate:
    return Estimate(mean, mean - 0.0625, mean + 0.0625)


def ranking() -> HeadRanking:
    mean = np.arange(24.0).reshape(2, 12)
    importance = Importance(mean, mean - 0.5, mean + 0.5)
    return HeadRanking({"attribution": importance, "confidence_gold": importance}, ("a", "b"), (), {})


def faithful() -> Faithfulness:
    each = {name: estimate() for name in NAMES}
    both = {"keep": each, "remove": each}
    fractions = tuple(i / 10 for i in range(11))
    curves = {name: FaithfulnessCurve((estimate(),) * 11, estimate()) for name in NAMES}
    scalars = (estimate(), estimate(7.5), estimate())
    return Faithfulness(100, 0.4, 0, fractions, *scalars, each, each, both, both, curves, curves)


def checked() -> Check:
    result = handmade.attribution()
    long = "encoder.block.11.layer.1.EncDecAttention.SelfAttention"
    sites = tuple(replace(site, name=f"{long}.{i}") for i, site in enumerate(result.sites))
    result = replace(result, sites=sites, left_out=("encoder.layer.3", "encoder.layer.7"))
    return Check(result, result, True, (True, False), (Cost(128, 1234.5, 10**10),), 0.01, 1e-6)


def attacked() -> dict:
    return json.loads(ATTACK.read_text())


def measured():
    rng = np.random.default_rng(0)
    return score(LABELS, *rng.integers(len(LABELS), size=(2, 98000)))


def pruned() -> PruneReport:
    accuracy = (measured(), measured())
    return PruneReport((1,) * 24, 24, (10**8, 10**7), (10**9, 10**8), (0.5, 0.4, 0.6), 1e-12, accuracy, 120)


def explained():
    words = " ".join(["an extraordinarily long-winded film about nothing ##ness"] * 4)
    axis = handmade.axis(words)
    n = len(axis.tokens)
    scores = np.random.default_rng(0).standard_normal((1, 2, n, n)).astype(np.float32)
    site = handmade.site("encoder.layer.0.attention", scores[0], np.abs(scores[0]))
    target = Target(
        "continuation", "and that is what anybody would have said of it " * 3, (1,), "probability", 0.5
    )
    return handmade.attribution(axes={"input": axis}, sites=(site,), text=words, target=target)


def trees() -> None:
    console = Console(highlight=False)
    result = explained()
    for part in tree._view(build_tree(result, threshold=0.2), result):
        console.print(part)


def found_pattern() -> Pattern:
    tokens = (PatternToken(0, 0.25, "extraordinarily"), PatternToken(1, 0.5, "nobody"))
    return Pattern(tokens, 0.5, 12, label="not_entailment", gold="entailment")


VIEWS = {
    "explain": lambda: Console(highlight=False).print(view(explained())),
    "explain in numbers": lambda: Console(highlight=False).print(view(explained(), colour=False)),
    "tree": trees,
    "heads rank": lambda: heads._show(ranking(), "a model", 12),
    "heads effectiveness": lambda: heads._show_effectiveness(
        Effectiveness({r: {"smallest_first": curve(), "largest_first": curve()} for r in RANKINGS}, 60)
    ),
    "heads compare": lambda: heads._show_pairs(
        [Correlation(("mnli-attribution", "paraphrase"), 0.5, (0.25, 0.75), -0.5, (-0.75, 0.25), 72)]
    ),
    "prune model": lambda: prune._show(pruned(), "out", "sliced"),
    "prune curve": lambda: prune._show_curves(
        PruneCurves({name: curve() for name in ("attattr", "taylor", "attention", "random")}, 120, 100)
    ),
    "triggers mine": lambda: triggers._show_patterns([found_pattern()]),
    "triggers attack": lambda: triggers._show_attack(attacked()),
    "faithfulness": lambda: faithfulness._show(faithful(), "mnli on some data"),
    "evaluate": lambda: evaluate._show(measured(), "mnli on some data", 100),
    "check": lambda: check._show(checked(), "mnli"),
    "models": models.models,
}


def printed(monkeypatch, capsys, show, width: int, **environment: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"COLUMNS": str(width), "TERM": "xterm-256color"} | environment).items():
        monkeypatch.setenv(name, value)
    show()
    return capsys.readouterr().out


def colours(text: str) -> list[str]:
    """The codes of colours; bold, dim and underlined are none."""
    return [code for code in re.findall(r"\x1b\[([\d;]*)m", text) if re.search(r"\b[349][0-8]\b", code)]


def bare(text: str) -> str:
    """Letters and digits alone, in the order of reading."""
    return "".join(sorted(re.findall(r"\w", text)))


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", VIEWS)
def test_nothing_is_lost_or_too_wide(name, width, monkeypatch, capsys):
    text = printed(monkeypatch, capsys, VIEWS[name], width)
    wide = [line for line in text.splitlines() if cell_len(line) > width]
    assert not wide
    whole = printed(monkeypatch, capsys, VIEWS[name], 1000)
    assert text.count("…") == whole.count("…")
    numbers = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]\d+)?")
    assert set(numbers.findall(whole)) <= set(numbers.findall(text))
    assert not set(bare(whole)) - set(bare(text)) and len(bare(text)) >= len(bare(whole))
    assert "\x1b" not in text  # it is not a terminal


@pytest.mark.parametrize("name", VIEWS)
def test_no_color_is_heard(name, monkeypatch, capsys):
    assert not colours(printed(monkeypatch, capsys, VIEWS[name], 80, NO_COLOR="1", FORCE_COLOR="1"))


def test_there_are_colours_where_they_are_read(monkeypatch, capsys):
    assert colours(printed(monkeypatch, capsys, VIEWS["explain"], 80, FORCE_COLOR="1"))


def test_the_table_of_triggers_gives_intervals_and_rows_and_what_the_headline_says(monkeypatch, capsys):
    """Accuracies of classes had been bare: 100.0 of a single row."""
    facts = attacked()
    top = facts["worst"]["overall"][0]

    def cell(accuracy: float, span: list[float], n: int) -> str:
        return f"{percent(accuracy)} ({percent(span[0])}–{percent(span[1])}, n {n})"

    cells = [cell(top["accuracy"], top["interval"], top["n"])]
    for label in facts["labels"]:
        cells.append(cell(top["per_class"][label], top["intervals"][label], top["counts"][label]))
    row = next(line for line in markdown(facts).splitlines() if line.startswith("| top-1"))
    text = printed(monkeypatch, capsys, VIEWS["triggers attack"], 200)
    line = next(line for line in text.splitlines() if line.startswith("top-1"))
    for each in cells:
        assert each in row and each in line
    headline = re.search(r'class="lead">(.*?)</p>', page(facts), re.DOTALL)[1]
    said = re.findall(r"[\d.]+(?= %)", re.sub(r"</?b>", "", headline))
    assert len(said) == 4 and all(number in markdown(facts) for number in said)
