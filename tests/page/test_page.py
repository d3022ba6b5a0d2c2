"""The page as a file: what stands in it, that it is safe, exact where it says so, and small."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import sys
import types
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from jinja2 import UndefinedError
from typer.testing import CliRunner

import handmade
import pages
import tiny
from attattr import Attributor, InputError, build_flow, build_tree, measure_effects, merge_words
from attattr.cli import app
from attattr.data import encoding
from attattr.engine.capture import Capture
from attattr.measure.effects import attribute_and_measure
from attattr.measure.masks import Mask, measure
from attattr.page import data as page_data
from attattr.page import document as page
from attattr.page import facts as page_facts
from attattr.page.render import TEMPLATES, render
from attattr.result.effects import Effects

PAGE = Path(page.__file__).parent
UI = Path(__file__).resolve().parents[2] / "ui"


class Elements(HTMLParser):
    """The elements of a page, as a browser would find them."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def facts_of(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1])


def opened(grid: dict) -> np.ndarray:
    codes = np.frombuffer(zlib.decompress(base64.b64decode(grid["codes"])), np.int8).astype(float)
    return np.sign(codes) * grid["scale"] * (codes / grid["levels"]) ** 2


def test_the_files_that_the_script_is_made_from_are_fresh():
    """Otherwise: python -m attattr.page.data > ui/schema.json, and pages.trees() into the other."""
    assert (UI / "schema.json").read_text(encoding="utf-8") == page_data.schema()
    assert (UI / "tests" / "trees.json").read_text(encoding="utf-8") == pages.trees()


def test_a_page_holds_what_the_result_says():
    result = handmade.attribution()
    facts = facts_of(result.to_html())
    assert facts["predicted"] == "positive"
    assert [p["label"] for p in facts["prediction"]] == ["positive", "negative"]
    assert facts["tokens"]["names"] == ["[CLS]", "a", "fine", "film", "[SEP]"]
    assert facts["sites"][1]["key_sum"] == result.sites[1].key_sum.sum(0).tolist()
    assert sum(facts["sites"][1]["key_sum"]) == facts["sites"][1]["total"]
    assert facts["edges"]["score"] == [0.5, -0.25, 0.125]
    assert facts["sites"][1]["change"] == 0.375 and facts["sites"][1]["gap"] == -0.125
    assert facts["words"] is None and facts["effects"] is None
    grid = facts["sites"][1]["scores"][0]
    assert opened(grid).reshape(5, 5)[0, 2] == 0.5 and np.count_nonzero(opened(grid)) == 1


def test_pieces_are_put_together_in_the_word_view():
    result = handmade.pair()
    facts = facts_of(result.to_html())
    assert facts["words"]["names"] == ["[CLS]", "the", "man", "eats", "[SEP]", "the", "man", "plays", "[SEP]"]
    assert facts["words"]["members"][7] == [7, 8] and facts["tokens"]["joined"][8]
    assert facts["words"]["segments"] == [None, 0, 0, 0, None, 1, 1, 1, None]
    tree = build_tree(merge_words(result))
    assert (facts["words"]["top"], facts["words"]["readout"]) == (tree.top, tree.terminal)


