"""Attention that is large is computed a block of queries at a time: the same results, and no n × n."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tiny
from attattr import Attributor
from attattr.data.encoding import as_inputs, encode
from attattr.engine import recording as calls
from attattr.engine.options import Options
from families import FAMILIES


@pytest.mark.parametrize("baseline", ["zero", "uniform"])
@pytest.mark.parametrize("name", FAMILIES)
def test_blocks_change_nothing(name, baseline, monkeypatch):
    family = FAMILIES[name]
    attributor = Attributor(family.model().double())
    inputs = [{k: v.double() if v.is_floating_point() else v for k, v in i.items()} for i in family.inputs]
    options = {"target": 1, "baseline": baseline}
    whole = attributor.attribute(inputs, **options)
    monkeypatch.setattr(calls, "BLOCK", 200)  # bytes: a few queries
    for store in ("dense", "edges", "heads"):
        for a, b in zip(attributor.attribute(inputs, store=store, **options), whole, strict=True):
            for mine, theirs in zip(a.sites, b.sites, strict=True):
                scale = np.abs(theirs.scores).max()
                for field in (
                    "scores",
                    "attention",
                    "head_sum",
                    "head_max",
                    "head_abs",
                    "query_sum",
                    "key_sum",
                ):
                    if getattr(mine, field) is not None:
                        np.testing.assert_allclose(
                            getattr(mine, field), getattr(theirs, field), rtol=0, atol=1e-12 * max(scale, 1)
                        )
            if store == "edges":
                pairs = zip(a.top_edges(10), b.top_edges(10), strict=True)
                assert all(abs(x.score) == pytest.approx(abs(y.score), rel=1e-9) for x, y in pairs)


def test_the_strongest_of_all_blocks_are_kept_in_their_order(monkeypatch):
    attributor = Attributor(tiny.bert().double())
    whole = attributor.attribute(tiny.text(20), store="edges")
    monkeypatch.setattr(calls, "BLOCK", 1000)
    for a, b in zip(attributor.attribute(tiny.text(20), store="edges").sites, whole.sites, strict=True):
        assert len(a.edges.score) == len(b.edges.score) == 256
        assert a.edges.query.tolist() == b.edges.query.tolist()
        assert a.edges.key.tolist() == b.edges.key.tolist()


class Largest(TorchDispatchMode):
    """The largest tensor with two equal, long last dimensions."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.ndim == 4 and tensor.shape[3] == 48:
                self.elements = max(self.elements, tensor.shape[0] * tensor.shape[1] * tensor.shape[2])
        return out


def test_no_square_of_all_heads_is_made(monkeypatch):
    attributor = Attributor(tiny.bert())
    attributor.attribute(tiny.text(48), store="edges")
    monkeypatch.setattr(calls, "BLOCK", 2 * 48 * 4 * 6)  # six queries of two heads
    with Largest() as seen:
        attributor.attribute(tiny.text(48), store="edges", n_steps=1)
    assert 0 < seen.elements <= 48  # the mask of one row; attention would have 2 × 48


def test_what_can_only_be_computed_whole_is_whole_once_and_not_for_every_target(monkeypatch):
    """Soft-caps: no fused attention says what blocks of queries have to give."""
    attributor = Attributor(tiny.gemma2(), tiny.tokenizer(bert=False))
    (encoded,) = encode(attributor.model, None, as_inputs([tiny.text(48)]))
    options = Options(None, "gausslegendre", 1, 1e-3, "zero", 1, None, "edges")
    targets = list(range(6))
    whole = attributor.attributed([encoded] * 6, targets, options)
    monkeypatch.setattr(calls, "BLOCK", 6 * 2 * 48 * 8 * 5)  # five queries of two heads for six targets
    with Largest() as seen:
        cut = attributor.attributed([encoded] * 6, targets, options)
    assert 2 * 48 <= seen.elements < 6 * 2 * 48
    for a, b in zip(cut, whole, strict=True):
        for mine, theirs in zip(a.sites, b.sites, strict=True):
            np.testing.assert_allclose(mine.head_sum, theirs.head_sum, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(mine.edges.score, theirs.edges.score, rtol=1e-5, atol=1e-7)
