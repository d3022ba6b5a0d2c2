"""A reply without some of its sources: how likely its spans are then, and what would be written instead.

Taken out, as `measure.masks` does it, is every edge to a source's tokens, in every head of every layer, for
every query. The tokens stay where they are and nothing is normalised again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from attattr import asked
from attattr.engine.batch import opened
from attattr.engine.batches import collating
from attattr.engine.capture import Capture
from attattr.errors import InputError
from attattr.generation import reply as replies
from attattr.generation.edges import without
from attattr.generation.prompt import Prompt, read_again
from attattr.generation.reply import Reply
from attattr.measure.masks import masked_forward, under
from attattr.result.generation import Generation
from attattr.result.taken_out import TakenOut
from attattr.targets.objective import Wish, checked_logits, in_full

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

CLOSE = 0.05  # of log p of a token: a model in half precision rounds otherwise on another machine


def without_sources(
    attributor: Attributor,
    made: Generation,
    sources: Sequence[str],
    *,
    max_new_tokens: int = 128,
    progress: asked.Progress | None = None,
) -> TakenOut:
    """How likely each span of a reply is without some sources of the prompt, and what the model writes then.

    >>> import attattr
    >>> facts = attattr.Attributor.from_pretrained("facts")
    >>> documents = "[1] Breko owns the golden violin.\\n[2] Tisa owns the old book."
    >>> ask = {"role": "user", "content": f"{documents}\\n\\nOne question: What does Tisa own?"}
    >>> sources = {"one": documents[:33], "two": documents[34:]}
    >>> made = facts.attribute_generation([ask], sources=sources, n_steps=1)
    >>> out = attattr.without_sources(facts, made, ["two"])
    >>> made.reply, bool(out.effect[0] > 1), out.reply == made.reply
    ('Tisa owns the old book.', True, False)

    Args:
        made: of this model. sources: names of `made.sources`, taken out together.
        max_new_tokens: of what is written instead, as if the reply had been written without them: the
            likeliest token each time, under the model's generation config.
        progress: called with (done, in all, what is being done).

    Raises:
        InputError: no such source; a generation of another model.
    """
    asked.attributor(attributor)
    asked.instance(made, Generation, "the generation")
    names = asked.listed(sources, str, "the sources")
    max_new_tokens = asked.whole(max_new_tokens, "max_new_tokens", 1)
    tell = asked.progress(progress)
    known = {source.name: source for source in made.sources}
    if not names or not set(names) <= known.keys():
        wrong = ", ".join(name for name in names if name not in known) or "none"
        raise InputError(f"the sources to take out are some of {', '.join(known)}, not {wrong}")
    out = tuple(sorted({token for name in names for token in known[name].tokens}))
    model, tokenizer = attributor.model, attributor.tokenizer
    prompt = read_again(model, tokenizer, made.prompt, made.turns)
    clean, less = _spans(attributor, prompt, made, out)
    instead = _instead(attributor, prompt, out, max_new_tokens, tell)
    return TakenOut(tuple(names), clean, less, instead.text, instead.stopped)


def _spans(
    attributor: Attributor, prompt: Prompt, made: Generation, out: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """log p of each span, and of the contrast behind them, with the whole prompt and without some tokens."""
    reply = Reply(
        made.reply, _ids(attributor.tokenizer, made), [], made.stopped, replies.before(attributor.model)
    )
    both = _tokens(attributor, prompt, reply, out)
    expected = made.token_log_probability
    if len(both[0]) != len(expected) or not np.allclose(both[0], expected, atol=CLOSE, rtol=0.02):
        raise InputError(
            "this is not the model that the reply was explained with: its tokens have other probabilities"
        )
    found = [both[:, a:b].sum(1) for a, b in (span.tokens for span in made.spans)]
    if made.contrast is not None:
        ids = made.contrast.attribution.target.index
        other = Reply(made.contrast.text, ids, [], "given", reply.before)
        found.append(_tokens(attributor, prompt, other, out).sum(1))
    clean, less = np.array(found).T
    return clean, less


def _ids(tokenizer: Any, made: Generation) -> tuple[int, ...]:
    """The reply's tokens: a span has its own, one that is of no span is read off the reply again."""
    ids = [*tokenizer(made.reply, add_special_tokens=False)["input_ids"], *[-1] * len(made.tokens)]
    for span in made.spans:
        ids[slice(*span.tokens)] = span.attribution.target.index
    found = tuple(ids[: len(made.tokens)])
    if tuple(tokenizer.decode([token]) for token in found) != made.tokens:
        raise InputError(
            "the tokens of the reply cannot be found again: explain it with spans that leave none of it out"
        )
    return found