def test_nothing_in_a_page_can_run_or_load_but_its_own_script():
    text = pages.hostile().to_html()
    elements = Elements(text)
    scripts = [attributes for tag, attributes in elements.found if tag == "script"]
    assert [attributes.get("type") for attributes in scripts] == ["application/json", None]
    assert not any(tag in ("img", "link", "iframe", "base", "object") for tag, _ in elements.found)
    assert not any(
        name in ("src", "href") or name.startswith("on") for _, all_ in elements.found for name in all_
    )
    policy = next(a["content"] for _, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_templates_escape_all_but_what_is_ours_and_miss_nothing():
    sources = {path.name: path.read_text(encoding="utf-8") for path in (PAGE / "templates").iterdir()}
    assert sorted(sources) == TEMPLATES.list_templates()
    assert {found for text in sources.values() for found in re.findall(r"(\w+) \| safe", text)} == {
        "style", "script", "facts", "frame"
    }  # fmt: skip
    assert not any(re.search(r"autoescape|Markup", text) for text in sources.values())
    with pytest.raises(UndefinedError):
        render("frame.html.jinja", held_in="srcdoc")


def test_hostile_tokens_come_through_as_they_are():
    names = facts_of(pages.hostile().to_html())["tokens"]["names"]
    assert names[1:3] == ["<script>", "</script>"] and names[11] == "🎻" and names[13] == "שלום"
    assert names[15:21] == ["\\u202eevil", "javascript:alert(1)", "${x}", "`", "\\x00", "\\ud800"]


@pytest.mark.parametrize("store", ["dense", "edges", "heads"])
def test_every_store_has_a_page(store):
    facts = facts_of(handmade.attribution(store).to_html())
    assert (facts["sites"][0]["scores"] is not None) == (store == "dense")
    assert (facts["edges"] is not None) == (store != "heads")
    assert (facts["sites"][0]["key_sum"] is not None) == (store != "heads")
    assert (facts["tokens"]["flow"] is not None) == (store != "heads")
    assert bool(facts["tokens"]["layers"]) == (store == "dense")


def test_what_is_not_finite_is_no_number():
    result = handmade.attribution()
    scores = np.full((2, 5, 5), np.nan, np.float32)
    site = handmade.site("x", scores, scores, baseline_output=np.inf, completeness_gap=np.nan)
    facts = facts_of(replace(result, sites=(result.sites[0], site)).to_html())
    assert facts["sites"][1]["gap"] is None and facts["sites"][1]["baseline_output"] is None
    assert facts["tokens"]["top"] is None and facts["tokens"]["flow"] is None
    assert not opened(facts["sites"][1]["scores"][0]).any()


@pytest.mark.parametrize(
    ("target", "probability"),
    [
        (("class", "negative", "probability", 0.125), 0.125),
        (("class", "negative", "logit", -2.0), 0.125),
        (("continuation", "very good", "log_probability", -2.0), math.exp(-2)),
        (("difference", "positive − negative", "logit", 3.0), None),
        (("similarity", "similarity", "value", 0.75), None),
        (("value", "score", "value", 3.5), None),
    ],
)
def test_what_is_explained_has_its_probability_or_none(target, probability):
    kind, label, output, value = target
    target = handmade.Target(kind, label, (0,), output, value)
    facts = facts_of(handmade.attribution(target=target).to_html())
    assert facts["target"]["probability"] == (probability and pytest.approx(probability, rel=1e-8))
    assert facts["target"]["value"] == value


def test_the_flow_in_the_page_is_that_of_python():
    result = handmade.pair()
    facts = facts_of(result.to_html())
    for level, flow in (("tokens", build_flow(result)), ("words", build_flow(merge_words(result)))):
        found = facts[level]["flow"]
        for name in ("site", "query", "key", "joins"):
            assert found[name] == [getattr(edge, name) for edge in flow.edges]
        np.testing.assert_allclose(found["score"], [edge.score for edge in flow.edges], rtol=1e-8)
        np.testing.assert_allclose(found["width"], [edge.width for edge in flow.edges], rtol=1e-8)
        np.testing.assert_allclose(found["share"][-1], flow.share(len(flow.edges)), atol=1e-6)
        assert (found["usual"], found["scale"], found["unit"]) == (flow.usual, flow.scale, flow.unit)
        assert found["readout"] == list(flow.readout[1])


def test_only_rows_that_score_are_said_to():
    facts = facts_of(handmade.attribution().to_html())
    assert [site["queries"] for site in facts["sites"]] == [[4], [0]]


def test_words_are_as_the_text_has_them():
    names = facts_of(handmade.attribution(text="A Fine film").to_html())["tokens"]["names"]
    assert names == ["[CLS]", "A", "Fine", "film", "[SEP]"]


def test_notes_say_what_a_reader_has_to_know():
    result = handmade.attribution(truncated=True, left_out=("mamba.0",))
    sites = (replace(result.sites[0], converged=False), result.sites[1])
    notes = facts_of(replace(result, sites=sites).to_html())["notes"]
    assert len(notes) == 3 and "cut off" in notes[0] and "mamba.0" in notes[1] and "layer.0" in notes[2]


@given(
    arrays.arrays(np.float32, (7, 9), elements=st.floats(-1e6, 1e6, width=32)), st.sampled_from([10_000, 60])
)
def test_a_quantised_matrix_is_close_and_keeps_its_signs(matrix, room):
    grid = page_data.grid(matrix, room).model_dump()
    back = opened(grid).reshape(matrix.shape)
    largest = np.abs(matrix).max()
    if grid["kept"] == 1:  # a code is at most half a step from the root that it stands for
        step = 0.5 / grid["levels"]
        assert (np.abs(back - matrix) <= largest * step * (2 + step) + 1e-6 * largest).all()
    assert (back * matrix >= 0).all()
    assert np.abs(back).max() == pytest.approx(largest)


@given(arrays.arrays(np.float64, (6, 6), elements=st.integers(-5, 5)), st.integers(0, 40))
def test_the_exact_entries_of_a_layer_are_its_largest(matrix, room):
    sparse = page_data.sparse(matrix, room)
    index = np.frombuffer(base64.b64decode(sparse.index), "<u4")
    score = np.frombuffer(base64.b64decode(sparse.score), "<f4")
    assert (matrix.ravel()[index] == score).all() and (np.diff(score) <= 0).all()
    left_out = np.delete(matrix.ravel(), index)
    assert len(index) == min(room, (matrix > 0).sum()) and sparse.least == max(0, left_out.max(initial=0))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_the_level_has_the_top_and_the_terminal_of_the_tree(seed):
    result = pages.random_result(8, layers=3, heads=2, seed=seed, readout=bool(seed % 2))
    level, tree = page_facts.report(result).tokens, build_tree(result)
    assert (level.top, level.readout) == (tree.top, tree.terminal)


def test_a_page_of_128_tokens_is_small():
    assert len(pages.random_result(128).to_html()) <= 2_000_000


def test_incompressible_matrices_fit_too():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 1, (12, 128, 128)).astype(np.float32)
    result = pages.random_result(128, layers=1)
    sites = tuple(handmade.site(f"layer.{i}", scores, scores) for i in range(12))
    assert len(replace(result, sites=sites).to_html()) <= 2_000_000


