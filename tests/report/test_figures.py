"""Figures: what is in them, that labels stay apart, that the same numbers make the same bytes."""

from __future__ import annotations

import itertools
import re
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

import commands
import handmade
import tiny
from attattr import Attributor
from attattr.cli import options
from attattr.errors import InputError
from attattr.report import figures, plots
from attattr.report.flow import WIDE, draw_flow
from attattr.result.flow import build_flow
from attattr.result.tree import build_tree
from attattr.result.words import word_effects


def texts(path) -> list[str]:
    """The texts of an .svg, in the order of drawing."""
    return ["".join(each.itertext()) for each in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def random_result(n: int = 40, layers: int = 4, word: str = "word"):
    """n tokens, two heads; the last layer is read at row 0."""
    rng = np.random.default_rng(n)
    scores = rng.standard_normal((layers, 2, n, n)).astype(np.float32) ** 3
    scores[-1, :, 1:] = 0
    attention = np.abs(scores) / np.abs(scores).sum(-1, keepdims=True).clip(1e-9)
    axis = handmade.axis(" ".join(f"{word}{i}" for i in range(n - 2)))
    return handmade.attribution(
        axes={"input": axis},
        sites=tuple(handmade.site(f"layer.{i}", scores[i], attention[i]) for i in range(layers)),
    )


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    kept: list[Figure] = []
    save = Figure.savefig

    def keep(self, *args, **options):
        kept.append(self)
        return save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


KINDS = {
    "flow": draw_flow,
    "tree": figures.draw_tree,
    "heads": figures.draw_heads,
    "matrix": figures.draw_matrix,
    "tokens": figures.draw_tokens,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_every_kind_in_every_format_and_twice_the_same_bytes(kind, ending, tmp_path):
    first, second = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    KINDS[kind](handmade.attribution(), first)
    KINDS[kind](handmade.attribution(), second)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith({"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}[ending])
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"a.{ending}", f"b.{ending}"]


@pytest.mark.parametrize("kind", ["flow", "tree", "matrix", "tokens"])
@pytest.mark.parametrize("n", [12, 40])
def test_labels_do_not_overlap(kind, n, tmp_path, drawn):
    KINDS[kind](random_result(n), tmp_path / "x.png")
    (made,) = drawn
    canvas = FigureCanvasAgg(made)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [
        (text.get_text(), text.get_window_extent(renderer).shrunk(0.98, 0.9))
        for text in made.findobj(matplotlib.text.Text)
        if text.get_text().strip() and text.get_visible()
    ]
    assert len(boxes) > n
    over = [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if one.overlaps(other)]
    assert over == []


@pytest.mark.parametrize("edges", [None, 0, 9])
def test_the_flow_draws_the_edges_that_were_chosen_as_wide_as_was_said(edges, tmp_path, drawn):
    result = random_result(12)
    draw_flow(result, tmp_path / "flow.svg", edges=edges)
    flow = build_flow(result)
    shown = flow.edges[: flow.usual if edges is None else edges]
    (made,) = drawn
    curves = [each for each in made.findobj(PathPatch) if len(each.get_path().vertices) == 4]
    found = sorted((each.get_linewidth(), each.get_alpha()) for each in curves)
    wanted = [(max(0.4, WIDE * e.width), 0.9 if e.joins and e.joins <= len(shown) else 0.25) for e in shown]
    np.testing.assert_allclose(found, sorted(wanted))
    assert any(f"{len(shown)} edges shown, {flow.share(len(shown)):.0%}" in said for said in told(made))


def test_the_flow_of_an_encoder_decoder_and_of_a_long_text(tmp_path, drawn):
    draw_flow(Attributor(tiny.t5()).attribute(tiny.text(6), n_steps=2), tmp_path / "t5.svg")
    draw_flow(random_result(90), tmp_path / "long.svg", edges=3)
    cross, long = drawn
    assert any("cross" in said for said in told(cross))
    named = [said for said in told(long) if said.startswith("word")]
    assert len(named) <= 7  # ends of three edges, and the readout


def told(made):
    return [text.get_text() for text in made.findobj(matplotlib.text.Text)]


def test_the_tree_has_an_arc_for_each_edge_and_every_token(tmp_path, drawn):
    result = random_result(20)
    figures.draw_tree(result, tmp_path / "tree.svg", threshold=0.3)
    tree = build_tree(result, threshold=0.3)
    (made,) = drawn
    assert len(tree.edges) > 3
    arcs = [each for each in made.findobj(PathPatch) if each.get_alpha()]
    assert len(arcs) == len(tree.edges)
    said = texts(tmp_path / "tree.svg")
    assert [token for token in said if token in result.tokens] == list(result.tokens)
    assert "[CLS] → positive 87.5 %" in said


def test_an_arc_goes_from_the_parent_above_to_the_child_below(tmp_path, drawn):
    figures.draw_tree(handmade.attribution(), tmp_path / "tree.svg")  # [SEP] looked at "fine" in layer 0
    (made,) = drawn
    (arc,) = (each for each in made.findobj(PathPatch) if each.get_alpha())
    x = {text.get_text(): text.get_position()[0] for text in made.findobj(matplotlib.text.Text)}
    (start, *_, end) = arc.get_path().vertices.tolist()
    assert start == [x["[SEP]"], 0.5]
    assert end == [x["fine"], 0.0]


def test_tree_and_flow_draw_an_edge_alike(tmp_path, drawn):
    """The tree had a scale of its own: its strongest edge as wide as any, whatever it gave."""
    result = random_result(n=12)
    figures.draw_tree(result, tmp_path / "tree.svg", threshold=0.3)
    draw_flow(result, tmp_path / "flow.svg", edges=200)
    tree, flow = build_tree(result, threshold=0.3), build_flow(result)
    of_flow = {(edge.site, edge.query, edge.key): edge for edge in flow.edges}
    both = [(edge, of_flow.get((edge.layer, edge.parent, edge.child))) for edge in tree.edges]
    assert sum(of is not None for _, of in both) > 3

    def lines(figure):
        return sorted(each.get_linewidth() for each in figure.axes[0].patches if isinstance(each, PathPatch))

    in_tree, in_flow = map(lines, drawn)
    for edge, of in both:
        wide = pytest.approx(max(0.4, WIDE * abs(edge.score) / flow.scale), rel=1e-6)
        assert any(line == wide for line in in_tree)
        if of is not None:
            assert edge.score == pytest.approx(of.score, rel=1e-5)
            assert any(line == wide for line in in_flow)
    key = f"{flow.unit:g} of the probability · "
    assert all(
        any(said.startswith(key) for said in texts(tmp_path / f"{kind}.svg")) for kind in ("tree", "flow")
    )


def test_a_long_text_shows_only_the_tokens_of_its_tree(tmp_path):
    result = random_result(300)
    figures.draw_tree(result, tmp_path / "tree.svg", threshold=0.9)
    tree = build_tree(result, threshold=0.9)
    shown = {token for token in texts(tmp_path / "tree.svg") if token in result.tokens}
    assert shown == {result.tokens[i] for i in (*tree.nodes, tree.terminal)}
    assert "…" in texts(tmp_path / "tree.svg")


def test_a_tree_without_edges_says_so(tmp_path):
    result = handmade.attribution()
    lone = handmade.site("one", np.zeros((1, 5, 5), np.float32), np.full((1, 5, 5), 0.2, np.float32))
    figures.draw_tree(replace(result, sites=(lone,)), tmp_path / "tree.svg")
    assert any(said.startswith("no edge above 0.4") for said in texts(tmp_path / "tree.svg"))


def test_words_are_whole(tmp_path):
    result = handmade.pair()
    figures.draw_tokens(result, tmp_path / "tokens.svg")
    figures.draw_tokens(result, tmp_path / "words.svg", words=True)
    assert "##s" in texts(tmp_path / "tokens.svg")
    assert "plays" in texts(tmp_path / "words.svg")


def test_bars_are_the_contributions(tmp_path, drawn):
    result = handmade.attribution()
    figures.draw_tokens(result, tmp_path / "tokens.svg")
    heights = [bar.get_height() for bar in drawn[0].axes[0].patches]
    assert heights == word_effects(result).values.tolist() == [0, -0.25, 0.5, 0, 0]
    assert "given in layer 1; together +0.25" in texts(tmp_path / "tokens.svg")


def test_the_matrix_is_of_the_head_with_the_largest_score(tmp_path, drawn):
    result = handmade.attribution()
    figures.draw_matrix(result, tmp_path / "matrix.svg")
    assert any(said.startswith("layer 1, head 0") for said in texts(tmp_path / "matrix.svg"))
    scores, attention, *_ = drawn[0].axes
    assert np.array_equal(scores.collections[0].get_array(), result.scores[1, 0])
    assert np.array_equal(attention.collections[0].get_array(), result.attention[1, 0])
    figures.draw_matrix(result, tmp_path / "other.svg", site=0)
    assert any(said.startswith("layer 0, head 1") for said in texts(tmp_path / "other.svg"))


def test_heads_by_attribution_and_by_attention(tmp_path, drawn):
    result = handmade.attribution()
    figures.draw_heads(result, tmp_path / "a.svg")
    figures.draw_heads(result, tmp_path / "b.svg", value="attention")
    found = [each.axes[0].collections[0].get_array() for each in drawn]
    assert np.array_equal(found[0], result.per_head("max"))
    assert np.allclose(found[1], [[0.2, 0.2], [0.2 + 0.55 / 5, 0.2]])
    low, high = drawn[0].axes[0].get_ylim()
    assert low < high, "the first layer stands at the bottom"


def test_any_token_is_drawn_as_it_is(tmp_path):
    strange = [
        "<script>",
        "</text>",
        "$x$",
        "a$b",
        "&amp;",
        '"',
        "\u202eabc",
        "שלום",
        "日本",
        "🙂",
        "\n",
        "%",
    ]
    result = random_result(len(strange) + 2)
    axis = replace(result.axes["input"], tokens=("[CLS]", *strange, "[SEP]"))
    result = replace(result, axes={"input": axis})
    for kind in ("tree", "matrix", "tokens"):
        KINDS[kind](result, tmp_path / "x.svg")
        shown = set(texts(tmp_path / "x.svg"))
        assert {*strange[:6], "שלום", "日本", "🙂", r"\n", r"\u202eabc"} <= shown, kind


def test_characters_that_no_font_has_are_told_once(tmp_path):
    axis = handmade.axis("a \U000e0fff\U000e0ffe film")
    result = handmade.attribution(axes={"input": axis})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figures.draw_tokens(replace(result, axes={"input": axis}), tmp_path / "x.png")
    assert len([each for each in said if "no font" in str(each.message)]) <= 1
    assert not [each for each in said if "Glyph" in str(each.message)]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda r, at: figures.draw_tree(r, at / "x.gif"), "ends in .svg, .pdf or .png"),
        (lambda r, at: figures.draw_tree(r, at / "no" / "x.svg"), "cannot write"),
        (lambda r, at: figures.draw_tree(r, at / "x.svg", threshold=1), "threshold"),
        (lambda r, at: figures.draw_heads(r, at / "x.svg", value="size"), "attribution or attention"),
        (lambda r, at: figures.draw_matrix(r, at / "x.svg", site=2), "0 to 1"),
        (lambda r, at: figures.draw_matrix(r, at / "x.svg", site=1, head=-1), "0 to 1"),
        (lambda r, at: figures.draw_matrix(r, at / "x.svg", head=1), "of which layer"),
    ],
)
def test_mistakes_are_told_in_a_sentence(call, says, tmp_path):
    with pytest.raises(InputError, match=re.escape(says)):
        call(handmade.attribution(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "store"), [("tree", "edges"), ("matrix", "edges"), ("tokens", "heads")])
