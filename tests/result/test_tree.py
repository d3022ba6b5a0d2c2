"""The attribution tree against trees drawn by hand, and what must hold of every one."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import attattr
import commands
import handmade
import tiny
from attattr import build_tree, merge_words, receptive_field
from attattr.cli import options
from attattr.errors import InputError
from attattr.result.values import Axis

R, A, B, C, D = range(5)  # positions; R is where the prediction is read


def made(*layers, n=5, heads=1, **changes):
    """A result of n tokens; each layer {(query, key): score} or {(head, query, key): score}."""
    sites = []
    for number, layer in enumerate(layers):
        scores = np.zeros((heads, n, n), np.float32)
        for place, score in layer.items():
            scores[place if len(place) == 3 else (0, *place)] = score
        sites.append(handmade.site(f"layer.{number}", scores, np.full((heads, n, n), 1 / n, np.float32)))
    tokens = tuple("RABCDEFGH"[:n])
    axis = Axis(tokens, (0,) * n, tuple(range(n)), (False,) * n)
    return handmade.attribution(**{"axes": {"input": axis}, "sites": tuple(sites)} | changes)


def drawn(tree):
    return [(edge.layer, edge.parent, edge.child) for edge in tree.edges]


LAST = {(R, A): 1.0}  # the last layer of a model with a readout row


# -- by hand -------------------------------------------------------------------------------------------


def test_a_chain_goes_down_layer_by_layer():
    tree = build_tree(made({(C, D): 1.0}, {(B, C): 2.0}, {(A, B): 4.0}, LAST))
    assert (tree.top, tree.terminal) == (A, R)
    assert drawn(tree) == [(2, A, B), (1, B, C), (0, C, D)]
    assert tree.nodes == (A, B, C, D)
    assert tree.levels == (0, 1, 2, 3)


def test_a_fixed_token_branches_again_and_in_lower_layers():
    tree = build_tree(made({(A, D): 1.0}, {(A, B): 4.0, (A, C): 3.0}, LAST))
    assert drawn(tree) == [(1, A, B), (1, A, C), (0, A, D)]
    assert tree.levels == (0, 1, 1, 1)
    assert [edge.child for edge in tree.children(A)] == [B, C, D]


def test_a_token_that_has_not_appeared_leads_nowhere():
    # B looks at C above the layer in which B appears, and nothing leads to D
    tree = build_tree(made({(A, B): 9.0, (D, C): 8.0}, {(B, C): 3.0}, LAST))
    assert drawn(tree) == [(0, A, B)]


@pytest.mark.parametrize("child", [A, B])
def test_a_token_that_is_there_gets_no_second_parent(child):
    # C looks at the top (Fixed) or at B (Appear), both in the tree already
    tree = build_tree(made({(C, child): 5.0}, {(A, B): 9.0, (A, C): 8.0}, LAST))
    assert drawn(tree) == [(1, A, B), (1, A, C)]


def test_of_two_parents_in_one_layer_the_stronger_has_the_child():
    tree = build_tree(made({(B, D): 2.0, (C, D): 3.0}, {(A, B): 9.0, (A, C): 8.0}, LAST))
    assert drawn(tree)[-1] == (0, C, D)


def test_ties_go_in_reading_order():
    tree = build_tree(made({(B, D): 2.0, (C, D): 2.0}, {(A, B): 9.0, (A, C): 9.0}, LAST))
    assert drawn(tree) == [(1, A, B), (1, A, C), (0, B, D)]
    assert build_tree(made({(B, A): 1.0, (C, D): 1.0}, LAST)).top == B


def test_within_a_layer_a_child_may_be_a_parent_if_its_own_edge_is_weaker():
    assert drawn(build_tree(made({(A, B): 9.0, (B, C): 8.0}, LAST))) == [(0, A, B), (0, B, C)]
    tree = build_tree(made({(A, B): 8.0, (B, C): 9.0}, {(A, D): 9.0}, LAST))
    assert drawn(tree) == [(1, A, D), (0, A, B)]


def test_a_layer_with_nothing_positive_contributes_nothing():
    tree = build_tree(made({(A, B): 4.0}, {(A, C): -3.0, (C, D): -1.0}, LAST))
    assert drawn(tree) == [(0, A, B)]
    assert drawn(build_tree(made({(A, B): 0.0}, LAST))) == []


def test_a_negative_edge_is_never_kept():
    tree = build_tree(made({(A, B): 4.0, (A, C): -3.0}, LAST), threshold=0.0)
    assert drawn(tree) == [(0, A, B)]


def test_the_threshold_is_exclusive_and_a_share_of_the_layers_largest():
    layer = {(A, B): 8.0, (A, C): 4.0, (A, D): 4.5}
    assert drawn(build_tree(made(layer, LAST), threshold=0.5)) == [(0, A, B), (0, A, D)]
    assert drawn(build_tree(made(layer, LAST), threshold=0.49)) == [(0, A, B), (0, A, D), (0, A, C)]


def test_the_diagonal_counts_for_the_largest_score_but_not_for_the_top():
    tree = build_tree(made({(A, B): 3.0, (C, C): 10.0}, LAST))
    assert (tree.top, drawn(tree)) == (A, [])


def test_the_readout_row_is_neither_top_nor_measure():
    tree = build_tree(made({(R, B): 100.0, (A, B): 1.0}, LAST))
    assert (tree.top, drawn(tree)) == (A, [(0, A, B)])


def test_the_readout_token_may_be_looked_at_but_leads_nowhere():
    tree = build_tree(made({(R, D): 5.0}, {(A, R): 2.0, (A, B): 1.0}, LAST))
    assert drawn(tree) == [(1, A, R), (1, A, B)]
    assert networkx.is_arborescence(tree.to_networkx())


def test_the_readout_row_is_found_wherever_it_is():
    tree = build_tree(made({(A, B): 1.0, (D, B): 7.0}, {(D, A): 1.0, (D, D): 0.5}))
    assert (tree.terminal, tree.top, drawn(tree)) == (D, A, [(0, A, B)])


def test_a_mean_pooled_model_has_no_terminal():
    tree = build_tree(made({(A, B): 1.0}, {(R, A): 4.0, (B, C): 3.0}))
    assert (tree.terminal, tree.top) == (None, R)
    assert drawn(tree) == [(1, R, A), (0, A, B)]


def test_the_top_is_chosen_by_sums_that_negative_scores_lower():
    tree = build_tree(made({(A, B): 5.0, (A, C): -4.0, (B, C): 2.0}, LAST))
    assert tree.top == B


def test_heads_are_summed_and_named():
    result = made({(0, A, B): 1.0, (1, A, B): 3.0, (2, A, B): -0.5, (2, A, C): 1.5}, LAST, heads=3)
    (edge,) = build_tree(result, threshold=0.45).edges
    assert edge.score == 3.5
    assert edge.heads == ((1, 3.0), (0, 1.0))


def test_one_layer_or_one_token_is_a_tree_too():
    tree = build_tree(made(LAST))
    assert (tree.terminal, tree.top, drawn(tree)) == (R, A, [])
    tree = build_tree(made({(R, R): 1.0}, n=1))
    assert (tree.terminal, tree.top, tree.nodes, tree.edges) == (R, None, (), ())


def test_the_input_is_left_as_it_was():
    result = made({(R, B): 100.0, (A, B): 1.0}, LAST)
    before = result.scores.copy()
    build_tree(result)
    receptive_field(result)
    assert (result.scores == before).all()


# -- of every tree -------------------------------------------------------------------------------------

SCORES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(2, 6)).flatmap(
    lambda shape: arrays(np.float32, (shape[0], shape[1], shape[2], shape[2]), elements=st.integers(-4, 9))
)


def of_matrices(scores, readout):
    if readout:  # all of the last layer in one row
        scores[-1, :, 1:] = 0
        scores[-1, 0, 0, 0] = 50
    n = scores.shape[-1]
    axis = Axis(tuple("RABCDE"[:n]), (0,) * n, tuple(range(n)), (False,) * n)
    sites = tuple(handmade.site(f"layer.{i}", of, np.abs(of)) for i, of in enumerate(scores))
    return handmade.attribution(axes={"input": axis}, sites=sites)


def literal(scores, threshold, terminal):
    """The algorithm step by step, with the three states."""
    layers = [np.array(of, float).sum(0) for of in scores]
    for of in layers:
        if terminal is not None:
            of[terminal] = 0
    n = len(layers[0])
    sums = [sum(of[i, j] for of in layers for j in range(n) if j != i) for i in range(n)]
    top = max((i for i in range(n) if i != terminal), key=lambda i: (sums[i], -i))
    state, edges = dict.fromkeys(range(n), "NotAppear") | {top: "Appear"}, []
    for number in reversed(range(len(layers))):
        of = layers[number]
        places = sorted(((i, j) for i in range(n) for j in range(n)), key=lambda p: (-of[p], p))
        for i, j in places:
            kept = of.max() > 0 and of[i, j] / of.max() > threshold
            if kept and i != j and state[j] == "NotAppear" and state[i] in ("Appear", "Fixed"):
                edges.append((number, i, j))
                state[i], state[j] = "Fixed", "Appear"
    return top, edges


@given(SCORES, st.booleans(), st.sampled_from([0.0, 0.4, 0.9]))
def test_the_tree_is_that_of_the_algorithm_step_by_step(scores, readout, threshold):
    result = of_matrices(scores, readout)
    tree = build_tree(result, threshold=threshold)
    assert (tree.terminal == 0) or not readout
    assert (tree.top, drawn(tree)) == literal(result.scores, threshold, tree.terminal)


@given(SCORES, st.booleans(), st.sampled_from([0.0, 0.4, 0.9]))
def test_what_holds_of_every_tree(scores, readout, threshold):
    result = of_matrices(scores, readout)
    tree = build_tree(result, threshold=threshold)
    summed = result.scores.sum(1, dtype=float)
    if tree.terminal is not None:
        summed[:, tree.terminal] = 0
    for edge in tree.edges:
        assert edge.parent != edge.child
        assert edge.score == summed[edge.layer, edge.parent, edge.child]
        assert edge.score > max(threshold * summed[edge.layer].max(), 0)
        assert edge.heads[0][1] == result.scores[edge.layer, :, edge.parent, edge.child].max()
        assert [score for _, score in edge.heads] == sorted((s for _, s in edge.heads), reverse=True)
    children = [edge.child for edge in tree.edges]
    assert len(set(children)) == len(children)
    above = {edge.child: edge.layer for edge in tree.edges}
    assert all(edge.layer <= above.get(edge.parent, len(scores)) for edge in tree.edges)
    graph = tree.to_networkx()
    assert networkx.is_arborescence(graph)
    assert dict(graph.nodes(data="level")) == networkx.single_source_shortest_path_length(graph, tree.top)
    assert set(graph.nodes) == set(tree.nodes)
    outside = summed.sum(0)
    np.fill_diagonal(outside, 0)
    candidates = [i for i in range(len(outside)) if i != tree.terminal]
    assert outside[tree.top].sum() == max(outside[i].sum() for i in candidates)


# -- receptive field -----------------------------------------------------------------------------------


def test_distances_of_a_layer():
    # kept: 8 at 1, 6 at 3, 4 at 0, not 3 at 2
    layer = {(A, B): 8.0, (A, D): 6.0, (C, C): 4.0, (B, D): 3.0, (R, D): 99.0}
    reach, last = receptive_field(made(layer, LAST))
    assert (reach.layer, reach.n, reach.counts) == (0, 3, (1, 1, 0, 1))
    assert reach.mean == pytest.approx(4 / 3)
    assert reach.median == 1
    assert reach.weighted_mean == pytest.approx((8 * 1 + 6 * 3 + 4 * 0) / 18)
    assert reach.quantiles == pytest.approx((0.1, 0.5, 2.0, 2.8))
    assert (last.n, last.counts, last.mean, last.quantiles) == (0, (), None, None)


def test_a_lower_threshold_keeps_more():
    result = made({(A, B): 8.0, (B, D): 3.0}, LAST)
    assert [receptive_field(result, threshold)[0].n for threshold in (0.5, 0.3)] == [1, 2]


# -- words ---------------------------------------------------------------------------------------------


def test_words_take_the_sum_of_their_pieces():
    result = merge_words(handmade.pair())
    assert result.tokens[-4:] == ("the", "man", "plays", "[SEP]")
    assert result.segments[-4:] == (1, 1, 1, None)
    site, before = result.sites[0], handmade.pair().sites[0]
    assert site.scores.shape == (1, 9, 9)
    assert site.scores.sum() == before.scores.sum()
    assert site.attention.sum(2) == pytest.approx(np.ones((1, 9)))
    assert site.attention[0, 7, 7] == pytest.approx(0.2)  # two of ten keys
    assert (site.query_sum == site.scores.sum(2)).all()
    assert (site.key_sum == site.scores.sum(1)).all()
    assert site.head_max == site.scores.max()
    assert result.per_token().sum() == pytest.approx(handmade.pair().per_token().sum())


def test_both_sides_of_an_edge_are_merged():
    axis = Axis(("a", "##b", "c", "##d", "e"), (0,) * 5, (0, 0, 1, 1, 2), (False,) * 5)
    result = made({(0, 2): 1.0, (1, 3): 2.0, (0, 1): 4.0, (4, 2): 8.0}, axes={"input": axis})
    merged = merge_words(result)
    assert merged.tokens == ("ab", "cd", "e")
    assert merged.sites[0].scores[0].tolist() == [[4, 3, 0], [0, 0, 0], [0, 8, 0]]
    assert merge_words(merged).sites[0].scores.tolist() == merged.sites[0].scores.tolist()


def test_without_word_numbers_tokens_stay():
    axis = Axis(("a", "##b", "c", "d", "e"), (0,) * 5, (None,) * 5, (False,) * 5)
    assert merge_words(made(LAST, axes={"input": axis})).sites[0].scores.shape == (1, 5, 5)


# -- other axes ----------------------------------------------------------------------------------------


def test_an_encoder_decoder_has_a_tree_on_each_side():
    attributor = attattr.Attributor(tiny.t5(), tiny.tokenizer(bert=False))
    result = attributor.attribute(tiny.source(6))
    encoder, decoder = build_tree(result), build_tree(result, axis="output")
    assert (encoder.axis, encoder.n_layers, len(encoder.tokens)) == ("input", 2, 6)
    assert encoder.terminal is None
    assert (decoder.axis, len(decoder.tokens), decoder.terminal) == ("output", 3, 2)
    kinds = {result.sites[edge.layer].kind for edge in decoder.edges}
    assert kinds <= {"decoder_self"}
    assert {result.sites[edge.layer].kind for edge in encoder.edges} == {"encoder_self"}


def test_a_language_model_reads_at_its_last_token():
    result = attattr.Attributor(tiny.gpt2(), tiny.tokenizer(bert=False)).attribute(tiny.text(7))
    tree = build_tree(result)
    assert tree.terminal == 6
    assert all(edge.child < edge.parent for edge in tree.edges)


# -- what cannot be done -------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(InputError, match="threshold"):
        build_tree(made(LAST), threshold=threshold)


def test_a_tree_needs_scores():
    for store in ("edges", "heads"):
        with pytest.raises(InputError, match="dense"):
            build_tree(handmade.attribution(store))
        with pytest.raises(InputError, match="dense"):
            merge_words(handmade.attribution(store))
    with pytest.raises(InputError, match="'patches': choose one of input"):
        build_tree(made(LAST), axis="patches")
    with pytest.raises(InputError, match="finite"):
        build_tree(made({(A, B): np.nan}, LAST))
    with pytest.raises(InputError, match="no attributed site"):
        build_tree(made(LAST, sites=()))


# -- outside of Python ---------------------------------------------------------------------------------


def test_json_holds_the_tree():
    facts = json.loads(json.dumps(build_tree(made({(B, C): 1.0}, {(A, B): 2.0}, LAST)).to_json()))
    assert facts == {
        "schema_version": "1", "tokens": list("RABCD"), "axis": "input", "top": A, "terminal": R,
        "threshold": 0.4, "n_layers": 3,
        "nodes": [
            {"position": A, "token": "A", "level": 0},
            {"position": B, "token": "B", "level": 1},
            {"position": C, "token": "C", "level": 2},
        ],
        "levels": [0, 1, 2],
        "edges": [
            {"layer": 1, "parent": A, "child": B, "score": 2.0, "heads": [{"head": 0, "score": 2.0}]},
            {"layer": 0, "parent": B, "child": C, "score": 1.0, "heads": [{"head": 0, "score": 1.0}]},
        ],
    }  # fmt: skip


def test_networkx_holds_the_tree():
    graph = build_tree(made({(A, B): 2.0}, LAST)).to_networkx()
    assert graph.graph == {"top": A, "terminal": R, "threshold": 0.4}
    assert graph.nodes[B] == {"token": "B", "level": 1}
    assert graph.edges[A, B] == {"layer": 0, "score": 2.0, "heads": ((0, 2.0),)}


class Fake:
    def __init__(self, result):
        self.result, self.asked = result, []

    def attribute(self, inputs, *, progress):
        self.asked.append(inputs)
        progress(1, 1, "")
        return self.result


@pytest.fixture
def run(monkeypatch):
    """run(arguments…, result=…) -> (outcome, texts that were attributed)."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments, result=None):
        fake = Fake(result or made({(B, C): 1.0}, {(A, B): 2.0}, LAST))
        monkeypatch.setattr(options.TheModel, "attributor", lambda asked: fake)
        return commands.run("tree", *arguments), fake.asked

    return call


