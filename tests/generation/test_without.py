"""A reply without some sources: against the table of effects, and masks of every edge, token by token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import attattr
import chats
import families
from attattr import InputError
from attattr.data.encoding import Encoded
from attattr.engine.capture import Capture
from attattr.generation import reply as replies
from attattr.generation import without as out_of
from attattr.generation.prompt import read_prompt
from attattr.measure.masks import Mask, masked_forward

pytestmark = pytest.mark.filterwarnings("ignore:the reply was cut")
WRITERS = ("llama", "gemma2", "t5", "bart")
REPLY = "good film man is very bad"


def writer(name: str) -> attattr.Attributor:
    return attattr.Attributor(families.FAMILIES[name].model(), chats.tokenizer())


@pytest.mark.parametrize("name", WRITERS)
def test_one_source_loses_what_the_table_says(name):
    lm = writer(name)
    made = lm.attribute_generation(chats.TEXT, continuation=REPLY, spans=[(0, 9), (10, 25)], n_steps=1)
    for place, source in enumerate(made.sources):
        out = attattr.without_sources(lm, made, [source.name], max_new_tokens=2)
        np.testing.assert_allclose(out.effect, made.effect[:, place], atol=1e-6)
        np.testing.assert_allclose(out.clean, [span.log_probability for span in made.spans], atol=1e-6)


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_instead_is_the_likeliest_token_each_time(name):
    """Of a forward of all that stands there, under a mask of every edge to the source's tokens."""
    lm = writer(name)
    made = lm.attribute_generation(chats.TEXT, max_new_tokens=4, spans="whole", n_steps=1)
    two = [source.name for source in made.sources[:2]]
    found = attattr.without_sources(lm, made, two, max_new_tokens=4)
    prompt = read_prompt(lm.model, lm.tokenizer, chats.TEXT)
    out = {token for source in made.sources[:2] for token in source.tokens}
    written: list[int] = []
    with Capture(lm.model) as capture:
        for _ in range(4):
            reply = replies.Reply("", (*written, 0), [], "given", replies.before(lm.model))
            encoded, axis, first = replies.extended(prompt, reply, lm.tokenizer)
            inputs = {name: torch.tensor([value]) for name, value in encoded.features.items()}
            recording = capture.record(inputs)
            edges = {}
            for site, number in enumerate(recording.sites):
                call = recording.site(number)
                kept = np.ones((1, call.query.shape[2], call.key.shape[2]), np.float32)
                if axis == "input" or call.kind != "decoder_self":
                    kept[:, :, sorted(out)] = 0
                edges[site] = kept
            outputs = masked_forward(capture, recording, inputs, [Mask(edges=edges)])
            logits = outputs.logits[0, first + len(written)]
            written.append(int(logits.argmax()))
    assert isinstance(encoded, Encoded)
    assert found.reply == lm.tokenizer.decode(written, clean_up_tokenization_spaces=False)
    assert found.stopped == "length"


@pytest.mark.parametrize("name", WRITERS)
def test_with_nothing_taken_out_it_is_the_reply(name):
    lm = writer(name)
    lm.model.generation_config.repetition_penalty = 1.5  # what the model's own config asks for holds, too
    prompt = read_prompt(lm.model, lm.tokenizer, chats.TEXT)
    tell = lambda *_: None  # noqa: E731
    plain = replies.written(lm.model, lm.tokenizer, prompt, 6, None, tell)
    assert out_of._instead(lm, prompt, (), 6, tell) == plain


def test_of_a_comparison_both_replies_are_read():
    lm = writer("llama")
    made = lm.attribute_generation(chats.TEXT, continuation=REPLY, contrast="man is bad", n_steps=1)
    found = attattr.without_sources(lm, made, ["paragraph 1"], max_new_tokens=1)
    assert found.clean.shape == (2,)
    assert found.clean[0] - found.clean[1] == pytest.approx(made.value, abs=1e-6)
    assert found.effect[0] - found.effect[1] == pytest.approx(made.effect[0, 0], abs=1e-6)


def test_what_cannot_be_taken_out_is_told():
    lm = writer("llama")
    made = lm.attribute_generation(chats.TEXT, continuation=REPLY, spans=[(0, 4)], n_steps=1)
    assert attattr.without_sources(lm, made, ["paragraph 1"], max_new_tokens=1).effect.shape == (1,)
    for wrong in (["nothing"], [], "paragraph 1"):
        with pytest.raises(InputError, match="source"):
            attattr.without_sources(lm, made, wrong)
    with pytest.raises(InputError, match="not the model"):
        attattr.without_sources(writer("gpt2"), made, ["paragraph 1"])
    other = replace(made, tokens=("bad", *made.tokens[1:]))
    with pytest.raises(InputError, match="cannot be found again"):
        attattr.without_sources(lm, other, ["paragraph 1"])


def test_facts_answers_otherwise_without_the_right_document():
    facts = attattr.Attributor.from_pretrained("facts")
    documents = {"one": "[1] Breko owns the golden violin.", "two": "[2] Tisa owns the old book."}
    ask = "\n".join(documents.values()) + "\n\nOne question: What does Tisa own?"
    chat = [{"role": "user", "content": ask}]
    made = facts.attribute_generation(chat, sources=documents, n_steps=1)
    assert made.reply == "Tisa owns the old book."
    right, wrong = (attattr.without_sources(facts, made, [name]) for name in ("two", "one"))
    assert "old book" not in right.reply and right.effect[0] > 2
    assert wrong.reply == made.reply and abs(wrong.effect[0]) < right.effect[0] / 4
    assert repr(right).count("\n") == 0
