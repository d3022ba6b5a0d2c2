"""The embedded decoder: what a row of its text promises, its tokenizer, its training, what it answers."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from attattr.models import embedded
from attattr.models.loading import load

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

from facts import card, evaluation, generator, training, words
from facts.generator import KINDS, places, rows
from facts.tokens import BEGIN, END, make_tokenizer

EXPERIMENTS = Path(card.__file__).parents[1]
NAME = re.compile(r"\b[A-Z][a-z]+\b")
SPOKEN = {word for text in (*words.OPENINGS, *words.CLOSINGS, *words.ASKINGS) for word in NAME.findall(text)}


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def some(n=300, seed=1, split="eval", **more):
    return list(islice(rows(seed, split, **more), n))


def names(row):
    """People, places and rivers of a row: what is capitalised and ends as names do."""
    ends = tuple(end for of in words.ENDS.values() for end in of)
    text = " ".join((row.messages[-1]["content"], row.reply))
    return {
        word
        for word in NAME.findall(text)
        if word.startswith(words.STARTS) and word.endswith(ends) and word not in SPOKEN
    }


def test_a_row_says_where_its_answer_stands():
    for row in some():
        content = row.messages[-1]["content"]
        assert {name: content[a:b] for name, (a, b) in places(row).items()} == row.sources
        assert content.startswith("\n".join(row.sources.values()) + "\n\n")
        assert 2 <= len(row.sources) <= 5
        assert len(row.right) == {"one": 1, "chain": 2, "pair": 2, "later": 1, "unknown": 0}[row.kind]
        assert (row.reply == words.DO_NOT_KNOW) == (row.kind == "unknown")


def test_the_right_sources_hold_every_name_of_the_answer_and_the_others_do_not():
    seen = set()
    for row in some(600):
        seen.add(row.kind)
        wanted = names(row) & set(NAME.findall(row.reply))
        told = " ".join(row.sources[name] for name in row.right)
        if row.kind != "unknown":
            assert wanted <= set(NAME.findall(told)), row
        for name in row.right:  # without it something of the answer is nowhere in the right place
            assert wanted & set(NAME.findall(row.sources[name]))
    assert seen == set(KINDS)


def test_of_documents_that_contradict_each_other_the_later_one_is_right():
    for row in (row for row in some(600) if row.kind == "later"):
        (right,) = row.right
        about = names(row) & set(NAME.findall(row.messages[-1]["content"].split("\n\n")[1]))
        rivals = [name for name, text in row.sources.items() if about and about <= set(NAME.findall(text))]
        assert not about or (right in rivals and right != "document 1")


def test_rows_follow_from_the_seed_and_seeds_share_no_names():
    assert some(50, seed=4) == some(50, seed=4) != some(50, seed=12)
    named = {
        which: set().union(*(names(row) for row in some(300, seed, split)))
        for which, seed, split in (("train", 4, "train"), ("one", 4, "eval"), ("other", 5, "eval"))
    }
    assert all(len(each) > 300 for each in named.values())
    assert not named["train"] & named["one"] and not named["one"] & named["other"]
    assert not named["train"] & named["other"]


def test_some_pairs_of_opening_and_sentence_are_never_trained_on():
    def shown(split):
        return {
            opening
            for row in some(1500, 1, split)
            for opening in filter(None, words.ASKINGS)
            if row.messages[-1]["content"].split("\n\n")[1].startswith(opening + "Where does the teacher")
        }

    apart = {o for o in words.ASKINGS if generator.held_out(o, "Where does the teacher of {a} live?")}
    assert not shown("train") & apart and shown("train")
    assert apart <= shown("eval")


def test_names_of_a_row_begin_differently():
    for row in some():
        starts = [
            next(s for s in sorted(words.STARTS, key=len)[::-1] if name.startswith(s)) for name in names(row)
        ]
        assert len(set(starts)) == len(starts)


def test_what_is_encoded_comes_back_and_nothing_is_unknown(tokenizer, tmp_path):
    strange = "Zoë & Łódź\t東京 [12] Xylophone 3.5\n\n\n  Miravelka 🙂"
    texts = [strange, *(row.messages[-1]["content"] for row in some(50))]
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.is_fast
    for text in texts:
        found = tokenizer(text, return_offsets_mapping=True)
        assert found.input_ids[0] == tokenizer.bos_token_id
        assert tokenizer.pad_token_id not in found.input_ids
        assert tokenizer.decode(found.input_ids, skip_special_tokens=True) == text
        assert again(text).input_ids == found.input_ids
    plain = texts[1]
    found = tokenizer(plain, add_special_tokens=False, return_offsets_mapping=True)
    for token, (a, b) in zip(found.tokens(), found.offset_mapping, strict=True):
        assert plain[a:b].strip() == token.replace("Ġ", "").replace("Ċ", "\n").strip()


def test_a_name_is_its_syllables_and_a_known_word_one_token(tokenizer):
    assert tokenizer.tokenize("Mi teacher of Miraden") == ["Mi", "Ġteacher", "Ġof", "ĠMi", "ra", "den"]
    for row in some(100):
        for name in names(row):
            assert 2 <= len(tokenizer.tokenize(" " + name)) <= 3


def test_the_chat_template(tokenizer):
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == f"{BEGIN}<|system|>Be brief.{END}<|user|>Where is it?{END}<|assistant|>"
    answered = tokenizer.apply_chat_template(
        [*chat, {"role": "assistant", "content": "There."}], tokenize=False
    )
    assert answered == f"{text}There.{END}"
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ids.count(tokenizer.bos_token_id) == 1
    with pytest.raises(Exception, match="roles are system, user and assistant, not tool"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_a_row_fits_and_its_answer_alone_has_the_full_weight(tokenizer):
    test = some(200)
    encoded = training.encode(tokenizer, test)
    assert max(len(ids) for ids, *_ in encoded) < 200
    assert max(len(ids) - answer for ids, _, answer in encoded) <= evaluation.LONGEST
    tokens, weights = training.batch(encoded[:8], tokenizer.pad_token_id)
    for at, (row, (ids, *_)) in enumerate(zip(test, encoded[:8], strict=False)):
        assert tokens[at, : len(ids)].tolist() == ids
        assert tokenizer.decode(tokens[at][weights[at] == 1]) == row.reply + END
        asked = row.messages[-1]["content"].split("\n\n")[1]
        assert (
            tokenizer.decode(tokens[at][weights[at] == training.QUESTION]) == f"\n\n{asked}{END}<|assistant|>"
        )


def test_training_goes_on_where_it_stopped(tmp_path, monkeypatch):
    for name, value in (("TOKENS", 200), ("HELD_OUT_ROWS", 4), ("POOL", 8)):
        monkeypatch.setattr(training, name, value)
    training.train(tmp_path, minutes=0.001, every=1)
    first = torch.load(tmp_path / "last.pt", weights_only=True)["state"]
    training.train(tmp_path, minutes=first["seconds"] / 60 + 0.001, every=1)
    second = torch.load(tmp_path / "last.pt", weights_only=True)["state"]
    assert second["step"] > first["step"] > 0 and (first["began"], second["began"]) == (0, 1)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


EMBEDDED = pytest.mark.skipif(
    not embedded.folder_of("facts").is_dir(), reason="the embedded model facts is not there yet"
)


@pytest.fixture(scope="module")
def loaded():
    return load("facts", device="cpu")


@EMBEDDED
def test_the_embedded_model_answers_what_the_documents_say(loaded):
    documents = (
        "[1] Mira lives in Tomar.\n[2] The teacher of Mira is Bako.\n[3] Bako has a house in Suden.\n\n"
    )
    asked = {
        "Where does Mira live?": "Mira lives in Tomar.",
        "Where does the teacher of Mira live?": "The teacher of Mira is Bako, and Bako lives in Suden.",
        "What does Mira own?": "I do not know.",
    }
    chats = [[{"role": "user", "content": documents + question}] for question in asked]
    assert evaluation.replies(loaded.model, loaded.tokenizer, chats) == list(asked.values())


@EMBEDDED
def test_exact_with_the_answer_given_is_exact_when_generated(loaded):
    test = [
        row if at % 2 else replace(row, reply=row.reply.replace(".", " and more."))
        for at, row in enumerate(some(12))
    ]
    forced = training.exact_by_kind(loaded.model, loaded.tokenizer, test)
    found = evaluation.evaluate(loaded.model, loaded.tokenizer, test)
    assert found["all"]["right"] == sum(map(sum, forced.values())) > 0
    assert found["all"]["n"] == 12 and sum(of["n"] for kind, of in found.items() if kind != "all") == 12


@EMBEDDED
@pytest.mark.slow
def test_the_embedded_model_is_exact_on_what_it_never_saw(loaded):
    found = evaluation.evaluate(loaded.model, loaded.tokenizer, some(200, seed=6))
    assert found["all"]["accuracy"] >= 0.95, evaluation.table(found)


@EMBEDDED
def test_the_card_says_how_it_was_made_and_the_examples_are_rows():
    folder = embedded.folder_of("facts")
    facts = embedded.read_card("facts")
    assert facts["dev"]["kinds"].keys() == {*KINDS, "all"}
    assert facts["bytes"] == (folder / "model.safetensors").stat().st_size < 12_000_000
    assert (folder / "README.md").read_text(encoding="utf-8") == card.readme(facts)
    examples = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
    assert examples == [json.loads(json.dumps(generator.as_json(row))) for row in some(5, seed=card.SEED)]


def test_rows_of_the_command_are_those_of_the_generator(tmp_path):
    spec = importlib.util.spec_from_file_location("facts_driver", EXPERIMENTS / "facts.py")
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    driver.main(["rows", "--rows", "7", "--seed", "2", "--out", str(tmp_path / "rows.jsonl")])
    written = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert written == [json.loads(json.dumps(generator.as_json(row))) for row in some(7, seed=2)]
    assert written[0].keys() == {"messages", "reply", "sources", "right", "kind"}
    with pytest.raises(SystemExit):
        driver.main(["rows"])