def test_what_the_store_lacks_is_told(kind, store, tmp_path):
    with pytest.raises(InputError, match="store="):
        KINDS[kind](handmade.attribution(store), tmp_path / "x.svg")


def test_nothing_of_the_callers_matplotlib_is_touched(tmp_path):
    before = dict(matplotlib.rcParams)
    figures.draw_heads(handmade.attribution(), tmp_path / "x.png")
    assert dict(matplotlib.rcParams) == before


def test_study_plots(tmp_path, drawn):
    x = [0.0, 0.5, 1.0]
    curves = {"ours": (x, [0.9, 0.8, 0.5], [0.8, 0.7, 0.4], [1, 0.9, 0.6]), "theirs": (x, x, None, None)}
    plots.plot_curves(curves, tmp_path / "c.svg", x_label="removed", y_label="accuracy", reference=0.5)
    assert {"ours", "theirs", "removed", "accuracy"} <= set(texts(tmp_path / "c.svg"))
    assert [line.get_ydata().tolist() for line in drawn[-1].axes[0].lines[1:]] == [[0.9, 0.8, 0.5], x]
    plots.plot_scatter([1, 2], [3, 4], tmp_path / "s.pdf", x_label="a", y_label="b", note="r = 1 (n = 2)")
    matrix = np.array([[1.0, -0.125], [-0.125, np.nan]])
    plots.plot_matrix(matrix, ["mnli", "sst2"], tmp_path / "m.svg", label="Pearson r")
    said = texts(tmp_path / "m.svg")
    assert {"mnli", "sst2", "1.00", "Pearson r"} <= set(said)
    assert sum("0.12" in each for each in said) == 2 and "nan" not in said
    plots.plot_heads(-np.eye(3), tmp_path / "h.png", label="loss")
    with pytest.raises(InputError, match="shape"):
        plots.plot_heads(np.zeros(3), tmp_path / "no.svg")
    with pytest.raises(InputError, match="names"):
        plots.plot_matrix(np.eye(3), ["a"], tmp_path / "no.svg", label="")