def test_the_tree_is_shown(run):
    outcome, asked = run("R A B", "C D")
    assert (outcome.exit_code, asked) == (0, [("R A B", "C D")])
    assert outcome.stdout.splitlines()[1:] == [
        "R  reads the tree's tokens: the prediction is made here",
        "└── A",
        "    └── B  +2.0000  layer 1  heads 0",
        "        └── C  +1.0000  layer 0  heads 0",
    ]
    assert "mnli" in outcome.stderr


def test_a_saved_result_is_loaded(run, tmp_path):
    path = tmp_path / "x.attattr"
    handmade.pair().save(path)
    outcome, asked = run(str(path), "--words", "--json", "-")
    assert (outcome.exit_code, asked) == (0, [])
    facts = json.loads(outcome.stdout)
    assert (facts["schema_version"], facts["words"]) == ("1", True)
    assert facts["tokens"][-2] == "plays"
    outcome, _ = run(str(path), "--model", "sst2")
    assert outcome.exit_code == 2
    assert "--model" in outcome.stderr


def test_json_goes_into_a_file(run, tmp_path):
    outcome, _ = run("a", "--json", str(tmp_path / "t.json"), "--threshold", "0.6")
    facts = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert facts["threshold"] == 0.6
    assert facts["target"] == {"label": "positive", "value": 0.875}
    assert "A" in outcome.stdout


