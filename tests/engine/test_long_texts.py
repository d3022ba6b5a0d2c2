"""What makes long texts possible changes nothing: blocks computed again, masks not made, edges ranked."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.llama.modeling_llama import LlamaAttention

import tiny
from attattr import AttAttrError, Attributor
from attattr.data.encoding import as_inputs, encode
from attattr.engine import causal, nodes, room, shortcuts
from attattr.engine import recording as calls
from attattr.engine.capture import Capture
from attattr.engine.collect import strongest
from attattr.engine.room import needs, room_for
from attattr.engine.ways import known
from attattr.measure import masks
from attattr.measure.check import check_model
from attattr.result import values
from families import FAMILIES

LITTLE = 1  # bytes: not one row fits


def apart(found, expected) -> float:
    """The largest difference of two results' scores, by the largest score."""
    pairs = [(a.scores, b.scores) for a, b in zip(found.sites, expected.sites, strict=True)]
    return max(float(np.abs(a - b).max()) for a, b in pairs) / max(float(np.abs(b).max()) for _, b in pairs)


@pytest.mark.parametrize("name", FAMILIES)
def test_blocks_that_are_computed_again_give_the_same(name):
    family = FAMILIES[name]
    attributor = Attributor(family.model().double())
    inputs = [{k: v.double() if v.is_floating_point() else v for k, v in i.items()} for i in family.inputs]
    options: dict[str, Any] = {"target": 1, "n_steps": 7, "internal_batch_size": 3}
    kept = attributor.attribute(inputs, **options)
    again = attributor.attribute(inputs, memory_budget=LITTLE, **options)
    for a, b in zip(again, kept, strict=True):
        assert apart(a, b) < 1e-12
        np.testing.assert_allclose(a.completeness_gap, b.completeness_gap, atol=1e-12)


def switch():
    config = tiny.t.SwitchTransformersConfig(
        vocab_size=60, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_decoder_layers=2, num_heads=2,
        num_sparse_encoder_layers=0, num_sparse_decoder_layers=0, num_experts=2, decoder_start_token_id=0,
    )  # fmt: skip
    return tiny._ready(tiny.t.SwitchTransformersForConditionalGeneration, config), tiny.source(7)


def granite():
    config = tiny.t.GraniteMoeConfig(
        **tiny.SMALL, num_attention_heads=4, num_key_value_heads=2, num_local_experts=2, num_experts_per_tok=1
    )
    return tiny._ready(tiny.t.GraniteMoeForCausalLM, config), tiny.text(7)


@pytest.mark.parametrize("made", [switch, granite])
def test_a_cache_that_only_a_config_asks_for_is_off(made):
    """A block that is computed again would append to it twice."""
    model, inputs = made()
    model = model.float()
    assert model.config.use_cache and "use_cache" not in inspect.signature(model.forward).parameters
    attributor = Attributor(model)
    kept = attributor.attribute(inputs, target=1, n_steps=3)
    assert apart(attributor.attribute(inputs, target=1, n_steps=3, memory_budget=LITTLE), kept) < 1e-5
    assert model.config.use_cache and model.config.to_dict()["use_cache"]


def other_function(output, times):
    return output * torch.full_like(output, 0.9 + 0.1 * times)  # a tensor: numbers are not made anew


def other_graph(output, times):  # less is saved for the way back
    return output.exp().log() if times == 1 else output


@pytest.mark.parametrize("other", [other_function, other_graph])
def test_a_block_that_does_something_else_the_second_time_is_kept(other):
    """It would give a gradient of another function, silently, or none."""
    model = deep(3)
    layer, times = model.model.layers[1], []
    forward, begin = layer.forward, model.model.forward

    def counting(*args, **kwargs):
        times.append(1)
        return other(forward(*args, **kwargs), len(times))

    def beginning(*args, **kwargs):
        times.clear()
        return begin(*args, **kwargs)

    layer.forward, model.model.forward = counting, beginning
    attributor, inputs = Attributor(model), tiny.text(12)
    kept = attributor.attribute(inputs, target=1, n_steps=3, memory_budget=1 << 40)
    found = attributor.attribute(inputs, target=1, n_steps=3, memory_budget=LITTLE)
    assert apart(found, kept) < 1e-5
    ways = known(model)
    assert ways is not None and ways.again is False
    plain = deep(3)
    Attributor(plain).attribute(inputs, target=1, n_steps=3, memory_budget=LITTLE)
    ways = known(plain)
    assert ways is not None and ways.again is True


