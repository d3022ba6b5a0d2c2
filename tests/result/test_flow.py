"""The flow graph: which edges, how wide, and what links them, on results whose numbers are known by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import handmade
import tiny
from attattr import Attributor, InputError
from attattr.result.flow import HAIRLINE, build_flow
from attattr.result.tree import merge_words

N = 5


def stack(*edges, layers=3, store="dense", value=0.5, **facts):
    """One head a layer; (layer, query, key, score) each."""
    scores = np.zeros((layers, 1, N, N), np.float32)
    for layer, query, key, score in edges:
        scores[layer, 0, query, key] = score
    weights = np.full((1, N, N), 1 / N, np.float32)
    sites = [handmade.site(f"layer.{i}", of, weights, store, **facts) for i, of in enumerate(scores)]
    made = handmade.attribution(sites=tuple(sites))
    return replace(made, target=replace(made.target, value=value))


def test_an_edge_joins_where_those_above_it_are_shown():
    """0 ← 1 in the last layer; 1 ← 2 below it and stronger; 3 ← 4 leads nowhere, though it is strong."""
    flow = build_flow(stack((2, 0, 1, 0.1), (1, 1, 2, 0.4), (0, 3, 4, -0.3), (0, 2, 3, 0.05)))
    assert [(e.site, e.query, e.key, e.joins) for e in flow.edges] == [
        (1, 1, 2, 3), (0, 3, 4, None), (2, 0, 1, 3), (0, 2, 3, 4)
    ]  # fmt: skip
    assert flow.readout == ("input", (0,))


def test_a_position_stays_what_it_is_between_layers_but_not_within_one():
    """1 is looked at in layer 1: what it looks at in layer 0 joins, what it looks at in layer 1 does not."""
    flow = build_flow(stack((2, 0, 4, 0.01), (1, 0, 1, 0.5), (0, 1, 2, 0.4), (1, 1, 3, 0.3)))
    assert [(e.site, e.key, e.joins) for e in flow.edges] == [(1, 1, 1), (0, 2, 2), (1, 3, None), (2, 4, 4)]


def test_all_rows_of_the_last_layer_that_carry_something_are_read():
    flow = build_flow(stack((2, 0, 4, 0.1), (2, 1, 3, -0.2)))
    assert flow.readout == ("input", (0, 1)) and [edge.joins for edge in flow.edges] == [1, 2]


def test_one_scale_for_all_layers():
    flow = build_flow(stack((2, 0, 1, 0.25), (1, 1, 2, -0.5), (0, 2, 3, 0.001), value=1.0))
    assert [edge.width for edge in flow.edges] == [0.5, 0.25, 0.0]  # the last is less than HAIRLINE of 1
    assert flow.scale == 1.0 and flow.unit == 0.1 and HAIRLINE == 0.005
    assert flow.share(1) == pytest.approx(0.5 / 0.751) and flow.share(3) == pytest.approx(1)


def test_a_class_of_small_probability_has_a_scale_of_its_own():
    flow = build_flow(stack((2, 0, 1, 0.001), value=0.003, baseline_output=0.0))
    assert flow.scale == pytest.approx(0.003) and flow.edges[0].width == pytest.approx(1 / 3)
    assert flow.unit == 0.0002


def test_an_edge_of_a_low_layer_is_no_smaller_for_that():
    """The fault of the tree: a strong edge was not drawn, since its token was there already."""
    flow = build_flow(stack((2, 0, 1, 0.3), (2, 0, 2, 0.2), (1, 1, 2, 0.25)))
    assert [(e.site, e.joins) for e in flow.edges] == [(2, 1), (1, 2), (2, 3)]


def test_usually_half_of_every_layer_that_matters():
    edges = [(2, 0, 1, 0.4), (2, 0, 2, 0.3), (2, 0, 3, 0.2), (1, 1, 2, 0.3), (1, 1, 3, 0.25), (0, 2, 3, 0.02)]
    flow = build_flow(stack(*edges))
    assert flow.usual == 3  # 0.4 and 0.3 of 0.9, 0.3 of 0.55; layer 0 is minor


def test_nothing_but_zeros():
    flow = build_flow(stack())
    assert (flow.edges, flow.usual, flow.share(), flow.readout[1]) == ((), 0, 0.0, ())


def test_of_kept_edges_the_share_is_not_known():
    flow = build_flow(stack((2, 0, 1, 0.25), (1, 1, 2, -0.5), store="edges"))
    assert [(e.site, e.score, e.joins) for e in flow.edges] == [(1, -0.5, 2), (2, 0.25, 2)]
    assert flow.share() is None
    with pytest.raises(InputError, match="store='dense' or 'edges'"):
        build_flow(stack((2, 0, 1, 0.25), store="heads"))


def test_heads_are_summed_with_their_signs():
    scores = np.zeros((2, N, N), np.float32)
    scores[:, 0, 1] = 0.5, -0.25
    made = handmade.attribution(sites=(handmade.site("layer.0", scores, np.full((2, N, N), 0.2)),))
    (edge,) = build_flow(made).edges
    assert (edge.score, edge.heads) == (0.25, ((0, 0.5), (1, -0.25)))


def test_what_is_not_finite_is_an_error():
    with pytest.raises(InputError, match="not finite"):
        build_flow(stack((2, 0, 1, np.inf)))


@pytest.mark.parametrize("store", ["dense", "edges"])
def test_of_no_layer_or_of_outputs_that_are_not_finite_there_is_no_flow_and_the_page_goes_without(store):
    whole = handmade.attribution(store)
    odd = replace(whole.sites[0], baseline_output=float("nan"))
    for sites, sentence in (((), "no layer"), ((odd, *whole.sites[1:]), "outputs are not finite")):
        result = replace(whole, sites=sites)
        with pytest.raises(InputError, match=sentence):
            build_flow(result)
        assert "<html" in result.to_html()


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.float32, (3, 1, N, N), elements=st.floats(-1, 1, width=16)))
def test_what_joins_is_what_a_walk_finds(scores):
    """joins of each edge is the least number of edges with which a walk up from it ends at the readout."""
    weights = np.full((1, N, N), 1 / N, np.float32)
    made = handmade.attribution(
        sites=tuple(handmade.site(f"layer.{i}", of, weights) for i, of in enumerate(scores))
    )
    flow = build_flow(made)

    def reaches(edge, shown):
        above = [other for other in shown if other.site > edge.site and other.key == edge.query]
        return edge.query in flow.readout[1] or any(reaches(other, shown) for other in above)

    for i, edge in enumerate(flow.edges[:12]):
        counts = [k for k in range(i + 1, 13) if reaches(edge, flow.edges[:k])]
        if edge.joins is not None and edge.joins <= 12:
            assert edge.joins == counts[0]
        else:
            assert not counts or counts[0] > len(flow.edges)
    sizes = [abs(edge.score) for edge in flow.edges]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("make", [tiny.t5, tiny.bart])
def test_encoder_cross_and_decoder_in_one_graph(make):
    result = Attributor(make()).attribute(tiny.text(6), n_steps=2)
    flow = build_flow(result)
    kinds = {site.kind for site in flow.sites}
    assert kinds == {"encoder_self", "cross", "decoder_self"} and flow.readout[0] == "output"
    top = max(site.level for site in flow.sites if site.query_axis == "input")
    assert all(site.key_level == top for site in flow.sites if site.kind == "cross")
    assert flow.base == {"input": 0, "output": top}  # the decoder stands on the encoder
    rows = [flow.base[site.query_axis] + site.level for site in flow.sites]
    assert sorted(rows) == list(range(1, len(rows) + 1))
    joined = [edge for edge in flow.edges if edge.joins is not None]
    assert {"encoder_self", "cross"} <= {flow.sites[edge.site].kind for edge in joined}


def test_words_and_json():
    result = merge_words(handmade.pair())
    facts = build_flow(result).to_json()
    assert json.loads(json.dumps(facts))["schema_version"] == "1"
    assert facts["readout"]["axis"] == "input" and facts["edges"][0]["heads"][0]["head"] == 0