def test_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        handmade.attribution().to_html(tmp_path / "nowhere" / "x.html")
    handmade.attribution().to_html(tmp_path / "x.html")
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"]


def test_a_notebook_gets_a_frame_that_holds_the_page():
    text = handmade.attribution()._repr_html_()
    _, frame = Elements(text).found
    assert frame[0] == "iframe" and frame[1]["srcdoc"] == handmade.attribution().to_html()
    assert "allow-same-origin" not in frame[1]["sandbox"]


def test_show_opens_the_browser_or_the_notebook(monkeypatch):
    seen = []
    monkeypatch.setattr(page.webbrowser, "open", seen.append)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    handmade.attribution().show()
    assert Path(seen[0].removeprefix("file://")).read_text(encoding="utf-8").startswith("<!doctype html>")
    shown = []
    notebook = types.SimpleNamespace(
        get_ipython=lambda: object(), display=types.SimpleNamespace(display=shown.append)
    )
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    result = handmade.attribution()
    result.show()
    assert shown == [result] and len(seen) == 1


@pytest.fixture(scope="module")
def attributor():
    return Attributor(tiny.bert(), tiny.tokenizer())


def test_effects_are_what_measure_says_of_each_edge_and_head(attributor):
    result = attributor.attribute("a fine film", "the man sleeps", target=1)
    effects = measure_effects(attributor, result, edges=5)
    assert effects.edges == tuple(result.top_edges(5)) and effects.head_change.shape == (3, 2)
    assert effects.clean == pytest.approx(result.target.value, abs=1e-6)
    for edge, change in zip(effects.edges, effects.edge_change, strict=True):
        mask = Mask.without_edges(result, [(edge.site, edge.head, edge.query, edge.key)])
        clean, (value,) = measure(attributor, ("a fine film", "the man sleeps"), [mask], target=1)
        assert change == pytest.approx(clean - value, abs=1e-9) and change != 0
    clean, (value,) = measure(
        attributor, ("a fine film", "the man sleeps"), [Mask.without_heads((3, 2), [(1, 1)])], target=1
    )
    assert effects.head_change[1, 1] == pytest.approx(clean - value, abs=1e-9)


