"""The paper's algorithm to the letter, as slow as it reads: the judge of the engine.

Materialise αA, run the whole model from its embeddings, differentiate with respect to αA, sum up.
It shares no code with the package: it swaps the model's own eager attention function, and knows
nothing of contexts, replayed blocks or fused attention.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def patched(model, replace):
    """Every attention call goes through replace(number, weights, value); None leaves it alone."""
    originals, count = {}, [0]

    def make(original):
        def forward(module, query, key, value, attention_mask=None, *args, **kwargs):
            output, weights = original(module, query, key, value, attention_mask, *args, **kwargs)
            repeated = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
            new = replace(count[0], weights, attention_mask)
            count[0] += 1
            return (output, weights) if new is None else ((new @ repeated).transpose(1, 2), new)

        return forward

    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")
    modules: dict[str, Any] = dict(sys.modules)
    for name in {type(module).__module__ for module in model.modules()}:
        if hasattr(modules[name], "eager_attention_forward"):
            originals[name] = modules[name].eager_attention_forward
            modules[name].eager_attention_forward = make(originals[name])
    try:
        yield
    finally:
        for name, function in originals.items():
            modules[name].eager_attention_forward = function
        model.set_attn_implementation(implementation)


def attention(model, inputs):
    """The weights and masks of every call of a clean forward."""
    seen = []

    def look(number, weights, mask):
        seen.append((weights.detach(), mask))

    with patched(model, look), torch.no_grad():
        model(**inputs)
    return seen


def value_at(model, inputs, site, weights, function):
    """F with the attention of one site replaced."""
    with patched(model, lambda number, _, __: weights if number == site else None):
        return function(model(**inputs))


def uniform(weights, mask):
    if mask is None:
        return torch.full_like(weights, 1 / weights.shape[-1]) * weights.sum(-1, keepdim=True)
    seen = (mask == 0).expand_as(weights).to(weights.dtype)
    count = seen.sum(-1, keepdim=True)
    return torch.where(count > 0, seen / count.clamp(min=1), 0.0) * weights.sum(-1, keepdim=True)


def attribution(model, inputs, site, function, nodes, weights, baseline="zero"):
    """(B, H, q, k) scores of one site by the rule (nodes, weights); inputs are a batch."""
    full, mask = attention(model, inputs)[site]
    if baseline == "zero":
        start = torch.zeros_like(full)
    elif baseline == "uniform":
        start = uniform(full, mask)
    else:  # another input, as a batch
        start = attention(model, baseline)[site][0]
    total = torch.zeros_like(full)
    for node, weight in zip(nodes, weights, strict=True):
        leaf = (start + float(node) * (full - start)).requires_grad_()
        value = value_at(model, inputs, site, leaf, function).sum()
        total += float(weight) * torch.autograd.grad(value, leaf)[0]
    return (full - start) * total
