"""What F is: which output of the model the attribution explains.

A `Wish` is what the user asked of one input; an `Objective` reads F from the outputs of a batch.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attattr.asked import choice
from attattr.data.encoding import Encoded
from attattr.errors import InputError, UnsupportedModelError
from attattr.result.values import OUTPUTS, Axis, Prediction, Target

NEXT_TOKENS = 10  # how many next tokens a language model's prediction lists


@dataclass(frozen=True)
class Wish:
    """A parsed target. `index` is empty where the prediction itself is to be explained."""

    kind: str  # class | difference | callable | token | continuation
    index: tuple[int, ...]
    label: str
    output: str
    function: Callable[[Any], Tensor] | None = None


def reads_tokens(model: PreTrainedModel) -> bool:
    """Whether the model predicts tokens (a language model) rather than classes."""
    return bool(model.can_generate())


def labels_of(model: PreTrainedModel) -> list[str]:
    """Names of the classes in index order; empty for a language model."""
    if reads_tokens(model):
        return []
    names: Any = model.config.id2label or {i: f"LABEL_{i}" for i in range(model.config.num_labels or 0)}
    return [names[i] for i in sorted(names)]


def parse(target: Any, output: str | None, model: PreTrainedModel, tokenizer: Any) -> Wish:
    """A user's target as a wish.

    None: the predicted class or next token. A label or index: that class; for a language model a
    token id, or text, explained by the summed log-probability of its tokens where it has several.
    A pair of them: the difference of the two (of logits, unless `output` says otherwise). A
    callable: F(outputs) -> (batch,).

    Raises:
        InputError: an unknown label (the message lists the known ones) or output.
    """
    if output is not None:
        choice(output, "output", OUTPUTS)
    if callable(target):
        return Wish("callable", (), getattr(target, "__name__", "callable"), output or "value", target)
    find = _token if reads_tokens(model) else _class
    if isinstance(target, tuple):
        if len(target) != 2:
            raise InputError(
                "a target of several labels is a pair: the difference of the first and the second"
            )
        (first, label), (second, against) = (find(item, model, tokenizer) for item in target)
        if len(first) != 1 or len(second) != 1:
            raise InputError("the two sides of a difference must be one token each")
        return Wish("difference", first + second, f"{label} - {against}", output or "logit")
    index, label = ((), "") if target is None else find(target, model, tokenizer)
    if len(index) > 1:
        if output == "logit":
            raise InputError(
                f"'{label}' is {len(index)} tokens: its output is log_probability or probability"
            )
        return Wish("continuation", index, label, output or "log_probability")
    kind = "token" if reads_tokens(model) else "class"
    output = output or "probability"
    if kind == "class" and model.config.num_labels == 1 and output != "logit" and not _multi_label(model):
        raise InputError("the model has a single output, whose probability is always 1: use output='logit'")
    return Wish(kind, index, label, output)


def extend(encoded: Encoded, wish: Wish, tokenizer: Any) -> Encoded:
    """The input with all tokens of a continuation but the last behind it (teacher forcing)."""
    added = list(wish.index[:-1]) if wish.kind == "continuation" else []
    if not added:
        return encoded
    name, axis = ("input_ids", "input")
    if "decoder_input_ids" in encoded.features:
        name, axis = ("decoder_input_ids", "output")
    length = len(encoded.features[name])
    features = dict(encoded.features)
    beside = {} if name == "decoder_input_ids" else {"attention_mask": 1, "token_type_ids": 0}
    for key, fill in {name: None, **beside}.items():
        if key in features:
            more = added if fill is None else [fill] * len(added)
            features[key] = [int(value) for value in features[key]] + more
    if "position_ids" in features and axis == "input":
        features["position_ids"] = [*features["position_ids"], *range(length, length + len(added))]
    old = encoded.axes[axis]
    axes = {
        **encoded.axes,
        axis: Axis(
            tokens=old.tokens + tuple(tokenizer.decode([token]) for token in added),
            segments=old.segments + (1,) * len(added),
            words=old.words + (None,) * len(added),
            special=old.special + (False,) * len(added),
        ),
    }
    return replace(encoded, features=features, axes=axes)


def read_length(encoded: Encoded) -> int:
    """Tokens of the side that F is read from, given padding at its end not counted."""
    features = encoded.features
    if "decoder_input_ids" in features:
        return len(features["decoder_input_ids"])
    mask = [int(value) for value in features.get("attention_mask", ())]
    return len(mask) - mask[::-1].index(1) if 1 in mask else len(features.get("input_ids", ()))


@dataclass(frozen=True)
class Objective:
    """F over a batch of B inputs: the values of R rows from the model's outputs for them."""

    wishes: Sequence[Wish]  # B, indices resolved
    first: Tensor | None  # (B,) position that predicts the first token; None for classes
    multi_label: bool

    @property
    def is_opaque(self) -> bool:
        """Whether some of it is the user's own function: of what, and in which precision, is not known."""
        return any(wish.kind == "callable" for wish in self.wishes)

    def positions(self) -> Tensor | None:
        """Positions whose logits it reads, ascending; None: it reads no positions, or any of them."""
        if self.first is None or self.is_opaque:
            return None
        counts = [max(1, len(wish.index)) if wish.kind == "continuation" else 1 for wish in self.wishes]
        read = [
            torch.arange(count, device=at.device) + at for at, count in zip(self.first, counts, strict=True)
        ]
        return torch.cat(read).unique()

    def among(self, positions: Tensor) -> Objective:
        """The same of outputs whose logits are those of `positions` alone."""
        assert self.first is not None
        return replace(self, first=torch.searchsorted(positions, self.first))

    def __call__(self, outputs: Any, rows: Tensor) -> Tensor:
        """F of each row, (R,), in float32 or finer; row r stands on input `rows[r]`."""
        groups: dict[tuple, list[int]] = {}
        for r, i in enumerate(rows.tolist()):
            wish = self.wishes[i]
            groups.setdefault((wish.kind, wish.output, wish.function), []).append(r)
        values, order = [], []
        for (kind, output, function), members in groups.items():
            order += members
            if function is not None:
                values.append(_of_callable(function, outputs, len(rows))[members])
                continue
            here = torch.tensor(members, device=rows.device)
            wishes = [self.wishes[i] for i in rows[here].tolist()]
            logits = _logits(outputs)[here]
            at = None if self.first is None else self.first[rows[here]]
            values.append(_value(logits, at, wishes, kind, output, self.multi_label))
        back = torch.tensor(order, device=rows.device).argsort()
        return torch.cat(values)[back]


