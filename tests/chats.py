"""Tiny random language models with a chat template, and their words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers as t

import tiny

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}> {{ m.content }} [EOS]\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
DOCUMENTS = {"one": "the film is fine", "two": "a man eats good", "three": "nobody sleeps"}
QUESTION = "is the woman bad"
CHAT = [
    {"role": "system", "content": "\n".join(DOCUMENTS.values())},
    {"role": "user", "content": QUESTION},
]
TEXT = "\n\n".join(DOCUMENTS.values())


def tokenizer(template: str | None = TEMPLATE, more: Sequence[str] = ()) -> Any:
    """Words, behind a [CLS] that it puts first itself, as Llama's does; the template writes one, too."""
    from tokenizers import processors

    made = tiny.tokenizer(bert=False, more=more)
    made.add_special_tokens({"bos_token": "[CLS]"})
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 2)]
    )
    made.chat_template = template
    return made


def byte_tokenizer() -> Any:
    """Every token is a byte: two or more of them make a character that is not ASCII."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return t.PreTrainedTokenizerFast(tokenizer_object=made)


def folder(path: Path, model: Any = None, tokens: Any = None) -> Path:
    """A folder as a hub has it, in float32."""
    (tiny.llama() if model is None else model).float().save_pretrained(path)
    (tokens or tokenizer()).save_pretrained(path)
    return path