def test_what_finds_no_memory_to_be_proven_is_computed_again_all_the_same(monkeypatch):
    """Images cannot be shortened; and it is for want of memory that blocks are computed again."""
    attributor = Attributor(tiny.vit())
    expected = attributor.attribute(tiny.image(), n_steps=2)
    trace = Capture.trace

    def crowded(self, recording, *rest):
        if not recording.checkpoint:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return trace(self, recording, *rest)

    monkeypatch.setattr(Capture, "trace", crowded)
    found = attributor.attribute(tiny.image(), n_steps=2, memory_budget=1)
    assert apart(found, expected) < 1e-9
    ways = known(attributor.model)
    assert ways is not None and ways.again is None


def test_a_target_that_is_cut_off_is_said_so_where_memory_is_scarce():
    model = deep(2)
    forward = model.lm_head.forward
    model.lm_head.forward = lambda states: forward(states.detach())
    with pytest.raises(AttAttrError, match="no gradient reaches the attention of"):
        Attributor(model).attribute(tiny.text(7), target=1, n_steps=2, memory_budget=LITTLE)


class Widest(TorchDispatchMode):
    """The most bytes that tensors made inside had at a time."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(out):
            if (
                isinstance(tensor, torch.Tensor)
                and (which := tensor.untyped_storage())._cdata not in self.known
            ):
                self.known.add(which._cdata)
                self.now += which.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(which, self._gone, which._cdata, which.nbytes())
        return out

    def _gone(self, which: int, size: int) -> None:
        self.known.discard(which)
        self.now -= size


def deep(layers: int, inner: int = 128):
    config = tiny.t.LlamaConfig(
        vocab_size=60, hidden_size=32, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    return tiny._ready(tiny.t.LlamaForCausalLM, config).float()  # in float64 its softmax is finer when fused


def widest(attributor: Attributor, tokens: int, **options) -> int:
    attributor.attribute(tiny.text(4))  # what is found out once a model
    with Widest() as seen:
        attributor.attribute(tiny.text(tokens), store="edges", n_steps=2, internal_batch_size=1, **options)
    return seen.most


def test_blocks_that_are_computed_again_take_less_memory():
    attributor = Attributor(deep(12, inner=512))
    kept, again = (widest(attributor, 64, layers=[0], memory_budget=budget) for budget in (1 << 40, LITTLE))
    assert again < 0.6 * kept


def test_memory_grows_with_the_length_and_not_with_its_square(monkeypatch):
    """But for the one mask of the clean forward, a hundredth of all here."""
    monkeypatch.setattr(calls, "BLOCK", 1 << 14)
    attributor = Attributor(deep(4))
    short, long = (widest(attributor, tokens, layers=[0], memory_budget=LITTLE) for tokens in (128, 256))
    assert long < 2.5 * short


@pytest.mark.parametrize("tokens", [64, 250])  # where gradients, and where attention is what is widest
def test_memory_does_not_depend_on_the_number_of_sites(tokens):
    attributor = Attributor(deep(8))
    one, every = (widest(attributor, tokens, layers=layers, memory_budget=LITTLE) for layers in ([0], None))
    assert every < 1.01 * one


def test_a_budget_decides_on_rows_and_a_number_of_rows_wins():
    model = deep(8)
    (encoded,) = encode(model, None, as_inputs([tiny.text(64)]))
    little, some = room_for(model, [encoded], LITTLE), room_for(model, [encoded], 1 << 30)
    assert little.rows == 1 and little.checkpoint
    assert some.rows > 1 and not some.checkpoint
    assert room_for(model, [encoded], 1 << 30, 3).rows == 3
    wide, narrow = needs(model, 64, 1 << 30), needs(model, 64, LITTLE)
    assert narrow.checkpoint and not wide.checkpoint and narrow.total < wide.total
    assert needs(model, 128, LITTLE).passing == 2 * narrow.passing


class Masked(TorchDispatchMode):
    """How often fused attention is given a mask, and how often it is told that it is causal, above a site."""

    def __init__(self):
        super().__init__()
        self.given = self.told = 0
        self.on = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.on and func is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default:
            self.given += kwargs.get("attn_mask") is not None
            self.told += bool(args[4] if len(args) > 4 else kwargs.get("is_causal", False))
        return func(*args, **kwargs)


@pytest.mark.parametrize(("inputs", "plain"), [([tiny.text(7)], True), ([tiny.text(7), tiny.text(4)], False)])
def test_a_plain_causal_mask_is_not_made_above_a_site(inputs, plain, monkeypatch):
    attributor = Attributor(tiny.llama().float())
    options: dict[str, Any] = {"n_steps": 3, "target": 1}
    seen, resume = Masked(), Capture.resume

    def watched(*args):
        seen.on = True
        outputs = resume(*args)
        seen.on = False
        return outputs

    monkeypatch.setattr(Capture, "resume", watched)
    with seen:
        found = attributor.attribute(inputs, **options)
    assert (seen.told > 0) == plain and (plain or seen.given > 0)
    monkeypatch.setattr(causal, "_is_causal", lambda asked: False)
    seen.told = 0
    with seen:
        expected = attributor.attribute(inputs, **options)
    assert not seen.told
    assert all(apart(a, b) < 1e-6 for a, b in zip(found, expected, strict=True))


def recorded(monkeypatch) -> list:
    """The recordings that something is computed on from here on."""
    seen, unmasked = [], shortcuts.unmasked

    def watched(batch):
        found = unmasked(batch)
        seen.append(found.recording)
        return found

    monkeypatch.setattr(shortcuts, "unmasked", watched)
    monkeypatch.setattr(masks, "unmasked", watched)
    return seen


@pytest.mark.parametrize("window", [3, 100])
def test_a_window_is_no_plain_mask(window, monkeypatch):
    """Nor is one that is wider than the text, which the model asks for as a window all the same."""
    config = tiny.t.MistralConfig(
        **tiny.SMALL, num_attention_heads=4, num_key_value_heads=2, sliding_window=window
    )
    attributor = Attributor(tiny._ready(tiny.t.MistralForCausalLM, config).float())
    seen = recorded(monkeypatch)
    found = attributor.attribute(tiny.text(9), n_steps=3)
    assert [each.unmasked for each in seen] == [False]
    assert all(call.fused for call in seen[0].calls)
    monkeypatch.setattr(causal, "_is_causal", lambda asked: False)
    assert apart(found, attributor.attribute(tiny.text(9), n_steps=3)) < 1e-6


class Biased(LlamaAttention):
    """Adds a bias to the mask it is given, as models of others' code do; makes do without."""

    def forward(self, hidden_states, position_embeddings=None, attention_mask=None, **rest):  # type: ignore[override]
        places = torch.arange(hidden_states.shape[1])
        mask = -0.5 * (places[:, None] - places).abs().to(hidden_states)[None, None]
        if attention_mask is not None:
            mask = attention_mask + mask
        return super().forward(
            hidden_states, position_embeddings=position_embeddings, attention_mask=mask, **rest
        )


