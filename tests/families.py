"""The model families every engine test goes through, each with a long and a short input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as t

import tiny


@dataclass(frozen=True)
class Family:
    model: Callable[[], Any]
    inputs: list[dict[str, torch.Tensor]]
    tokens: bool = False  # predicts tokens

    def function(self, length: int) -> Callable[[Any], torch.Tensor]:
        """F by hand: the probability of class or token 1, for inputs of one length."""

        def read(outputs):
            logits = outputs.logits[:, length - 1] if self.tokens else outputs.logits
            return logits.softmax(-1)[:, 1]

        return read


TEXTS = [tiny.text(7), tiny.text(4, seed=1)]
FAMILIES = {
    "bert": Family(tiny.bert, TEXTS),
    "roberta": Family(tiny.roberta, TEXTS),
    "albert": Family(tiny.albert, TEXTS),
    "distilbert": Family(tiny.distilbert, TEXTS),
    "gpt2": Family(tiny.gpt2, TEXTS, tokens=True),
    "gpt2-classifier": Family(lambda: tiny.gpt2(t.GPT2ForSequenceClassification, num_labels=3), TEXTS),
    "llama": Family(tiny.llama, TEXTS, tokens=True),
    "gemma2": Family(tiny.gemma2, TEXTS, tokens=True),
    "t5": Family(tiny.t5, [tiny.source(7), tiny.source(4, seed=1)], tokens=True),
    "bart": Family(tiny.bart, [tiny.source(7, start=2), tiny.source(4, 1, start=2)], tokens=True),
    "vit": Family(tiny.vit, [tiny.image(), tiny.image(1)]),
}


def batched(example: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One input as a batch of one, unpadded."""
    return {name: value[None] for name, value in example.items()}


def read_length(example: dict[str, torch.Tensor]) -> int:
    return len(example.get("decoder_input_ids", example.get("input_ids", ())))
