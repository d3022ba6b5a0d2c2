"""Several threads with one model: each gets what it would get alone, and the model stays as it was."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from test_left_as_found import same, state

import tiny
from attattr import Attributor
from attattr.engine.capture import Capture
from attattr.engine.structure import lock_of
from attattr.measure.accuracy import predict

TEXTS = ("a fine film", "not so good", "the man eats", "nobody sleeps and nobody eats")


def lock_taken(model) -> bool:
    """Whether another thread could take the model's lock now."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(lock_of(model).acquire, timeout=0.1).result()


@pytest.fixture
def model():
    return tiny.bert(labels=2).train()


def test_twelve_calls_from_four_threads(model):
    before = state(model)
    wanted = {text: Attributor(model, tiny.tokenizer()).attribute(text).scores for text in TEXTS}
    with ThreadPoolExecutor(4) as threads:
        found = list(
            threads.map(lambda text: Attributor(model, tiny.tokenizer()).attribute(text).scores, TEXTS * 3)
        )
    for text, scores in zip(TEXTS * 3, found, strict=True):
        assert np.array_equal(scores, wanted[text])
    assert same(before, state(model))


def test_another_thread_waits_until_the_model_is_free(model):
    """A forced overlap: the second thread comes while the first is in the middle of its capture."""
    entered, others = threading.Event(), []

    def second():
        entered.wait(10)
        others.append(Attributor(model, tiny.tokenizer()).attribute("a fine film").scores)

    thread = threading.Thread(target=second)
    thread.start()
    wanted = Attributor(model, tiny.tokenizer())
    before = state(model)
    with Capture(model):
        entered.set()
        time.sleep(0.1)
        assert not lock_taken(model) and not others  # whatever the other thread has reached, it waits
    thread.join(60)
    assert np.array_equal(others[0], wanted.attribute("a fine film").scores)
    assert same(before, state(model))


def test_a_capture_may_be_nested_in_its_own_thread(model):
    attributor = Attributor(model, tiny.tokenizer())
    wanted = attributor.attribute("a fine film").scores
    inner = []

    def target(outputs):
        if not inner:
            inner.append(None)
            inner[0] = attributor.attribute("a fine film").scores
        return outputs.logits.softmax(-1)[:, attributor.attribute("a fine film").prediction.index]

    before = state(model)
    found = attributor.attribute("a fine film", target=target, n_steps=3).scores
    assert np.array_equal(inner[0], wanted)
    assert np.abs(found - attributor.attribute("a fine film", n_steps=3).scores).max() < 1e-12
    assert same(before, state(model))


def test_predicting_while_another_thread_attributes(model):
    """The training flags are the model's: without a lock dropout would come back in the middle."""
    from attattr.data.examples import Example

    rows = [Example(text) for text in TEXTS]
    wanted = predict(model, tiny.tokenizer(), rows)
    attributor = Attributor(model, tiny.tokenizer())
    with ThreadPoolExecutor(2) as threads:
        busy = threads.submit(lambda: [attributor.attribute(text) for text in TEXTS])
        found = [threads.submit(predict, model, tiny.tokenizer(), rows).result() for _ in range(5)]
        busy.result()
    assert all(np.array_equal(each, wanted) for each in found)
    assert all(module.training for module in model.modules())


def test_two_models_have_two_locks(model):
    assert lock_of(model) is lock_of(model) and lock_of(model) is not lock_of(tiny.bert())


def test_the_models_own_forward_in_another_thread_is_not_replayed(model):
    """A forward of someone else's while the model is captured is none of the capture's."""
    model.eval()
    inputs = {"input_ids": tiny.text(6)["input_ids"][None]}
    wanted = model(**inputs).logits
    with Capture(model) as capture, ThreadPoolExecutor(1) as threads:
        recording = capture.record(inputs)

        def last(*_):
            other = threads.submit(lambda: model(**inputs).logits).result()
            assert (other - wanted).abs().max() < 1e-9
            return recording.blocks[-1]

        capture.finish(recording, inputs, last)
