"""Prompts, sources and spans: which characters and which tokens they are, and what is refused."""

from __future__ import annotations

import pytest

import attattr
import chats
import tiny
from attattr import InputError
from attattr.generation import reply as replies
from attattr.generation.prompt import _chat, read_prompt
from attattr.generation.sources import find
from attattr.generation.spans import cut, sentences
from attattr.result.generation import REPLY


@pytest.fixture(scope="module")
def lm():
    return attattr.Attributor(tiny.gpt2(), chats.tokenizer())


def words(prompt, source):
    tokens = prompt.encoded.axes["input"].tokens
    return [tokens[i] for i in source.tokens]


def test_a_chat_is_read_in_the_template_with_one_first_token(lm):
    prompt = read_prompt(lm.model, lm.tokenizer, chats.CHAT)
    assert prompt.text == lm.tokenizer.apply_chat_template(
        chats.CHAT, tokenize=False, add_generation_prompt=True
    )
    ids = prompt.encoded.features["input_ids"]
    assert ids == lm.tokenizer.apply_chat_template(chats.CHAT, add_generation_prompt=True)["input_ids"]
    assert ids.count(2) == 1 and ids[0] == 2
    axis = prompt.encoded.axes["input"]
    assert axis.special[0] and axis.segments[0] is None and not axis.special[2]
    assert [prompt.text[turn.start : turn.end] for turn in prompt.turns] == [m["content"] for m in chats.CHAT]


@pytest.mark.parametrize("said", ["s", "user", "film", " film ", "<user> user"])
def test_what_is_said_is_not_looked_for_in_the_templates_own_words(said):
    shown = (
        chats.TEMPLATE.replace("m.content", "m.content | trim") if said.startswith(" ") else chats.TEMPLATE
    )
    messages = [{"role": "system", "content": "the film"}, {"role": "user", "content": said}]
    tokenizer = chats.tokenizer(shown)
    text, (system, user) = _chat(tokenizer, messages)
    assert text[system.start : system.end] == "the film"
    assert text[: user.start].endswith("[EOS]\n<user> ") and text[user.start :].startswith(said.strip())
    assert text[user.end :].lstrip().startswith("[EOS]")


def test_what_messages_have_besides_goes_to_the_template():
    shown = "{% for m in messages %}{{ m.name | default('nobody') }}: {{ m.content }}\n{% endfor %}"
    messages = [
        {"role": "user", "content": "good", "name": "man"},
        {"role": "user", "content": "", "name": None},
    ]
    text, _ = _chat(chats.tokenizer(shown), [*messages, {"role": "user", "content": "bad"}])
    assert text == "man: good\nnobody: \nnobody: bad\n"
    with pytest.raises(InputError, match="does not take these messages"):
        _chat(chats.tokenizer("{{ messages[0].content + 1 }}"), chats.CHAT)


def test_line_ends_of_windows_in_a_source(lm):
    prompt = read_prompt(lm.model, lm.tokenizer, chats.TEXT)
    (found,) = find(prompt, {"two": "is fine\r\n\r\na man"})
    assert prompt.text[found.start : found.end] == "is fine\n\na man"


def test_a_text_is_taken_as_it_is_with_one_first_token(lm):
    for text in ("the film is fine", "[CLS] the film is fine"):
        prompt = read_prompt(lm.model, lm.tokenizer, text)
        assert prompt.encoded.features["input_ids"] == [2, 5, 7, 8, 9] and not prompt.turns


def test_sources_by_text_and_by_place(lm):
    prompt = read_prompt(lm.model, lm.tokenizer, chats.CHAT)
    found = find(prompt, {"two": chats.DOCUMENTS["two"], "first": (7, 20)})
    assert [source.name for source in found] == ["first", "two"]  # as they stand in the prompt
    assert words(prompt, found[1]) == ["a", "man", "eats", "good"]
    assert prompt.text[found[1].start : found[1].end] == chats.DOCUMENTS["two"]


