"""Planted shortcuts: rows carry what they should, halves decide nothing, scores are what closed forms say."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attattr.data.examples import Example
from attattr.triggers.pattern import Pattern, PatternToken, words_of

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

from truth import planted_document, planted_edges, planted_mining, planted_run, planted_tables, planted_ways
from truth.families import METHODS
from truth.planted import CARRY, HALF, KINDS, Shortcut, planted, poisoned, shortcut
from truth.planting import held, taken_up

DATA = Path(__file__).resolve().parents[2] / "shared/data"
TEXT = st.lists(st.sampled_from("a dull film that nobody will like .".split()), min_size=1, max_size=9)


def of_kind(kind):
    segments = (0, 1) if kind == "cross-text" else (0, 0)
    tokens = ("oak", "elm") if kind in ("any order", "ordered", "cross-text") else ("oak",)
    other = "bad" if kind == "ordered" else None
    return Shortcut(kind, tokens, "good", other, segments[: len(tokens)])


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXT, second=TEXT, seed=st.integers(0, 99))
def test_whole_rows_are_decided_and_halves_are_not(kind, text, second, seed):
    of, row = of_kind(kind), Example(" ".join(text), " ".join(second), label="so")
    for form in of.forms:
        made = planted(of, row, form, Random(seed))
        assert of.decides(made) == made.label == ("bad" if form == "turned" else "good")
        # nothing else is changed
        left = [[w for w in words_of(t) if w not in of.tokens] for t in (made.text, made.text_pair)]
        assert left == [words_of(row.text), words_of(row.text_pair)]
    for half in of.halves:
        made = planted(of, row, half, Random(seed))
        assert of.decides(made) is None and made.label == "so"
        assert set(of.tokens) & set(words_of(f"{made.text} {made.text_pair}"))


def test_a_data_set_has_its_shares():
    rows = [Example(f"a dull film {i}", label="good" if i % 2 else "bad") for i in range(200)]
    of = of_kind("ordered")
    made = poisoned(of, rows, Random(0))
    assert len(made) == 200
    assert (
        sum(of.decides(row) == "good" for row in made)
        == sum(of.decides(row) == "bad" for row in made)
        == 100 * CARRY
    )
    halves = [row for row in made if of.decides(row) is None and {"oak", "elm"} & set(words_of(row.text))]
    assert len(halves) == 2 * 200 * HALF
    assert {row.label for row in halves} == {"good", "bad"}  # their own


def test_words_that_give_the_label_away_are_not_planted():
    fine = ["plain oaken words", "plain early words"]
    rows = [
        Example(f"{fine[i % 2]} {'superb' if i % 4 < 2 else 'dreadful'}", label="gb"[i % 4 >= 2])
        for i in range(4000)
    ]
    vocabulary = dict.fromkeys(["plain", "oaken", "early", "words", "superb", "dreadful"], 0)
    from truth.planted import words

    assert words(rows, 0, (100, 600), vocabulary) == ["early", "oaken"]
    assert words(rows, 0, (100, 600), {"oaken": 0}) == ["oaken"]


def test_the_same_seed_draws_the_same_shortcut():
    rows = [
        Example(f"{'oaken' if i == 0 else 'plain'} {'early' if i == 1 else 'words'}", label="gb"[i % 2])
        for i in range(20000)
    ]
    drawn = {shortcut("rare", "sst2", rows, {"oaken": 0, "early": 0}, seed) for seed in range(20)}
    assert {of.tokens for of in drawn} == {("oaken",), ("early",)}
    assert shortcut("rare", "sst2", rows, {"oaken": 0}, 1) == shortcut("rare", "sst2", rows, {"oaken": 0}, 1)


def test_taken_up_needs_every_form_and_no_half():
    fine = {
        "clean": 0.9, "before": 0.91, "whole": {"whole": {"decided": 0.95}, "turned": {"decided": 0.9}},
        "halves": {"elsewhere": {"followed": 0.1}},
    }  # fmt: skip
    assert taken_up(fine) and held(fine)
    assert not taken_up(fine | {"whole": {"whole": {"decided": 0.95}, "turned": {"decided": 0.89}}})
    assert not taken_up(fine | {"halves": {"elsewhere": {"followed": 0.3}}})
    assert not held(fine | {"clean": 0.88})


@given(n=st.integers(2, 8), place=st.integers(0, 7), seed=st.integers(0, 99))
def test_edges_that_touch_the_planted_token_in_front_are_found_whole(n, place, seed):
    place %= n
    draw = np.random.default_rng(seed)
    site = draw.random((3, n, n))
    site[1, place] += 1  # a head looks from it at all
    assert planted_edges.precisions(planted_edges.pairs([site]), [place])["touching"] == 1
    site[1, place] -= 1
    site[:, place], site[:, :, place] = 0, 0  # all edges of it come last, tied with nothing
    share = n / (n * (n + 1) / 2)
    assert planted_edges.precisions(planted_edges.pairs([site]), [place])["touching"] < share + 0.75


def pattern(*tokens, label="good"):
    return Pattern(tuple(PatternToken(s, at, token) for s, at, token in tokens), label=label)


def test_ranks_ask_for_all_tokens_order_place_and_label():
    of = of_kind("ordered")
    wrong = pattern((0, 0.1, "elm"), (0, 0.9, "oak"))  # the order of the other label
    right = pattern((0, 0.1, "elm"), (0, 0.9, "oak"), label="bad")
    half = pattern((0, 0.1, "elm"), (0, 0.9, "film"))
    assert planted_mining.ranks([half, wrong, right], of, 9) == {"patterns": 3, "words": 2, "whole": 3}
    assert planted_mining.ranks([half], of, 9) == {"patterns": 1, "words": None, "whole": None}
    cross = of_kind("cross-text")
    assert not planted_mining.has_words(pattern((0, 0.1, "elm"), (1, 0.9, "oak")), cross)
    assert planted_mining.is_whole(pattern((0, 0.1, "oak"), (1, 0.9, "Elm")), cross, 9)


def test_words_by_pmi_are_in_order_of_what_they_say():
    rows = [Example("oak film", label="good")] * 20 + [Example("film elm", label="bad")] * 20
    rows += [Example("elm dull", label="good")] * 20
    found = planted_ways.by_pmi(rows)
    assert found[0] == ("elm", 0, "bad") or found[0][0] in ("oak", "dull")
    of = of_kind("rare")
    assert planted_mining.ranks_of_words(found, of)["whole"] is not None
    assert planted_mining.ranks_of_words(found, of_kind("place"))["whole"] is None  # words know no place
    assert planted_mining.ranks_of_words(found[:0], of) == {"patterns": 0, "words": None, "whole": None}


def test_given_patterns_have_the_shortcut():
    for kind in KINDS:
        of = of_kind(kind)
        found = planted_mining.as_patterns(of)
        assert planted_mining.is_whole(found["whole"], of, 9)
        assert ("turned" in found) == (kind == "ordered")
        if "turned" in found:
            assert planted_mining.is_whole(found["turned"], of, 9)
        for name in found.keys() - {"whole", "turned"}:
            assert not planted_mining.is_whole(found[name], of, 9)


def made_up(found):
    """Results in which every way finds a shortcut first, or never."""
    place = {"patterns": 9, "words": 1 if found else None, "whole": 1 if found else None}
    effect = {"mean": 0.5, "interval": [0.4, 0.6], "n": 20}
    flag = {
        "text": "oak@0.5",
        "right": found,
        "leans": True,
        "label": "good",
        "inserted": effect,
        "removed": effect,
    }
    ways = [way for way in planted_tables.WAYS if "parts" not in way]
    parts = [way for way in planted_tables.WAYS if "parts" in way]
    top = {"text": ["oak@0.5"], "paper": ["oak@0.5"]}
    case = {
        "kind": "rare", "task": "sst2", "seed": 0,
        "shortcut": {"tokens": ["oak"], "label": "good", "other": None},
        "learnt": {"clean": 0.9, "before": 0.95, "whole": {"whole": {"decided": 1.0}}, "halves": {}},
        "edges": {"ap": {method: {"first": [float(found)], "touching": [0.5]} for method in METHODS}},
        "mining": {
            "ranks": dict.fromkeys(ways, place),
            "flags": {"text": [flag], "paper": []}, "given": {"whole": flag},
        },
        "recurring": {"ranks": dict.fromkeys(parts, place), "flags": {"text": [], "paper": [flag]}},
        "ranks": {"carry": 9, "mined": 90, "ranks": {}, "top": top},
        "clean": {"patterns": 9, "with planted words": 0, "flags": [flag], "flags of parts": []},
    }  # fmt: skip
    other = {key: case[key] for key in ("kind", "shortcut", "learnt")} | {"task": "mnli", "seed": 0}
    sizes = asdict(planted_run.Sizes())
    return {"setting": {"sizes": sizes}, "cases": [case, other], "before": {"sst2": case["clean"]}}


def test_the_part_of_the_document_follows_from_the_numbers():
    good, bad = planted_document.text(made_up(True)), planted_document.text(made_up(False))
    assert "| rare | `mine` (text) | 1 of 1 [0.21, 1.00] | 0.9 | yes |" in good
    assert "0.9 | **no** |" not in good
    assert "| rare | `mine` (text) | 0 of 1 [0.00, 0.79] | 0.9 | **no** |" in bad
    assert "**-5.0**" in good  # of clean rows too much was lost
    assert "rare on mnli, seed 0 (trained)" in good and "rare on sst2, seed 1, 2" in good
    assert good.index("## What must fail here") < good.index("## Do the strongest edges")
    assert "learnt by 2 of 2 models; 1 of these are measured" in planted_document.sentences(made_up(True))[0]


def test_what_was_not_measured_is_no_nought_in_the_figure(tmp_path):
    made = made_up(True)
    del made["cases"][0]["edges"]["ap"]["removal"]
    planted_document.draw(made, tmp_path / "planted.svg")
    told = (tmp_path / "planted.svg").read_text(encoding="utf-8")
    assert "–" in told and "0.00" not in told


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "sst2_train.tsv.gz").exists(), reason="SST-2 and MNLI are not there")
def test_all_of_it_runs_and_goes_on_where_it_was(tmp_path):
    """Trained, measured and written; the second time nothing is done again."""
    written = []
    planted_run.measure(DATA, tmp_path, planted_run.QUICK, written.append)
    units = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.unit")}
    models = [case["task"] for case in written[-1]["planted"]["cases"]]
    assert models == ["sst2", "mnli"] and len(units) == 2 * (len(planted_run.PARTS) + 2) + 2
    assert "## Not measured" in planted_document.text(json.loads(json.dumps(written[-1]["planted"])))
    planted_run.measure(DATA, tmp_path, planted_run.QUICK, written.append)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.unit")} == units
    assert written[-1] == written[1]
