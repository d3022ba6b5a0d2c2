"""Models that write their attention out themselves, seen at their softmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as t
from torch import nn
from torch.testing import assert_close

import tiny
from attattr import Attributor, UnsupportedModelError
from attattr.engine.capture import Capture
from attattr.engine.softmax import Softmaxes, head_counts, written_out
from attattr.engine.ways import Ways, known
from attattr.measure.masks import Mask, masked_forward, measure
from families import batched


def deberta():
    config = t.DebertaV2Config(
        **tiny.SMALL, num_attention_heads=2, num_labels=3, relative_attention=True, position_buckets=4,
        pos_att_type=["p2c", "c2p"], type_vocab_size=0,
    )  # fmt: skip
    return tiny._ready(t.DebertaV2ForSequenceClassification, config)


def bloom():
    return tiny._ready(t.BloomForCausalLM, t.BloomConfig(vocab_size=60, hidden_size=16, n_layer=3, n_head=2))


def xlnet():
    config = t.XLNetConfig(vocab_size=60, d_model=16, n_layer=3, n_head=2, d_inner=24, num_labels=3)
    return tiny._ready(t.XLNetForSequenceClassification, config)


MODELS = {"deberta": deberta, "bloom": bloom, "xlnet": xlnet}


@pytest.mark.parametrize("name", ["deberta", "bloom"])
def test_the_attention_is_what_the_model_itself_puts_out(name):
    model, example = MODELS[name](), tiny.text(7)
    result = Attributor(model).attribute(example, n_steps=1)
    with torch.no_grad():
        own = model(**batched(example), output_attentions=True).attentions
    assert len(own) == len(result.sites) == 3
    for site, attention in zip(result.sites, own, strict=True):
        np.testing.assert_allclose(site.attention, attention[0].numpy(), atol=1e-7)


@pytest.mark.filterwarnings("ignore:padding moves this model's logits")
@pytest.mark.parametrize("baseline", ["zero", "uniform"])
@pytest.mark.parametrize("name", MODELS)
def test_many_inputs_are_each_as_if_alone_and_complete(name, baseline):
    attributor = Attributor(MODELS[name]())
    inputs = [tiny.text(7), tiny.text(7, seed=1), tiny.text(7, seed=2)]
    together = attributor.attribute(inputs, target=1, baseline=baseline, n_steps=60)
    for example, result in zip(inputs, together, strict=True):
        alone = Attributor(attributor.model).attribute(example, target=1, baseline=baseline, n_steps=60)
        for one, other in zip(result.sites, alone.sites, strict=True):
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-6 * np.abs(other.scores).max())
            assert abs(one.completeness_gap) <= 1e-4 * np.abs(one.scores).sum()


def test_scores_are_the_literal_integral_over_the_attention():
    """Riemann sums of ∂F/∂A by hand, A put in the place of torch's own softmax."""
    model, example = deberta(), tiny.text(5)
    result = Attributor(model).attribute(example, target=1, method="riemann_middle", n_steps=8)
    own, original = [], nn.functional.softmax

    def forward(number, put=None):
        calls = 0

        def softmax(scores, dim=None, **kwargs):
            nonlocal calls
            made = original(scores, dim=dim, **kwargs)
            if scores.ndim == 4:
                calls += 1
                if put is None:
                    own.append(made)
                elif calls - 1 == number:
                    return put
            return made

        nn.functional.softmax = softmax  # type: ignore[assignment]
        try:
            return model(**batched(example)).logits.softmax(-1)[0, 1]
        finally:
            nn.functional.softmax = original

    with torch.no_grad():
        forward(0)
    for number, attention in enumerate(own):
        total = torch.zeros_like(attention)
        for k in range(8):
            at = (attention * (k + 0.5) / 8).requires_grad_()
            total += torch.autograd.grad(forward(number, at), at)[0] / 8
        expected = (attention * total)[0].numpy()
        np.testing.assert_allclose(result.sites[number].scores, expected, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_a_site_without_heads_is_its_zero_baseline(name):
    attributor = Attributor(MODELS[name]())
    result = attributor.attribute(tiny.text(6), target=1, n_steps=1)
    masks = []
    for number in range(3):
        kept = np.ones((3, 2))
        kept[number] = 0
        masks += [Mask(heads=kept), Mask(edges={number: np.zeros((2, 6, 6))})]
    clean, values = measure(attributor, tiny.text(6), masks, target=1)
    assert clean == pytest.approx(result.target.value, abs=1e-12)
    wanted = [site.baseline_output for site in result.sites for _ in range(2)]
    np.testing.assert_allclose(values, wanted, atol=1e-10)


def test_a_head_taken_out_writes_nothing():
    """As with its columns of the output projection set to 0 by hand."""
    model, inputs = deberta(), batched(tiny.text(6))
    kept = np.ones((3, 2))
    kept[1, 1] = 0
    with Capture(model) as capture:
        clean = capture.record(inputs)
        got = masked_forward(capture, clean, inputs, [Mask(heads=kept)]).logits
    with torch.no_grad():
        clean = model(**inputs).logits
        model.get_submodule("deberta.encoder.layer.1.attention.output.dense").weight[:, 8:] = 0
        assert_close(got, model(**inputs).logits, atol=1e-10, rtol=0)
    assert not torch.allclose(got, clean, atol=1e-3)


def test_where_attention_is_seen_is_found_out_once(monkeypatch):
    """The first call records twice, by the interface and at the softmaxes; no later one does, of any verb."""
    model, records = deberta(), []
    record = Capture._record

    def counted(self, inputs, ways, share):
        records.append(ways.softmax)
        return record(self, inputs, ways, share)

    monkeypatch.setattr(Capture, "_record", counted)
    Attributor(model).attribute(tiny.text(6), target=1, n_steps=2)
    assert records == [False, True]
    Attributor(model).attribute(tiny.text(7), target=1, n_steps=2)
    measure(Attributor(model), tiny.text(6), [Mask(heads=np.ones((3, 2)))], target=1)
    assert records == [False, True, True, True]


def test_a_model_that_keeps_inputs_in_its_second_dimension_is_not_replayed():
    attributor = Attributor(xlnet())
    attributor.attribute([tiny.text(3, seed=k) for k in range(3)], n_steps=2)  # as many inputs as positions
    assert known(attributor.model) == Ways(softmax=True, replay=False, proven=True)


# -- models written here -------------------------------------------------------------------------------


class Written(nn.Module):
    """Attention written out: how depends on `kind`."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind, self.num_heads = kind, 2
        self.project = nn.Linear(16, 48)

    def forward(self, hidden):
        size, n, _ = hidden.shape
        query, key, value = self.project(hidden).view(size, n, 3, 2, 8).permute(2, 0, 3, 1, 4)
        if self.kind == "sdpa":
            context = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            scores = query @ key.transpose(2, 3) / 8**0.5
            if self.kind == "folded":
                flat = scores.reshape(size * 2, n, n)
                weights = torch.softmax(flat, dim=-1).view(size, 2, n, n)
            elif self.kind == "two":
                weights = (scores.softmax(-1) + (-scores).softmax(-1)) / 2
            else:
                weights = scores.softmax(dim=-1)
            context = weights @ value
        return hidden + context.transpose(1, 2).reshape(size, n, 16)


class Small(t.PreTrainedModel):
    config_class = t.BertConfig

    def __init__(self, kind):
        super().__init__(t.BertConfig(**tiny.SMALL, num_attention_heads=2, num_labels=3))
        self.embed = nn.Embedding(60, 16)
        self.layers = nn.ModuleList([Written(kind), Written(kind)])
        self.gate, self.classifier = nn.Linear(16, 4), nn.Linear(16, 3)

    def get_input_embeddings(self):
        return self.embed

    def forward(self, input_ids=None, attention_mask=None):
        hidden = self.embed(input_ids)
        for layer in self.layers:
            hidden = layer(hidden)
        gate = self.gate(hidden).softmax(-1)  # (B, n, 4): no attention, for all its shape
        hidden = hidden * gate.sum(-1, keepdim=True)
        return t.modeling_outputs.SequenceClassifierOutput(logits=self.classifier(hidden[:, -1]))


def small(kind):
    torch.manual_seed(0)
    return Small(kind).double().eval()


@pytest.mark.parametrize("kind", ["plain", "folded", "sdpa"])
def test_attention_written_by_hand_is_seen(kind):
    model, inputs = small(kind), [tiny.text(5), tiny.text(5, seed=1)]
    results = Attributor(model).attribute(inputs)
    for example, result in zip(inputs, results, strict=True):
        assert [site.name for site in result.sites] == ["layers.0", "layers.1"]
        assert result.converged.all() and not result.left_out
        with torch.no_grad():
            first = model.embed(example["input_ids"])[None]
            query, key, _ = model.layers[0].project(first).view(1, 5, 3, 2, 8).permute(2, 0, 3, 1, 4)
            scores = query @ key.transpose(2, 3) / 8**0.5
            if kind == "sdpa":
                scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
        np.testing.assert_allclose(result.sites[0].attention, scores.softmax(-1)[0], atol=1e-12)


class Optional(t.BertPreTrainedModel):
    """A BERT, and layers that write their attention out, which an input may leave out."""

    def __init__(self, config):
        super().__init__(config)
        self.bert = t.BertModel(config)
        self.more = nn.ModuleList([Written("plain"), Written("plain")])
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, extra=None, return_dict=None):
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state[:, 0]
        for layer in self.more if extra is not None else ():
            extra = layer(extra)
        hidden = hidden if extra is None else hidden + extra.mean(1)
        return t.modeling_outputs.SequenceClassifierOutput(logits=self.classifier(hidden))


def test_layers_that_the_first_input_left_out_are_seen_when_they_are_used():
    torch.manual_seed(0)
    model = Optional(t.BertConfig(**tiny.SMALL, num_attention_heads=2, num_labels=3)).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    text = tiny.text(6)
    both = text | {"extra": torch.randn(5, 16, dtype=torch.float64)}

    def names(inputs):
        result = Attributor(model).attribute(inputs, target=1)
        assert result.converged.all()
        return [site.name for site in result.sites]

    bert = [f"bert.encoder.layer.{i}.attention.self" for i in range(3)]
    assert names(text) == bert
    assert names(both) == [*bert, "more.0", "more.1"]
    assert names(text) == bert


def test_what_was_found_out_is_of_the_model_as_it_is():
    model = tiny.bert()
    Attributor(model).attribute(tiny.text(6), n_steps=2)
    assert known(model) == Ways(softmax=False, ending=True, proven=True)
    model.bert.encoder.layer[1].output = nn.Sequential(*[model.bert.encoder.layer[1].output])
    assert known(model) is None
    model.bert.encoder.layer[1].output = model.bert.encoder.layer[1].output[0]
    assert known(model) is not None and known(model.half()) is None


def test_several_softmaxes_in_one_module_are_refused():
    with pytest.raises(
        UnsupportedModelError, match="Small can be attributed: it is put together from several"
    ):
        Attributor(small("two")).attribute(tiny.text(5))


def test_nothing_is_seen_outside_of_a_forward():
    model = small("plain")
    Attributor(model).attribute(tiny.text(5))
    with torch.no_grad():
        before = model(**batched(tiny.text(5))).logits
    assert nn.functional.softmax(torch.zeros(1, 2, 3, 3), -1)[0, 0, 0, 0] == pytest.approx(1 / 3)
    assert_close(model(**batched(tiny.text(5))).logits, before)


def test_a_softmax_outside_of_every_module_or_over_another_dimension_is_left_alone():
    seen = []
    with Softmaxes(lambda *a, **k: seen.append(a), 1, {2}):
        one = torch.softmax(torch.zeros(1, 2, 3, 3), -1)
        other = torch.zeros(1, 2, 3, 3).softmax(1)
    assert not seen and float(one.sum()) == pytest.approx(6) and float(other.sum()) == pytest.approx(9)


def test_attention_written_out_is_torchs_own_also_where_a_query_sees_nothing():
    random = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 5, 8, dtype=torch.float64, generator=random).requires_grad_()
    key, value = torch.randn(2, 2, 2, 6, 8, dtype=torch.float64, generator=random)
    mask = torch.rand(2, 1, 5, 6, generator=random) > 0.4
    mask[0, 0, 2] = False
    context, weights = written_out(nn.Module(), query, key, value, mask, scaling=0.3)
    wanted = nn.functional.scaled_dot_product_attention(query, key, value, mask, scale=0.3, enable_gqa=True)
    assert_close(context.transpose(1, 2), wanted)
    assert not weights[0, :, 2].any()
    assert torch.autograd.grad(context.sum(), query)[0].isfinite().all()


def test_head_counts_are_read_from_names():
    config = {
        "num_attention_heads": 12,
        "head_dim": 64,
        "num_heads": [3, 6],
        "hidden_size": 768,
        "n_head": True,
    }
    assert head_counts(config, {"kv_heads": 2}) == {2, 3, 6, 12}