def test_sources_by_default(lm):
    prompt = read_prompt(lm.model, lm.tokenizer, chats.CHAT)
    assert [source.name for source in find(prompt, None)] == ["system", "user"]
    again = [*chats.CHAT, {"role": "assistant", "content": "good"}, {"role": "user", "content": "not bad"}]
    prompt = read_prompt(lm.model, lm.tokenizer, again)
    assert [source.name for source in find(prompt, None)] == ["system", "user 1", "assistant", "user 2"]
    assert words(prompt, find(prompt, None)[3]) == ["not", "bad"]
    one = [{"role": "user", "content": "the film\n \n is fine\nand good"}]
    prompt = read_prompt(lm.model, lm.tokenizer, one)
    assert [words(prompt, s) for s in find(prompt, None)] == [["the", "film"], ["is", "fine", "and", "good"]]
    assert [s.name for s in find(prompt, None)] == ["paragraph 1", "paragraph 2"]
    prompt = read_prompt(lm.model, lm.tokenizer, "the film\nis fine")
    assert [(s.name, words(prompt, s)) for s in find(prompt, None)] == [
        ("line 1", ["the", "film"]),
        ("line 2", ["is", "fine"]),
    ]
    prompt = read_prompt(lm.model, lm.tokenizer, "the film is fine")
    assert [s.name for s in find(prompt, None)] == ["line 1"]


TWICE = "the film is fine\n\nthe film is bad"


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"a": "the man"}, "'a' is not in the prompt"),
        ({"a": " "}, "'a' is not in the prompt"),
        ({"a": "the film"}, "stands in the prompt 2 times: give its"),
        ({"a": "is fine", "b": "fine"}, "the sources 'a' and 'b' overlap"),
        ({"a": (0, 5), "b": (4, 8)}, "the sources 'a' and 'b' overlap"),
        ({"a": (0, 500)}, "each end of the source 'a' must be a whole number from 0 to"),
        ({"a": (5, 5)}, "the source 'a' is empty"),
        ({"a": (1, 2, 3)}, "is a text or"),
        ({"a": 3}, "the source 'a' must be a list"),
        ({"a": (1, 3)}, "the source 'a' holds no token"),
        ({REPLY: "is fine"}, "the name of a source"),
        ({"": "is fine"}, "the name of a source"),
        ({}, "the sources are names with the text of each"),
        (["is fine"], "the sources are names with the text of each"),
    ],
)
def test_sources_that_cannot_be(lm, sources, said):
    with pytest.raises(InputError, match=said):
        find(read_prompt(lm.model, lm.tokenizer, TWICE), sources)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "the prompt is empty"),
        (" \n", "the prompt is empty"),
        ([], "the prompt is empty"),
        ([{"role": "user", "content": ""}], "the prompt is empty"),
        ([{"role": "user"}], "lacks a role or a content"),
        ([{"role": "user", "content": ["x"]}], "lacks a role or a content"),
        ([{"role": "assistant", "content": "good"}], "give what it says as the continuation"),
        (["the film"], "a list of messages"),
        (3, "a list of messages"),
        ("the film " * 40, "the model takes 64 at most"),
        ("the film " * 31 + "is", "there is no room for a reply"),
    ],
)
def test_prompts_that_cannot_be(lm, prompt, said):
    with pytest.raises(InputError, match=said):
        lm.attribute_generation(prompt)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"continuation": ""}, "a text of at least one token"),
        ({"continuation": 3}, "a text of at least one token"),
        ({"continuation": "good " * 70}, "has 70 tokens, and the model takes 59 behind"),
        ({"continuation": "good", "contrast": " "}, "a text of at least one token"),
        ({"continuation": "good", "seed": 1}, "leave the seed out"),
        ({"max_new_tokens": 0}, "max_new_tokens must be a whole number from 1"),
        ({"seed": "x"}, "the seed must be"),
        ({"continuation": "good", "spans": "word"}, "choose one of whole, sentence, token"),
        ({"continuation": "good", "spans": []}, "there are no spans"),
        ({"continuation": "good", "spans": [(0, 9)]}, "each end of a span"),
        ({"continuation": "good", "spans": [(2, 2)]}, "is empty"),
        ({"continuation": "good", "spans": [(1, 2)]}, "holds no token"),
        ({"continuation": "good film", "spans": [(5, 9), (0, 9)]}, "from 0 to 9 and from 5 to 9 overlap"),
        ({"continuation": "good", "spans": [(1,)]}, "a span is"),
        ({"continuation": "good", "spans": 3}, "the spans must be a list"),
        ({"store": "all"}, "unknown store"),
        ({"progress": 3}, "progress must be a function"),
    ],
)
def test_options_that_cannot_be(lm, options, said):
    with pytest.raises(InputError, match=said):
        lm.attribute_generation("the film is fine", **options)


