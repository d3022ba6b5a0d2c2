"""Mining patterns: from attributions made by hand, from examples, from a run; and the file they go to."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attattr
import commands
import handmade
import tiny
from attattr import Attributor, Example, FileFormatError, InputError, Pattern, PatternToken, Work
from attattr.cli import options
from attattr.data.examples import digest
from attattr.result.values import strongest
from attattr.triggers.mine import merged, mine_triggers, pattern_of
from attattr.triggers.pattern import pattern_from, read_patterns, word_of, words_of
from attattr.triggers.recurring import recurring


def of(*heads, texts=("the man eats", "the man play ##s"), store="dense", keep=None, **changes):
    """A result with one layer; each head is {(query, key): score}."""
    names = handmade.axis(*texts)
    n = len(names.tokens)
    scores = np.zeros((len(heads), n, n), np.float32)
    for head, edges in enumerate(heads):
        for (query, key), score in edges.items():
            scores[head, query, key] = score
    site = handmade.site("encoder.layer.0", scores, np.full_like(scores, 1 / n), store)
    if keep:
        site = replace(site, edges=strongest(scores, scores, keep))
    return handmade.attribution(axes={"input": names}, sites=(site,), **changes)


def places(pattern):
    return [(token.token, token.segment, token.position) for token in pattern.tokens]


# [CLS] the man eats [SEP] the man play ##s [SEP]: positions 0 to 9


def test_the_strongest_head_gives_its_two_strongest_edges():
    found = pattern_of(of({(2, 7): 0.5, (0, 1): 0.125, (3, 3): 0.25}, {(6, 6): 0.4375}), gold="neutral")
    assert places(found) == [("man", 0, 2 / 3), ("eats", 0, 1.0), ("plays", 1, 3 / 4)]
    assert (found.score, found.support, found.label, found.gold) == (0.5, 1, "positive", "neutral")


@pytest.mark.parametrize(("second", "tokens"), [(0.25, ["the", "man"]), (0.1875, ["man"])])
def test_the_second_edge_needs_a_fifth_of_the_first(second, tokens):
    found = pattern_of(of({(0, 2): 1.0, (0, 1): second}))
    assert [token.token for token in found.tokens] == tokens
    found = pattern_of(of({(0, 2): 1.25, (0, 1): 0.25}))  # exactly a fifth
    assert len(found.tokens) == 2


def test_the_head_is_chosen_over_all_layers():
    result = handmade.attribution()
    assert places(pattern_of(result)) == [("fine", 0, 2 / 3)]
    scores = [site.scores.copy() for site in result.sites]
    scores[0][1, 1, 3] = 2.0
    sites = tuple(
        handmade.site(site.name, array, array) for site, array in zip(result.sites, scores, strict=True)
    )
    assert places(pattern_of(handmade.attribution(sites=sites))) == [("a", 0, 1 / 3), ("film", 0, 1.0)]


def test_words_are_whole_unless_pieces_are_asked_for():
    result = of({(8, 7): 0.5, (8, 1): 0.25})
    assert places(pattern_of(result)) == [("the", 0, 1 / 3), ("plays", 1, 3 / 4)]
    raw = ["[CLS]", "the", "man", "eats", "[SEP]", "the", "man", "play", "##s", "[SEP]"]
    found = pattern_of(result, raw=raw)
    assert found.pieces
    assert places(found) == [("the", 0, 1 / 3), ("play", 1, 3 / 4), ("##s", 1, 1.0)]


def test_at_most_four_tokens_and_sorted_by_place():
    found = pattern_of(of({(8, 1): 0.5, (6, 3): 0.5, (5, 5): 0.25}))
    assert places(found) == [("the", 0, 1 / 3), ("eats", 0, 1.0), ("man", 1, 1 / 2), ("plays", 1, 3 / 4)]


def test_no_pattern_without_a_positive_edge_between_words():
    assert pattern_of(of({(1, 2): -0.5})) is None
    assert pattern_of(of({(0, 4): 0.5})) is None  # special tokens
    assert places(pattern_of(of({(0, 4): 0.5, (9, 3): 0.25}))) == [("eats", 0, 1.0)]
    with pytest.raises(InputError, match="store='edges'"):
        pattern_of(of({(1, 2): 0.5}, store="heads"))


def test_edges_between_words_of_the_text_alone():
    result = of({(0, 2): 1.0, (2, 7): 0.5, (3, 3): 0.125}, {(6, 6): 0.25, (1, 1): 0.625})
    found = pattern_of(result, method="text")
    assert places(found) == [("the", 0, 1 / 3), ("man", 1, 1 / 2)]  # the head with the strongest of them
    assert (found.score, found.second, found.strength) == (0.625, 0.25, 0.875)
    assert places(pattern_of(result)) == [("man", 0, 2 / 3), ("plays", 1, 3 / 4)]
    assert pattern_of(of({(0, 2): 1.0, (4, 4): 0.5}), method="text") is None
    kept = of({(0, 2): 1.0, (2, 7): 0.5, (3, 3): 0.25}, store="edges", keep=3)
    assert places(pattern_of(kept, method="text")) == [
        ("man", 0, 2 / 3),
        ("eats", 0, 1.0),
        ("plays", 1, 3 / 4),
    ]
    # a stronger edge between words may be among those that were not kept
    assert (
        pattern_of(of({(0, 2): 1.0, (4, 4): 0.75, (2, 7): 0.5}, store="edges", keep=2), method="text") is None
    )


def test_kept_edges_are_enough_or_it_is_said_that_they_are_not():
    heads = {(2, 7): 0.5, (3, 3): 0.25}, {(1, 1): -0.75, (1, 2): -0.3}
    dense = pattern_of(of(*heads))
    assert pattern_of(of(*heads, store="edges", keep=4)) == dense
    # the second edge may be one of those that were not kept
    assert pattern_of(of(*heads, store="edges", keep=2)) is None
    # what was not kept is too weak to be one
    assert pattern_of(of({(2, 7): 0.5}, {(1, 1): -0.75, (1, 2): -0.0625}, store="edges", keep=3)) is not None
    # nor the first: 0.5 was not kept
    assert pattern_of(of(*heads, store="edges", keep=1)) is None


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_any_pattern_has_its_tokens_where_it_says(seed):
    rng = np.random.default_rng(seed)
    scores = {tuple(rng.integers(0, 10, 2)): float(value) for value in rng.normal(size=6)}
    result = of(scores)
    found = pattern_of(result, raw=result.tokens)
    if found is None:
        return
    assert 1 <= len(found.tokens) <= 4
    assert list(found.tokens) == sorted(found.tokens)
    for token in found.tokens:
        own = [t for t, s in zip(result.tokens, result.segments, strict=True) if s == token.segment]
        assert 0 < token.position <= 1
        assert own[round(token.position * len(own)) - 1] == token.token


# -- merging and the file ------------------------------------------------------------------------------


def a_pattern(*words, score=1.0, support=1, position=0.5, **facts):
    tokens = tuple(PatternToken(0, position, word) for word in words)
    return Pattern(tokens, score, support, **facts)


def test_duplicates_are_merged_and_the_strongest_lends_its_places():
    found = merged(
        [
            a_pattern("with", score=0.25, position=0.25, label="a", rows=("x",)),
            a_pattern("math", score=0.5),
            a_pattern("with", score=0.75, position=0.75, label="b", rows=("y",)),
        ]
    )
    assert [(p.tokens[0].token, p.score, p.support) for p in found] == [("with", 0.75, 2), ("math", 0.5, 1)]
    assert (found[0].tokens[0].position, found[0].label, found[0].rows) == (0.75, "b", ("x", "y"))
    other = Pattern((PatternToken(1, 0.5, "with"),), 0.5)
    assert len(merged([a_pattern("with"), other])) == 2  # in the other text it is another pattern


def test_a_line_of_the_file_is_as_documented(tmp_path):
    pattern = a_pattern("with", "math", score=0.5, support=3, label="neutral", gold="entailment")
    line = pattern.to_json()
    assert line["tokens"][0] == {"token": "with", "segment": 0, "position": 0.5}
    assert {key: line[key] for key in ("score", "support", "label", "gold")} == {
        "score": 0.5, "support": 3, "label": "neutral", "gold": "entailment"
    }  # fmt: skip
    path = tmp_path / "patterns.jsonl"
    path.write_text(pattern.line() + "\n" + '{"tokens": [{"token": "a", "segment": 1, "position": 1}]}')
    with pytest.warns(UserWarning, match=r"1 of 2 patterns.*line 3"):
        first, second = read_patterns(path)
    assert first.to_json() == json.loads(json.dumps(line)) | {"rows": (), "label_counts": ()} | {
        "tokens": sorted(line["tokens"], key=lambda token: token["token"])
    }
    assert (second.support, second.score, second.label) == (1, 0.0, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no patterns"),
        ("{}", "line 1"),
        ('{"tokens": []}', "no tokens"),
        ("nonsense", "line 1"),
        ('{"tokens": [{"token": "a", "segment": 2, "position": 0.5}]}', "segment 0 or 1"),
        ('{"tokens": [{"token": "a", "segment": 0, "position": 1.5}]}', "position from 0 to 1"),
        ('{"tokens": [{"token": "a", "segment": 0, "position": 1}], "scope": 1}', "unknown key 'scope'"),
        ('{"tokens": [{"token": "a", "segment": 0, "position": 1}], "label": 1}', "label: .*string"),
        ('{"tokens": [{"token": "a", "segment": 0, "position": 1}], "label_counts": [{}, {}]}', "not of 1"),
        ("[" * 100_000, "nests too deeply"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, content, words):
    path = tmp_path / "patterns.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        read_patterns(path)
    with pytest.raises(InputError, match="cannot read"):
        read_patterns(tmp_path / "none")


def test_lines_can_be_picked_but_not_changed(tmp_path):
    path = tmp_path / "patterns.jsonl"
    words = ("with", "not\x85\u2028", "no")
    lines = [a_pattern(word, score=0.5, model={"name": "m"}).line() for word in words]
    path.write_text(lines[2] + lines[1], encoding="utf-8")
    assert [pattern.tokens[0].token for pattern in read_patterns(path)] == ["no", "not\x85\u2028"]
    assert read_patterns(path)[0].model == {"name": "m"}
    changed = lines[0].replace("0.5", "0.25")
    path.write_text(lines[2] + changed, encoding="utf-8")
    with pytest.raises(FileFormatError, match=r'line 2 of .* was changed .* remove its "sha256"'):
        read_patterns(path)
    facts = json.loads(changed)
    del facts["sha256"]
    path.write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match='no "sha256"'):
        assert read_patterns(path)[0].tokens[0].position == 0.25


def test_counts_stay_with_their_tokens_however_these_are_sorted(tmp_path):
    tokens = [{"token": word, "segment": 0, "position": place} for word, place in (("b", 0.75), ("a", 0.25))]
    pattern = pattern_from({"tokens": tokens, "label_counts": [{"x": 1}, {"y": 2}]})
    assert [token.token for token in pattern.tokens] == ["a", "b"]
    assert pattern.label_counts == ({"y": 2}, {"x": 1})


def test_words_are_counted_without_case_and_accents():
    assert words_of("Don't, Café!") == ["don", "'", "t", ",", "cafe", "!"]
    assert [word_of(token) for token in ("Café", "##s", "Ġmath", "▁math", "don't")] == [
        "cafe", None, "math", "math", None
    ]  # fmt: skip


# -- mining --------------------------------------------------------------------------------------------

WORDS = "the a film is fine bad not very man woman eats sleeps nobody".split()


def pairs(count=12, single=False):
    rng = np.random.default_rng(7)
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 7))) for _ in range(2 * count)]
    return [
        Example(texts[2 * i], None if single else texts[2 * i + 1], f"LABEL_{i % 3}", id=str(i), line=i + 2)
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def attributor():
    return Attributor(tiny.bert(), tiny.tokenizer())


@pytest.fixture(scope="module")
def run(attributor, tmp_path_factory):
    return attattr.attribute_data(attributor, pairs(), tmp_path_factory.mktemp("run") / "r", shard_size=5)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(("limit", "method"), [(None, "paper"), (5, "text")])
def test_a_run_gives_the_patterns_of_its_examples(attributor, run, pieces, limit, method):
    how = {"pieces": pieces, "limit": limit, "method": method, "threshold": 0, "seed": 1}
    direct = mine_triggers(attributor, pairs(), **how)
    from_run = mine_triggers(attributor, run, **how)
    assert [p.key for p in from_run] == [p.key for p in direct]
    assert [p.score for p in from_run] == pytest.approx([p.score for p in direct])
    assert [(p.rows, p.support, p.label, p.label_counts) for p in from_run] == [
        (p.rows, p.support, p.label, p.label_counts) for p in direct
    ]
    assert sum(p.support for p in direct) <= (limit or 12)
    strengths = [p.score + p.second for p in direct]
    assert strengths == sorted(strengths, reverse=True)
    assert any(p.second for p in direct)


@pytest.mark.parametrize("method", ["paper", "text"])
def test_patterns_are_those_of_dense_attributions_and_say_what_was_predicted(attributor, method):
    examples = pairs()
    (best,) = mine_triggers(attributor, examples, method=method, threshold=0, top=1)
    dense = [pattern_of(attributor.attribute(e), method=method, gold=e.label) for e in examples]
    strongest = max((p for p in dense if p), key=lambda p: p.score + p.second)
    assert best.key == strongest.key
    assert best.score == pytest.approx(strongest.score)
    assert (best.label, best.gold) == (strongest.label, strongest.gold)
    assert best.label_totals == {"LABEL_0": 4, "LABEL_1": 4, "LABEL_2": 4}
    token, counts = best.tokens[0], best.label_counts[0]
    having = [e for e in examples if token.token in (e.text, e.text_pair)[token.segment].split()]
    assert sum(counts.values()) == len(having)
    assert counts["LABEL_0"] == sum(e.label == "LABEL_0" for e in having) if "LABEL_0" in counts else True


def test_words_are_those_that_the_papers_patterns_come_back_to(attributor, run):
    rows = pairs()
    papers = mine_triggers(attributor, rows, method="paper", threshold=0)
    expected = recurring(papers, rows)
    found = mine_triggers(attributor, rows, method="words", threshold=0)
    assert [(p.key, p.support, p.rows) for p in found] == [(p.key, p.support, p.rows) for p in expected]
    assert len(found) > 2 and found[0].label_totals == papers[0].label_totals
    assert [p.key for p in mine_triggers(attributor, run, method="words", threshold=0)] == [
        p.key for p in found
    ]
    for method in ("words", "pairs"):
        with pytest.raises(InputError, match="methods text and paper"):
            mine_triggers(attributor, rows, method=method, pieces=True)


def test_pairs_are_of_a_word_that_is_mined_and_one_beside_it(attributor, monkeypatch):
    rows = [Example(f"{row.text} oak", f"{row.text_pair} elm", label=row.label) for row in pairs()]
    rows += pairs()
    token = PatternToken(0, 0.5, "oak")

    def of_oak(result, *, method, gold, raw, row):
        return Pattern((token,), 1.0, label=result.prediction.label, rows=(row,))

    monkeypatch.setattr("attattr.triggers.mine.pattern_of", of_oak)
    found = mine_triggers(attributor, rows, method="pairs")
    assert found[0].key == (("oak", 0), ("elm", 1)) and found[0].label_totals
    with pytest.raises(InputError, match="no word stands beside a mined one"):
        mine_triggers(attributor, rows[-4:], method="pairs")


def test_inputs_that_score_little_count_for_a_word_that_scored_enough_in_another(attributor, monkeypatch):
    rows = [Example(f"oak {row.text}", row.text_pair, label=row.label) for row in pairs()]

    def of_oak(result, *, method, gold, raw, row):
        score = 1.0 if row == digest(rows[0]) else 0.001  # the model is sure: its gradients are small
        return Pattern((PatternToken(0, 0.1, "oak"),), score, label="LABEL_0", rows=(row,))

    monkeypatch.setattr("attattr.triggers.mine.pattern_of", of_oak)
    (oak,) = mine_triggers(attributor, rows, method="words")
    assert oak.support == len(rows)


def test_the_same_seed_gives_the_same_patterns(attributor):
    first, again, other = (mine_triggers(attributor, pairs(), limit=4, seed=s) for s in (0, 0, 3))
    assert first == again
    assert {row for p in first for row in p.rows} != {row for p in other for row in p.rows}


def test_progress_counts_inputs(attributor):
    told = []
    mine_triggers(attributor, pairs(4), progress=lambda *facts: told.append(facts))
    assert told[-1] == (4, 4, "")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


def test_weak_patterns_are_left_out_and_that_nothing_was_found_is_said(attributor):
    every = mine_triggers(attributor, pairs())
    strengths = [p.score + p.second for p in every]
    middle = strengths[len(every) // 2]
    assert mine_triggers(attributor, pairs(), threshold=middle) == [
        p for p, strength in zip(every, strengths, strict=True) if strength >= middle
    ]
    with pytest.raises(InputError, match=r"no pattern scores 2, the strongest 0\.\d+; a lower"):
        mine_triggers(attributor, pairs(), threshold=2)


def test_what_cannot_be_mined_is_said(attributor, tmp_path):
    with pytest.raises(InputError, match="all rows are labelled 'yes'"):
        mine_triggers(attributor, [Example("a film", label="yes")] * 2)
    with pytest.raises(InputError, match="whole number from 1"):
        mine_triggers(attributor, pairs(), top=0)
    with pytest.raises(InputError, match="has none"):
        mine_triggers(Attributor(tiny.gpt2(), tiny.tokenizer(bert=False)), pairs())
    for name, work, words in (
        ("heads", Work(store="heads"), "kept no edges"),
        ("gold", Work(target="gold"), "explains gold"),
    ):
        run = attattr.attribute_data(attributor, pairs(3), tmp_path / name, work=work)
        with pytest.raises(InputError, match=words):
            mine_triggers(attributor, run)


def test_a_run_of_another_model_is_refused(attributor, run):
    other = replace(run, manifest=run.manifest | {"model": {"name": "other", "digest": "1"}})
    with pytest.raises(InputError, match="another model, '"):
        mine_triggers(attributor, other)


# -- the command ---------------------------------------------------------------------------------------


def test_mine_writes_one_object_a_line(attributor, run, tmp_path, monkeypatch):
    monkeypatch.setattr(options.TheModel, "attributor", lambda self: attributor)
    data = tmp_path / "data.tsv"
    rows = [f"{e.text}\t{e.text_pair}\t{e.label}" for e in pairs()]
    data.write_text("\n".join(["sentence1\tsentence2\tlabel", *rows]))
    outputs = []
    for source, out in ((data, "a.jsonl"), (run.path, "b.jsonl")):
        arguments = ["triggers", "mine", source, "--model", "x", "--top", "3", "--out"]
        outcome = commands.run(*arguments, tmp_path / out)
        assert outcome.exit_code == 0, outcome.output
        outputs.append([json.loads(line) for line in (tmp_path / out).read_text().splitlines()])
        none = len(rows) - sum(each["support"] for each in outputs[-1])
        assert f"{none} of {len(rows)} inputs gave none of them" in outcome.stderr
    assert len(outputs[0]) == 3
    for first, second in zip(*outputs, strict=True):
        assert first["tokens"] == second["tokens"]
        assert set(first) >= {"tokens", "score", "support", "label", "gold"}
    outcome = commands.run(*arguments, "-")
    assert [json.loads(line)["tokens"] for line in outcome.stdout.splitlines()] == [
        each["tokens"] for each in outputs[0]
    ]
    (tmp_path / "one.tsv").write_text("sentence\tlabel\na film\tyes\nnot bad\tyes")
    outcome = commands.run("triggers", "mine", tmp_path / "one.tsv", "-m", "x", "--out", "-")
    assert outcome.exit_code == 2
    assert "all rows are labelled 'yes'" in outcome.stderr


def test_unlabelled_data_can_be_mined():
    attributor = Attributor(tiny.bert(), tiny.tokenizer())
    examples = [Example(e.text, e.text_pair) for e in pairs(4)]
    found = mine_triggers(attributor, examples)
    assert {p.gold for p in found} == {None}
    assert {p.label for p in found} <= {"LABEL_0", "LABEL_1", "LABEL_2"}
    assert found[0].label_totals == {}


@pytest.mark.filterwarnings("ignore:the data's labels are numbers")
def test_numbers_of_classes_are_the_models_names(attributor):
    """The labels of patterns are compared with what the model answers: they have to be its names."""
    names = attributor.labels
    rows = [
        Example(text, label=str(i % 2))
        for i, text in enumerate(["a fine film", "not good", "the film", "bad"])
    ]
    named = [replace(row, label=names[int(row.label)]) for row in rows]
    assert mine_triggers(attributor, rows) == mine_triggers(attributor, named)
