"""Rows of several sites in one forward: the same scores as site by site, and fewer forwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from attattr import AttAttrError, Attributor, UnsupportedModelError
from attattr.data.encoding import as_inputs, encode
from attattr.engine import nodes, resumed, shortcuts, trials
from attattr.engine.capture import Capture
from attattr.engine.nodes import _Piece
from attattr.engine.options import Options
from attattr.engine.structure import lengths, some_rows, with_rows
from attattr.engine.ways import known, remember
from families import FAMILIES


@pytest.fixture
def parts(monkeypatch):
    """Of each resumed forward, how many rows begin at which call."""
    seen, resume = [], Capture.resume

    def watched(self, recording, inputs, parts):
        seen.append({part.number: len(part.rows) for part in parts})
        return resume(self, recording, inputs, parts)

    monkeypatch.setattr(Capture, "resume", watched)
    return seen


def alone(attributor: Attributor) -> None:
    """From now on site by site."""
    ways = known(attributor.model)
    assert ways is not None and (ways.together or ways.ending)
    remember(attributor.model, replace(ways, together=False, ending=False))


def the_same(found, other) -> None:
    for a, b in zip(found.sites, other.sites, strict=True):
        assert a.n_steps == b.n_steps
        np.testing.assert_allclose(a.scores, b.scores, rtol=0, atol=1e-12 * np.abs(b.scores).max())
        np.testing.assert_allclose(a.baseline_output, b.baseline_output, rtol=1e-12)
        assert abs(a.completeness_gap - b.completeness_gap) < 1e-12


OPTIONS = [
    {},  # stages: sites drop out one by one
    {"n_steps": 3},  # F(A⁰) by itself
    {"n_steps": 4, "baseline": "uniform", "layers": [1, 0]},  # not in their order
    {"method": "riemann_right", "n_steps": 2},
    {"method": "gradient", "refine": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gets_the_scores_of_each_site_alone(name, options, parts):
    family = FAMILIES[name]
    floats = [
        {k: v.double() if v.is_floating_point() else v for k, v in each.items()} for each in family.inputs
    ]
    attributor = Attributor(family.model().double())
    found = attributor.attribute([*floats, floats[0]], target=1, **options)
    assert any(len(each) > 1 for each in parts[1:])
    alone(attributor)
    parts.clear()
    other = attributor.attribute([*floats, floats[0]], target=1, **options)
    assert all(len(each) == 1 for each in parts)
    for a, b in zip(found, other, strict=True):
        the_same(a, b)


def test_one_forward_and_backward_a_stage(parts):
    model = tiny.bert()
    attributor = Attributor(model)
    attributor.attribute(tiny.text(7), n_steps=3)
    parts.clear()
    attributor.attribute(tiny.text(7), n_steps=3)
    assert parts == [{0: 1, 1: 1, 2: 1}, {0: 3, 1: 3, 2: 3}]


def test_the_room_is_kept(parts):
    attributor = Attributor(tiny.bert())
    whole = attributor.attribute(tiny.text(7), n_steps=3)
    parts.clear()
    cut = attributor.attribute(tiny.text(7), n_steps=3, internal_batch_size=6)
    assert [sum(each.values()) for each in parts] == [2, 6, 1, 3]
    the_same(whole, cut)
    parts.clear()
    the_same(whole, attributor.attribute(tiny.text(7), n_steps=3, internal_batch_size=1))
    assert {sum(each.values()) for each in parts} == {1}


def test_never_as_many_rows_as_inputs():
    """A tensor with so many entries might have one an input, or one a row."""

    class Of:
        recorded, rows_at_once = 4, 8

        class recording:  # noqa: N801
            together = True

    pieces = [_Piece(i, slice(0, 2), slice(0, 1)) for i in range(5)]
    sizes = [sum(piece.size for piece in pack) for pack in nodes._packs(Of, pieces)]
    assert sizes == [2] * 5


ONE, TWO = [tiny.text(7)], [tiny.text(7), tiny.text(7, seed=1)]


@pytest.mark.parametrize("inputs", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("how", ["other rows", "other rows at the end", ValueError("none"), KeyError("rows")])
def test_a_model_that_cannot_is_taken_site_by_site(how, inputs, parts, monkeypatch):
    """The proof finds out: rows of one site would get what is of another's, or the block fails."""

    def wrong(value, clean, rows, total, size):
        if isinstance(how, Exception):
            raise how
        if how == "other rows" or rows.start:
            rows = slice(0, rows.stop - rows.start) if rows.start else slice(total - rows.stop, total)
        return some_rows(value, clean, rows, total, size)

    with monkeypatch.context() as patch:
        patch.setattr(resumed, "some_rows", wrong)
        attributor = Attributor(tiny.bert())
        found = attributor.attribute(inputs, n_steps=3)
    assert [len(each) for each in parts if len(each) > 1] == [3]  # the proof
    ways = known(attributor.model)
    assert ways is not None and ways.replay and ways.ending is False
    for a, b in zip(found, Attributor(tiny.bert()).attribute(inputs, n_steps=3), strict=True):
        the_same(a, b)


@pytest.mark.parametrize("error", [RuntimeError("the size of a (2)"), UnsupportedModelError("2 calls")])
def test_a_model_that_fails_after_the_proof_goes_on_site_by_site(error, monkeypatch):
    attributor = Attributor(tiny.bert())
    expected = attributor.attribute(tiny.text(7), n_steps=3)
    resume = Capture.resume

    def failing(self, recording, inputs, parts):
        if len(parts) > 1:
            raise error
        return resume(self, recording, inputs, parts)

    monkeypatch.setattr(Capture, "resume", failing)
    the_same(attributor.attribute(tiny.text(7), n_steps=3), expected)
    ways = known(attributor.model)
    assert ways is not None and ways.ending is False


