"""Attacks: where tokens are put, that nothing is lost, what is measured, and against what it is held."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import itertools
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import commands
import tiny
from attattr import Attributor, Example, InputError, Pattern, PatternToken, attack_model, evaluate_model
from attattr.cli import options
from attattr.data.encoding import encode
from attattr.data.examples import digest
from attattr.disk.checked import signed
from attattr.measure.accuracy import predict
from attattr.measure.intervals import bootstrap, wilson
from attattr.models.loading import ModelInfo
from attattr.page.triggers import page
from attattr.report.trigger_signs import COST_SAID, LEANS_SAID, cost_rows, leaning_rows
from attattr.report.triggers_table import markdown, rows_of
from attattr.triggers import tried
from attattr.triggers.attacked import estimate
from attattr.triggers.controls import leaks, random_controls, twins, word_controls
from attattr.triggers.explained import explained
from attattr.triggers.hotflip import _gains, _losses, universal_trigger
from attattr.triggers.insert import Piece, insert, pieces_of, places, without, word_ids
from attattr.triggers.leaning import sure
from attattr.triggers.mine import mine_triggers
from attattr.triggers.tried import CHOOSE, REPORT, SCREEN, lowest, purposes, search

WORDS = "the a film is fine bad not very man woman eats sleeps nobody".split()
LABELS = ["LABEL_0", "LABEL_1", "LABEL_2"]
TINY = tiny.bert(), tiny.tokenizer()
POSITIONS = st.lists(st.floats(0.001, 1), max_size=5).map(sorted)


def pairs(count=24, single=False, words=7):
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, words))) for _ in range(2 * count)]
    return [Example(texts[2 * i], None if single else texts[2 * i + 1], LABELS[i % 3]) for i in range(count)]


def pattern(*tokens, **facts):
    """(token, segment, position) each."""
    return Pattern(tuple(sorted(PatternToken(s, p, t) for t, s, p in tokens)), **facts)


@pytest.fixture(scope="module")
def attributor():
    """A tiny model that answers now this, now that: its logits are centred on the data."""
    model, tokenizer = TINY
    with torch.no_grad():
        model.classifier.bias -= torch.as_tensor(predict(model, tokenizer, pairs()).mean(0))
    return Attributor(model, tokenizer)


@pytest.fixture(scope="module")
def right(attributor):
    """Examples that the model is right about."""
    predicted = predict(attributor.model, attributor.tokenizer, pairs()).argmax(-1)
    return [replace(each, label=LABELS[i]) for each, i in zip(pairs(), predicted, strict=True)]


# -- where tokens go -----------------------------------------------------------------------------------


@given(st.integers(0, 30), POSITIONS)
@example(3, [1.0, 1.0])
@example(0, [0.001, 0.002, 1.0])
def test_places_ascend_stay_inside_and_follow_the_rule(m, positions):
    found = places(m, positions)
    total = m + len(positions)
    assert all(1 <= c <= total for c in found)
    assert all(a < b for a, b in itertools.pairwise(found))
    expected, last = [], 0
    for position in positions:
        last = max(round(total * position), last + 1)
        expected.append(last)
    if not expected or expected[-1] <= total:
        assert found == expected
    else:  # those that the end pushes back stand directly before it
        moved = [a != b for a, b in zip(found, expected, strict=True)]
        tail = len(moved) - moved.index(True)
        assert all(moved[-tail:])
        assert found[-tail:] == list(range(total - tail + 1, total + 1))


def test_places_by_hand():
    assert places(8, [0.25, 0.5]) == [2, 5]  # of 10: round(2.5) is 2, to the even
    assert places(4, [0.5, 0.5]) == [3, 4]
    assert places(1, [1 / 40, 1]) == [1, 3]
    assert places(3, []) == []


def test_the_word_comes_back_to_its_own_place():
    for m in range(1, 40):
        for i in range(1, m + 1):
            (c,) = places(m - 1, [i / m])
            assert c == i


@given(
    st.integers(0, 9),
    st.integers(0, 9),
    st.lists(st.tuples(st.integers(0, 1), st.floats(0.001, 1)), max_size=4),
)
@settings(max_examples=80, deadline=None)
def test_no_token_is_lost_and_all_keep_their_order(first, second, tokens):
    model, tokenizer = TINY
    text, other = (" ".join(f"w{k * 10 + i}" for i in range(n)) for k, n in ((0, first + 1), (1, second + 1)))
    (encoded,) = encode(model, tokenizer, [Example(text, other)])
    pieces = [Piece(segment, position, 5 + i) for i, (segment, position) in enumerate(sorted(tokens))]
    made = insert(encoded, pieces, 64)
    ids = made.encoded.features["input_ids"]
    assert len(ids) == len(encoded.features["input_ids"]) + len(pieces)
    assert [token for i, token in enumerate(ids) if i not in made.places] == encoded.features["input_ids"]
    assert [ids[i] for i in made.places] == [piece.id for piece in pieces]
    # each stands inside its own text, which the token types follow
    end = ids.index(3)
    assert [int(i > end) for i in made.places] == [piece.segment for piece in pieces]
    typed = replace(encoded, features=encoded.features | {"token_type_ids": _types(encoded)})
    types = insert(typed, pieces, 64).encoded.features["token_type_ids"]
    assert types == [int(i > end) for i in range(len(ids))]
    assert made.encoded.features["attention_mask"] == [1] * len(ids)
    for k, (begin, m) in enumerate(((0, first + 1), (end, second + 1))):
        own = [p.position for p in pieces if p.segment == k]
        assert [i - begin for i in made.places if int(i > end) == k] == places(m, own)
    assert made.cut == 0


def _types(encoded):
    end = encoded.features["input_ids"].index(3)
    return [int(i > end) for i in range(len(encoded.features["input_ids"]))]


def test_a_long_text_gives_way_and_not_the_trigger():
    model, tokenizer = TINY
    rows = [Example(" ".join(["w30"] * 50), " ".join(["w31"] * n)) for n in (11, 30)]
    with pytest.warns(UserWarning, match="cut to the 64 tokens"):
        encoded = encode(model, tokenizer, rows)
    pieces = [Piece(0, 1.0, 5), Piece(1, 0.5, 6), Piece(1, 1.0, 7)]
    for each in encoded:
        made = insert(each, pieces, 64)
        ids = made.encoded.features["input_ids"]
        assert (len(ids), made.cut) == (64, 3)
        assert [ids[i] for i in made.places] == [5, 6, 7]
        assert ids[-1] == 3 and ids.count(3) == 2
        assert ids[-2] == 7
    with pytest.raises(InputError, match="does not fit"):
        insert(encoded[0], pieces * 30, 64)


def test_a_text_without_tokens_takes_the_trigger():
    model, tokenizer = TINY
    (encoded,) = encode(model, tokenizer, [Example(inputs={"input_ids": torch.tensor([2, 3])})])
    made = insert(encoded, [Piece(0, 0.5, 9), Piece(0, 1.0, 10)]).encoded
    assert made.features["input_ids"] == [2, 9, 10, 3]


def test_an_input_with_a_trigger_is_read_as_its_features_are():
    model, tokenizer = TINY
    (encoded,) = encode(model, tokenizer, [Example("a fine film", "the man sleeps")])
    pieces = pieces_of(pattern(("bad", 0, 0.5), ("good", 1, 1.0)), tokenizer)
    made = insert(encoded, pieces).encoded
    (again,) = encode(model, tokenizer, [Example(inputs=made.features)])
    assert made.axes["input"].tokens == again.axes["input"].tokens
    assert made.axes["input"].segments == again.axes["input"].segments
    assert made.axes["input"].special == again.axes["input"].special


def bare(pieces):
    return [piece[:3] for piece in pieces]


def test_insert_into_chooses_the_text():
    tokenizer = tiny.tokenizer()
    found = pattern(("film", 0, 0.5), ("bad", 1, 0.25))
    film, bad = tokenizer.convert_tokens_to_ids(["film", "bad"])
    assert bare(pieces_of(found, tokenizer)) == [(0, 0.5, film), (1, 0.25, bad)]
    assert bare(pieces_of(found, tokenizer, "premise")) == [(0, 0.25, bad), (0, 0.5, film)]
    assert bare(pieces_of(found, tokenizer, "hypothesis")) == [(1, 0.25, bad), (1, 0.5, film)]
    both = [(k, p, i) for k in (0, 1) for p, i in ((0.25, bad), (0.5, film))]
    assert bare(pieces_of(found, tokenizer, "both")) == both
    assert len(pieces_of(found, tokenizer, "premise", pair=False)) == 2
    for into in ("auto", "hypothesis", "both"):
        with pytest.raises(InputError, match="second text"):
            pieces_of(found, tokenizer, into, pair=False)
    with pytest.raises(InputError, match="choose one of auto"):
        pieces_of(found, tokenizer, "title")


def wordpiece():
    vocabulary = {"[UNK]": 0, "play": 1, "##s": 2, "the": 3}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]")


def test_a_word_is_inserted_as_its_pieces_side_by_side():
    found = pieces_of(pattern(("plays", 0, 0.5), ("the", 0, 0.5)), wordpiece())
    assert sorted(piece.id for piece in found) == [1, 2, 3]
    ids = [piece.id for piece in found]
    assert ids.index(2) == ids.index(1) + 1
    assert [piece.id for piece in pieces_of(pattern(("##s", 0, 1.0)), wordpiece())] == [2]
    assert [piece.id for piece in pieces_of(pattern(("play", 0, 1.0), pieces=True), wordpiece())] == [1]


def test_a_word_of_a_byte_level_vocabulary_begins_with_its_space():
    vocabulary = {"[UNK]": 0, "Ġ": 1, "Ġmath": 2, "math": 3}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]")
    assert [piece.id for piece in pieces_of(pattern(("math", 0, 0.5)), tokenizer)] == [2]
    assert [piece.id for piece in pieces_of(pattern(("Ġmath", 0, 0.5)), tokenizer)] == [2]
    assert [piece.id for piece in pieces_of(pattern(("math", 0, 0.5), pieces=True), tokenizer)] == [3]


@pytest.mark.parametrize("token", ["cinema", "Ġmath", "▁math", "##ing"])
def test_patterns_of_another_tokenizer_are_named(token):
    with pytest.raises(InputError, match=f"no '{token}': the patterns are of another tokenizer"):
        pieces_of(pattern((token, 0, 0.5)), wordpiece())


# -- what is measured ----------------------------------------------------------------------------------

PATTERNS = [
    pattern(("bad", 0, 0.5), ("not", 1, 0.75), score=0.5, support=2, label="LABEL_1", gold="LABEL_0"),
    pattern(("very", 1, 1.0), ("w30", 1, 0.1), score=0.25),
    pattern(("w31", 0, 0.3), ("w32", 0, 0.6), ("w33", 1, 0.9), score=0.125),
    pattern(("nobody", 1, 0.2), score=0.0625),
]


@pytest.fixture(scope="module")
def measured(attributor):
    return attack_model(attributor, pairs(), PATTERNS, seed=1)


def test_clean_accuracy_is_that_of_the_plain_evaluation(attributor, measured):
    plain = evaluate_model(attributor.model, attributor.tokenizer, pairs())
    clean = measured.to_json()["clean"]
    assert clean["accuracy"] == plain.accuracy
    assert clean["per_class"] == {label: of.accuracy for label, of in plain.per_class.items()}
    assert clean["interval"] == plain.interval
    assert clean["confusion"] == plain.confusion


def test_the_attack_is_that_of_texts_written_with_the_words_in_them(attributor, measured):
    """Every word is one token here: the rule can be followed on the texts themselves."""
    for each in measured.attacked:
        rows = []
        for row in pairs():
            texts = [row.text.split(), row.text_pair.split()]
            for k, words in enumerate(texts):
                own = [token for token in each.pattern.tokens if token.segment == k]
                for token, c in zip(own, places(len(words), [t.position for t in own]), strict=True):
                    words.insert(c - 1, token.token)
            rows.append(Example(*map(" ".join, texts), row.label))
        plain = evaluate_model(attributor.model, attributor.tokenizer, rows)
        assert measured.accuracy(each.predicted)["accuracy"] == plain.accuracy
        assert measured.accuracy(each.predicted)["confusion"] == plain.confusion


def test_the_json_is_as_documented(measured):
    facts = json.loads(json.dumps(measured.to_json(), allow_nan=False))
    assert facts["schema_version"] == "2"
    assert facts["labels"] == LABELS
    assert set(facts["clean"]["per_class"]) == set(LABELS)
    accuracies = [each["accuracy"] for each in facts["patterns"]]
    assert accuracies == sorted(accuracies)  # ranked
    assert {tuple(t["token"] for t in each["tokens"]) for each in facts["patterns"]} == {
        tuple(t.token for t in p.tokens) for p in PATTERNS
    }
    for each in facts["patterns"]:
        assert set(each) >= {"tokens", "score", "support", "label", "gold", "accuracy", "per_class"}
        clean = (measured.clean == measured.gold)[measured.purpose == SCREEN].mean()
        assert each["drop"] == pytest.approx(clean - each["accuracy"])
        assert sum(map(sum, each["confusion"])) == each["n"] == 9
        right = each["confusion"][0][0]
        assert each["per_class"]["LABEL_0"] == right / 3
        assert each["intervals"]["LABEL_0"] == pytest.approx(wilson(right, 3))


def test_the_worst_are_chosen_on_some_rows_and_reported_on_others(measured):
    facts = measured.to_json()
    worst, report = facts["worst"], measured.purpose == REPORT
    assert (worst["screening_rows"], worst["selection_rows"], worst["report_rows"]) == (9, 15, 9)
    for i in range(3):
        assert np.bincount(measured.purpose[measured.gold == i]).tolist() == [3, 2, 3]
    assert len(worst["overall"]) == 3
    chosen = [of["selection_accuracy"] for of in worst["overall"]]
    every = [(each.predicted == measured.gold)[~report].mean() for each in measured.attacked]
    assert chosen == sorted(every)[:3]
    for of in worst["overall"]:
        predicted = measured.attacked[of["pattern"]].predicted
        assert of["accuracy"] == (predicted == measured.gold)[report].mean()
    together = np.all(
        [measured.attacked[of["pattern"]].predicted == measured.gold for of in worst["overall"]], axis=0
    )
    assert worst["any_of_overall"]["accuracy"] == together[report].mean()
    for i, label in enumerate(LABELS):
        rows = ~report & (measured.gold == i)
        expected = min((each.predicted == measured.gold)[rows].mean() for each in measured.attacked)
        assert worst["per_class"][label][0]["selection_accuracy"] == expected
        three = [measured.attacked[of["pattern"]].predicted for of in worst["per_class"][label]]
        own = report & (measured.gold == i)
        stands = np.mean([predicted == measured.gold for predicted in three], axis=0)
        lost = ((measured.clean == measured.gold) - stands)[own]
        assert worst["lost"]["per_class"][label]["mean"] == pytest.approx(lost.mean())
        assert worst["lost"]["per_class"][label]["n"] == own.sum() == 3


def test_no_row_serves_two_purposes_and_classes_keep_their_number():
    gold = np.repeat([0, 1, 2], [100, 7, 1])
    found = purposes(gold, 3, screen=20, choose=30)
    assert np.bincount(found[gold == 0]).tolist() == [20, 30, 50]
    assert np.bincount(found[gold == 1]).tolist() == [3, 2, 2]
    assert found[gold == 2].tolist() == [SCREEN]
    assert not np.array_equal(found, purposes(gold, 4, screen=20, choose=30))


def test_what_is_not_among_the_best_is_not_tried_any_further(attributor, monkeypatch):
    """One of each class and one of all here: the others of thirty patterns are screened only."""
    words = [f"w{i}" for i in range(8, 38)]
    monkeypatch.setattr(tried, "FINALISTS", 1)
    found = attack_model(attributor, pairs(60), [pattern((word, 0, 0.5)) for word in words], controls=False)
    stages = [[each.tried[found.purpose == stage] for each in found.attacked] for stage in range(3)]
    assert all(of.all() for of in stages[SCREEN])
    for of in stages[CHOOSE] + stages[REPORT]:
        assert of.all() or not of.any()
    chosen, reported = ([of.all() for of in stages[stage]] for stage in (CHOOSE, REPORT))
    assert 1 <= sum(reported) <= sum(chosen) <= 4
    assert all(chosen[i] for i, of in enumerate(reported) if of)
    # the best of all by the mean probability of the gold class, on the screening rows
    screening = found.purpose == SCREEN
    right = [each.probabilities[screening, found.gold[screening]].mean() for each in found.attacked]
    assert chosen[int(np.argmin(right))]


@pytest.mark.parametrize("seed", range(8))
def test_whichever_is_told_as_the_worst_was_tried_on_the_rows_to_report_on(seed):
    """Few rows make many ties: they are broken alike by whom tries the worst and by whom names them."""
    draw, gold = np.random.default_rng(seed), np.repeat([0, 1, 2], 40)
    probabilities = draw.dirichlet([1, 1, 1], (26, len(gold)))
    words = [pattern((f"w{i}", 0, 0.5)) for i in range(26)]

    def answers(pieces, rows, *_):
        return probabilities[np.ix_([i for (i,) in pieces], rows)], np.zeros(len(pieces), int)

    run: Any = answers
    run.attributor = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(num_labels=3)))
    purpose, others = purposes(gold, seed), [np.ones(len(gold), bool)] * 26
    found = search(run, words, cast(Any, [[i] for i in range(26)]), others, gold, purpose, "", "")
    for about in (None, 0, 1, 2):
        for i in lowest(found, gold, purpose, about):
            assert found[i].tried[purpose == REPORT].all()
    screened = [(each.predicted == gold)[purpose == SCREEN].mean() for each in found]
    assert screened == sorted(screened) and len(set(screened)) < 26
    for each in found:
        number = int(each.pattern.tokens[0].token[1:])
        np.testing.assert_array_equal(each.probabilities[each.tried], probabilities[number][each.tried])


def test_a_pattern_of_all_the_screening_rows_is_ranked_last_without_a_warning(attributor):
    rows = pairs(60)
    first = attack_model(attributor, rows, PATTERNS[:2], controls=False)
    own = tuple(digest(rows[i]) for i in np.flatnonzero(first.purpose == SCREEN))
    found = attack_model(attributor, rows, [replace(PATTERNS[0], rows=own), PATTERNS[1]], controls=False)
    assert [each.pattern.tokens for each in found.attacked] == [PATTERNS[1].tokens, PATTERNS[0].tokens]
    assert [each["accuracy"] is None for each in found.to_json()["patterns"]] == [False, True]


def test_where_a_pattern_was_not_tried_there_is_no_accuracy(measured):
    never = np.where(measured.purpose == REPORT, -1, measured.gold)
    assert measured.accuracy(never, measured.purpose != REPORT)["accuracy"] == 1
    with pytest.raises(InputError, match="not tried on all of these rows"):
        measured.accuracy(never)


def test_together_is_as_one_by_one(attributor, monkeypatch):
    whole = attack_model(attributor, pairs(), PATTERNS, seed=1, controls=False)
    monkeypatch.setattr(tried, "TOGETHER", 1)
    single = attack_model(attributor, pairs(), PATTERNS, seed=1, controls=False)
    for a, b in zip(whole.attacked, single.attacked, strict=True):
        assert a.pattern == b.pattern
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)


def test_random_patterns_are_chosen_and_reported_as_the_mined_ones(attributor):
    measured = attack_model(attributor, pairs(60), PATTERNS, seed=1)
    luck = measured.to_json()["luck"]
    assert luck["patterns"] == len(measured.lucky) == len(PATTERNS)
    shapes = [[(t.segment, t.position) for t in each.pattern.tokens] for each in measured.attacked]
    drawn = [[(t.segment, t.position) for t in each.pattern.tokens] for each in measured.lucky]
    assert sorted(drawn) == sorted(shapes)
    report = measured.purpose == REPORT
    for label in (None, *LABELS):
        about = None if label is None else LABELS.index(label)
        three = lowest(measured.lucky, measured.gold, measured.purpose, about)
        listed = luck["overall"] if label is None else luck["per_class"][label]
        assert [of["number"] for of in listed] == three
        rows = report if about is None else report & (measured.gold == about)
        mined = [measured.attacked[i].predicted for i in measured.worst(label)]
        ahead = [
            np.mean([measured.lucky[i].predicted[row] == measured.gold[row] for i in three])
            - np.mean([predicted[row] == measured.gold[row] for predicted in mined])
            for row in np.flatnonzero(rows)
        ]
        told = luck["ahead"]["overall"] if label is None else luck["ahead"]["per_class"][label]
        assert told["mean"] == pytest.approx(np.mean(ahead))
        if len(ahead) < 10:  # of a class
            assert label is not None and told["interval"] is None
        else:
            assert label is None and told["interval"] == pytest.approx(tuple(bootstrap(np.array(ahead), 1)))


def test_the_same_seed_gives_the_same_figures(attributor, measured):
    again = attack_model(attributor, pairs(), PATTERNS, seed=1)
    assert again.to_json() == measured.to_json()
    other = attack_model(attributor, pairs(), PATTERNS, seed=2, controls=False)
    assert not np.array_equal(other.purpose, measured.purpose)


# -- whether the model leans on it ---------------------------------------------------------------------


def test_effects_are_those_of_texts_written_and_cut_by_hand(attributor):
    known = pattern(("bad", 0, 0.5), label="LABEL_1")
    rows = [replace(each, label=LABELS[i % 3]) for i, each in enumerate(pairs(60))]
    found = attack_model(attributor, rows, [known], seed=1)
    (told,) = found.to_json()["leans"]
    assert (told["pattern"], told["label"]) == (0, "LABEL_1")
    # inserted: against random patterns of its shape, on reported rows of other classes
    report = (found.purpose == REPORT) & (found.gold != 1)
    drawn = random_controls(known, rows, 1)
    effect = []
    for row in np.flatnonzero(report):
        words, other = rows[row].text.split(), rows[row].text_pair
        (c,) = places(len(words), [0.5])

        def with_word(word, words=words, other=other, c=c):
            return Example(" ".join([*words[: c - 1], word, *words[c - 1 :]]), other)

        each = [with_word("bad"), *(with_word(of.pattern.tokens[0].token) for of in drawn)]
        logits = torch.as_tensor(predict(attributor.model, attributor.tokenizer, each)).double()
        shares = logits.softmax(-1)[:, 1].numpy()
        effect.append(shares[0] - shares[1:].mean())
    assert told["inserted"]["n"] == len(effect) == report.sum() > 0
    assert told["inserted"]["mean"] == pytest.approx(np.mean(effect), abs=1e-5)
    assert told["inserted"]["draws"] == len(drawn)
    # removed: only rows that have the word, and were not chosen on
    having = [i for i in np.flatnonzero(found.purpose == REPORT) if "bad" in rows[i].text.split()]
    able = [i for i in having if len(rows[i].text.split()) > 1]
    assert told["removed"]["n"] == len(able) > 0
    low, high = told["inserted"]["interval"]
    assert low <= told["inserted"]["mean"] <= high
    assert told["leans"] == (low > 0 and sure(told["removed"]))


def test_rows_that_a_pattern_was_mined_from_do_not_show_that_the_model_leans_on_it(attributor):
    rows = [replace(each, label=LABELS[i % 3]) for i, each in enumerate(pairs(60))]
    known = pattern(("bad", 0, 0.5), label="LABEL_1")
    (told,) = attack_model(attributor, rows, [known], seed=1).leans
    report = attack_model(attributor, rows, [known], seed=1, controls=False).purpose == REPORT
    having = [rows[i] for i in np.flatnonzero(report) if "bad" in rows[i].text.split()]
    own = next(row for row in having if len(row.text.split()) > 1)
    mined = replace(known, rows=(digest(own),))
    (less,) = attack_model(attributor, rows, [mined], seed=1).leans
    assert less["removed"]["n"] == told["removed"]["n"] - 1


def test_of_few_rows_nothing_is_sure():
    assert estimate(np.full(9, 0.5), 0)["interval"] is None
    assert estimate(np.full(10, 0.5), 0)["interval"] == (0.5, 0.5)
    few, many = ({"mean": 0.5, "interval": of, "n": 9} for of in (None, (0.4, 0.6)))
    assert not sure(few) and sure(many)
    tokens = [{"token": "bad", "segment": 0}]
    leans = {"pattern": 0, "label": "a", "inserted": few, "removed": many, "leans": False}
    (row,) = leaning_rows({"leans": [leans], "patterns": [{"tokens": tokens}]})
    assert row[-1] == "cannot tell"


def test_words_are_taken_out_and_others_instead():
    model, tokenizer = TINY
    (encoded,) = encode(model, tokenizer, [Example("the bad film is bad", "not bad")])
    words = word_ids(pattern(("bad", 0, 0.4), ("not", 1, 0.5)), tokenizer)
    assert without(encoded, words).axes["input"].tokens == (
        "[CLS]", "the", "film", "is", "bad", "[SEP]", "bad", "[SEP]"
    )  # fmt: skip
    for seed in range(10):
        other = without(encoded, words, np.random.default_rng(seed)).axes["input"]
        assert [other.segments.count(k) for k in (0, 1)] == [4, 1]
        assert other.tokens[2] == "bad" or other.tokens[1] == "bad"  # the first is never the one that goes
        assert "not" in other.tokens
    assert without(encoded, word_ids(pattern(("woman", 0, 0.4)), tokenizer)) is None
    (bare,) = encode(model, tokenizer, [Example("bad")])
    own = word_ids(pattern(("bad", 0, 0.4)), tokenizer)
    assert without(bare, own) is None  # nothing would be left
    again = without(encoded, words)
    assert again.features["input_ids"] == [
        i for k, i in enumerate(encoded.features["input_ids"]) if k not in (2, 7)
    ]


def test_a_pattern_speaks_for_the_label_it_was_mined_from_or_turns_inputs_to(attributor, right):
    (told,) = attack_model(attributor, right, [pattern(("bad", 0, 0.5))], seed=1).leans
    found = attack_model(attributor, right, [pattern(("bad", 0, 0.5))], seed=1, controls=False)
    turned = found.attacked[0].predicted[found.turned(found.attacked[0]) & (found.purpose != REPORT)]
    assert told["label"] == LABELS[int(np.bincount(turned).argmax())]
    (told,) = attack_model(attributor, right, [pattern(("bad", 0, 0.5), label="LABEL_2")], seed=1).leans
    assert told["label"] == "LABEL_2"


def test_inputs_that_a_pattern_comes_from_do_not_count_for_it(attributor):
    mined = mine_triggers(attributor, pairs(6))
    assert any(pattern.rows for pattern in mined)
    found = attack_model(attributor, pairs(), mined, controls=False)
    plain = evaluate_model(attributor.model, attributor.tokenizer, pairs())
    facts = found.to_json()
    assert facts["clean"]["accuracy"] == plain.accuracy
    for each, told in zip(found.attacked, facts["patterns"], strict=True):
        own = np.array([digest(row) in each.pattern.rows for row in pairs()])
        assert own.sum() == told["rows_left_out"] == len(each.pattern.rows) > 0
        right, rows = each.predicted == found.gold, ~own & (found.purpose == SCREEN)
        assert told["accuracy"] == right[rows].mean()
        assert told["n"] == rows.sum()
        assert told["drop"] == (found.clean == found.gold)[rows].mean() - told["accuracy"]
    assert [each["accuracy"] for each in facts["patterns"]] == sorted(
        each["accuracy"] for each in facts["patterns"]
    )
    everywhere = replace(mined[0], rows=tuple(map(digest, pairs())))
    with pytest.raises(InputError, match="from every row: attack other data"):
        attack_model(attributor, pairs(), [everywhere])


def test_shown_examples_are_turned_over(attributor, right):
    shown = attack_model(attributor, right, PATTERNS, controls=False).to_json()["examples"]
    assert {each["about"] for each in shown} >= {None}
    for each in shown:
        assert each["clean"] == each["gold"] != each["attacked"]
        tokens = [token for i, token in enumerate(each["tokens"]) if i not in each["inserted"]]
        assert tokens == ["[CLS]", *each["text"].split(), "[SEP]", *each["text_pair"].split(), "[SEP]"]


def test_what_cannot_be_attacked_is_said(attributor):
    with pytest.raises(InputError, match="all rows are labelled 'LABEL_1'"):
        attack_model(attributor, [Example("a", "film", "LABEL_1")] * 3, PATTERNS)
    with pytest.raises(InputError, match="no patterns"):
        attack_model(attributor, pairs(), [])
    with pytest.raises(InputError, match="no labels"):
        attack_model(attributor, [Example("a", "film")] * 3, PATTERNS)
    with pytest.raises(InputError, match="second text"):
        attack_model(attributor, pairs(single=True), PATTERNS)
    with pytest.raises(InputError, match="another tokenizer"):
        attack_model(attributor, pairs(), [pattern(("##ing", 0, 0.5))])
    single = Attributor(attributor.model, attributor.tokenizer)
    single.info = ModelInfo("single", None, None, None, None, None, False, pair=False)
    with pytest.raises(InputError, match="trained on single texts"):
        attack_model(single, pairs(), PATTERNS)


def test_progress_counts_the_inputs_of_every_pass(attributor):
    told = []
    attack_model(
        attributor, pairs(6), PATTERNS[:2], controls=False, progress=lambda *facts: told.append(facts)
    )
    assert told[-1] == (18, 18, "attacking")


# -- controls ------------------------------------------------------------------------------------------


def test_random_words_are_as_frequent_and_stand_at_the_same_places():
    rows = [Example("common odd", label="a")] * 20 + [Example("common usual other", label="b")] * 20
    found = word_controls(pattern(("common", 0, 0.25), ("odd", 0, 0.75)), rows, seed=3)
    again = word_controls(pattern(("common", 0, 0.25), ("odd", 0, 0.75)), rows, seed=3)
    assert found == again
    drawn = [control for control in found if control.kind == "random"]
    assert drawn
    for control in drawn:
        assert [t.position for t in control.pattern.tokens] == [0.25, 0.75]
        assert {t.token for t in control.pattern.tokens} == {"usual", "other"}
    frequent = {control.about: control.pattern for control in found if control.kind == "frequent"}
    # "common" is as frequent in each, but no commoner in it than in the other
    assert [t.token for t in frequent["b"].tokens] == ["other", "usual"]
    assert [t.token for t in frequent["a"].tokens] == ["odd", "common"]


def test_words_that_are_equally_rare_are_drawn_from_all_the_alphabet():
    """Most words occur once: the nearest in frequency are then any of them, not the first by name."""
    words = [first + second + "x" for first in "abcdefghij" for second in "abcdefghijklmnopqrst"]
    rows = [Example(word, label="ab"[i % 2]) for i, word in enumerate([*words, "own"])]
    drawn = {
        control.pattern.tokens[0].token
        for seed in range(20)
        for control in random_controls(pattern(("own", 0, 0.5)), rows, seed)
    }
    assert len(drawn) > 40  # 100 draws of 200 words; never more than 20 where the first by name are cut off
    assert {word[0] for word in drawn} == set("abcdefghij")


def test_every_pattern_has_a_random_one_of_its_own_that_can_be_used():
    """Else mining would have more tries than luck."""
    words = [f"{letter}x" for letter in "abcdefghijkl"]
    rows = [Example(word, label="ab"[i % 2]) for i, word in enumerate([*words, "own"])]
    mined = [pattern(("own", 0, 0.5), score=i) for i in range(6)]
    drawn = twins(mined, rows, 0, lambda each: each.tokens[0].token < "g")
    assert len({each.key for each in drawn}) == len(drawn) == 6
    assert {each.tokens[0].token for each in drawn} == set(words[:6])
    assert len(twins([*mined, *mined, *mined], rows)) == 12  # there are no more words


def test_a_word_that_gives_the_label_away_is_flagged():
    totals = {"bad": 500, "good": 500}
    words = pattern(("dull", 0, 0.2), ("the", 0, 0.4), ("rare", 0, 0.6), ("unseen", 0, 0.8))
    counts = ({"bad": 95, "good": 5}, {"bad": 210, "good": 200}, {"good": 1}, None)
    by_place = dict(zip([t.token for t in words.tokens], counts, strict=True))
    found = leaks(
        pattern(*[(t.token, t.segment, t.position) for t in words.tokens], label_totals=totals,
                label_counts=tuple(by_place[t.token] for t in words.tokens))
    )  # fmt: skip
    assert [(leak["token"], leak["label"], leak["flagged"]) for leak in found] == [
        ("dull", "bad", True), ("the", "bad", False), ("rare", "good", False)
    ]  # fmt: skip
    assert found[0]["share"] == 0.95
    assert found[0]["interval"] == wilson(95, 100)
    assert found[0]["pmi"] == pytest.approx(np.log2(1.9))


def test_a_leak_explains_a_flip_only_towards_its_label(attributor, right):
    def attacked(**facts):
        known = pattern(("bad", 0, 0.5), ("not", 1, 0.75), **facts)
        return attack_model(attributor, right, [known], controls=False).to_json()["patterns"][0]

    flips_to = attacked()["flips_to"]
    assert flips_to in LABELS
    assert attacked()["explained_by"] == []
    for label in LABELS:
        other = next(each for each in LABELS if each != label)
        counts = ({label: 90, other: 1}, {label: 5, other: 5})
        found = attacked(label_counts=counts, label_totals=dict.fromkeys(LABELS, 300))
        assert found["explained_by"] == (["bad"] if label == flips_to else [])


def test_first_order_gains_point_the_way_the_loss_goes(attributor):
    """The gain is the derivative of the loss along the change of an embedding."""
    encoded = encode(attributor.model, attributor.tokenizer, pairs(9))
    gold = np.arange(9) % 3
    pieces = [Piece(0, 0.5, 10), Piece(1, 0.5, 11)]
    gains = _gains(attributor, encoded, gold, pieces, 1, 64)
    weight = attributor.model.get_input_embeddings().weight
    before = weight.detach().clone()
    (start,) = _losses(attributor, encoded, gold, [pieces], 64)
    step, other = 1e-5, 20
    unused = pieces[1]._replace(id=59)  # a piece that no text has: its embedding is free to move
    with torch.no_grad():
        weight[59] = before[11] + step * (before[other] - before[11])
    try:
        (moved,) = _losses(attributor, encoded, gold, [[pieces[0], unused]], 64)
    finally:
        with torch.no_grad():
            weight.copy_(before)
    assert (moved - start) / step == pytest.approx(gains[other] - gains[11], rel=1e-2, abs=1e-5)


def test_the_universal_trigger_raises_the_loss_and_is_seeded(attributor):
    encoded = encode(attributor.model, attributor.tokenizer, pairs())
    gold = np.zeros(24, int)
    slots = [Piece(0, 0.3, 5), Piece(1, 0.8, 5)]
    found = universal_trigger(attributor, encoded, gold, slots, longest=64, seed=1)
    assert found == universal_trigger(attributor, encoded, gold, slots, longest=64, seed=1)
    assert [(t.segment, t.position) for t in found.tokens] == [(0, 0.3), (1, 0.8)]
    assert all(t.token.isalpha() for t in found.tokens)
    the = attributor.tokenizer.convert_tokens_to_ids("the")
    trials = [[slot._replace(id=the) for slot in slots], pieces_of(found, attributor.tokenizer)]
    start, end = _losses(attributor, encoded, gold, trials, 64)
    assert end > start


def test_controls_are_measured_like_the_patterns(attributor, measured):
    controls = measured.to_json()["controls"]
    kinds = {(control["kind"], control["about"]) for control in controls}
    assert {("universal", label) for label in LABELS} | {("frequent", label) for label in LABELS} <= kinds
    assert any(control["kind"] == "random" for control in controls)
    worst = measured.attacked[measured.worst(k=1)[0]].pattern
    for control, each in zip(controls, measured.controls, strict=True):
        assert [t["position"] for t in control["tokens"]] == [t.position for t in worst.tokens]
        report = measured.purpose == REPORT
        assert control["report"]["accuracy"] == (each.predicted == measured.gold)[report].mean()
        assert control["report"]["n"] == 9


# -- commands ------------------------------------------------------------------------------------------


@pytest.fixture
def files(attributor, tmp_path, monkeypatch):
    monkeypatch.setattr(options.TheModel, "attributor", lambda self: attributor)
    rows = [f"{e.text}\t{e.text_pair}\t{e.label}" for e in pairs()]
    (tmp_path / "data.tsv").write_text("\n".join(["sentence1\tsentence2\tlabel", *rows]))
    (tmp_path / "patterns.jsonl").write_text("".join(p.line() for p in PATTERNS))
    return tmp_path


def invoke(*arguments):
    return commands.run("triggers", *arguments)


def test_attack_shows_a_table_and_writes_the_figures(files, attributor):
    patterns = ("--patterns", files / "patterns.jsonl", "-m", "x")
    outcome = invoke("attack", files / "data.tsv", *patterns, "--json", files / "a.json", "--seed", 1)
    assert outcome.exit_code == 0, outcome.output
    for word in ("clean", "top-1", "top-2", "top-3", "random", "frequent", "universal"):
        assert word in outcome.stdout
    assert invoke("attack", files / "data.tsv", *patterns, "--seed", 1).stdout == outcome.stdout
    facts = json.loads((files / "a.json").read_text())
    assert (
        facts["clean"]["accuracy"] == evaluate_model(attributor.model, attributor.tokenizer, pairs()).accuracy
    )
    outcome = invoke("attack", files / "data.tsv", *patterns, "--json", "-", "--no-controls", "--limit", 9)
    printed = json.loads(outcome.stdout)
    assert printed["rows"] == 9
    assert printed["controls"] == []


def test_attack_says_what_is_wrong(files):
    (files / "one.tsv").write_text("sentence1\tsentence2\tlabel\na\tfilm\tLABEL_1\nthe\tfilm\tLABEL_1")
    (files / "other.jsonl").write_text(Pattern((PatternToken(0, 0.5, "Ġmath"),), pieces=True).line())
    for data, patterns, words in (
        ("one.tsv", "patterns.jsonl", "all rows are labelled"),
        ("data.tsv", "other.jsonl", "another tokenizer"),
        ("data.tsv", "none.jsonl", "cannot read"),
    ):
        outcome = invoke("attack", files / data, "-m", "x", "--patterns", files / patterns)
        assert outcome.exit_code == 2
        assert words in outcome.stderr
        assert outcome.stdout == ""


# -- the report ----------------------------------------------------------------------------------------


@pytest.fixture
def attack_file(files, attributor, right):
    found = attack_model(attributor, right, PATTERNS, seed=1)
    path = files / "attack.json"
    path.write_text(json.dumps(signed(found.to_json() | {"data": "d.tsv"})))
    return path


def test_the_table_has_what_was_reported(attack_file, files):
    facts = json.loads(attack_file.read_text())
    table = rows_of(facts)
    assert table[0].name == "clean" and table[0].per_class == facts["worst"]["clean"]["per_class"]
    assert [row.name.split(":")[0] for row in table[1:5]] == ["top-1", "top-2", "top-3", "any of the 3"]
    assert table[1].accuracy == facts["worst"]["overall"][0]["accuracy"]
    drawn = [c["report"]["accuracy"] for c in facts["controls"] if c["kind"] == "random"]
    (mean,) = [row.accuracy for row in table if row.name.startswith("random words")]
    assert mean == pytest.approx(np.mean(drawn))
    for suffix in ("html", "md"):
        outcome = invoke("report", attack_file, "--out", files / f"r.{suffix}")
        assert outcome.exit_code == 0, outcome.output
    lines = (files / "r.md").read_text().splitlines()
    rows = list(itertools.takewhile(lambda line: line.startswith("|"), lines[2:]))
    assert len(rows) == len(table) + 2
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_what_is_beyond_chance_is_in_the_table_and_on_the_page(attack_file):
    facts = json.loads(attack_file.read_text())
    cost, leans = cost_rows(facts), leaning_rows(facts)
    assert [row[0] for row in cost] == ["all", *LABELS]
    ahead = facts["luck"]["ahead"]["per_class"]["LABEL_1"]
    said = f"{100 * ahead['mean']:.1f} (n {ahead['n']})"
    assert cost[2][3] == said and ahead["n"] < 10
    assert len(leans) == len(facts["leans"]) > 0
    assert f"n {facts['leans'][0]['inserted']['n']})" in leans[0][2]
    told = Tags()
    told.feed(page(facts))
    for text in (markdown(facts), told.text):
        assert (
            said in text
            and COST_SAID.format(number="4 ") in text
            and LEANS_SAID in text
            and leans[0][3] in text
        )


def test_a_file_of_before_has_no_such_tables(attack_file):
    facts = json.loads(attack_file.read_text())
    del facts["luck"], facts["leans"], facts["worst"]["lost"]
    assert cost_rows(facts) == leaning_rows(facts) == []
    assert "ahead of them" not in markdown(facts) and "Beyond chance" not in page(facts)


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text, self.attributes = [], set(), "", []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_closed_in_and_escapes_what_it_is_given(attack_file, files, attributor):
    facts = json.loads(attack_file.read_text())
    evil = "<script>alert(1)</script>"
    facts["examples"][0]["tokens"][1] = facts["labels"][0] = facts["model"]["name"] = evil
    for table in (facts["clean"], facts["worst"]["clean"], facts["worst"]["any_of_overall"]):
        table["per_class"] = {evil: 0.5, **table["per_class"]}
    facts["worst"]["per_class"][evil] = facts["worst"]["per_class"]["LABEL_0"]
    for of in [
        *facts["worst"]["overall"],
        *(of for some in facts["worst"]["per_class"].values() for of in some),
    ]:
        of["per_class"] = {evil: 0.5, **of["per_class"]}
    for by in (facts["worst"]["lost"], facts["luck"]["lost"], facts["luck"]["ahead"]):
        by["per_class"][evil] = by["overall"]
    for control in facts["controls"]:
        control["report"]["per_class"] = {evil: 0.5, **control["report"]["per_class"]}
    facts["patterns"][0]["leaks"] = []
    text = page(facts)
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert "script" not in tags.seen
    assert evil in tags.text
    policy = next(value for _, value in tags.attributes if value and "default-src" in value)
    assert policy.startswith("default-src 'none'")
    assert not any(k in ("style", "src", "href") or k.startswith("on") for k, _ in tags.attributes)
    style = text.split("<style>")[1].split("</style>")[0]
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy


def test_the_report_shows_attributions_of_the_attacked_model(attack_file, files, attributor):
    outcome = invoke("report", attack_file, "--out", files / "r.html", "-m", "x")
    assert outcome.exit_code == 0, outcome.output
    text = (files / "r.html").read_text()
    assert "Strongest edges, before" in text and "Strongest edges, after" in text
    shown = json.loads(attack_file.read_text())["examples"][0]
    known = explained(json.loads(attack_file.read_text()), attributor)["examples"][0]
    expected = attributor.attribute(shown["text"], shown["text_pair"]).top_edges(4, positive_only=True)
    assert [edge["score"] for edge in known["edges_before"]] == [edge.score for edge in expected]
    other = json.loads(attack_file.read_text())
    other["model"] |= {"digest": "1", "parameters": "1"}
    with pytest.raises(InputError, match="another model"):
        explained(other, attributor)


def test_an_attack_of_two_rows_is_reported(files, attributor):
    found = attack_model(attributor, pairs(2), PATTERNS)
    facts = found.to_json() | {"data": "d.tsv"}
    assert facts["worst"]["report_rows"] == 0
    (files / "two.json").write_text(json.dumps(signed(facts)))
    for out in ("two.md", "two.html"):
        outcome = invoke("report", files / "two.json", "--out", files / out)
        assert outcome.exit_code == 0, outcome.output
    assert "| clean | – (n 0) | – | – | – |" in (files / "two.md").read_text()


def strange(attack_file):
    """Edges of an example, which only `explained` may write, in a file of before checksums."""
    facts = json.loads(attack_file.read_text())
    facts["examples"] = [*facts["examples"], facts["examples"][0] | {"edges_before": [{"query": "x"}]}]
    return json.dumps({name: value for name, value in facts.items() if name != "sha256"})


def test_a_report_of_something_else_is_refused(files, attack_file):
    facts = json.loads(attack_file.read_text())
    facts["worst"]["report_rows"] += 1
    for content, code, words in (
        ("nonsense", 1, "not what"), ("[]", 2, "no attack"), ('{"schema_version": "9"}', 2, "no attack"),
        (json.dumps(facts), 1, "checksum differs"), (strange(attack_file), 1, "damaged"),
    ):  # fmt: skip
        (files / "x").write_text(content)
        outcome = invoke("report", files / "x", "--out", files / "r.md")
        assert outcome.exit_code == code
        assert outcome.stderr.startswith("Error: ") and words in outcome.stderr
    outcome = invoke("report", attack_file, "--out", files / "r2.md", "--model", "x")
    assert outcome.exit_code == 2 and "a table shows none" in outcome.stderr
    for suffix in ("pdf", "csv", "json"):
        outcome = invoke("report", attack_file, "--out", files / f"r.{suffix}")
        assert outcome.exit_code == 2 and "in the JSON that `attack` wrote" in outcome.stderr
        assert not (files / f"r.{suffix}").exists()
