"""From Examples to what a model's forward takes, and what its positions mean.

n: tokens of one input. Features carry no batch dimension: lists of n numbers, or tensors.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attattr.data.examples import Example, as_examples
from attattr.data.images import patches
from attattr.data.pieces import consecutive, readable
from attattr.errors import InputError, ModelError
from attattr.models import pooling
from attattr.models.heads import reading
from attattr.result.values import Axis

# dimensions of one input; a tensor with one more, of length 1, carries a batch dimension
RANKS = {"pixel_values": 3, "inputs_embeds": 2}


@dataclass(frozen=True)
class Encoded:
    """One input, ready for `collate`."""

    example: Example
    features: dict[str, Any]  # lists with a number for each token; tensors of any other shape
    axes: dict[str, Axis]  # "input", "output" (of an encoder-decoder's decoder), "patches"
    truncated: bool
    second: dict[str, Any] | None = None  # features of the second text, where a model reads one at a time
    counterfactual: Encoded | None = None  # the input whose attention is the baseline


def as_inputs(inputs: Any) -> Sequence[Example] | Sequence[Encoded]:
    """As `as_examples`; what is encoded already, one or a list, stays as it is."""
    listed = [inputs] if isinstance(inputs, Encoded) else inputs
    encoded = isinstance(listed, list) and listed and all(isinstance(each, Encoded) for each in listed)
    return listed if encoded else as_examples(inputs)


def encode(
    model: PreTrainedModel,
    tokenizer: Any,
    examples: Sequence[Example] | Sequence[Encoded],
    *,
    truncate: bool = True,
    pair: bool | None = None,
) -> list[Encoded]:
    """Examples as the model's inputs, in the same order; what is encoded already stays as it is.

    Args:
        tokenizer: tokenizer or image processor; None if the examples hold ready tensors.
        truncate: cut a text that is longer than the model takes, with a warning; False: an error.
        pair: whether the model was trained on pairs of texts (None: unknown). A pair model given one
            text warns; a model of single texts given two is an error.

    Raises:
        InputError: texts without a tokenizer, a text too long, tensors the model cannot take.
    """
    ready = [each for each in examples if isinstance(each, Encoded)]
    if ready:
        return ready
    examples = [each for each in examples if isinstance(each, Example)]
    encoder = _Encoder(model, tokenizer, truncate)
    made = [encoder.encode(example) for example in examples]
    if pair is False and any(example.text_pair is not None for example in examples):
        raise InputError("the model was trained on single texts: it has no use for a second one")
    alone = sum(example.text is not None and example.text_pair is None for example in examples)
    if pair and alone:
        which = "one text" if len(examples) == 1 else f"single texts ({alone} of {len(examples)} inputs)"
        warnings.warn(f"the model was trained on pairs of texts and was given {which}", stacklevel=3)
    cut = sum(each.truncated for each in made)
    if cut:
        which = "the text is" if len(made) == 1 else f"{cut} of {len(made)} texts are"
        warnings.warn(f"{which} cut to the {encoder.longest} tokens the model takes", stacklevel=3)
    return made


def encode_text(model: PreTrainedModel, tokenizer: Any, text: str, *, special: bool) -> Encoded:
    """One whole text, never cut. special: whether the tokenizer puts its special tokens around it; a chat has
    them in it.

    Raises:
        InputError: there is no tokenizer, the text is too long or makes no tokens.
    """
    encoder = _Encoder(model, tokenizer, truncate=False)
    if not hasattr(tokenizer, "convert_ids_to_tokens"):
        return encoder.encode(Example(text))  # says what is missing
    return encoder._tokens(Example(text), (text,), add_special_tokens=special)


def longest_input(model: PreTrainedModel, tokenizer: Any) -> int | None:
    """How many tokens an input may have; None: any number."""
    limits = [_positions(model), getattr(tokenizer, "model_max_length", None)]
    if reading(model) == "likeness":
        limits.append(pooling.longest(model))
    return min((limit for limit in limits if limit and limit < 1 << 30), default=None)


def collate(
    encoded: Sequence[Encoded], pad_token_id: int | None, device: torch.device | None = None
) -> dict[str, Tensor]:
    """Inputs as one batch on a device, padded on the right: token ids with `pad_token_id`, all else with 0.

    Raises:
        InputError: the inputs do not hold the same kinds of tensors, of the same shapes.
    """
    names = encoded[0].features.keys()
    if any(each.features.keys() != names for each in encoded):
        raise InputError("inputs of one batch must hold the same tensors (attention_mask, token_type_ids …)")
    batch = {}
    for name in names:
        values = [each.features[name] for each in encoded]
        if isinstance(values[0], Tensor):
            if len({value.shape for value in values}) > 1:
                raise InputError(f"the {name} of one batch must have the same shape")
            batch[name] = torch.stack(values)
            continue
        fill = (pad_token_id or 0) if name.endswith("input_ids") else 0
        longest = max(map(len, values))
        batch[name] = torch.tensor([[*value, *[fill] * (longest - len(value))] for value in values])
    return {name: value.to(device) for name, value in batch.items()}


class _Encoder:
    """What has to be found out once about a model and its tokenizer."""

    def __init__(self, model: PreTrainedModel, tokenizer: Any, truncate: bool):
        self.model, self.tokenizer, self.truncate = model, tokenizer, truncate
        self.takes = set(inspect.signature(model.forward).parameters)
        self.one_at_a_time = reading(model) == "likeness"
        self.positions = _positions(model)
        self.longest = longest_input(model, tokenizer)

    def encode(self, example: Example) -> Encoded:
        if example.inputs is None:
            return self._texts(example)
        inputs = self._pixels(example.inputs) if "image" in example.inputs else example.inputs
        return self._tensors(example, inputs)

    def _texts(self, example: Example) -> Encoded:
        if self.tokenizer is None or not hasattr(self.tokenizer, "convert_ids_to_tokens"):
            raise InputError(
                "the model sees images, and was given a text"
                if hasattr(self.tokenizer, "image_mean")
                else "the model reads no texts, or has no tokenizer: give tensors, or {'image': …}"
            )
        assert example.text is not None
        if self.one_at_a_time and example.text_pair is not None:
            first, second = (self._tokens(example, (text,)) for text in (example.text, example.text_pair))
            cut = first.truncated or second.truncated
            return replace(first, second=second.features, truncated=cut)
        texts = (example.text,) if example.text_pair is None else (example.text, example.text_pair)
        return self._tokens(example, texts)

    def _tokens(self, example: Example, texts: Sequence[str], **options: Any) -> Encoded:
        made = self.tokenizer(*texts, verbose=False, **options)
        length = len(made["input_ids"])
        truncated = self.longest is not None and length > self.longest
        if truncated:
            if not self.truncate:
                raise InputError(f"the text has {length} tokens, but the model takes {self.longest} at most")
            made = self.tokenizer(*texts, truncation=True, max_length=self.longest, verbose=False, **options)
        ids = list(made["input_ids"])
        if not ids:
            raise InputError(f"the tokenizer makes no tokens of {example.text!r}")
        features = {name: list(made[name]) for name in made if name in self.takes}
        features["attention_mask"] = features.get("attention_mask", [1] * len(ids))
        if getattr(self.tokenizer, "is_fast", False):
            segments, words = made.sequence_ids(0), made.word_ids(0)
        else:
            segments, words = self._runs(ids), [None] * len(ids)
        axes = {"input": self._axis(ids, segments, words)}
        return self._finish(example, features, axes, truncated)

    def _tensors(self, example: Example, inputs: Mapping[str, Any]) -> Encoded:
        unknown = inputs.keys() - self.takes
        if unknown:
            raise InputError(f"the model takes no {', '.join(sorted(unknown))}")
        features = {name: self._ready(name, value) for name, value in inputs.items()}
        axes = {}
        ids = features.get("input_ids")
        if ids is not None:
            size = _vocabulary(self.model)
            if not ids or not all(0 <= token < size for token in ids):
                raise InputError(f"input_ids must be one or more numbers from 0 to {size - 1}")
            if self.positions is not None and len(ids) > self.positions:
                raise InputError(
                    f"there are {len(ids)} input_ids, but the model takes {self.positions} at most"
                )
            features.setdefault("attention_mask", [1] * len(ids))
            wrong = [k for k, v in features.items() if isinstance(v, list) and "decoder" not in k]
            wrong = [k for k in wrong if len(features[k]) != len(ids)]
            if wrong:
                raise InputError(f"{wrong[0]} has {len(features[wrong[0]])} numbers for {len(ids)} input_ids")
            types = features.get("token_type_ids")
            segments = self._runs(ids, types if types and any(types) else None)
            axes["input"] = self._axis(ids, segments, [None] * len(ids))
        if "pixel_values" in features:
            found = patches(self.model, features["pixel_values"])
            axes |= {"patches": found} if found else {}
        return self._finish(example, features, axes, False)

    def _finish(
        self, example: Example, features: dict[str, Any], axes: dict[str, Axis], truncated: bool
    ) -> Encoded:
        """Adds the decoder's part of an encoder-decoder."""
        if getattr(self.model.config, "is_encoder_decoder", False) and "input_ids" in features:
            if self.model.can_generate():
                ids = features.setdefault("decoder_input_ids", [self._start()])
            else:  # a classifier's decoder reads the input itself, shifted by one
                ids = features.get("decoder_input_ids") or [self._start(), *features["input_ids"][:-1]]
            axes["output"] = self._axis(ids, self._runs(ids), [None] * len(ids))
        return Encoded(example, features, axes, truncated)

    def _start(self) -> int:
        generation = getattr(self.model, "generation_config", None)
        for config in (self.model.config, generation):
            token = getattr(config, "decoder_start_token_id", None)
            if token is not None:
                return token
        raise ModelError("the model's config has no decoder_start_token_id: give decoder_input_ids")

    def _ready(self, name: str, value: Any) -> Any:
        """A tensor without batch dimension; a list where it has one number for each token."""
        try:
            tensor = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{name} is no tensor: {str(error).splitlines()[0]}") from error
        rank = RANKS.get(name, 1 if name.endswith(("_ids", "_mask")) else tensor.ndim)
        if tensor.ndim == rank + 1 and len(tensor) == 1:
            tensor = tensor[0]
        if tensor.ndim != rank:
            raise InputError(
                f"{name} has the shape {tuple(tensor.shape)}: give one input at a time, of {rank} dimension"
                + "s" * (rank > 1)
            )
        if name.endswith(("_ids", "_mask")):
            tensor = tensor.long()
        elif tensor.is_floating_point():
            return tensor.to(self.model.dtype)
        return tensor.tolist() if rank == 1 else tensor

    def _pixels(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        if "pixel_values" not in self.takes:
            raise InputError("the model reads texts and has no image processor, and was given an image")
        if self.tokenizer is None or hasattr(self.tokenizer, "convert_ids_to_tokens"):
            raise InputError("the model has no image processor (preprocessor_config.json): give pixel_values")
        try:
            made = self.tokenizer(images=inputs["image"], return_tensors="pt")
        except (TypeError, ValueError) as error:
            raise InputError(f"the image cannot be read: {str(error).splitlines()[0]}") from error
        return {name: value for name, value in made.items() if name in self.takes}

    def _axis(self, ids: list[int], segments: Sequence[int | None], words: Sequence[int | None]) -> Axis:
        if not hasattr(self.tokenizer, "convert_ids_to_tokens"):
            tokens = tuple(str(position) for position in range(len(ids)))
        else:
            raw = self.tokenizer.convert_ids_to_tokens(ids)
            tokens = tuple(
                str(token) if segment is None else readable(self.tokenizer, token)
                for token, segment in zip(raw, segments, strict=True)
            )
        return Axis(
            tokens=tokens,
            segments=tuple(segments),
            words=consecutive(tokens, segments, words),
            special=tuple(segment is None for segment in segments),
        )

    def _runs(self, ids: Sequence[int], types: Sequence[int] | None = None) -> list[int | None]:
        """Segments where the tokenizer does not say: special tokens part the first text from the second."""
        special = set(getattr(self.tokenizer, "all_special_ids", ()))
        segments: list[int | None] = []
        current, ended = 0, False
        for i, token in enumerate(ids):
            if token in special:
                ended = any(segment is not None for segment in segments)
                segments.append(None)
                continue
            if types is not None:
                current = types[i]
            elif ended:
                current, ended = 1, False
            segments.append(current)
        return segments


def _vocabulary(model: PreTrainedModel) -> float:
    """How many tokens the model knows; infinite where it does not say, or hashes them as CANINE does."""
    try:
        weight = getattr(model.get_input_embeddings(), "weight", None)
    except NotImplementedError:
        weight = None
    return float("inf") if weight is None else weight.shape[0]


def _positions(model: PreTrainedModel) -> int | None:
    """How many tokens the model has positions for; None: any number."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for name, module in model.named_modules():
        # RoBERTa and its kin number positions from behind the padding index
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return module.weight.shape[0] - module.padding_idx - 1
    return limit if isinstance(limit, int) and limit > 0 else None