def test_a_figure_is_drawn_of_what_is_shown(run, tmp_path, monkeypatch):
    drawn = []
    figures = SimpleNamespace(draw_tree=lambda result, path, **options: drawn.append((result, path, options)))
    monkeypatch.setitem(sys.modules, "attattr.report.figures", figures)
    result, path = made(LAST), str(tmp_path / "tree.svg")
    outcome, _ = run("a", "--figure", path, "--threshold", "0.3", "--words", result=result)
    assert drawn == [(result, path, {"threshold": 0.3, "words": True})]
    assert path in outcome.stderr


def test_a_result_without_scores_is_refused(run, tmp_path):
    handmade.attribution("edges").save(tmp_path / "x.attattr")
    for more in ([], ["--words"]):
        outcome, _ = run(str(tmp_path / "x.attattr"), *more)
        assert (outcome.exit_code, outcome.stdout) == (2, "")
        assert "explain --store dense --save" in outcome.stderr


def test_odd_tokens_are_shown_as_they_are(run):
    axis = Axis(
        ("[CLS]", "[b]", "\n", "[b]", " "), (None, 0, 0, 0, 0), (None, 0, 1, 2, 3), (True,) + (False,) * 4
    )
    result = made({(A, B): 2.0, (A, C): 3.0, (A, D): 1.9}, LAST, axes={"input": axis})
    lines = run("x", result=result)[0].stdout
    for shown in ("[CLS]", "[b]:1", "[b]:3", "'\\n'", "' '"):
        assert shown in lines


@pytest.mark.parametrize(
    ("layers", "words"),
    [(({(R, R): 1.0},), "no token but"), ((LAST,), "No edge that is kept")],
)
def test_a_tree_of_nothing_is_said(run, layers, words):
    result = made(*layers, n=1 if (R, R) in layers[0] else 5)
    assert words in run("x", result=result)[0].stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "--threshold", "1"], "--threshold"),
        (["a", "--threshold", "nan"], "--threshold"),
        (["a", "b", "c"], "not 3"),
        ([" "], "empty"),
        (["a", "--json", "no/such/x"], "no/such/x"),
        (["a", "--figure", "no/such/x.svg"], "no/such/x.svg"),
        (["a", "--figure", "-"], "--figure"),
        (["a", "--figure", "x.svg", "--json", "x.svg"], "same file"),
        (["a", "--figure", "x.jpg"], "ends in"),
    ],
)
def test_wrong_usage_is_found_before_anything_is_computed(run, arguments, words):
    outcome, asked = run(*arguments)
    assert (outcome.exit_code, outcome.stdout, asked) == (2, "", [])
    assert words in outcome.stderr


def test_a_very_long_text_is_a_text(run):
    assert run("fine " * 2000)[1] == ["fine " * 2000]