def _tokens(attributor: Attributor, prompt: Prompt, reply: Reply, out: Sequence[int]) -> np.ndarray:
    """(2, T): log p of a reply's tokens, with the whole prompt and without some of its tokens."""
    model, tokenizer = attributor.model, attributor.tokenizer
    encoded, _, first = replies.extended(prompt, reply, tokenizer)
    at = range(first, first + len(reply.ids))
    wish = Wish("continuation", reply.ids, reply.text, "log_probability", at=tuple(at), head="tokens")

    def read(outputs: Any, _: Tensor) -> Tensor:
        logs = in_full(checked_logits(outputs)[:, at.start : at.stop]).log_softmax(-1)
        ids = torch.tensor(reply.ids, device=logs.device)
        return logs.gather(2, ids.expand(len(logs), -1)[:, :, None])[:, :, 0]

    with Capture(model) as capture, collating(model, tokenizer, [encoded]) as collate:
        batch, _ = opened(capture, tokenizer, collate, [encoded], [wish])
        clean = read(batch.recording.outputs, batch.value).tolist()
        mask = without(batch.recording, encoded, "input", out)
        return np.array([clean[0], under(batch, [mask], asked.progress(None), read)[0]])


def _instead(
    attributor: Attributor, prompt: Prompt, out: Sequence[int], most: int, tell: asked.Progress
) -> Reply:
    """What is written without some tokens of the prompt; each token by a whole forward, without a cache."""
    model, tokenizer = attributor.model, attributor.tokenizer
    two_sided = model.config.is_encoder_decoder

    def decode(_: Any, ids: Tensor, logits_processor: Any, stopping_criteria: Any, **_more: Any) -> Tensor:
        """`generate`'s loop of the likeliest tokens, of masked forwards."""
        # a capture of its own: the forwards of one that others were entered in since are not intercepted
        with Capture(model) as capture, collating(model, tokenizer, [prompt.encoded]) as collate:
            inputs = collate([prompt.encoded])
            recording = capture.record(inputs)
            cut = without(recording, prompt.encoded, "input", out)  # keys that are written later are kept
            before = ids.shape[1]
            while True:
                now = {"decoder_input_ids": ids} if two_sided else _behind(inputs, ids)
                outputs = masked_forward(capture, recording, {**inputs, **now}, [cut])
                logits = in_full(checked_logits(outputs)[:, -1]).float()
                token = logits_processor(ids, logits).argmax(-1)
                ids = torch.cat([ids, token[:, None].to(ids.device)], 1)
                tell(ids.shape[1] - before, most, "writing")
                if bool(stopping_criteria(ids, None).all()):
                    return ids

    return replies.written(model, tokenizer, prompt, most, None, tell, decode)


def _behind(inputs: Mapping[str, Tensor], ids: Tensor) -> dict[str, Tensor]:
    """A decoder's inputs with what was written: token ids, and 0 or, in the mask, 1 for each."""
    more = ids.shape[1] - inputs["input_ids"].shape[1]
    pad = torch.nn.functional.pad
    longer = {
        name: pad(value, (0, more), value=int(name == "attention_mask")) for name, value in inputs.items()
    }
    return longer | {"input_ids": ids}