def resolve(
    wishes: Sequence[Wish], outputs: Any, lengths: Sequence[int], model: PreTrainedModel, tokenizer: Any
) -> tuple[Objective, list[Prediction]]:
    """The objective of a batch, each "predicted" wish filled in from the clean outputs, and what the
    model predicts for each input.

    lengths: how many tokens the axis that is read from has (continuation tokens included).
    """
    logits = _logits(outputs)
    first = None
    multi_label = _multi_label(model)
    if reads_tokens(model):
        added = [max(0, len(wish.index) - 1) if wish.kind == "continuation" else 0 for wish in wishes]
        first = torch.tensor([n - 1 - k for n, k in zip(lengths, added, strict=True)], device=logits.device)
        logits = logits[torch.arange(len(wishes), device=logits.device), first]
    elif logits.ndim != 2 or logits.shape[1] != len(labels_of(model)):
        raise UnsupportedModelError(
            f"a {type(model).__name__} gives logits of {' × '.join(map(str, logits.shape[1:]))} an input, "
            f"not one for each of its {len(labels_of(model))} classes: it cannot be explained yet"
        )
    probabilities = logits.sigmoid() if multi_label else logits.softmax(-1)
    predictions = [_prediction(row, model, tokenizer) for row in probabilities.detach()]
    filled = [
        replace(wish, index=(prediction.index,), label=prediction.label)
        if wish.kind in ("class", "token") and not wish.index
        else wish
        for wish, prediction in zip(wishes, predictions, strict=True)
    ]
    return Objective(filled, first, multi_label), predictions


def described(wish: Wish, value: float) -> Target:
    """The target as a result carries it; `value` is F(A)."""
    return Target(kind=wish.kind, label=wish.label, index=wish.index, output=wish.output, value=value)


