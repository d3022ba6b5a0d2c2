"""Which heads have an output to explain, and how a model's head is recognised."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from attattr import asked
from attattr.errors import InputError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

# auto class, its architectures, PEFT's name of the task, and what such a model gives (`reading`)
HEADS = (
    ("AutoModelForSequenceClassification", "SEQUENCE_CLASSIFICATION", "SEQ_CLS", "classes"),
    ("AutoModelForCausalLM", "CAUSAL_LM", "CAUSAL_LM", "tokens"),
    ("AutoModelForSeq2SeqLM", "SEQ_TO_SEQ_CAUSAL_LM", "SEQ_2_SEQ_LM", "tokens"),
    ("AutoModelForImageClassification", "IMAGE_CLASSIFICATION", "", "classes"),
    ("AutoModelForTokenClassification", "TOKEN_CLASSIFICATION", "TOKEN_CLS", "labels"),
    ("AutoModelForQuestionAnswering", "QUESTION_ANSWERING", "QUESTION_ANS", "spans"),
    ("AutoModelForMaskedLM", "MASKED_LM", "", "masks"),
    ("AutoModel", "", "FEATURE_EXTRACTION", "likeness"),
    ("AutoModelForTextEncoding", "TEXT_ENCODING", "", "likeness"),
)
# what a model does that is no classifier of whole inputs
DOES = {
    "tokens": "predicts tokens",
    "labels": "classifies every token",
    "spans": "answers with a span",
    "masks": "fills in masked tokens",
    "likeness": "has no head, only embeddings",
}
TAKEN = (
    "attattr takes models with a head for sequence, token or image classification, for causal, "
    "sequence-to-sequence or masked language modelling, or for question answering, and models of embeddings"
)


def auto_class(model: PreTrainedModel) -> str:
    """The auto class that loads a model."""
    name = type(model).__name__
    return head_of(model.config.__class__(architectures=[name]), name)


def head_of(config: PreTrainedConfig, name: str) -> str:
    """The auto class of the model's head."""
    architecture = (config.architectures or ["no architecture"])[0]
    for auto, mapping, _, _ in HEADS:
        if architecture in _names(mapping) or architecture == _own(config, auto):
            return auto
    raise ModelError(f"'{name}' is a {architecture}, which has no output to explain: {TAKEN}")


def reading(model: PreTrainedModel) -> str:
    """What the model gives: "classes", "tokens" (the next), "labels" (of every token), "spans", "masks"
    or "likeness" (embeddings).

    By its class, or what that is derived from. One that transformers does not know is taken for a
    classifier: its outputs will tell.
    """
    if model.can_generate():
        return "tokens"
    for kind in type(model).__mro__:
        for auto, mapping, _, gives in HEADS:
            if gives != "tokens" and (
                kind.__name__ in _names(mapping) or kind.__name__ == _own(model.config, auto)
            ):
                return gives
    return "classes"


def check_classifier(model: PreTrainedModel) -> None:
    """What only classifiers have is asked for.

    Raises:
        InputError: the model is none.
    """
    if what := DOES.get(reading(model)):
        raise InputError(f"a {type(model).__name__} {what}: only classifiers have an accuracy")


def explainable(model: Any) -> Any:
    """The model, if it is one of transformers. Whatever its head, a function of its outputs can be explained.

    Raises:
        InputError: it is none.
    """
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise InputError(f"give a model of transformers (a PreTrainedModel), not {asked.shown(model)}")
    return model


def _own(config: PreTrainedConfig, auto: str) -> str:
    """The class that a model's own code has for an auto class."""
    return str((getattr(config, "auto_map", None) or {}).get(auto, "")).rpartition(".")[2]


@functools.cache
def _names(mapping: str) -> frozenset[str]:
    from transformers.models.auto import modeling_auto

    mapping = f"MODEL_FOR_{mapping}_MAPPING_NAMES" if mapping else "MODEL_MAPPING_NAMES"
    return frozenset(name for value in getattr(modeling_auto, mapping).values() for name in _tuple(value))


def _tuple(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