@pytest.mark.parametrize("target", [None, 1, (0, 2)])
def test_attributed_and_measured_from_one_reading_of_the_text(attributor, target, monkeypatch):
    texts = ("a fine film", "the man sleeps")
    result = attributor.attribute(*texts, target=target)
    wanted = measure_effects(attributor, result, edges=5)
    times = {"record": 0, "encode": 0}

    def counted(place, name):
        def call(*args, **kwargs):
            times[name] += 1
            return own(*args, **kwargs)

        own = getattr(place, name)
        monkeypatch.setattr(place, name, call)

    counted(Capture, "record")
    counted(encoding._Encoder, "encode")
    again, effects = attribute_and_measure(attributor, texts, edges=5, target=target)
    assert times == {"record": 1, "encode": 1}
    np.testing.assert_array_equal(again.scores, result.scores)
    assert effects.edges == wanted.edges and effects.clean == wanted.clean
    np.testing.assert_array_equal(effects.edge_change, wanted.edge_change)
    np.testing.assert_array_equal(effects.head_change, wanted.head_change)


def test_one_input_is_measured_at_a_time(attributor):
    with pytest.raises(InputError, match="one input at a time"):
        attribute_and_measure(attributor, ["a fine film", "not good"])


def test_effects_of_a_language_model_and_of_a_difference(attributor):
    language = Attributor(tiny.gpt2(), tiny.tokenizer(bert=False))
    result = language.attribute("the film is", target="very good")
    assert measure_effects(language, result, edges=2).clean == pytest.approx(result.target.value, abs=1e-6)
    result = attributor.attribute("a fine film", target=(0, 2))
    effects = measure_effects(attributor, result, edges=2)
    assert effects.clean == pytest.approx(result.target.value, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"text": None}, "does not hold its text"),
        ({"target": handmade.Target("callable", "f", (), "value", 1.0)}, "the target is a function"),
    ],
)
def test_what_cannot_be_measured_again_is_an_error(attributor, changes, says):
    with pytest.raises(InputError, match=says):
        measure_effects(attributor, handmade.attribution(**changes))


def test_effects_stand_in_the_page():
    result = handmade.attribution()
    effects = Effects(0.875, tuple(result.top_edges(2)), np.array([0.5, -0.125]), np.zeros((2, 2)))
    facts = facts_of(result.to_html(effects=effects))
    assert facts["effects"] == {"clean": 0.875, "edges": [0.5, -0.125], "heads": [[0, 0], [0, 0]]}


def test_the_command_writes_a_page(tmp_path, monkeypatch):
    attributor = Attributor(tiny.bert(), tiny.tokenizer())
    monkeypatch.setattr("attattr.cli.options.TheModel.attributor", lambda self: attributor)
    outcome = CliRunner().invoke(
        app, ["explain", "a fine film", "--model", "x", "--html", str(tmp_path / "r.html")]
    )
    assert outcome.exit_code == 0, outcome.output
    facts = facts_of((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(facts["effects"]["edges"]) == 50 and facts["texts"] == ["a fine film"]


@pytest.mark.parametrize("others", [["--html", "-"], ["--html", "same", "--json", "same"]])
def test_the_command_refuses_unusable_names(others, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(app, ["explain", "a fine film", *others])
    assert outcome.exit_code != 0 and not list(tmp_path.iterdir())
