"""Results: reductions, files that are read back exactly or not at all, and strict JSON."""

from __future__ import annotations

import json
import math
import os
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

import attattr
import handmade
from attattr.errors import FileFormatError, InputError
from attattr.result.attribution import written
from attattr.result.values import Axis, Edges, Prediction, Site, Target, strongest

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(a, b) -> bool:
    """Equal to the last bit, types and NaN included."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if type(a) is not type(b):
        return False
    if is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


# -- made-up results -----------------------------------------------------------------------------------

texts = st.text(max_size=6)  # any characters, lone surrogates left out: they are no text
numbers = st.floats(-1e6, 1e6, width=32)


@st.composite
def axes(draw, n):
    optional = st.none() | st.integers(0, 3)
    return Axis(
        tokens=tuple(draw(st.lists(texts, min_size=n, max_size=n))),
        segments=tuple(draw(st.lists(optional, min_size=n, max_size=n))),
        words=tuple(draw(st.lists(optional, min_size=n, max_size=n))),
        special=tuple(draw(st.lists(st.booleans(), min_size=n, max_size=n))),
    )


@st.composite
def results(draw):
    """Any store, ragged sites, one axis or two, either precision."""
    lengths = {"input": draw(st.integers(1, 4)), "output": draw(st.integers(1, 3))}
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    store = draw(st.sampled_from(["dense", "edges", "heads"]))
    sites = []
    for number in range(draw(st.integers(0, 3))):
        query, key = draw(st.sampled_from([("input", "input"), ("output", "output"), ("output", "input")]))
        shape = (draw(st.integers(1, 3)), lengths[query], lengths[key])
        scores, attention = (draw(hnp.arrays(dtype, shape, elements=numbers)) for _ in range(2))
        sites.append(
            handmade.site(
                f"site {number}", scores, attention, store,
                kind=draw(st.sampled_from(["encoder_self", "decoder_self", "cross"])),
                query_axis=query, key_axis=key,
                baseline_output=draw(st.floats()), completeness_gap=draw(st.floats()),
                error_estimate=draw(st.floats(0)), n_steps=draw(st.integers(1, 64)),
                converged=draw(st.booleans()),
            )
        )  # fmt: skip
    return handmade.attribution(
        axes={name: draw(axes(n)) for name, n in lengths.items()},
        sites=tuple(sites),
        prediction=Prediction(
            draw(texts),
            draw(st.integers(0, 9)),
            draw(st.floats(0, 1)),
            draw(st.dictionaries(texts, st.floats(0, 1))),
        ),
        target=Target("difference", draw(texts), (draw(st.integers(0, 9)), 1), "logit", draw(st.floats())),
        text=draw(st.none() | texts),
        text_pair=draw(st.none() | texts),
        options={
            "store": store,
            "layers": draw(st.none() | st.lists(st.integers(-2, 2))),
            "tol": draw(st.floats(0)),
        },
        model={"name": draw(texts), "pair": draw(st.none() | st.booleans())},
        left_out=tuple(draw(st.lists(texts, max_size=2))),
        truncated=draw(st.booleans()),
    )


# -- files ---------------------------------------------------------------------------------------------


@quick
@given(result=results())
def test_a_file_gives_back_exactly_what_was_saved(result, tmp_path):
    path = tmp_path / "any name.attattr"
    result.save(path)
    assert same(attattr.load(path), result)
    assert os.listdir(tmp_path) == [path.name]


def test_views_and_transposed_arrays_are_saved_as_they_read(tmp_path):
    site = handmade.attribution().sites[0]
    scores = np.arange(50, dtype=np.float32).reshape(5, 5, 2).transpose(2, 1, 0)
    result = handmade.attribution(sites=(replace(site, scores=scores, attention=scores[:, ::-1]),))
    result.save(tmp_path / "x")
    loaded = attattr.load(str(tmp_path / "x")).sites[0]
    np.testing.assert_array_equal(loaded.scores, scores)
    np.testing.assert_array_equal(loaded.attention, scores[:, ::-1])


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "fine.attattr"
    handmade.attribution().save(path)
    return path


def test_a_file_can_be_read_by_others_as_far_as_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        handmade.attribution().save(tmp_path / "x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


def test_a_file_cut_short_anywhere_is_refused(saved):
    whole = saved.read_bytes()
    for length in [*range(0, len(whole), 97), 1, 7, 8, 9, len(whole) - 1]:
        saved.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=r"fine\.attattr"):
            attattr.load(saved)


def test_a_flipped_bit_anywhere_is_refused(saved):
    whole = saved.read_bytes()
    for position in range(0, len(whole), 61):
        damaged = bytearray(whole)
        damaged[position] ^= 4
        saved.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=r"fine\.attattr"):
            attattr.load(saved)


def test_a_file_of_a_newer_version_says_so(saved, monkeypatch):
    monkeypatch.setattr(written, "FORMAT_VERSION", "2")
    handmade.attribution().save(saved)
    monkeypatch.undo()
    with pytest.raises(FileFormatError, match="format 2, this attattr reads 1: upgrade"):
        attattr.load(saved)


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "x"
    for content in (b"", b"hello", b"\x80\x04N.", json.dumps({"a": 1}).encode()):
        path.write_bytes(content)
        with pytest.raises(FileFormatError):
            attattr.load(path)
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(FileFormatError, match="not one of attattr"):
        attattr.load(path)
    for metadata in ("null", "[]", "{}", '{"version": "1"}', "not json"):
        save_file({"weight": np.zeros(3)}, path, metadata={"attattr": metadata})
        with pytest.raises(FileFormatError):
            attattr.load(path)
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(FileFormatError, match="there is no file"):
            attattr.load(missing)


def test_a_failed_save_leaves_the_old_file_and_no_other(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        handmade.pair().save(saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]
    with pytest.raises(FileNotFoundError):
        handmade.pair().save(saved.parent / "no such folder" / "x")


# -- reductions ----------------------------------------------------------------------------------------


def test_stacked_arrays_have_one_entry_a_site():
    result = handmade.attribution()
    assert result.scores.shape == result.attention.shape == (2, 2, 5, 5)
    assert result.scores[1, 0, 0, 2] == 0.5
    assert result.completeness_gap.tolist() == [0.0, -0.125]
    assert result.n_steps.tolist() == [4, 8]
    assert result.error_estimate.tolist() == [0.0, 0.0]
    assert result.converged.tolist() == [True, True]
    assert result.segments == (None, 0, 0, 0, None)
    assert result.words == (None, 0, 1, 2, None)


@pytest.mark.parametrize("store", ["edges", "heads"])
def test_what_a_store_does_not_hold_is_an_error_that_names_it(store):
    result = handmade.attribution(store)
    for name in ("scores", "attention"):
        with pytest.raises(InputError, match=f"no {name}.*store='{store}'"):
            getattr(result, name)
    if store == "heads":
        with pytest.raises(InputError, match="store='heads'"):
            result.top_edges(1)
        with pytest.raises(InputError, match="store='heads'"):
            result.per_token()
    assert result.per_head("sum").tolist() == handmade.attribution().per_head("sum").tolist()


def test_sites_of_different_shapes_are_not_stacked():
    first = handmade.attribution().sites[0]
    wide = handmade.site("cross", np.zeros((3, 5, 5), np.float32), np.zeros((3, 5, 5), np.float32))
    result = handmade.attribution(sites=(first, wide))
    with pytest.raises(InputError, match="differ in shape"):
        _ = result.scores
    with pytest.raises(InputError, match="differ in shape"):
        result.per_head()


def brute_force(result, k, positive_only):
    """Every edge, sorted as promised."""
    every = []
    for layer, site in enumerate(result.sites):
        for (h, q, key), score in np.ndenumerate(site.scores):
            if score > 0 or not positive_only:
                every.append((-abs(float(score)), layer, h, q, key, float(score)))
    return [item[1:] for item in sorted(every)[:k]]


@quick
@given(
    # few different values, so that there are many ties
    scores=hnp.arrays(np.float32, st.tuples(st.integers(1, 2), st.just(2), st.just(3), st.just(3)),
                      elements=st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0])),
    k=st.integers(0, 40),
    positive_only=st.booleans(),
)  # fmt: skip
def test_top_edges_are_those_of_a_full_sort(scores, k, positive_only):
    names = Axis(("a", "b", "c"), (0, 0, 0), (0, 1, 2), (False,) * 3)
    sites = tuple(handmade.site(f"s{i}", each, np.abs(each) / 4) for i, each in enumerate(scores))
    result = handmade.attribution(axes={"input": names}, sites=sites)
    found = result.top_edges(k, positive_only=positive_only)
    assert [(e.site, e.head, e.query, e.key, e.score) for e in found] == brute_force(result, k, positive_only)
    for edge in found:
        assert edge.attention == abs(edge.score) / 4
        assert (edge.query_token, edge.key_token) == (names.tokens[edge.query], names.tokens[edge.key])
        assert edge.name == f"s{edge.site}"


def test_edges_that_were_not_kept_are_not_guessed():
    scores = np.array([[[5, 4, 3], [2, -6, 1], [0.5, 0.25, 0]]], np.float32)
    names = Axis(("a", "b", "c"), (0, 0, 0), (0, 1, 2), (False,) * 3)
    site = handmade.site("s", scores, scores, "edges")  # keeps three
    result = handmade.attribution("edges", axes={"input": names}, sites=(site,))
    assert [edge.score for edge in result.top_edges(3)] == [-6, 5, 4]
    assert [edge.score for edge in result.top_edges(2, positive_only=True)] == [5, 4]
    with pytest.raises(InputError, match="the 3 strongest, not for 4"):
        result.top_edges(4)
    with pytest.raises(InputError, match="the 2 strongest, not for 3"):
        result.top_edges(3, positive_only=True)
    whole = replace(site, edges=strongest(scores, scores, 9))
    assert len(handmade.attribution("edges", axes={"input": names}, sites=(whole,)).top_edges(50)) == 9


def test_scores_that_are_not_numbers_come_last():
    scores = np.array([[[math.nan, 1], [-2, 0]]], np.float32)
    edges = strongest(scores, scores, 4)
    assert edges.score.tolist() == [-2, 1, 0]


def test_tokens_are_summed_over_the_sites_that_have_them():
    cross = handmade.site(
        "cross", np.full((1, 2, 5), 1.0, np.float32), np.zeros((1, 2, 5), np.float32), query_axis="output"
    )
    own = handmade.site(
        "own", np.full((1, 2, 2), 100.0, np.float32), np.zeros((1, 2, 2), np.float32),
        query_axis="output", key_axis="output",
    )  # fmt: skip
    base = handmade.attribution()
    result = replace(base, sites=(*base.sites, cross, own), axes=base.axes | {"output": handmade.axis("x")})
    np.testing.assert_array_equal(result.per_token(), base.per_token() + 2)
    np.testing.assert_array_equal(result.per_token("query"), base.per_token("query"))
    np.testing.assert_array_equal(base.per_token("query"), [0.25, 0, 0, 0, 0.125])


def test_unknown_reductions_are_named():
    result = handmade.attribution()
    with pytest.raises(InputError, match="max, sum, mean_abs"):
        result.per_head("median")
    with pytest.raises(InputError, match="key, query"):
        result.per_token("both")
    with pytest.raises(InputError, match="whole number from 0"):
        result.top_edges(-1)
    np.testing.assert_allclose(result.per_head("mean_abs") * 25, [[0, 0.125], [0.5, 0.25]], rtol=1e-6)


# -- JSON ----------------------------------------------------------------------------------------------


def test_json_has_the_documented_keys():
    facts = handmade.attribution().to_json(top=2)
    assert list(facts) == [
        "schema_version", "model", "text", "text_pair", "truncated", "tokens", "segments", "words", "axes",
        "prediction", "target", "options", "per_token", "sites", "left_out", "edges",
    ]  # fmt: skip
    assert facts["schema_version"] == "1"
    assert facts["prediction"] == {
        "label": "positive", "probability": 0.875, "probabilities": {"negative": 0.125, "positive": 0.875},
        "position": None,
    }  # fmt: skip
    assert facts["target"] == {
        "kind": "class", "label": "positive", "output": "probability", "value": 0.875, "position": None,
    }  # fmt: skip
    assert facts["sites"][1] == {
        "name": "encoder.layer.1", "kind": "encoder_self", "heads": 2,
        "query_axis": "input", "key_axis": "input", "baseline_output": 0.5,
        "completeness_gap": -0.125, "error_estimate": 0.0, "n_steps": 8, "converged": True,
        "method": "integral",
    }  # fmt: skip
    assert [edge["score"] for edge in facts["edges"]] == [0.5, -0.25]
    assert facts["axes"]["input"]["tokens"] == facts["tokens"] == ["[CLS]", "a", "fine", "film", "[SEP]"]


def test_every_key_of_the_json_is_documented():
    document = (Path(__file__).parents[2] / "docs" / "schema.md").read_text(encoding="utf-8")
    facts = handmade.attribution().to_json(top=1)
    keys = {*facts, *facts["prediction"], *facts["target"], *facts["sites"][0], *facts["edges"][0]}
    assert [key for key in sorted(keys) if f"`{key}`" not in document] == []


@quick
@given(result=results())
def test_json_is_strict_and_complete_for_any_result(result):
    held = not result.sites or result.sites[0].scores is not None
    facts = result.to_json(top=2 if held else 0)
    text = json.dumps(facts, allow_nan=False)
    assert json.loads(text) == facts
    assert len(facts["sites"]) == len(result.sites)
    assert all(len(axis["tokens"]) == len(axis["words"]) for axis in facts["axes"].values())


@pytest.mark.parametrize(
    ("store", "edges", "sums"), [("dense", 3, 5), ("edges", 3, 5), ("heads", None, None)]
)
def test_json_is_null_where_the_store_holds_nothing(store, edges, sums):
    facts = handmade.attribution(store).to_json(top=3)
    assert (facts["edges"] and len(facts["edges"])) == edges
    assert (facts["per_token"] and len(facts["per_token"])) == sums


def test_results_cannot_be_changed():
    result = handmade.attribution()
    with pytest.raises(AttributeError):
        result.text = "other"  # type: ignore[misc]
    assert {f.name for f in fields(Site)} >= {"scores", "edges"}
    assert [f.name for f in fields(Edges)] == ["head", "query", "key", "score", "attention"]