def lightness(colour) -> float:
    red, green, blue = colour[:3]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_criterion_is_drawn_and_attention_in_grey(tmp_path, drawn):
    found = {"ours": np.eye(3), "attention": np.ones((3, 3)) / 2}
    plots.plot_heads(found, tmp_path / "all.svg", title="m", weights=["attention"])
    ours, attention = (axes.collections[0] for axes in drawn[0].axes[:2])
    assert np.array_equal(ours.get_array(), found["ours"])
    assert np.array_equal(attention.get_array(), found["attention"])
    assert {"ours", "attention"} <= set(texts(tmp_path / "all.svg"))
    red, green, blue, _ = attention.to_rgba(0.3)
    assert red == pytest.approx(green) == pytest.approx(blue)
    red, _, blue, _ = ours.to_rgba(0.5)
    assert blue > red


@pytest.mark.parametrize("signed", [False, True])
def test_stronger_is_darker_in_grey(signed):
    shades = [lightness(plots.colours(signed)(x)) for x in np.linspace(0.5 if signed else 0, 1, 20)]
    assert all(a > b for a, b in itertools.pairwise(shades))
    if signed:
        left = [lightness(plots.colours(True)(x)) for x in np.linspace(0.5, 0, 20)]
        assert all(a > b for a, b in itertools.pairwise(left))


