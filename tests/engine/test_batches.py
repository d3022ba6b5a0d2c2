"""Batches, padding, and what happens without memory."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import transformers as t
from test_engine import close

import tiny
from attattr import AttAttrError, Attributor
from attattr.engine.capture import Capture


@pytest.fixture
def crowded(monkeypatch):
    """Forwards of more than `most` rows run out of memory; the sizes tried are listed."""

    def limit(most: int, error: BaseException) -> list[int]:
        tried, resume = [], Capture.resume

        def limited(self, recording, inputs, parts):
            rows = sum(len(part.rows) for part in parts)
            tried.append(rows)
            if rows > most:
                raise error
            return resume(self, recording, inputs, parts)

        monkeypatch.setattr(Capture, "resume", limited)
        return tried

    return limit


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_splits_and_goes_on(crowded, error):
    model, inputs = tiny.bert(), [tiny.text(n, seed=n) for n in (4, 6, 5, 4, 7)]
    expected = Attributor(model).attribute(inputs, n_steps=8)
    tried = crowded(3, error)
    found = Attributor(model).attribute(inputs, n_steps=8)
    assert max(tried) > 3
    for a, b in zip(found, expected, strict=True):
        close(a.scores, b.scores)


def test_out_of_memory_for_a_single_row_is_said_so(crowded):
    crowded(0, MemoryError())
    with pytest.raises(AttAttrError, match="not enough memory for an input of 4 tokens"):
        Attributor(tiny.bert()).attribute(tiny.text(4))


def test_other_errors_are_not_taken_for_a_lack_of_memory(crowded):
    crowded(0, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        Attributor(tiny.bert()).attribute(tiny.text(4))


def test_a_decoder_without_a_pad_token_that_reads_its_last_token():
    """GPT2ForSequenceClassification finds the last token by the pad id: EOS at an input's end is real."""
    model, tokenizer = tiny.gpt2(t.GPT2ForSequenceClassification, num_labels=3), tiny.tokenizer(bert=False)
    attributor = Attributor(model, tokenizer)
    texts = ["the film is very good", "a film [EOS]"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together = attributor.attribute(texts, n_steps=24, target=1)
    for text, result in zip(texts, together, strict=True):
        with torch.no_grad():
            alone = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0]  # a batch of one
        assert result.target.value == pytest.approx(float(alone[1]), abs=1e-12)
        close(result.scores, attributor.attribute(text, n_steps=24, target=1).scores)
    assert model.config.pad_token_id is None


def test_padding_that_moves_the_answer_is_warned_of():
    class Sums(t.BertForSequenceClassification):
        """Reads the padding too."""

        def forward(self, input_ids, attention_mask=None, **kwargs):
            outputs = super().forward(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
            outputs.logits = outputs.logits + input_ids.shape[1]
            return outputs

    model = Sums(tiny.bert().config).double()
    with pytest.warns(UserWarning, match="padding moves"):
        Attributor(model).attribute([tiny.text(4), tiny.text(6)], target=(0, 1))


def test_progress_runs_to_its_end():
    seen = []
    Attributor(tiny.bert()).attribute(
        [tiny.text(4), tiny.text(5)], internal_batch_size=4, progress=lambda *step: seen.append(step)
    )
    assert seen[-1][:2] == (6, 6)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)


def test_results_come_in_the_order_of_the_inputs():
    lengths = [9, 3, 7, 3, 12, 5]
    results = Attributor(tiny.bert()).attribute([tiny.text(n) for n in lengths], store="heads")
    assert [len(result.tokens) for result in results] == lengths


def test_image_batches():
    model = tiny.vit()
    results = Attributor(model).attribute([tiny.image(0), tiny.image(1)], n_steps=6)
    assert results[0].scores.shape == (3, 2, 10, 10)
    assert len(results[0].tokens) == 10
    assert not np.allclose(results[0].scores, results[1].scores)