def test_what_finds_no_memory_for_the_proof_goes_site_by_site_and_is_tried_again(monkeypatch):
    attributor = Attributor(tiny.bert())
    resume = Capture.resume

    def crowded(self, recording, inputs, parts):
        if sum(len(part.rows) for part in parts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return resume(self, recording, inputs, parts)

    with monkeypatch.context() as patch:
        patch.setattr(Capture, "resume", crowded)
        found = attributor.attribute(tiny.text(7), n_steps=2)
        ways = known(attributor.model)
        assert ways is not None and ways.ending is None
    the_same(found, attributor.attribute(tiny.text(7), n_steps=2))
    ways = known(attributor.model)
    assert ways is not None and ways.ending is True


def test_it_is_tried_anew_where_all_rows_of_the_last_block_are_computed():
    attributor = Attributor(tiny.gpt2())
    attributor.attribute(tiny.text(7), target=1, n_steps=2)
    ways = known(attributor.model)
    assert ways is not None and (ways.together, ways.ending) == (None, True)
    attributor.attribute(tiny.text(7), target=lambda outputs: outputs.logits[:, :, 1].mean(1), n_steps=2)
    ways = known(attributor.model)
    assert ways is not None and (ways.together, ways.ending) == (True, True)


def test_what_is_found_out_is_kept_with_the_recording_of_an_input(monkeypatch):
    """Long replies are attributed in many batches on one."""
    model = tiny.gpt2()
    (encoded,) = encode(model, None, as_inputs([tiny.text(9)]))
    options = Options(None, "gausslegendre", 2, 1e-3, "zero", None, None, "dense", memory_budget=1)
    tried = []
    for where, name in ((shortcuts, "_not_resumed"), (trials, "_same_gradients")):
        found = getattr(where, name)
        watched = lambda *given, name=name, found=found: tried.append(name) or found(*given)  # noqa: E731
        monkeypatch.setattr(where, name, watched)
    known_: dict = {id(encoded): None}
    for _ in range(3):
        Attributor(model).attributed([encoded, encoded], [0, 1], options, known=known_)
    assert tried == ["_not_resumed", "_same_gradients"]


class Mixed(torch.nn.Module):
    """Attention in float32 inside of a model in half precision."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention.float()

    def forward(self, states, *args, **kwargs):
        def wide(value):
            whole = isinstance(value, torch.Tensor) and value.is_floating_point()
            return value.float() if whole else value

        kwargs = {name: wide(value) for name, value in kwargs.items()}
        output, *rest = self.attention(wide(states), *map(wide, args), **kwargs)
        return (output.to(states.dtype), *rest)


def test_of_mixed_precisions_the_half_one_decides_what_is_lifted():
    """A sure "no": its probability's gradient is lost in float16 on its way down, if it is not lifted."""

    def made(dtype):
        model = tiny.bert()
        model.classifier.weight.data.mul_(20)
        return model.to(dtype)

    model = made(torch.float16)
    for layer in model.bert.encoder.layer[:1]:
        layer.attention.self = Mixed(layer.attention.self)
    attributor, exact = Attributor(model), Attributor(made(torch.float64))
    tried = 0
    for seed in range(12):
        for target in range(3):
            expected = exact.attribute(tiny.text(7, seed=seed), target=target, n_steps=3)
            if not 1e-12 < expected.target.value < 1e-4:
                continue
            tried += 1
            found = attributor.attribute(tiny.text(7, seed=seed), target=target, n_steps=3)
            for site, other in zip(found.sites[1:], expected.sites[1:], strict=True):
                assert np.abs(site.scores - other.scores).sum() < 0.1 * np.abs(other.scores).sum()
    assert tried


def test_a_site_that_is_cut_off_is_still_an_error():
    """Beside others, whose gradients do flow."""
    model = tiny.bert()
    attributor = Attributor(model)
    attributor.attribute(tiny.text(7), n_steps=3)
    forward = model.bert.encoder.layer[2].attention.output.forward
    model.bert.encoder.layer[2].attention.output.forward = lambda states, given: forward(
        states.detach(), given
    )
    with pytest.raises(AttAttrError, match=r"no gradient reaches the attention of .*layer\.2"):
        attributor.attribute(tiny.text(7), n_steps=3)


@given(st.integers(1, 4), st.integers(2, 9), st.data())
def test_which_rows_a_block_is_given(size, total, data):
    """What had one entry an input in the clean forward has one a row; a table as long as the rows has not."""
    total += (total == size) * 10
    begun = data.draw(st.integers(1, total - 1))
    table, state = torch.rand(total, 3), torch.rand(total, 5)
    clean = lengths(((torch.rand(size, 5),), {"cos": table, "none": None, "nest": [torch.rand(size), 3]}))
    given_ = ((state,), {"cos": table, "none": None, "nest": [torch.arange(total), 3]})
    (some,), named = some_rows(given_, clean, slice(0, begun), total, size)
    assert torch.equal(some, state[:begun])
    assert named["cos"] is table and named["none"] is None
    assert torch.equal(named["nest"][0], torch.arange(begun)) and named["nest"][1] == 3


def test_a_block_s_output_for_all_rows():
    shared = torch.rand(1, 2)
    computed, clean = (torch.zeros(2, 3), {"a": shared}), (torch.ones(3, 3), {"a": torch.rand(3, 2)})
    state, named = with_rows(computed, clean, lengths((torch.rand(4, 3), {"a": torch.rand(1, 2)})), 4)
    assert state.tolist() == [[0.0] * 3] * 2 + [[1.0] * 3] * 3
    assert named["a"] is shared