def run(*arguments):
    return commands.run("figure", *arguments)


def test_the_command_draws_a_saved_result(tmp_path):
    saved = tmp_path / "fine.attattr"
    handmade.attribution().save(saved)
    for kind in KINDS:
        made = run(saved, "--kind", kind, "--out", tmp_path / f"{kind}.svg")
        assert made.exit_code == 0, made.output
        assert "Wrote the figure" in made.stderr
        assert texts(tmp_path / f"{kind}.svg")
    made = run(saved, "--kind", "matrix", "--layer", 0, "--head", 0, "--words", "--out", tmp_path / "m.svg")
    assert made.exit_code == 0, made.output
    assert any(said.startswith("layer 0, head 0") for said in texts(tmp_path / "m.svg"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--out", "x.jpg"], "ends in"),
        (["--out", "x.svg", "--layer", "1"], "--kind matrix"),
        (["--out", "x.svg", "--kind", "matrix", "--head", "1"], "--layer"),
        (["--out", "x.svg", "--attention"], "--kind heads"),
        (["--out", "x.svg", "--kind", "heads", "--words"], "--words"),
        (["--out", "x.svg", "--kind", "tree", "--threshold", "2"], "--threshold"),
        (["--out", "x.svg", "--threshold", "0.3"], "--threshold"),
        (["--out", "x.svg", "--kind", "tree", "--edges", "3"], "--edges"),
        (["--out", "/nowhere/x.svg"], "cannot write"),
    ],
)
def test_the_command_tells_mistakes_before_it_works(more, says, tmp_path):
    made = run(tmp_path / "not-there.attattr", *more)
    assert made.exit_code == 2
    assert says in made.stderr


@pytest.mark.parametrize(("more", "says"), [(["2"], "no layer 2"), (["1", "--head", "3"], "no head 3")])
def test_a_wrong_layer_or_head_is_refused_before_the_attribution(more, says, tmp_path, monkeypatch):
    class Opened:
        model = SimpleNamespace(config=SimpleNamespace(num_hidden_layers=2, num_attention_heads=3))

        def attribute(self, *inputs, **asked):
            pytest.fail("it was attributed")

    monkeypatch.setattr(options.TheModel, "attributor", lambda asked: Opened())
    made = commands.run("figure", "a film", "--kind", "matrix", "--layer", *more, "--out", tmp_path / "x.svg")
    assert made.exit_code == 2 and f"there is {says}: the model has 0 to" in made.stderr


def test_attention_has_no_colour_of_attribution_in_curves(tmp_path, drawn):
    """The first criterion was blue, whichever it was."""
    points = [0.0, 1.0]
    names = ["attention", "attention: largest first", "attattr", "taylor", "gradient × attention", "random"]
    curves = {name: (points, [1.0, 0.1 * i], None, None) for i, name in enumerate(names)}
    plots.plot_curves(curves, tmp_path / "c.svg", x_label="x", y_label="y")
    (made,) = drawn
    lines = {line.get_label(): line for line in made.axes[0].lines}
    assert list(lines) == names
    grey = [name for name, line in lines.items() if line.get_color() == plots.GREY]
    assert grey == names[:2]
    others = [lines[name].get_color() for name in names[2:]]
    assert others == list(plots.CURVES[:4])
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines.values()}) == len(names)
