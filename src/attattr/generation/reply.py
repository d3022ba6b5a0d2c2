"""The reply: written by the model, or given; its tokens and the characters of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch

from attattr import asked
from attattr.data.encoding import Encoded, longest_input
from attattr.engine.batches import collating
from attattr.engine.capture import Capture
from attattr.errors import InputError
from attattr.generation.prompt import Prompt, offsets_of
from attattr.models.place import input_device
from attattr.models.quiet import quiet
from attattr.targets import tokens
from attattr.targets.objective import Wish


@dataclass(frozen=True)
class Reply:
    text: str
    ids: tuple[int, ...]
    offsets: list[tuple[int, int]]
    stopped: str  # as of result.generation.Generation
    before: tuple[int, ...] = ()  # tokens that a decoder is made to begin with, behind its start


def given(model: Any, tokenizer: Any, prompt: Prompt, text: Any) -> Reply:
    """A text as the reply.

    Raises:
        InputError: it has no tokens, or too many behind the prompt.
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"the continuation has to be a text of at least one token, not {asked.shown(text)}")
    ids, _ = tokens.token(text, model, tokenizer)
    room = _room(model, tokenizer, prompt)
    if room is not None and len(ids) > room:
        raise InputError(
            f"the continuation has {len(ids)} tokens, and the model takes {room} behind this prompt"
        )
    begun = before(model)
    known = offsets_of(tokenizer, text, special=False)
    if known is not None and len(known) == len(ids) and None not in known:
        return Reply(text, ids, known, "given", begun)  # type: ignore[arg-type]  # none of them is None
    return Reply(*_decoded(tokenizer, ids), "given", begun)


def written(
    model: Any, tokenizer: Any, prompt: Prompt, most: int, seed: int | None, tell: asked.Progress,
    decode: Callable[..., Any] | None = None,
) -> Reply:  # fmt: skip
    """What the model goes on with: the likeliest token each time under its own generation config, whose
    penalties and forbidden words act, or drawn at random with a seed as that says.

    decode: in place of the loop of `generate`, as its `custom_generate`.

    Raises:
        InputError: the model has no room behind the prompt, or ends at once.
    """
    room = _room(model, tokenizer, prompt)
    if room is not None and room < 1:
        raise InputError("the prompt is as long as the model takes, there is no room for a reply: shorten it")
    most = most if room is None else min(most, room)
    config, begun = model.generation_config, before(model)
    with Capture(model), collating(model, tokenizer, [prompt.encoded]) as collate, quiet():
        inputs = collate([prompt.encoded])
        inputs.pop("decoder_input_ids", None)
        device = input_device(model)
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.no_grad():
            if seed is not None:
                torch.manual_seed(seed)
            # one whole reply; a forced end would be written at the limit, as if the model were done
            made = model.generate(
                **inputs, max_new_tokens=len(begun) + most, num_beams=1, do_sample=seed is not None,
                num_return_sequences=1, return_dict_in_generate=False, forced_eos_token_id=None,
                pad_token_id=config.pad_token_id if config.pad_token_id is not None else 0,
                streamer=_Counted(len(begun) + most, tell), custom_generate=decode,
            )[0].tolist()  # fmt: skip
    two_sided = model.config.is_encoder_decoder
    ids = made[1 + len(begun) if two_sided else len(prompt.encoded.features["input_ids"]) :]
    done = _ends(config, tokenizer)
    stopped = "end" if ids and ids[-1] in done else "length"
    while ids and ids[-1] in done:
        ids.pop()
    if not ids and decode is None:
        raise InputError("the model ends its reply at once: give it a continuation, or another prompt")
    return Reply(*_decoded(tokenizer, tuple(ids)), stopped, begun)


class _Counted:
    """transformers tells it each token as it is written."""

    def __init__(self, most: int, tell: asked.Progress):
        self.most, self.tell, self.count = most, tell, -1  # the prompt comes first

    def put(self, tokens: Any) -> None:
        self.count += 1
        self.tell(self.count, self.most, "writing")

    def end(self) -> None: ...


def before(model: Any) -> tuple[int, ...]:
    """What a decoder is made to begin with behind its start: it is no part of the reply."""
    if not model.config.is_encoder_decoder:
        return ()
    forced = model.generation_config.forced_bos_token_id
    return () if forced is None else (forced,)


def _ends(config: Any, tokenizer: Any) -> set[int]:
    own = config.eos_token_id if config.eos_token_id is not None else tokenizer.eos_token_id
    return set(own) if isinstance(own, list | tuple) else {own}


def _room(model: Any, tokenizer: Any, prompt: Prompt) -> int | None:
    """How many tokens the model takes behind the prompt; None: any number."""
    longest = longest_input(model, tokenizer)
    if longest is None:
        return None
    two_sided = model.config.is_encoder_decoder
    return longest - len(before(model) if two_sided else prompt.encoded.features["input_ids"])


def _decoded(tokenizer: Any, ids: tuple[int, ...]) -> tuple[str, tuple[int, ...], list[tuple[int, int]]]:
    """The text of some tokens, the tokens, and the characters that each adds to it.

    A token that has a part of a character adds none, and the one with the last part all of it.
    """
    text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    ends = [0]
    for count in range(1, len(ids) + 1):
        so_far = tokenizer.decode(ids[:count], clean_up_tokenization_spaces=False)
        alike = next((i for i, (a, b) in enumerate(zip(so_far, text, strict=False)) if a != b), len(so_far))
        ends.append(max(ends[-1], min(alike, len(text))))
    return text, ids, list(pairwise(ends))


def extended(prompt: Prompt, reply: Reply, tokenizer: Any) -> tuple[Encoded, str, int]:
    """The prompt with the reply's tokens but the last behind it; the axis that they are on; and the position
    from which the first of them is predicted."""
    encoded, axis = prompt.encoded, "input"
    if "decoder_input_ids" in encoded.features:
        axis = "output"
    whole = Wish("continuation", (*reply.before, *reply.ids), reply.text, "log_probability")
    encoded = tokens.extend(encoded, whole, tokenizer)
    return replace(encoded), axis, tokens.read_length(encoded) - len(reply.ids)
