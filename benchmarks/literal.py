"""The opponent: the paper's algorithm as its authors run it, one input at a time, padded to 128 tokens.

αA is materialised for 16 steps at a time, the whole model is run from its embeddings with it, and
differentiated with respect to it; left Riemann sum of 64 steps; eager attention, float32. The attention
function is swapped as the tests' oracle does it (tests/oracle.py), whose scores these are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import oracle

STEPS, AT_ONCE, PADDED = 64, 16, 128


def attribute(
    model, tokenizer, text: str, text_pair: str | None = None, *, padded: bool = True
) -> np.ndarray:
    """(layers, heads, n, n) scores of the predicted class's probability."""
    kwargs = {"padding": "max_length", "max_length": PADDED} if padded else {}
    inputs = tokenizer(text, text_pair, truncation=True, return_tensors="pt", **kwargs)
    with torch.no_grad():
        target = int(model(**inputs).logits.argmax())
    rows = {name: value.expand(AT_ONCE, -1) for name, value in inputs.items()}
    scores = []
    for site, (full, _) in enumerate(oracle.attention(model, inputs)):
        total = torch.zeros_like(full)
        for first in range(0, STEPS, AT_ONCE):
            alphas = torch.arange(first, first + AT_ONCE)[:, None, None, None] / STEPS
            leaf = (alphas * full).requires_grad_()
            value = oracle.value_at(
                model, rows, site, leaf, lambda outputs: outputs.logits.softmax(-1)[:, target].sum()
            )
            total += torch.autograd.grad(value, leaf)[0].sum(0, keepdim=True)
        scores.append((full * total / STEPS)[0].numpy())
    return np.stack(scores)