def test_a_chat_needs_a_template_that_shows_it(lm):
    plain = attattr.Attributor(lm.model, chats.tokenizer(None))
    with pytest.raises(InputError, match="has no chat template: put one beside"):
        plain.attribute_generation(chats.CHAT)
    refusing = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InputError, match="does not take these messages: roles must alternate"):
        attattr.Attributor(lm.model, chats.tokenizer(refusing)).attribute_generation(chats.CHAT)
    hiding = "{% for m in messages %}{{ m.content | upper }} {% endfor %}"
    with pytest.raises(InputError, match="does not show what the system says"):
        attattr.Attributor(lm.model, chats.tokenizer(hiding)).attribute_generation(chats.CHAT)


def test_without_places_of_characters_sources_are_refused(lm):
    slow = chats.tokenizer()
    prompt = read_prompt(lm.model, slow, "the film")
    slow_one = type("Slow", (), {"is_fast": False})()
    from attattr.generation.prompt import offsets_of

    assert offsets_of(slow_one, "the film", special=True) is None
    with pytest.raises(InputError, match="takes a fast one"):
        find(attattr.generation.prompt.Prompt(prompt.text, (), prompt.encoded, None), None)


def test_sentences():
    text = 'Ada lives in Rome. "Why?" Since 3.5 years…  No!\nOr yes\n\n是。不是。'
    parts = [text[a:b] for a, b in sentences(text)]
    assert parts == [
        "Ada lives in Rome. ",
        '"Why?" ',
        "Since 3.5 years…  ",
        "No!\n",
        "Or yes\n\n",
        "是。",
        "不是。",
    ]
    assert "".join(parts) == text


def test_every_token_is_of_one_sentence_whatever_it_begins_with():
    text = "Yes. No"
    offsets = [(0, 3), (3, 5), (5, 7)]  # the second: ". "
    assert cut(text, offsets, "sentence") == [(0, 4, (0, 2)), (5, 7, (2, 3))]
    assert cut(text, [(0, 4), (4, 7)], "sentence") == [(0, 4, (0, 1)), (5, 7, (1, 2))]  # " No"
    assert cut(" " + text, [(0, 5), (5, 8), (8, 8)], "sentence") == [(1, 5, (0, 1)), (6, 8, (1, 3))]
    assert cut("  ", [(0, 2)], "sentence") == [(0, 2, (0, 1))]


def test_bytes_of_a_character_are_one_place():
    """é is two tokens: the first adds no character, the second adds it; both are of its sentence."""
    tokenizer = chats.byte_tokenizer()
    ids = tuple(tokenizer("é. ü")["input_ids"])
    text, _, offsets = replies._decoded(tokenizer, ids)
    assert text == "é. ü" and len(ids) == 6
    assert offsets == [(0, 0), (0, 1), (1, 2), (2, 3), (3, 3), (3, 4)]
    assert [(text[a:b], tokens) for a, b, tokens in cut(text, offsets, "sentence")] == [
        ("é.", (0, 4)),
        ("ü", (4, 6)),
    ]
    half = replies._decoded(tokenizer, ids[:5])  # cut within a character
    assert sum(b - a for _, _, (a, b) in cut(half[0], half[2], "sentence")) == 5
