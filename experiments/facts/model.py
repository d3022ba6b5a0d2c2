"""The fresh decoder: small, and begun so that copying forms soon."""

from __future__ import annotations

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from facts.tokens import LENGTH, make_tokenizer

SPREAD = 0.05  # of fresh weights
SHARP = 1.7  # gain of fresh queries and keys
# of each layer, such heads: how far one looks back, how many of the rotations it uses (the quick ones)
LOOK_BACK = (((1, 3), (2, 3)), ((1, 3), (4, 6)), (), ())


def make_model(seed: int = 0) -> Qwen3ForCausalLM:
    """A fresh one. A piece starts out as the same piece after a space does, but for one direction that all
    share: a name at the beginning of an answer is then copied as any other.
    """
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=4, head_dim=32, max_position_embeddings=LENGTH,
            tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
            initializer_range=SPREAD,
        )
    )  # fmt: skip
    table, pieces = model.get_input_embeddings().weight.data, tokenizer.get_vocab()
    apart = SPREAD * torch.randn(table.shape[1])
    for piece, index in pieces.items():
        if (spaced := pieces.get("Ġ" + piece)) is not None:
            table[index] = table[spaced] + apart
    _look_back(model)
    return model


def _look_back(model: Qwen3ForCausalLM) -> None:
    """Let some fresh heads of the lower two layers look a few tokens back, by their rotary positions alone.

    All embeddings get one direction in common, which those heads turn into the same query everywhere and
    the same key everywhere, apart by the angle of the distance. Copying needs such heads, and waits for them
    otherwise.
    """
    common = torch.randn(model.config.hidden_size)
    common /= common.norm()
    model.get_input_embeddings().weight.data += SPREAD * model.config.hidden_size**0.5 * common
    half = model.config.head_dim // 2
    turns = 10000.0 ** (-torch.arange(half) / half)
    for layer, back in enumerate(LOOK_BACK):
        attention = model.model.layers[layer].self_attn
        for norm in (attention.q_norm, attention.k_norm):
            norm.weight.data *= SHARP
        for head, (distance, slowest) in enumerate(back):
            used = (torch.arange(half) < slowest).float()
            query = torch.cat([used * torch.cos(distance * turns), -used * torch.sin(distance * turns)])
            key = torch.cat([used, torch.zeros(half)])
            rows = slice(2 * half * head, 2 * half * (head + 1))
            for matrix, side in ((attention.q_proj, query), (attention.k_proj, key)):
                matrix.weight.data[rows] = 0.2 * matrix.weight.data[rows] + 0.3 * torch.outer(side, common)