Biased.__module__ = LlamaAttention.__module__  # where its eager attention is


def biased():
    model = tiny.llama().float()
    model.model.layers[1].self_attn.__class__ = Biased
    return model


def test_a_mask_that_some_layer_calculates_with_is_made(monkeypatch):
    text, padded = tiny.text(7), [tiny.text(7, seed=3), tiny.text(4, seed=1)]
    seen = recorded(monkeypatch)
    expected = Attributor(biased()).attribute(text, target=1, n_steps=3)
    later = Attributor(biased())
    later.attribute(padded, target=1, n_steps=3)  # what is proven once a model is proven on this
    assert apart(later.attribute(text, target=1, n_steps=3), expected) < 1e-5
    clean, (same,) = masks.measure(later, text, [masks.Mask(heads=np.ones((3, 4)))], target=1)
    assert same == pytest.approx(clean, rel=1e-5)
    assert [each.unmasked for each in seen] == [False] * 4
    plain = Attributor(tiny.llama().float())
    masks.measure(plain, text, [masks.Mask(heads=np.ones((3, 4)))], target=1)
    assert seen[-1].unmasked


def test_masks_are_made_where_the_model_gives_something_else_without(monkeypatch):
    """The proof on the inputs: whatever the calls seem to show."""
    record = Capture.record
    monkeypatch.setattr(Capture, "record", lambda *args: dataclasses.replace(record(*args), maskless=True))
    seen = recorded(monkeypatch)
    clean, (same,) = masks.measure(
        Attributor(biased()), tiny.text(7), [masks.Mask(heads=np.ones((3, 4)))], target=1
    )
    assert same == pytest.approx(clean, rel=1e-5) and not seen[0].unmasked


