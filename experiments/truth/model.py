"""A transformer for compiled weights: a plain pre-norm encoder with ReLU, registered with transformers.

The residual stream holds m named features and, behind them, their negatives, so that its mean is 0 and a
LayerNorm only scales it. A head looks by a bilinear form of the features of query and key, and writes a
linear map of the key's features. No layer has a bias: constants come from features that are always 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

LONGEST = 64  # tokens
TURN = 2 * math.pi / (2 * LONGEST)  # angle between neighbouring positions
ALWAYS = 3  # squared length of an embedded token: token, position and segment, 1 each


@dataclass(frozen=True)
class Head:
    """look: {(query's feature, key's): weight}; write: {(key's feature, feature): weight}; shift: the
    position that is looked at, from the query's."""

    name: str
    look: Mapping[tuple[str, str], float] = field(default_factory=dict)
    write: Mapping[tuple[str, str], float] = field(default_factory=dict)
    shift: int | None = None


@dataclass(frozen=True)
class Plan:
    """What is compiled. units: of the last block's ReLU, (reads, writes); reads: of the logit of class 1, and
    negated of class 0; lifts: of both alike."""

    tokens: tuple[str, ...]
    scratch: tuple[str, ...]
    layers: tuple[tuple[Head, ...], ...]
    reads: Mapping[str, float]
    units: tuple[tuple[Mapping[str, float], Mapping[str, float]], ...] = ()
    lifts: tuple[str, ...] = ()
    norm: bool = False
    sharpness: float = 20000.0  # of looking by position

    @property
    def features(self) -> dict[str, int]:
        names = (*self.tokens, "cos", "sin", "first text", "second text", *self.scratch)
        return {name: i for i, name in enumerate(names)}


class CompiledConfig(PreTrainedConfig):
    model_type = "attattr-compiled"

    def __init__(self, vocab_size=1, features=1, heads=1, layers=1, units=0, norm=False, **more):
        self.vocab_size, self.features, self.units, self.norm = vocab_size, features, units, norm
        self.hidden_size, self.num_attention_heads, self.num_hidden_layers = 2 * features, heads, layers
        self.intermediate_size, self.max_position_embeddings = max(units, 1), LONGEST
        super().__init__(**more)


def eager_attention_forward(module, query, key, value, attention_mask, **kwargs):
    scores = query @ key.transpose(2, 3)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


class CompiledAttention(nn.Module):
    is_causal = False

    def __init__(self, config: CompiledConfig):
        super().__init__()
        self.config = config
        inner = config.num_attention_heads * config.features
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(config.hidden_size, inner, bias=False) for _ in range(3)
        )
        self.o_proj = nn.Linear(inner, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        shape = (*hidden.shape[:2], self.config.num_attention_heads, -1)
        query, key, value = (
            project(hidden).view(shape).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attention: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        context, _ = attention(self, query, key, value, mask, scaling=1.0, dropout=0.0)
        return self.o_proj(context.reshape(*hidden.shape[:2], -1))


class CompiledBlock(nn.Module):
    def __init__(self, config: CompiledConfig):
        super().__init__()
        norm = nn.LayerNorm if config.norm else nn.Identity
        self.norm, self.norm_2 = (norm(config.hidden_size) for _ in range(2))
        self.attention = CompiledAttention(config)
        self.up = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        hidden = hidden + self.attention(self.norm(hidden), mask)
        return hidden + self.down(self.up(self.norm_2(hidden)).relu())


class CompiledForSequenceClassification(PreTrainedModel):
    """Class 0 or 1, read at the first token."""

    config_class = CompiledConfig
    _supports_sdpa = True

    def __init__(self, config: CompiledConfig):
        super().__init__(config)
        size = config.hidden_size
        self.tokens = nn.Embedding(config.vocab_size, size)
        self.positions, self.segments = nn.Embedding(LONGEST, size), nn.Embedding(2, size)
        self.layers = nn.ModuleList(CompiledBlock(config) for _ in range(config.num_hidden_layers))
        self.norm = (nn.LayerNorm if config.norm else nn.Identity)(size)
        self.classifier = nn.Linear(size, 2, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.tokens

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, return_dict=True):
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        hidden = self.tokens(input_ids) + self.positions(places) + self.segments(types)
        mask = None
        if attention_mask is not None and not bool(attention_mask.all()):
            mask = hidden.new_zeros(len(hidden), 1, 1, hidden.shape[1])
            mask = mask.masked_fill(attention_mask[:, None, None] == 0, torch.finfo(hidden.dtype).min)
            mask = mask.expand(-1, 1, hidden.shape[1], -1)
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return SequenceClassifierOutput(logits=self.classifier(self.norm(hidden))[:, 0])


AutoConfig.register(CompiledConfig.model_type, CompiledConfig)
AutoModelForSequenceClassification.register(CompiledConfig, CompiledForSequenceClassification)


@torch.no_grad()
def compiled(plan: Plan) -> CompiledForSequenceClassification:
    """The model of a plan, in float64."""
    names, m = plan.features, len(plan.features)
    heads = {len(layer) for layer in plan.layers}
    assert len(heads) == 1, "every layer has as many heads"
    config = CompiledConfig(
        len(plan.tokens), m, heads.pop(), len(plan.layers), len(plan.units), plan.norm, num_labels=2
    )
    model = CompiledForSequenceClassification(config).double().eval()
    for parameter in model.parameters():
        parameter.zero_()
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.fill_(math.sqrt(ALWAYS / m))  # an embedded token passes unchanged
    _twofold(model.tokens.weight, torch.eye(m, dtype=torch.float64)[: len(plan.tokens)])
    angle = torch.arange(LONGEST, dtype=torch.float64) * TURN
    places = torch.zeros(LONGEST, m, dtype=torch.float64)
    places[:, names["cos"]], places[:, names["sin"]] = angle.cos(), angle.sin()
    _twofold(model.positions.weight, places)
    segments = [_vector(names, {name: 1.0}) for name in ("first text", "second text")]
    _twofold(model.segments.weight, torch.stack(segments))
    for block, layer in zip(model.layers, plan.layers, strict=True):
        _heads(block.attention, plan, layer)
    last = model.layers[-1]
    for number, (reads, writes) in enumerate(plan.units):
        last.up.weight[number, :m] = _vector(names, reads)
        last.down.weight[:, number] = torch.cat([_vector(names, writes), -_vector(names, writes)])
    lifted = _vector(names, dict.fromkeys(plan.lifts, 1.0))
    for label, sign in enumerate((-1, 1)):
        model.classifier.weight[label, :m] = sign * _vector(names, plan.reads) + lifted
    return model


def _heads(attention: CompiledAttention, plan: Plan, heads: Sequence[Head]) -> None:
    names, m = plan.features, len(plan.features)
    for number, head in enumerate(heads):
        rows = slice(number * m, (number + 1) * m)
        look, write = torch.zeros(m, m, dtype=torch.float64), torch.zeros(m, m, dtype=torch.float64)
        for (query, key), weight in head.look.items():
            look[names[query], names[key]] += weight
        for (feature, to), weight in head.write.items():
            write[names[feature], names[to]] += weight
        if head.shift is not None:  # a turn of the query's angle
            c, s = names["cos"], names["sin"]
            cos, sin = math.cos(head.shift * TURN), math.sin(head.shift * TURN)
            for here, there, weight in ((c, c, cos), (c, s, sin), (s, c, -sin), (s, s, cos)):
                look[here, there] += plan.sharpness * weight
        attention.q_proj.weight[rows, :m] = look.T
        attention.k_proj.weight[rows, :m] = torch.eye(m, dtype=torch.float64)
        attention.v_proj.weight[rows, :m] = write.T
        attention.o_proj.weight[:m, rows] = torch.eye(m, dtype=torch.float64)
        attention.o_proj.weight[m:, rows] = -torch.eye(m, dtype=torch.float64)


def _vector(names: Mapping[str, int], weights: Mapping[str, float]) -> Tensor:
    found = torch.zeros(len(names), dtype=torch.float64)
    for name, weight in weights.items():
        found[names[name]] += weight
    return found


def _twofold(weight: Tensor, rows: Tensor) -> None:
    weight.copy_(torch.cat([rows, -rows], dim=1))
