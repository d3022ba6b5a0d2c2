"""A generation's numbers, computed another way: by continuations, dense scores, masks, shorter inputs."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
import transformers as t

import attattr
import chats
import families
import tiny
from attattr import InputError
from attattr.data.encoding import Encoded
from attattr.engine import batches
from attattr.engine.capture import Capture
from attattr.generation import explained
from attattr.generation import reply as replies
from attattr.generation.prompt import read_prompt
from attattr.measure.masks import Mask, measure
from attattr.report.generation import _exactness
from attattr.result.generation import REPLY
from attattr.targets.objective import Wish

WRITERS = ("llama", "gpt2", "gemma2", "t5", "bart")
REPLY_TEXT = "good film man is very bad"
CUTS = [(0, 9), (10, 25)]  # "good film", "man is very bad"


CUT = pytest.mark.filterwarnings("ignore:the reply was cut")


class Writer(attattr.Attributor):
    """Few nodes: what is compared is computed with the same ones."""

    def attribute_generation(self, prompt, **options):
        return super().attribute_generation(prompt, **{"n_steps": 1} | options)


def writer(name: str) -> Writer:
    return Writer(families.FAMILIES[name].model(), chats.tokenizer())


@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_reply_has_the_scores_of_the_continuation(name):
    lm = writer(name)
    expected = lm.attribute(chats.TEXT, target=REPLY_TEXT, n_steps=1)
    made = lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans="whole", store="dense")
    (span,) = made.spans
    assert span.log_probability == pytest.approx(expected.target.value, abs=1e-9)
    assert span.text == REPLY_TEXT
    for site, other in zip(span.attribution.sites, expected.sites, strict=True):
        np.testing.assert_allclose(site.scores, other.scores, atol=1e-6)
        assert site.completeness_gap == pytest.approx(other.completeness_gap, abs=1e-6)
    assert span.attribution.axes.keys() == expected.axes.keys()


@pytest.mark.parametrize("name", ["gemma2", "bart"])
def test_spans_add_up_and_each_is_the_continuation_of_what_stands_before_it(name):
    lm = writer(name)
    made = lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans=CUTS, store="dense")
    first, second = made.spans
    assert [span.text for span in made.spans] == ["good film", "man is very bad"]
    assert [span.tokens for span in made.spans] == [(0, 2), (2, 6)]
    alone = lm.attribute_generation(chats.TEXT, continuation="good film", spans="whole", store="dense")
    # gemma2 has its softmax and its norms in float32, which round otherwise for a text of another length
    assert first.log_probability == pytest.approx(alone.value, abs=1e-7)
    for site, other in zip(first.attribution.sites, alone.spans[0].attribution.sites, strict=True):
        own = site.scores[:, : other.scores.shape[1], : other.scores.shape[2]]
        np.testing.assert_allclose(own, other.scores, atol=1e-6)  # what is written later is not seen
        assert not site.scores[:, other.scores.shape[1] :].any()
    whole = lm.attribute(chats.TEXT, target=REPLY_TEXT, n_steps=1, layers=[0])
    assert first.log_probability + second.log_probability == pytest.approx(whole.target.value, abs=1e-9)
    assert made.token_log_probability.sum() == pytest.approx(whole.target.value, abs=1e-9)
    assert made.token_log_probability[:2].sum() == pytest.approx(first.log_probability, abs=1e-9)


def _by_hand(made: attattr.Generation, number: int, name: str) -> tuple[float, Mask]:
    """The score of a source, edge by edge from dense scores; and a mask of all edges to its keys."""
    span = made.spans[number]
    two_sided = "output" in span.attribution.axes
    written = "output" if two_sided else "input"
    start = 1 if two_sided else len(span.attribution.axes["input"].tokens) - len(made.tokens) + 1
    predicting = {start - 1 + i for i in range(*span.tokens)}
    of = {source.name: ("input", set(source.tokens)) for source in made.sources}
    of[REPLY] = (written, {start + i for i in range(span.tokens[0])})
    axis, tokens = of[name]
    total = 0.0
    masks: dict[int, np.ndarray] = {}
    for place, site in enumerate(span.attribution.sites):
        if site.key_axis != axis:
            continue
        masks[place] = np.ones(site.scores.shape)
        for query in range(site.scores.shape[1]):
            inside = site.query_axis == axis and query in tokens
            reads = site.query_axis == written and query in predicting
            for key in tokens:
                masks[place][:, query, key] = 0
                total += 0 if inside and not reads else site.scores[:, query, key].sum()
    return total, Mask(edges=masks)


@pytest.mark.parametrize("name", ["llama", "bart"])
def test_scores_and_effects_of_sources_edge_by_edge(name):
    """Of what is in the prompt, and of what was written before; on both sides of an encoder-decoder."""
    lm = writer(name)
    made = lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans=CUTS, store="dense")
    assert made.columns == ("paragraph 1", "paragraph 2", "paragraph 3", REPLY)
    assert np.isnan(made.score[0, 3]) and np.isnan(made.effect[0, 3])
    ids = lm.tokenizer(chats.TEXT)["input_ids"]
    words = lm.tokenizer(REPLY_TEXT, add_special_tokens=False)["input_ids"]
    before, first = {"input_ids": ids + words[:-1]}, len(ids) - 1
    if name == "bart":
        before, first = {"input_ids": ids, "decoder_input_ids": [2, *words[:-1]]}, 0
    for number in (0, 1):
        a, b = made.spans[number].tokens

        def value(outputs, a=a, b=b):
            logs = outputs.logits[:, first : first + len(words)].log_softmax(-1)
            return sum(logs[:, i, words[i]] for i in range(a, b))

        found = [_by_hand(made, number, source) for source in made.columns[: 3 + number]]
        scores = [score for score, _ in found]
        np.testing.assert_allclose(made.score[number, : 3 + number], scores, rtol=1e-6)
        clean, values = measure(lm, before, [mask for _, mask in found], target=value)
        np.testing.assert_allclose(made.effect[number, : 3 + number], clean - values, atol=1e-9)
        assert np.abs(clean - values).min() > 1e-4  # else nothing was tested


def test_a_prompt_position_from_which_the_reply_is_predicted_counts_as_reading():
    """The last paragraph ends where the first word of the reply is predicted: its own attention counts."""
    lm = writer("gpt2")
    made = lm.attribute_generation(chats.TEXT, continuation="good", spans="whole", store="dense")
    assert made.sources[-1].tokens[-1] == len(made.spans[0].attribution.tokens) - 1
    scores = [site.scores for site in made.spans[0].attribution.sites]
    own = list(made.sources[-1].tokens)
    expected = sum(float(each[:, own[-1], own].sum()) for each in scores)
    assert made.score[0, -1] == pytest.approx(expected, rel=1e-6)
    assert abs(expected) > 1e-4


def test_a_contrast_is_the_difference_of_two_replies():
    lm = writer("llama")
    other = "nobody sleeps"
    both = lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, contrast=other)
    first, second = (
        lm.attribute_generation(chats.TEXT, continuation=text, spans="whole") for text in (REPLY_TEXT, other)
    )
    assert len(both.spans) == 1 and both.contrast is not None and both.contrast.text == other
    assert both.value == pytest.approx(first.value - second.value, abs=1e-9)
    np.testing.assert_allclose(both.score, first.score - second.score, atol=1e-9)
    np.testing.assert_allclose(both.effect, first.effect - second.effect, atol=1e-9)
    assert both.worst_gap == max(first.worst_gap, second.worst_gap)
    with pytest.raises(InputError, match="a contrast is another whole reply"):
        lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, contrast=other, spans="token")


def test_with_a_contrast_the_logits_of_one_recording_are_held_at_a_time(monkeypatch):
    lm, held, record = writer("llama"), [], Capture.record

    def watched(*args):
        gc.collect()
        assert not any(each() is not None for each in held)
        recording = record(*args)
        held.append(weakref.ref(recording.outputs.logits))
        return recording

    monkeypatch.setattr(Capture, "record", watched)
    lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, contrast="bad woman not", n_steps=1)
    assert len(held) == 4


def test_of_many_sources_the_strongest_of_each_span_are_measured(monkeypatch):
    monkeypatch.setattr(explained, "MEASURED", 3)
    monkeypatch.setattr(explained, "STRONGEST", 2)
    made = writer("gpt2").attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans=CUTS)
    assert np.isfinite(made.effect).sum(1).tolist() == [3, 2]  # the first span has three sources
    strongest = set(np.argsort(-np.abs(made.score[1]))[:2])
    assert set(np.flatnonzero(np.isfinite(made.effect[1]))) == strongest


def test_with_a_contrast_both_replies_are_measured_without_the_same_sources(monkeypatch):
    lm = writer("gpt2")
    sources = {word: word for word in ("fine", "man", "eats", "good", "nobody", "sleeps")}

    def explain():
        return lm.attribute_generation(
            chats.TEXT, continuation="good film", contrast="bad woman not", sources=sources
        )

    every = explain()
    monkeypatch.setattr(explained, "MEASURED", 3)
    monkeypatch.setattr(explained, "STRONGEST", 2)
    some = explain()
    strongest = sorted(np.argsort(-np.abs(every.score[0]))[:2])
    assert np.flatnonzero(np.isfinite(some.effect[0])).tolist() == strongest
    np.testing.assert_allclose(some.effect[0, strongest], every.effect[0, strongest], atol=1e-9)


def test_the_store_that_was_used_is_told():
    made = writer("gpt2").attribute_generation(chats.TEXT, continuation="good", store="auto")
    assert made.options["store"] == made.spans[0].attribution.options["store"] == "dense"


def test_one_forward_takes_out_a_source_for_all_spans(monkeypatch):
    lm = writer("gpt2")
    counts = []
    under = explained.under

    def counted(batch, masks, *rest):
        counts.append(len(masks))
        return under(batch, masks, *rest)

    monkeypatch.setattr(explained, "under", counted)
    lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans="token")
    assert counts == [3 + 5]  # three paragraphs, and what stands before each token but the first


@pytest.mark.parametrize("most", [None, 2])
def test_one_clean_forward_serves_all_spans_and_what_is_taken_out(most, monkeypatch):
    lm = writer("gpt2")
    alone = lm.attribute_generation(
        chats.TEXT, continuation=REPLY_TEXT, spans="token"
    )  # found out once a model
    recorded, record = [], Capture.record

    def counted(self, inputs, share=1):
        recorded.append(len(inputs["input_ids"]))
        return record(self, inputs, share)

    monkeypatch.setattr(Capture, "record", counted)
    if most is not None:  # several batches of spans
        monkeypatch.setattr(batches, "of_gradients", lambda model, n: batches.budget_of(model) // (2 * most))
    made = lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans="token")
    assert recorded == [1]
    np.testing.assert_allclose(made.score, alone.score, atol=1e-9)
    np.testing.assert_allclose(made.effect, alone.effect, atol=1e-9)


@pytest.mark.parametrize("store", ["edges", "heads"])
def test_scores_of_sources_do_not_depend_on_the_store(store):
    lm = writer("llama")
    made, dense = (
        lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans=CUTS, store=each)
        for each in (store, "dense")
    )
    np.testing.assert_allclose(made.score, dense.score, rtol=1e-9)
    assert (made.spans[0].attribution.sites[0].edges is not None) == (store == "edges")


def test_a_first_look_is_not_said_to_be_an_integral_that_failed():
    lm = writer("gpt2")
    quick = {"continuation": REPLY_TEXT, "spans": CUTS, "method": "gradient", "n_steps": "auto"}
    made = lm.attribute_generation(chats.TEXT, **quick)
    assert str(_exactness(made)).startswith("Completeness: gradient × attention, no integral, from the zero")
    assert "not converged in some span" not in made.to_html()


def test_out_of_memory_halves_the_spans_and_changes_nothing(monkeypatch):
    from attattr.engine import job

    lm = writer("gpt2")
    whole = lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans="token")
    looked = job.looked_at

    def full(batch, *args, **options):
        if len(batch.value) > 2:
            raise MemoryError
        return looked(batch, *args, **options)

    monkeypatch.setattr(job, "looked_at", full)
    halved = lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans="token")
    np.testing.assert_allclose(halved.score, whole.score, atol=1e-9)


@CUT
@pytest.mark.slow  # for PEFT's import
def test_with_an_adapter_that_is_not_merged():
    import peft

    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, init_lora_weights=False)
    torch.manual_seed(0)
    model = peft.get_peft_model(tiny.llama(), config).eval()
    lm = Writer(model, chats.tokenizer())
    made = lm.attribute_generation(chats.TEXT, max_new_tokens=3, spans="whole")
    base = writer("llama").attribute_generation(chats.TEXT, continuation=made.reply, spans="whole")
    assert abs(made.value - base.value) > 1e-3
    with torch.no_grad():
        ids = torch.tensor([lm.tokenizer(chats.TEXT)["input_ids"]])
        expected = model.generate(input_ids=ids, max_new_tokens=3, do_sample=False, pad_token_id=0)[0]
    assert lm.tokenizer.decode(expected[ids.shape[1] :]) == made.reply


@CUT
def test_nothing_is_left_of_it_in_the_model():
    lm = writer("llama")
    lm.model.train()
    before = (lm.model.training, lm.model.config._attn_implementation, lm.model.generation_config.to_dict())
    lm.attribute_generation(chats.TEXT, max_new_tokens=2, seed=1)
    after = (lm.model.training, lm.model.config._attn_implementation, lm.model.generation_config.to_dict())
    assert before == after and all(p.requires_grad for p in lm.model.parameters())


@CUT
def test_progress_tells_what_is_done():
    told: list[tuple[int, int, str]] = []
    writer("gpt2").attribute_generation(
        chats.TEXT, max_new_tokens=2, progress=lambda *facts: told.append(facts)
    )
    assert list(dict.fromkeys(what for *_, what in told)) == ["writing", "attributing", "taking out"]
    assert told[-1][0] == told[-1][1]


def test_a_wish_that_says_where_it_stands_adds_no_tokens():
    lm = writer("gpt2")
    encoded = attattr.data.encoding.encode_text(lm.model, lm.tokenizer, "the film is fine", special=True)
    assert isinstance(encoded, Encoded)
    wish = Wish("continuation", (7, 8), "film is", "log_probability", at=(1, 2))
    (result,) = lm.attributed([encoded], [wish], attattr.engine.options.Options(
        None, "gausslegendre", 4, 1e-3, "zero", None, None, "heads"))  # fmt: skip
    logs = lm.model(torch.tensor([encoded.features["input_ids"]])).logits[0].log_softmax(-1)
    assert result.target.value == pytest.approx(float(logs[1, 7] + logs[2, 8]), abs=1e-9)
    assert len(result.tokens) == 5


def test_a_reply_that_is_cut_is_told():
    with pytest.warns(UserWarning, match="cut at 2 tokens.*: give more max_new_tokens"):
        writer("gpt2").attribute_generation(chats.TEXT, max_new_tokens=2, spans="whole")


def test_greedy_is_what_generate_says_and_a_seed_draws():
    lm = writer("llama")
    ids = torch.tensor([lm.tokenizer(chats.TEXT)["input_ids"]])
    expected = lm.model.generate(input_ids=ids, max_new_tokens=4, do_sample=False, pad_token_id=0)[0]
    prompt = read_prompt(lm.model, lm.tokenizer, chats.TEXT)

    def reply(seed):
        return replies.written(lm.model, lm.tokenizer, prompt, 4, seed, lambda *facts: None)

    greedy = reply(None)
    assert list(greedy.ids) == expected[ids.shape[1] :].tolist() and greedy.stopped == "length"
    state = torch.get_rng_state()
    drawn = {seed: reply(seed).ids for seed in (0, 1, 2)}
    assert torch.equal(state, torch.get_rng_state())
    assert len(set(drawn.values())) > 1 and reply(1).ids == drawn[1]


@CUT
def test_a_reply_ends_where_the_model_ends_it():
    lm = writer("llama")
    prompt = read_prompt(lm.model, lm.tokenizer, chats.TEXT)
    free = replies.written(lm.model, lm.tokenizer, prompt, 4, None, lambda *facts: None)
    third = free.ids[2]
    lm.model.generation_config.eos_token_id = [third, 59]
    made = lm.attribute_generation(chats.TEXT, max_new_tokens=4, spans="token")
    assert made.stopped == "end" and len(made.tokens) == 2
    assert free.text.startswith(made.reply)
    assert [span.tokens for span in made.spans] == [(0, 1), (1, 2)]
    lm.model.generation_config.eos_token_id = lm.tokenizer(made.reply, add_special_tokens=False)["input_ids"][
        0
    ]
    with pytest.raises(InputError, match="ends its reply at once"):
        lm.attribute_generation(chats.TEXT)


@CUT
def test_a_decoder_that_is_made_to_begin_with_a_token():
    """BART's kind: what it has to begin with is no part of the reply, and stands before it."""
    lm = writer("bart")
    lm.model.generation_config.forced_bos_token_id = 3
    made = lm.attribute_generation(chats.TEXT, max_new_tokens=3, spans="whole")
    axis = made.spans[0].attribution.axes["output"]
    assert axis.tokens[1] == "[SEP]" and "[SEP]" not in made.reply
    ids = torch.tensor([lm.tokenizer(chats.TEXT)["input_ids"]])
    words = lm.tokenizer(made.reply, add_special_tokens=False)["input_ids"]
    start = lm.model.config.decoder_start_token_id
    logs = (
        lm.model(input_ids=ids, decoder_input_ids=torch.tensor([[start, 3, *words]]))
        .logits[0]
        .log_softmax(-1)
    )
    expected = sum(float(logs[1 + i, word]) for i, word in enumerate(words))
    assert made.value == pytest.approx(expected, abs=1e-9)
    assert len(made.tokens) == 3
    itself = lm.attribute_generation(chats.TEXT, max_new_tokens=3, contrast=made.reply)
    assert itself.value == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(itself.effect, 0, atol=1e-9)
    with pytest.raises(InputError, match="has 64 tokens, and the model takes 63"):
        lm.attribute_generation(chats.TEXT, continuation="good " * 64)


