"""A generation as a result: saved and read back, as JSON, as a table; without a model."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import attattr
import handmade
from attattr import FileFormatError
from attattr.disk import files, tensors
from attattr.result.generation import SourceTable


def same(one: attattr.Generation, other: attattr.Generation) -> None:
    for name, value in vars(one).items():
        there = getattr(other, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, there)
        elif name not in ("spans", "contrast"):
            assert there == value, name
    for span, there in zip(one.explained, other.explained, strict=True):
        assert replace(span, attribution=None) == replace(there, attribution=None)
        for site, again in zip(span.attribution.sites, there.attribution.sites, strict=True):
            np.testing.assert_array_equal(site.key_sum, again.key_sum)
            assert site.completeness_gap == again.completeness_gap
        assert span.attribution.axes == there.attribution.axes


@pytest.mark.parametrize("store", ["dense", "edges", "heads"])
def test_it_comes_back_from_its_file(tmp_path, store):
    made = handmade.generation(store)
    compared = replace(
        made, contrast=made.spans[1], spans=made.spans[:1], score=made.score[:1], effect=made.effect[:1]
    )
    for each in (made, compared):
        each.save(tmp_path / "reply.attattr")
        same(each, attattr.load(tmp_path / "reply.attattr"))


def test_an_attribution_beside_it_is_still_one(tmp_path):
    handmade.attribution().save(tmp_path / "a.attattr")
    assert isinstance(attattr.load(tmp_path / "a.attattr"), attattr.Attribution)


def _changed(path, change):
    """The file with other facts and arrays, under a checksum that is right."""
    from safetensors.numpy import load_file, save

    with path.open("rb") as file:
        facts = json.loads(tensors.contents(file)[0]["attattr"])
    arrays = load_file(path)
    change(facts, arrays)
    text = json.dumps(facts)
    files.write(path, save(arrays, {"attattr": text, "sha256": tensors.digest(text, arrays)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda facts, arrays: facts.pop("reply"),
        lambda facts, arrays: facts.update(spans=[]),
        lambda facts, arrays: facts.update(kind="story"),
        lambda facts, arrays: facts.update(kind=["generation"]),
        lambda facts, arrays: facts.update(stopped="tired"),
        lambda facts, arrays: facts["spans"][1].update(tokens=[2, 9]),
        lambda facts, arrays: facts["spans"][1].update(tokens=[2, 2]),
        lambda facts, arrays: facts["spans"][0].update(end=99),
        lambda facts, arrays: facts["spans"][0].update(attribution={}),
        lambda facts, arrays: facts["sources"][0].update(end=99),
        lambda facts, arrays: facts["turns"][0].update(start=-1),
        lambda facts, arrays: facts.update(columns=["first", "third", "reply so far"]),
        lambda facts, arrays: facts.update(columns=["first", "second"]),
        lambda facts, arrays: arrays.pop("effect"),
        lambda facts, arrays: arrays.update(effect=np.zeros((3, 3))),
        lambda facts, arrays: arrays.update(token_log_probability=np.zeros(2)),
        lambda facts, arrays: arrays.pop("0.0.head_sum"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, change):
    path = tmp_path / "reply.attattr"
    handmade.generation().save(path)
    _changed(path, lambda facts, arrays: None)
    attattr.load(path)
    _changed(path, change)
    with pytest.raises(FileFormatError, match="is not a whole attattr result"):
        attattr.load(path)


def test_a_newer_version_is_told(tmp_path):
    path = tmp_path / "reply.attattr"
    handmade.generation().save(path)
    _changed(path, lambda facts, arrays: facts.update(version="7"))
    with pytest.raises(FileFormatError, match="has format 7, this attattr reads 1: upgrade it"):
        attattr.load(path)


def test_its_json_is_strict_and_whole():
    facts = json.loads(json.dumps(handmade.generation().to_json(top=2), allow_nan=False))
    assert facts["schema_version"] == "1" and facts["value"] == -1.75 and facts["worst_gap"] == 0.125
    assert facts["sources"][0]["text"] == "a fine film."
    first, second = facts["spans"]
    assert first["score"] == [0.75, 0.25, None] and first["correlation"] is None
    assert second["correlation"] == 1.0 and len(second["edges"]) == 2
    assert facts["contrast"] is None and facts["turns"][1] == {"role": "user", "start": 27, "end": 38}


def test_the_strongest_source_is_the_one_whose_absence_hurts_most():
    table = handmade.generation().per_source()
    assert [table.strongest(0), table.strongest(1)] == [0, 2]
    harmful = SourceTable(("a",), ("x", "y"), np.ones((1, 2)), np.array([[-1.0, np.nan]]))
    assert harmful.strongest(0) is None
    assert SourceTable(("a",), (), np.ones((1, 0)), np.ones((1, 0))).strongest(0) is None
    assert [row["source"] for row in table.rows()] == ["first", "second", "first", "second", "reply so far"]


def test_the_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    draw = np.random.default_rng(0)
    score, effect = draw.integers(0, 4, (5, 9)).astype(float), draw.normal(size=(5, 9))
    effect[0, 3] = np.nan
    found = SourceTable(tuple("abcde"), tuple("123456789"), score, effect).correlation
    expected = [
        spearmanr(s[np.isfinite(e)], e[np.isfinite(e)]).statistic for s, e in zip(score, effect, strict=True)
    ]
    np.testing.assert_allclose(found, expected)
    assert np.isnan(SourceTable(("a",), tuple("123"), np.ones((1, 3)), effect[1:2, :3]).correlation).all()


def test_it_is_one_line_and_its_page_escapes_what_was_written():
    made = handmade.generation(reply="<b>fine</b>. good.", prompt="<script>alert(1)</script>" + "x" * 20)
    assert repr(made).count("\n") == 0 and "2 spans" in repr(made)
    page = made.to_html()
    assert "<script>alert" not in page and "<b>fine" not in page and "default-src 'none'" in page
    assert made._repr_html_().count("<iframe") == 1
    with pytest.raises(attattr.InputError, match="the page"):
        made.to_html("")
