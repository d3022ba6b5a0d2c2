"""The target of a model of embeddings: how alike it finds the first text and the second.

F = cos(e(first), e(second)) with e(second) held as the untouched model gives it, so that it is the first
text's edges that are explained. Source of e: sentence-transformers' pooling of the last hidden state.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attattr.data.encoding import Encoded, collate
from attattr.errors import InputError, UnsupportedModelError
from attattr.models.pooling import pooling
from attattr.result.values import Prediction
from attattr.targets.objective import Embedding, Wish, in_full, likeness, pooled, states_of

LABEL = "cosine similarity"


def parse(target: Any, output: str | None, model: PreTrainedModel, tokenizer: Any) -> Wish:
    """None: there is one thing to explain."""
    name = type(model).__name__
    if target is not None:
        raise InputError(
            f"a {name} has no head, only embeddings: give two texts, whose likeness is explained, and no "
            "target, or a function of the outputs as the target"
        )
    if output not in (None, "value"):
        raise InputError("a likeness of two texts is no probability and no logit: leave output out")
    if getattr(model.config, "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"a {name} is an encoder and a decoder, which have no one embedding: explain a function of its "
            "outputs"
        )
    return Wish("similarity", (0,), LABEL, "value")


def placed(wish: Wish, encoded: Encoded, tokenizer: Any) -> Wish:
    if encoded.second is None:
        raise InputError(
            "this model has no head, only embeddings: give two texts, whose likeness is explained"
        )
    return wish


def answered(
    wish: Wish, scores: Tensor, encoded: Encoded, model: PreTrainedModel, tokenizer: Any
) -> tuple[Wish, Prediction]:
    """scores: the first text's hidden states."""
    assert encoded.second is not None
    modes = pooling(model)
    batch = collate([replace(encoded, features=encoded.second)], None, scores.device)
    with torch.no_grad():
        there = in_full(states_of(model(**batch, return_dict=True)))
    kept = torch.tensor([_pooled(encoded.second)], device=scores.device)
    embedding = Embedding(pooled(there, kept, modes)[0], _pooled(encoded.features), modes)
    wish = replace(wish, embedding=embedding)
    return wish, Prediction(f"{float(likeness(scores[None], [wish])):.4g}", 0, None, {})


def _pooled(features: dict[str, Any]) -> tuple[bool, ...]:
    return tuple(bool(value) for value in features["attention_mask"])