@CUT
def test_an_end_that_is_forced_at_the_limit_is_no_end():
    """BART's kind: `generate` would write the end there, whatever the model goes on with."""
    lm = writer("bart")
    free = lm.attribute_generation(chats.TEXT, max_new_tokens=3, spans="whole")
    lm.model.generation_config.forced_eos_token_id = lm.model.generation_config.eos_token_id = 4
    made = lm.attribute_generation(chats.TEXT, max_new_tokens=3, spans="whole")
    assert (made.stopped, made.reply, len(made.tokens)) == ("length", free.reply, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions(dtype):
    lm = Writer(tiny.gpt2().to(dtype), chats.tokenizer())
    made = lm.attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans=CUTS)
    double = writer("gpt2").attribute_generation(chats.TEXT, continuation=REPLY_TEXT, spans=CUTS)
    off = 1e-3 if dtype == torch.float32 else 0.3
    np.testing.assert_allclose(made.effect, double.effect, atol=off)
    np.testing.assert_allclose(made.score, double.score, atol=off)


def test_a_model_without_a_tokenizer_or_that_writes_nothing_is_refused():
    for model in (tiny.bert(), tiny.gpt2(t.GPT2ForSequenceClassification, num_labels=3)):
        with pytest.raises(InputError, match=f"a {type(model).__name__} is a classifier and writes no text"):
            attattr.Attributor(model, chats.tokenizer()).attribute_generation("the film")
    with pytest.raises(InputError, match="no tokenizer"):
        attattr.Attributor(tiny.gpt2()).attribute_generation("the film")
