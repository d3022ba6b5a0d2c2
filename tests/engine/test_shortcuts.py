"""What a resumed forward leaves out changes nothing: with and without each shortcut, the same scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import tiny
from attattr import Attributor
from attattr.engine import shortcuts
from attattr.engine.last_block import take
from families import FAMILIES


@pytest.fixture
def seen(monkeypatch):
    """What was taken, batch by batch: (rows read of each input or None, positions kept or None)."""
    batches = []
    taken = shortcuts.taken

    def spy(batch):
        batch = taken(batch)
        read, kept = batch.recording.read, batch.recording.kept
        batches.append(tuple(None if found is None else found.tolist() for found in (read, kept)))
        return batch

    monkeypatch.setattr(shortcuts, "taken", spy)
    return batches


def double(model, inputs):
    """In float64, so that a difference is a mistake and no rounding."""
    floats = [{k: v.double() if v.is_floating_point() else v for k, v in each.items()} for each in inputs]
    return Attributor(model.double()), floats


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("baseline", ["zero", "uniform"])
def test_every_family_gets_the_same_scores_without_shortcuts(name, baseline, monkeypatch):
    family = FAMILIES[name]
    attributor, inputs = double(family.model(), family.inputs)
    options = {"target": 1, "baseline": baseline, "n_steps": 4}
    found = attributor.attribute(inputs, **options)
    for name in ("taken", "fewer_logits"):
        monkeypatch.setattr(shortcuts, name, lambda batch: batch)
    for short, long in zip(found, attributor.attribute(inputs, **options), strict=True):
        for a, b in zip(short.sites, long.sites, strict=True):
            np.testing.assert_allclose(a.scores, b.scores, rtol=0, atol=1e-12 * np.abs(b.scores).max())
            assert abs(a.baseline_output - b.baseline_output) <= 1e-12


@pytest.mark.parametrize(
    ("make", "read", "kept"),
    [
        (tiny.bert, [[0], [0]], None),
        (tiny.distilbert, [[0], [0]], None),
        (tiny.gpt2, [[4], [6]], [4, 6]),  # each its own last token
        (tiny.llama, [[4], [6]], [4, 6]),
    ],
)
def test_what_f_reads_is_found(make, read, kept, seen):
    Attributor(make()).attribute([tiny.text(5), tiny.text(7)])
    assert seen == [(read, kept)]


def test_several_positions_of_one_continuation(seen, monkeypatch):
    inputs = tiny.text(9) | {"labels": None}
    inputs.pop("labels")
    attributor = Attributor(tiny.gpt2().double(), tiny.tokenizer())
    text = "the film is good"
    count = len(tiny.tokenizer()(text, add_special_tokens=False)["input_ids"])
    short = attributor.attribute(inputs, target=text, n_steps=3)
    ((read, kept),) = seen
    assert read == [kept] and kept == list(range(8, 8 + count))
    for name in ("taken", "fewer_logits"):
        monkeypatch.setattr(shortcuts, name, lambda batch: batch)
    long = attributor.attribute(inputs, target=text, n_steps=3)
    np.testing.assert_allclose(short.scores, long.scores, rtol=0, atol=1e-12 * np.abs(long.scores).max())


@pytest.mark.parametrize("pool", [lambda x: x.mean(1), lambda x: x.amax(1)], ids=["mean", "max"])
def test_a_head_that_reads_every_row_is_noticed(pool, seen):
    """The largest of all rows has a gradient at few of them, and is read from all."""
    model = tiny.bert()
    model.bert.pooler.forward = lambda hidden: pool(hidden)
    Attributor(model).attribute(tiny.text(40))
    assert seen == [(None, None)]


def test_a_block_that_mixes_rows_is_noticed(seen):
    model = tiny.bert()
    last = model.bert.encoder.layer[-1].output
    forward = last.forward
    last.forward = lambda hidden, residual: (lambda x: x + x.mean(1, keepdim=True))(forward(hidden, residual))
    Attributor(model).attribute(tiny.text(9))
    assert seen == [(None, None)]


def test_a_callable_may_read_any_logits(seen):
    Attributor(tiny.gpt2()).attribute(tiny.text(6), target=lambda outputs: outputs.logits[:, :, 3].sum(1))
    assert seen == [(None, None)]


def test_rows_are_really_left_out(monkeypatch):
    def flop():
        attributor = Attributor(tiny.bert())
        attributor.attribute(tiny.text(9), n_steps=4)
        with FlopCounterMode(display=False) as counter:
            attributor.attribute(tiny.text(9), n_steps=4)
        return counter.get_total_flops()

    fewer = flop()
    for name in ("taken", "fewer_logits"):
        monkeypatch.setattr(shortcuts, name, lambda batch: batch)
    assert fewer < 0.8 * flop()  # of three blocks, most of one


def test_take_takes_each_rows_own_positions():
    value = torch.arange(24).reshape(2, 1, 4, 3)
    found = take(value, torch.tensor([[0, 3], [1, 2]]), 2)
    assert found.tolist() == [[[[0, 1, 2], [9, 10, 11]]], [[[15, 16, 17], [18, 19, 20]]]]
