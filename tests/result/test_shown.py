"""What a prompt and a notebook show of results: one line each, and a table of several."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import attattr
import handmade
from attattr.data.examples import Example
from attattr.heads.effectiveness import Curve
from attattr.measure.accuracy import Score
from attattr.measure.check import Cost
from attattr.measure.faithfulness import METHODS, Estimate, FaithfulnessCurve
from attattr.page.several import PAGES, ROWS
from attattr.result.several import Attributions

LONG = "a long\n name\u202e<b>&\x1b[31m" * 5000
MANY = 3000
# what they hold is what one wants to see
SHORT = ("Edge", "Example", "FlowEdge", "FlowSite", "PatternToken", "TreeEdge", "Work")


def huge() -> dict[str, object]:
    """Of every kind of public result one with more than any line can hold."""
    names = tuple(f"{i} {LONG}" for i in range(MANY))
    numbers = np.full((60, MANY), 1 / 3)
    axis = attattr.Axis(names, (0,) * MANY, (0,) * MANY, (False,) * MANY)
    prediction = attattr.Prediction(LONG, 0, 1 / 3, dict.fromkeys(names, 1 / 3))
    target = attattr.Target("continuation", LONG, tuple(range(MANY)), "log_probability", -1 / 3)
    site = dataclasses.replace(
        handmade.site(LONG, numbers[None], numbers[None], "edges"), n_heads=MANY, converged=False
    )
    result = handmade.attribution(
        axes={"input": axis}, prediction=prediction, target=target, sites=(site,) * MANY, text=LONG,
        model={"name": LONG},
    )  # fmt: skip
    estimate = Estimate(1 / 3, 1 / 3, 1 / 3)
    curve = Curve.of(range(MANY), [1] * MANY, MANY)
    by_method = dict.fromkeys(METHODS, estimate)
    curves = dict.fromkeys(METHODS, FaithfulnessCurve((estimate,) * MANY, estimate))
    importance = attattr.Importance(numbers, numbers, numbers)
    pattern = attattr.Pattern(
        tuple(attattr.PatternToken(0, 1 / 3, name) for name in names), label=LONG, gold=LONG
    )
    edge = attattr.Edge("s", 0, 0, 0, 0, 1 / 3, 1 / 3, "a", "b")
    tree_edge = attattr.TreeEdge(0, 0, 0, 1 / 3, ((0, 1 / 3),))
    model = SimpleNamespace(num_parameters=lambda: 10**12)
    source = attattr.Source(LONG, 0, 1, tuple(range(MANY)))
    span = attattr.Span(LONG, 0, 1, (0, 1), -1 / 3, result)
    found = (
        result, prediction, target, axis, site, site.edges, importance, pattern,
        attattr.HeadRanking(dict.fromkeys(names, importance), names, names, {LONG: LONG}),
        attattr.Correlation((LONG, LONG), 1 / 3, (1 / 3, 1 / 3), 1 / 3, (1 / 3, 1 / 3), MANY),
        attattr.Effectiveness({name: {name: curve} for name in names}, MANY),
        attattr.Effects(1 / 3, (edge,) * MANY, numbers[0], numbers),
        attattr.Evaluation(1 / 3, (1 / 3, 1 / 3), MANY, names, dict.fromkeys(names, Score(1, (0, 1), 9)), ()),
        attattr.Mask(heads=numbers, edges=dict.fromkeys(range(MANY), numbers[None])),
        attattr.Check(result, result, True, (True,) * MANY, (Cost(1, 1, 1),) * MANY, 1 / 3),
        attattr.Faithfulness(
            MANY, 0.4, 0, (0.0,) * MANY, *[estimate] * 3, by_method, by_method, {}, {}, curves, curves
        ),
        attattr.Attack(names, *[numbers[0]] * 3, (), (), (), (Example(LONG),), {LONG: LONG}),
        attattr.Run(Path(LONG), {"shards": {"count": MANY}}, tuple(range(MANY)), 0, {}),
        attattr.AttributionTree(
            names, "input", 0, 0, 0.4, 60, tuple(range(MANY)), (0,) * MANY, (tree_edge,) * MANY
        ),
        attattr.Flow({LONG: names}, {LONG: 0}, (), (), MANY, (LONG, (0,) * MANY), 1 / 3, 1 / 3, 1 / 3),
        attattr.Reach(1, MANY, (1,) * MANY, 1 / 3, 1 / 3, (1 / 3,) * MANY, 1 / 3),
        attattr.PruneCurves(dict.fromkeys(names, curve), MANY, MANY),
        attattr.Pruned(model, numbers > 0, 1e-7, {LONG: LONG}, LONG, {}),
        Attributions([result] * MANY),
        attattr.TakenOut(names, numbers[0], numbers[0], LONG, LONG),
        source, span, attattr.SourceTable(names, names, numbers, numbers),
        attattr.Generation(
            LONG, (), LONG, LONG, names, numbers[0], (source,) * MANY, (span,) * MANY, names,
            numbers, numbers, span, {LONG: LONG}, {"name": LONG},
        ),
    )  # fmt: skip
    return {type(thing).__name__: thing for thing in found}


def test_every_public_result_is_one_short_line():
    shown = huge()
    public = {name for name in attattr.__all__ if dataclasses.is_dataclass(getattr(attattr, name))}
    assert set(shown) == public - set(SHORT) | {"Attributions"}
    for name, thing in shown.items():
        text = repr(thing)
        assert text.startswith(f"<{name} ") and text.endswith(">") and len(text) < 200, text
        assert text.isprintable(), text


def test_a_line_says_what_it_is_of():
    result = handmade.attribution()
    assert repr(result) == "<Attribution handmade positive 0.875 · 2 × 2 heads · 5 tokens · gap 1e-01>"
    assert repr(result.sites[1]) == "<Site encoder.layer.1 · 2 heads · gap -1e-01 · 8 nodes>"
    assert repr(result.axes["input"]) == "<Axis 5 tokens · [CLS] a fine film [SEP]>"
    assert repr(result.prediction) == "<Prediction positive 0.875 · negative 0.125, positive 0.875>"
    assert (
        repr(attattr.build_tree(result)) == "<AttributionTree top [SEP] · 2 nodes · 1 edge · threshold 0.4>"
    )
    assert repr(Attributions()) == "<Attributions 0 results>"
    sites = (result.sites[0], dataclasses.replace(result.sites[1], n_heads=4))
    assert " · 2 sites · " in repr(dataclasses.replace(result, sites=sites))


def test_a_list_gives_a_list():
    given = attattr.Attributor.from_pretrained("sst2").attribute(["a fine film", "a dull film"])
    assert isinstance(given, list) and len(given) == 2
    assert repr(given).startswith("<Attributions 2 results · positive 0.9")


def test_the_table_of_a_list_escapes_what_it_shows():
    evil = "<script>alert(1)</script>"
    result = handmade.attribution(
        text=evil, text_pair=evil, prediction=attattr.Prediction(evil, 0, 0.5, {evil: 0.5}),
        axes={"input": handmade.axis("a <b>fine</b> film")},
    )  # fmt: skip
    table = Attributions([result])._repr_html_()
    assert table.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    assert "<script" not in table and "<b>" not in table


def test_a_long_list_is_a_table_of_its_first():
    table = Attributions([handmade.attribution()] * (ROWS + 7))._repr_html_()
    assert table.count("<tr>") == 1 + ROWS + PAGES and "and 7 more" in table
    assert table.count("<iframe") == PAGES and ".show()" in table


@pytest.mark.parametrize("store", ["edges", "heads"])
def test_a_row_says_what_the_store_holds(store):
    result = handmade.attribution(store)
    assert ("[CLS] → fine +0.500" in Attributions([result])._repr_html_()) == (store == "edges")
    tensors = dataclasses.replace(result, text=None)
    assert "[CLS] a fine film [SEP]" in Attributions([tensors])._repr_html_()


def test_a_page_is_drawn_in_its_row_once_it_is_unfolded(browser):
    tab = browser.new_page()
    tab.set_content(Attributions([handmade.attribution(), handmade.pair()])._repr_html_())
    assert [cell.inner_text() for cell in tab.locator("tbody tr").nth(0).locator("td").all()] == [
        "0", "a fine film", "positive", "0.875", "[CLS] → fine +0.500 (layer 1, head 0)", "1e-01"
    ]  # fmt: skip
    assert [frame.url for frame in tab.frames[1:]] == ["about:blank"] * 2
    tab.locator("summary").nth(1).click()
    tab.locator("iframe").nth(1).content_frame.get_by_text("neutral").first.wait_for()
    assert sorted(frame.url for frame in tab.frames[1:]) == ["about:blank", "about:srcdoc"]