class Asked(TorchDispatchMode):
    """What the host asks of the device while it is on."""

    on = False
    what: list[str]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        ops = torch.ops.aten
        if self.on and func in (ops._local_scalar_dense.default, ops.nonzero.default, ops.is_nonzero.default):
            self.what.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("target", [None, "good film is"])
def test_nothing_is_asked_of_the_device_between_the_nodes_of_a_site(target, half, monkeypatch):
    model = tiny.llama()
    attributor = Attributor(model.bfloat16() if half else model, tiny.tokenizer(bert=False))
    seen, resume, check = Asked(), Capture.resume, []

    def watched(self, recording, inputs, parts):
        outputs = resume(self, recording, inputs, parts)
        check.extend(part.context.requires_grad for part in parts)
        return outputs

    once = nodes._answered

    def watching(*args, **options):
        seen.on = True
        answers = once(*args, **options)
        seen.on = False
        return answers

    monkeypatch.setattr(Capture, "resume", watched)
    monkeypatch.setattr(nodes, "_answered", watching)
    seen.what = []
    with seen:
        attributor.attribute("the film is very good", target=target, n_steps=5)
    assert any(check) and seen.what == []


@pytest.mark.parametrize("seed", range(20))
def test_the_strongest_are_those_that_numpy_finds_in_its_order(seed):
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 20, 3))
    scores = np.round(random.normal(size=shape), seed % 3).astype(np.float32)  # many are equal
    if seed % 4 == 0:
        scores[scores < 0.5] = 0
    expected = values.strongest(scores, scores, 30)
    places = np.ravel_multi_index((expected.head, expected.query, expected.key), shape)
    assert strongest(torch.tensor(scores).abs(), 30).tolist() == places.tolist()


def test_of_long_texts_the_beginning_says_how_the_model_computes():
    """Putting back each site's own context is tried on 256 tokens, and not on them all."""
    rows = []
    resume = Capture.resume

    def watched(self, recording, inputs, *rest):
        rows.append(inputs["input_ids"].shape[1])
        return resume(self, recording, inputs, *rest)

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(StopIteration):
        patch.setattr(Capture, "resume", watched)
        model = deep(2)
        before = [(module, dict(vars(module))) for module in model.modules()]
        Attributor(model).attribute(tiny.text(300), store="heads", n_steps=1, layers=[0])
    assert rows[:2] == [256, 256] and rows[2:] and set(rows[2:]) == {300}
    assert all(vars(module) == facts for module, facts in before)


def test_a_model_that_a_short_text_changes_is_not_tried_on_one():
    """BigBird's sparse attention would be full for good."""
    config = tiny.t.BigBirdPegasusConfig(
        vocab_size=60, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=512,
        block_size=32, num_random_blocks=3, decoder_start_token_id=2, attention_type="block_sparse",
    )  # fmt: skip
    model = tiny._ready(tiny.t.BigBirdPegasusForConditionalGeneration, config)
    inputs = tiny.source(416, start=2)

    def answer():
        with torch.no_grad():
            return model(**{name: value[None] for name, value in inputs.items()}).logits

    before, made_of = answer(), [id(module) for module in model.modules()]
    with pytest.warns(match="not attributed"):
        Attributor(model).attribute(inputs, n_steps=1, layers=[-1], target=1, store="heads")
    assert [id(module) for module in model.modules()] == made_of and torch.equal(answer(), before)


def test_check_says_when_blocks_are_computed_again(monkeypatch):
    attributor = Attributor(deep(2))
    found = check_model(attributor, tokens=(8,))
    assert found.kept is None  # it takes 512 tokens, which fit
    assert [cost.tokens for cost in found.expected] == [512]
    monkeypatch.setattr(room, "ON_CPU", LITTLE)
    found = check_model(attributor, tokens=(8,))
    assert found.kept == 0 and found.costs[0].checkpoint and found.expected[0].checkpoint
