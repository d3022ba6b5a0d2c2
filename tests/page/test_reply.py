"""The page's data of a generation: its texts word by word, its sources, what is left out of a large one."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

import attattr
import chats
import families
import handmade
import pages
import tiny
from attattr.page import data
from attattr.page.generation import generation

REPLY = "good film man is bad"


@pytest.fixture(scope="module")
def chat():
    lm = attattr.Attributor(tiny.llama(), chats.tokenizer())
    return lm.attribute_generation(
        chats.CHAT, continuation=REPLY, spans=[(0, 9), (10, 20)], sources=chats.DOCUMENTS, n_steps=1
    )


def inflated(span: data.SpanFacts) -> dict:
    assert span.report is not None
    return json.loads(zlib.decompress(base64.b64decode(span.report)))


def test_prompt_and_reply_are_there_to_the_letter_with_their_tokens(chat):
    facts = generation(chat)
    assert "".join(facts.prompt.text) == chat.prompt and "".join(facts.words.text) == chat.reply
    axis = chat.spans[0].attribution.axes["input"].tokens
    for text, tokens in zip(facts.prompt.text, facts.prompt.tokens, strict=True):
        names = "".join(axis[i].strip() for i in tokens)
        assert names in ("", text) or "[UNK]" in names, (text, tokens)
    own = [i for tokens in facts.prompt.tokens for i in tokens]
    assert own == sorted(own) and len(own) == len(axis) - len(chat.tokens) + 1
    reply = [i for tokens in facts.words.tokens for i in tokens]
    assert reply == list(range(len(own), len(axis)))  # its last token is read by none
    for number, turn in enumerate(chat.turns):
        said = [text for text, of in zip(facts.prompt.text, facts.prompt.turn, strict=True) if of == number]
        assert "".join(said) == chat.prompt[turn.start : turn.end]
    assert facts.turns == ["system", "user"]


def test_a_block_is_the_tokens_that_are_taken_out(chat):
    facts = generation(chat)
    for number, source in enumerate(chat.sources):
        own = [
            i
            for tokens, of in zip(facts.prompt.tokens, facts.prompt.source, strict=True)
            for i in tokens
            if of == number
        ]
        assert own == list(source.tokens) == facts.sources[number]
    for number, span in enumerate(chat.spans):
        said = [text for text, of in zip(facts.words.text, facts.words.span, strict=True) if of == number]
        assert "".join(said) == span.text
        effect = [np.nan if value is None else value for value in facts.spans[number].effect]
        np.testing.assert_allclose(effect, chat.effect[number], rtol=1e-6)
    assert facts.columns[-1] == "reply so far" and facts.spans[0].score[-1] is None


def test_each_span_brings_the_report_of_its_attribution(chat):
    for span, facts in zip(chat.spans, generation(chat).spans, strict=True):
        report = inflated(facts)
        assert report["target"]["label"] == span.text and report["target"]["output"] == "log probability"
        strongest = span.attribution.top_edges(1)[0]
        assert report["edges"]["score"][0] == pytest.approx(strongest.score)
        assert report["texts"] == [chat.prompt.replace("\n", "\\n"), chat.reply]
        data.Report.model_validate(report)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_of_an_encoder_decoder_the_prompt_is_the_encoders(name):
    lm = attattr.Attributor(families.FAMILIES[name].model(), chats.tokenizer())
    made = lm.attribute_generation(
        chats.TEXT, continuation="good film man", contrast="nobody sleeps", n_steps=1
    )
    facts = generation(made)
    axes = made.spans[0].attribution.axes
    assert "".join(facts.prompt.text) == chats.TEXT
    assert max(i for tokens in facts.prompt.tokens for i in tokens) < len(axes["input"].tokens)
    of = [axes["output"].tokens[i] for tokens in facts.words.tokens for i in tokens]
    assert [token.strip() for token in of] == ["good", "film"]
    assert facts.contrast is not None and facts.contrast_words is not None
    assert "".join(facts.contrast_words.text) == "nobody sleeps"
    assert facts.contrast.effect == facts.spans[0].effect and facts.value == pytest.approx(made.value)


def test_what_has_no_room_is_left_out_and_said():
    made = handmade.generation()
    whole = generation(made)
    first = len(whole.spans[0].report or "")
    some = generation(made, first + 10)
    assert some.spans[0].report == whole.spans[0].report and some.spans[1].report is None
    assert some.spans[1].effect == whole.spans[1].effect
    assert any("edges of 1 span of 2 are left out" in note for note in some.notes) and not whole.notes


def test_a_page_of_many_spans_keeps_to_its_room():
    result = replace(pages.random_result(30, layers=2, heads=2), text=None)
    span = replace(handmade.generation().spans[0], attribution=result)
    spans = tuple(replace(span, tokens=(i % 3, i % 3 + 1)) for i in range(9))
    made = handmade.generation(spans=spans, score=np.zeros((9, 3)), effect=np.full((9, 3), np.nan))
    whole = generation(made)
    size = len(whole.spans[0].report or "")
    some = generation(made, 4 * size)
    kept = [len(each.report or "") for each in some.spans]
    assert 0 < sum(kept) <= 4 * size and 0 in kept
    assert any(f"edges of {kept.count(0)} spans of 9 are left out" in note for note in some.notes)
    assert any("not measured" in note for note in whole.notes)


def test_what_was_written_is_text_and_nothing_else():
    bad = "</script><script>alert(1)</script>\u202e"
    made = handmade.generation(
        prompt=bad + "x" * 40, columns=(bad, "second", "reply so far"), model={"name": bad, "revision": None}
    )
    page = made.to_html()
    assert page.count("<script") == 2 and "\u202e" not in page


def test_a_reply_that_was_cut_says_so(chat):
    assert any("cut at 5 tokens" in note for note in generation(replace(chat, stopped="length")).notes)