def _value(
    logits: Tensor, first: Tensor | None, wishes: list[Wish], kind: str, output: str, multi_label: bool
) -> Tensor:
    each = torch.arange(len(wishes), device=logits.device)
    given = logits.dtype
    logits = in_full(logits)
    if kind == "continuation":
        assert first is not None
        sums = []
        for r, wish in enumerate(wishes):  # lengths differ: row by row
            steps = torch.arange(len(wish.index), device=logits.device)
            scores = logits[r, first[r] + steps].log_softmax(-1)
            sums.append(scores[steps, torch.tensor(wish.index, device=logits.device)].sum())
        total = torch.stack(sums)
        return (total.exp() if output == "probability" else total).to(given)
    scores = logits if first is None else logits[each, first]
    if output == "probability":
        scores = scores.sigmoid() if multi_label else scores.softmax(-1)
    elif output == "log_probability":
        scores = torch.nn.functional.logsigmoid(scores) if multi_label else scores.log_softmax(-1)
    index = torch.tensor([wish.index for wish in wishes], device=logits.device)
    values = scores[each, index[:, 0]]
    return (values - scores[each, index[:, 1]] if kind == "difference" else values).to(given)


def _of_callable(function: Callable[[Any], Tensor], outputs: Any, count: int) -> Tensor:
    values = function(outputs)
    if not isinstance(values, Tensor) or values.shape != (count,):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise InputError(f"a callable target must return one number an input, ({count},), not {shape}")
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _logits(outputs: Any) -> Tensor:
    logits = getattr(outputs, "logits", None)
    if not isinstance(logits, Tensor):
        raise UnsupportedModelError(
            f"the outputs of this model, {type(outputs).__name__}, hold no logits to explain"
        )
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def in_full(logits: Tensor) -> Tensor:
    """In float64, where the device is known to have it: in float32 the gradient of a probability within
    1e-7 of 1 is noise."""
    return logits.double() if logits.device.type in ("cpu", "cuda") else logits.float()


def _multi_label(model: PreTrainedModel) -> bool:
    return getattr(model.config, "problem_type", None) == "multi_label_classification"


def _prediction(probabilities: Tensor, model: PreTrainedModel, tokenizer: Any) -> Prediction:
    if reads_tokens(model):
        top = probabilities.topk(min(NEXT_TOKENS, len(probabilities)))
        # two ids may decode to the same text (bytes of one character): the first, likelier one stays
        listed: dict[str, float] = {}
        for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            listed.setdefault(_decode(tokenizer, i), p)
        index = int(top.indices[0])
        label = _decode(tokenizer, index)
    else:
        names = labels_of(model)
        listed = dict(zip(names, probabilities.tolist(), strict=True))
        index = int(probabilities.argmax())
        label = names[index]
    return Prediction(label=label, index=index, probability=float(probabilities[index]), probabilities=listed)


def _decode(tokenizer: Any, token: int) -> str:
    return tokenizer.decode([token]) if hasattr(tokenizer, "decode") else str(token)


def _class(target: Any, model: PreTrainedModel, tokenizer: Any) -> tuple[tuple[int, ...], str]:
    names = labels_of(model)
    if _is_whole(target):
        if not -len(names) <= target < len(names):
            raise InputError(f"target {target} is out of range: the model has {len(names)} labels")
        return (int(target) % len(names),), names[int(target)]
    if isinstance(target, str):
        exact = [i for i, name in enumerate(names) if name == target]
        loose = exact or [i for i, name in enumerate(names) if name.lower() == target.lower()]
        if loose:
            return (loose[0],), names[loose[0]]
    raise InputError(f"unknown target '{target}': the model's labels are {', '.join(names)}")


def _is_whole(target: Any) -> bool:
    """A whole number, of numpy or torch too, and no truth value."""
    if isinstance(target, Tensor) and target.ndim == 0 and not target.is_floating_point():
        return target.dtype != torch.bool
    return isinstance(target, numbers.Integral) and not isinstance(target, bool)


def _token(target: Any, model: PreTrainedModel, tokenizer: Any) -> tuple[tuple[int, ...], str]:
    if _is_whole(target):
        size = model.get_output_embeddings().weight.shape[0]
        if not 0 <= target < size:
            raise InputError(f"token {target} is out of range: the vocabulary has {size} entries")
        return (int(target),), _decode(tokenizer, int(target))
    if isinstance(target, str) and tokenizer is not None:
        ids = tuple(tokenizer(target, add_special_tokens=False)["input_ids"])
        if ids:
            return ids, target
    raise InputError(f"target {target!r} is not a token id or a text of at least one token")
