"""Heads and edges taken out: against the model's own modules and the attribution's own baseline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

import tiny
from attattr import Attributor, Example
from attattr.engine.capture import Capture
from attattr.errors import InputError
from attattr.measure.accuracy import predict
from attattr.measure.masks import Mask, masked_forward, measure
from families import FAMILIES, batched

OUTPUTS = {  # path of the output projection of layer 1, and whether it stores inputs first
    "bert": ("bert.encoder.layer.1.attention.output.dense", False),
    "roberta": ("roberta.encoder.layer.1.attention.output.dense", False),
    "distilbert": ("distilbert.transformer.layer.1.attention.out_lin", False),
    "gpt2": ("transformer.h.1.attn.c_proj", True),
    "llama": ("model.layers.1.self_attn.o_proj", False),
    "vit": ("vit.layers.1.attention.o_proj", False),
}


def models():
    return {name: FAMILIES[name] for name in OUTPUTS if name in FAMILIES}


@pytest.mark.parametrize("name", models())
def test_a_head_taken_out_writes_nothing(name):
    """As with its columns of the output projection set to 0 by hand."""
    family = FAMILIES[name]
    model, inputs = family.model(), batched(family.inputs[0])
    with Capture(model) as capture:
        recording = capture.record(inputs)
        heads = recording.calls[recording.sites[1]].query.shape[1]
        kept = np.ones((len(recording.sites), heads))
        kept[1, 1] = 0
        got = masked_forward(capture, recording, inputs, [Mask(heads=kept)]).logits
    path, first = OUTPUTS[name]
    weight = model.get_submodule(path).weight
    width = (weight.shape[0] if first else weight.shape[1]) // heads
    with torch.no_grad():
        (weight if first else weight.T)[width : 2 * width] = 0
        wanted = model(**inputs).logits
    assert_close(got, wanted, atol=1e-5, rtol=1e-5)  # Llama's softmax rounds to float32
    assert not torch.allclose(got, recording.outputs.logits, atol=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_all_heads_of_a_site_taken_out_is_the_zero_baseline(name):
    family = FAMILIES[name]
    attributor, example = Attributor(family.model()), family.inputs[0]
    result = attributor.attribute([example], target=1, n_steps=2, store="heads")[0]
    heads = max(site.n_heads for site in result.sites)
    masks = []
    for number in range(len(result.sites)):
        kept = np.ones((len(result.sites), heads))
        kept[number] = 0
        masks.append(Mask(heads=kept))
    clean, values = measure(attributor, example, masks, target=1)
    assert clean == pytest.approx(result.target.value, abs=1e-12)
    wanted = [site.baseline_output for site in result.sites]
    np.testing.assert_allclose(values, wanted, atol=1e-10)


@pytest.mark.parametrize("name", ["bert", "llama", "t5"])
def test_keys_taken_out_are_all_edges_to_them(name):
    """By their values, with no weights made, and by the weights; beside a head that is taken out."""
    family = FAMILIES[name]
    attributor, example = Attributor(family.model().float()), family.inputs[0]
    example = {k: v.float() if v.is_floating_point() else v for k, v in example.items()}
    result = attributor.attribute([example], target=1, n_steps=1)[0]
    shapes = [site.scores.shape for site in result.sites]
    heads = np.ones((len(shapes), max(shape[0] for shape in shapes)))
    heads[0, 1] = 0
    pairs = []
    for places in ([1], [0, 2]):
        keys = {number: np.ones(shape[2]) for number, shape in enumerate(shapes)}
        edges = {number: np.ones(shape) for number, shape in enumerate(shapes)}
        for number in keys:
            keys[number][places] = 0
            edges[number][:, :, places] = 0
        pairs.append((Mask(heads=heads, keys=keys), Mask(heads=heads, edges=edges)))
    by_keys, by_edges = zip(*pairs, strict=True)
    clean, values = measure(attributor, example, by_keys, target=1)
    _, wanted = measure(attributor, example, by_edges, target=1)
    both, mixed = measure(attributor, example, [by_keys[0], by_edges[1]], target=1)
    np.testing.assert_allclose(values, wanted, atol=1e-6)
    np.testing.assert_allclose(mixed, wanted, atol=1e-6)
    assert both == clean and np.abs(clean - values).max() > 1e-4


def test_taking_keys_out_makes_no_weights(monkeypatch):
    attributor, example = Attributor(tiny.llama().float()), tiny.text(40)
    widest = [0]

    class Largest(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.shape[-2:] == (40, 40):
                widest[0] = max(widest[0], out.numel())
            return out

    def within(self, *args, **options):
        with Largest():
            return edit(self, *args, **options)

    edit = Capture.edit
    monkeypatch.setattr(Capture, "edit", within)
    kept = np.ones(40)
    kept[3] = 0
    measure(attributor, example, [Mask(keys=dict.fromkeys(range(3), kept))], target=1)
    assert widest[0] == 0  # not even the mask
    measure(attributor, example, [Mask(edges=dict.fromkeys(range(3), np.ones((1, 40, 40))))], target=1)
    assert widest[0] >= 4 * 40 * 40


@pytest.mark.parametrize("name", ["bert", "llama", "t5"])
def test_all_edges_taken_out_is_all_heads_taken_out(name):
    family = FAMILIES[name]
    attributor, example = Attributor(family.model()), family.inputs[0]
    result = attributor.attribute([example], target=1, n_steps=1)[0]
    masks = [Mask(edges={n: np.zeros(site.scores.shape)}) for n, site in enumerate(result.sites)]
    _, values = measure(attributor, example, masks, target=1)
    np.testing.assert_allclose(values, [site.baseline_output for site in result.sites], atol=1e-10)


def test_one_edge_of_a_linear_readout_is_worth_its_score():
    """In the last layer of a model that reads F linearly, taking an edge out costs what it is given."""
    import toys

    attributor = Attributor(toys.toy(lambda a, b: 3 * a - 2 * b))
    values = torch.tensor([[1.0, 4.0], [2.0, -1.0], [0.5, 3.0]], dtype=torch.float64)
    (result,) = attributor.attribute([{"values": values}], output="logit")
    edges = [(0, head, 0, key) for head in range(2) for key in range(3)]
    masks = [Mask.without_edges(result, [edge]) for edge in edges]
    clean, without = measure(attributor, {"values": values}, masks, output="logit")
    scores = [result.sites[0].scores[head, query, key] for _, head, query, key in edges]
    np.testing.assert_allclose(clean - without, scores, atol=1e-12)
    both = [Mask.without_edges(result, edges[:2])]
    (together,) = measure(attributor, {"values": values}, both, output="logit")[1]
    assert clean - together == pytest.approx(sum(scores[:2]))


def test_an_edge_is_taken_out_of_every_head_where_none_is_named():
    attributor, example = Attributor(tiny.bert()), tiny.text(6)
    (result,) = attributor.attribute([example], n_steps=1)
    one = Mask.without_edges(result, [(1, None, 0, 3)])
    each = Mask.without_edges(result, [(1, head, 0, 3) for head in range(2)])
    assert (one.edges[1] == each.edges[1]).all() and one.edges[1].sum() == 2 * 36 - 2


def test_padding_changes_nothing_of_what_a_mask_does():
    model, tokenizer = tiny.bert(), tiny.tokenizer()
    rows = [
        Example("the film is good"),
        Example("nobody eats and the woman sleeps very bad"),
        Example("a man"),
    ]
    masks = []
    for seed, row in enumerate(rows):
        n = len(row.text.split()) + 2
        random = np.random.default_rng(seed)
        edges = {site: random.integers(0, 2, (2, n, n)).astype(float) for site in range(3)}
        masks.append(Mask(heads=random.integers(0, 2, (3, 2)).astype(float), edges=edges))
    together = predict(model, tokenizer, rows, masks=masks)
    alone = [predict(model, tokenizer, [row], masks=[mask])[0] for row, mask in zip(rows, masks, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-12)
    assert not np.allclose(together, predict(model, tokenizer, rows), atol=1e-3)


def test_an_empty_mask_keeps_everything():
    model, tokenizer = tiny.bert(), tiny.tokenizer()
    rows = [Example("the film is good"), Example("bad")]
    np.testing.assert_allclose(
        predict(model, tokenizer, rows, masks=Mask()), predict(model, tokenizer, rows), atol=1e-12
    )


def test_a_mask_that_does_not_fit_is_an_error():
    model, tokenizer = tiny.bert(), tiny.tokenizer()
    rows = [Example("bad")]
    for mask in (Mask(heads=np.ones((2, 2))), Mask(edges={7: np.ones((1, 3, 3))})):
        with pytest.raises(InputError, match="3 attention sites"):
            predict(model, tokenizer, rows, masks=mask)
    with pytest.raises(InputError, match="2 masks for 1 examples"):
        predict(model, tokenizer, rows, masks=[Mask(), Mask()])
