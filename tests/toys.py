"""A toy model whose attributions are known by hand.

One attention layer of two heads, one number each. Queries and keys are zero, so every row of the
attention is uniform; the values are the input; and the single logit is a given function of the two
heads' contexts at query 0.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


def eager_attention_forward(module, query, key, value, attention_mask, **kwargs):
    weights = (query @ key.transpose(2, 3)).softmax(-1)
    return (weights @ value).transpose(1, 2), weights


class ToyConfig(PreTrainedConfig):
    model_type = "attattr-toy"


class ToyAttention(nn.Module):
    is_causal = False

    def __init__(self, config):
        super().__init__()
        self.config = config

    def forward(self, values):  # (B, n, heads)
        value = values.transpose(1, 2)[..., None]
        nothing = torch.zeros_like(value)
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        return attention(self, nothing, nothing, value, None)[0][..., 0]


class ToyForSequenceClassification(PreTrainedModel):
    config_class = ToyConfig

    def __init__(self, function):
        super().__init__(ToyConfig(num_labels=1))
        self.function = function
        self.attention = ToyAttention(self.config)
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.post_init()

    def forward(self, values, attention_mask=None, return_dict=True):
        context = self.attention(values)[:, 0]  # (B, heads), at query 0
        return SequenceClassifierOutput(logits=self.weight * self.function(*context.unbind(-1))[:, None])


class TextToy(PreTrainedModel):
    """As above on token ids with values in a table; `read` gives outputs of contexts (B, n, heads)."""

    config_class = ToyConfig

    def __init__(self, head, table, read, **facts):
        # as a model with code of its own says which head it has
        super().__init__(ToyConfig(auto_map={head: "toys.TextToy"}, **facts))
        self.read = read
        self.attention = ToyAttention(self.config)
        self.table = nn.Parameter(table)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, return_dict=True):
        return self.read(self.attention(self.table[input_ids]))


def toy(function):
    return ToyForSequenceClassification(function).double()
