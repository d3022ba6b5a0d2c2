"""Which heads have an output to explain, and how a model's head is recognised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attattr import asked
from attattr.errors import InputError, ModelError, UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

# the heads whose output has an F to explain: auto class, its architectures, PEFT's name of the task
HEADS = (
    ("AutoModelForSequenceClassification", "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES", "SEQ_CLS"),
    ("AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "CAUSAL_LM"),
    ("AutoModelForSeq2SeqLM", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES", "SEQ_2_SEQ_LM"),
    ("AutoModelForImageClassification", "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES", ""),
)
# heads without one, yet: architectures, and what they are
OTHERS = {
    "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES": "classifies every token, which cannot be explained yet",
    "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES": "answers with a span, which cannot be explained yet",
    "MODEL_FOR_MASKED_LM_MAPPING_NAMES": "fills in masked tokens, which cannot be explained yet",
    "MODEL_MAPPING_NAMES": "has no head, and so no output to explain",
}
TAKEN = (
    "attattr takes models with a head for sequence classification, causal or sequence-to-sequence language "
    "modelling, or image classification"
)


def auto_class(model: PreTrainedModel) -> str:
    """The auto class that loads a model."""
    name = type(model).__name__
    return head_of(model.config.__class__(architectures=[name]), name)


def head_of(config: PreTrainedConfig, name: str) -> str:
    """The auto class of the model's head."""
    architecture = (config.architectures or ["no architecture"])[0]
    for auto, mapping, _ in HEADS:
        own = str(getattr(config, "auto_map", {}).get(auto, "")).endswith(f".{architecture}")
        if own or architecture in _names(mapping):
            return auto
    raise ModelError(
        f"'{name}' is a {architecture}, which {_other(architecture) or 'has no output to explain'}: {TAKEN}"
    )


def explainable(model: Any) -> Any:
    """The model, unless its head is known to have no F to explain.

    A class that transformers does not know is taken: its outputs will tell.

    Raises:
        UnsupportedModelError: such a head, or no head at all; the class is named.
        InputError: no model of transformers.
    """
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise InputError(f"give a model of transformers (a PreTrainedModel), not {asked.shown(model)}")
    name = type(model).__name__
    taken = any(name in _names(mapping) for _, mapping, _ in HEADS)
    if not taken and (what := _other(name)):
        raise UnsupportedModelError(f"a {name} {what}: {TAKEN}")
    return model


def _other(architecture: str) -> str | None:
    """What is known of a head that has no F; None: nothing."""
    return next((what for mapping, what in OTHERS.items() if architecture in _names(mapping)), None)


def _names(mapping: str) -> set[str]:
    from transformers.models.auto import modeling_auto

    return {name for value in getattr(modeling_auto, mapping).values() for name in _tuple(value)}


def _tuple(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
