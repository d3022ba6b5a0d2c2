"""A prompt as the model reads it: a text as it is, or a chat in its template; where its characters are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attattr import asked
from attattr.data.encoding import Encoded, encode_text
from attattr.errors import InputError
from attattr.models.heads import DOES, reading
from attattr.result.generation import Turn
from attattr.targets.places import first_of

Offsets = list[tuple[int, int] | None]  # characters of each token; None: it stands for none of them


@dataclass(frozen=True)
class Prompt:
    text: str
    turns: tuple[Turn, ...]
    encoded: Encoded
    offsets: Offsets | None  # None: the tokenizer does not say


def read_prompt(model: Any, tokenizer: Any, given: Any) -> Prompt:
    """A text, or a chat: a list of {"role": …, "content": …}.

    Raises:
        InputError: it is neither, or empty; a model that writes no text; no chat template; more tokens than
            the model takes.
    """
    check_writes(model)
    turns: tuple[Turn, ...] = ()
    if isinstance(given, str):
        if not given.strip():
            raise InputError("the prompt is empty: there is nothing to go on from")
        text = given
    else:
        text, turns = _chat(tokenizer, given)
    return read_again(model, tokenizer, text, turns)


def read_again(model: Any, tokenizer: Any, text: str, turns: tuple[Turn, ...]) -> Prompt:
    """A prompt whose text is as the model reads it, a chat's in its template."""
    begins = getattr(tokenizer, "bos_token", None)
    # a chat's template writes the special tokens itself, and some prompts are copied with the first
    special = not turns and not (begins and text.startswith(begins))
    encoded = encode_text(model, tokenizer, text, special=special)
    return Prompt(text, turns, _marked(encoded, tokenizer), offsets_of(tokenizer, text, special=special))


def check_writes(model: Any) -> None:
    """
    Raises:
        InputError: the model writes no text.
    """
    if (gives := reading(model)) != "tokens":
        does = DOES.get(gives, "is a classifier")
        raise InputError(
            f"a {type(model).__name__} {does} and writes no text: attattr explain is for it, generate takes "
            "language models"
        )


def check_template(tokenizer: Any) -> None:
    """
    Raises:
        InputError: there is none for chats.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(
            "the model has no chat template: put one beside its tokenizer (chat_template.jinja), set "
            "tokenizer.chat_template, or give the prompt as a text"
        )


def _chat(tokenizer: Any, given: Any) -> tuple[str, tuple[Turn, ...]]:
    messages = _messages(given)
    check_template(tokenizer)
    text = _rendered(tokenizer, messages)
    turns, behind = [], 0
    for number, message in enumerate(messages):
        start = behind
        said = message["content"] if message["content"].strip() else ""  # a template may leave it out
        if said:
            start, said = _place(tokenizer, messages, number, text)
        behind = start + len(said)
        turns.append(Turn(message["role"], start, behind))
    return text, tuple(turns)


def _place(tokenizer: Any, messages: list[dict[str, Any]], number: int, text: str) -> tuple[int, str]:
    """Where a message's content begins in the text, and what stands there of it.

    It is put where another content would be: the template has words of its own, and may have the same ones.
    """
    message = messages[number]
    mark = next(one for one in map(chr, range(0xE000, 0xF900)) if one not in text)  # for private use
    others = _rendered(tokenizer, [*messages[:number], message | {"content": mark}, *messages[number + 1 :]])
    start = others.find(mark)
    if start >= 0 and text[:start] == others[:start]:
        for said in (message["content"], message["content"].strip()):
            if text.startswith(said, start):
                return start, said
    raise InputError(
        f"the model's chat template does not show what the {message['role']} says as it is given, so that no "
        "source can be found in it: give the prompt as a text"
    )


def _rendered(tokenizer: Any, messages: list[dict[str, Any]]) -> str:
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"the model's chat template does not take these messages: {error}") from error


def _messages(given: Any) -> list[dict[str, Any]]:
    """With all that they have besides, such as the calls of tools, which the template may show."""
    form = 'the prompt is a text, or a list of messages {"role": "user", "content": "…"}'
    if not isinstance(given, Sequence) or not all(isinstance(each, Mapping) for each in given):
        raise InputError(f"{form}, not {asked.shown(given)}")
    # a table has every key in every row
    messages = [{key: value for key, value in each.items() if value is not None} for each in given]
    if not all(isinstance(each.get(key), str) for each in messages for key in ("role", "content")):
        raise InputError(f"{form}: one of them lacks a role or a content that is a text")
    if not messages or not messages[-1]["content"].strip():
        raise InputError("the prompt is empty: there is nothing to go on from")
    if messages[-1]["role"] == "assistant":
        raise InputError("the last message is the assistant's: give what it says as the continuation")
    return messages


def offsets_of(tokenizer: Any, text: str, *, special: bool) -> Offsets | None:
    """Where each token of a text stands in it."""
    if not getattr(tokenizer, "is_fast", False):
        return None
    made = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True, verbose=False)
    inside = made.sequence_ids(0)
    return [
        None if segment is None else tuple(place)
        for segment, place in zip(inside, made["offset_mapping"], strict=True)
    ]


def _marked(encoded: Encoded, tokenizer: Any) -> Encoded:
    """Special tokens that stand in the text itself marked as such; and without its text, which alone does not
    tell what is explained."""
    names = set(getattr(tokenizer, "all_special_ids", ()))
    axis = first_of(encoded)
    special = tuple(
        was or token in names for was, token in zip(axis.special, encoded.features["input_ids"], strict=True)
    )

    def but(values: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(None if one else value for value, one in zip(values, special, strict=True))

    axis = replace(axis, segments=but(axis.segments), words=but(axis.words), special=special)
    return replace(
        encoded,
        example=replace(encoded.example, text=None, inputs={"input_ids": encoded.features["input_ids"]}),
        axes=encoded.axes | {"input": axis},
    )
