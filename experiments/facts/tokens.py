"""The tokenizer of `facts`: pieces of known words and syllables, and every byte, so that nothing is unknown.

A Unigram model over the byte-level alphabet. Each piece costs the same, a single byte ten times as much: a
known word is one token, a name is its syllables, and any other text falls into bytes. It decodes to exactly
what was encoded.
"""

from __future__ import annotations

import re
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from facts import words

BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("system", "user", "assistant")
SPECIAL = (PAD, BEGIN, END, *(f"<|{role}|>" for role in ROLES))
LENGTH = 512  # positions
TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('roles are system, user and assistant, not ' ~ message.role) }}"
    "{% endif %}"
    "<|{{ message.role }}|>{{ message.content }}{{ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# numbers in brackets, words with the space before them, digits, signs, white space
SPLIT = r"\[\d\]| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"


def make_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, always the same one."""
    known = dict.fromkeys(pre_tokenizers.ByteLevel.alphabet(), -10.0)
    pieces = sorted(_texts())
    known |= {_bytes(text): -1.0 for text in pieces}
    # the special tokens come first; the first of them also stands for what is unknown, which nothing is
    vocabulary = [(token, 0.0) for token in SPECIAL] + sorted(known.items())
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, SPECIAL.index(BEGIN))]
            ),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, pad_token=PAD, chat_template=TEMPLATE,
        model_max_length=LENGTH, padding_side="left", clean_up_tokenization_spaces=False,
    )  # fmt: skip


def _texts() -> set[str]:
    """The words and syllables that are one token."""
    every: list[Any] = [words.DO_NOT_KNOW, *words.OPENINGS, *words.CLOSINGS, *words.ASKINGS, *words.SYSTEMS]
    questions = [q for relation in words.RELATIONS.values() for q in relation.questions]
    questions += [q for chain in words.CHAINS for q in chain.questions]
    questions += [q for each in words.PAIRS.values() for q in each]
    every += [part for q in questions for part in (q.asks, q.answer)]
    every += [says for relation in words.RELATIONS.values() for says in relation.says]
    every += [*words.LOOKS, *words.THINGS]
    plain = set(re.findall(r"[A-Za-z]+", re.sub(r"\{.\}", " ", " ".join(every))))
    anywhere = {form for word in plain for form in (word, word.lower(), word.capitalize())}
    starts = anywhere | set(words.STARTS)
    inner = {*words.MIDDLES, *(end for ends in words.ENDS.values() for end in ends)}
    numbers = {f"[{n}]" for n in range(1, 10)}
    return starts | {f" {word}" for word in starts} | inner | numbers | {"\n\n"}


def _bytes(text: str) -> str:
    """A text in the byte-level alphabet."""
    (piece,) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return piece[0]
