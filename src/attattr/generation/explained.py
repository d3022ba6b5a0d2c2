"""Why a language model wrote what it wrote, span by span, and what it took it from (docs/generation.md).

1. `prompt.read_prompt`       a text or a chat as the model reads it
2. `reply.written`, `given`   the reply, with the key–value cache
3. `spans.cut`                the reply in spans, each a row of one call of `Attributor.attributed`:
                              F is Σ log p of its tokens, given the prompt and the reply before them
4. `edges.Sums`               what the edges by which each source is read add up to: they nominate
5. `_effects`                 F without each source: that measures; one forward a source, for all spans
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from attattr import asked
from attattr.data.encoding import Encoded
from attattr.engine.attributor import warn
from attattr.engine.batch import opened
from attattr.engine.batches import collating
from attattr.engine.capture import Capture
from attattr.engine.options import Options
from attattr.engine.recording import Recording
from attattr.engine.room import room_for
from attattr.engine.shortcuts import fewer_logits, unmasked
from attattr.errors import ImpossibleError, InputError
from attattr.generation import reply as replies
from attattr.generation import sources as parts
from attattr.generation import spans as cutting
from attattr.generation.edges import Asked, Sums, asked_of, without
from attattr.generation.prompt import Prompt, read_prompt
from attattr.generation.reply import Reply
from attattr.measure.masks import under
from attattr.result.attribution import Attribution
from attattr.result.generation import REPLY, Generation, Source, Span
from attattr.targets.objective import Wish, checked_logits, in_full

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

MEASURED = 32  # sources up to which each is taken out
STRONGEST = 16  # of more, so many of each span's strongest
NEW_TOKENS = 128
LOG = "log_probability"


def attribute_generation(
    attributor: Attributor,
    prompt: Any,
    *,
    continuation: str | None = None,
    max_new_tokens: int = NEW_TOKENS,
    seed: int | None = None,
    spans: Any = None,
    sources: Any = None,
    contrast: str | None = None,
    method: str = "gausslegendre",
    n_steps: int | str = "auto",
    tol: float = 1e-3,
    baseline: str = "zero",
    internal_batch_size: int | None = None,
    memory_budget: int | None = None,
    store: str = "edges",
    progress: asked.Progress | None = None,
) -> Generation:
    """Why a language model writes what it writes, and which parts of the prompt each span rests on.

    Args:
        prompt: a text, taken as it is; or a chat, a list of {"role", "content"}, in the model's template.
        continuation: a reply that is given; None: the model writes one, of at most max_new_tokens, the
            likeliest token each time under its generation config (penalties included), or drawn at random
            with a seed.
        spans: "sentence" (None), "whole", "token", or a list of (start, end), characters of the reply.
        sources: name → a text that stands in the prompt, or (start, end), characters of `Generation.prompt`;
            None: the turns of a chat; the paragraphs of a text, or of a single turn.
        contrast: another whole reply: F is log p of the reply − log p of it, score and effect the
            differences.
        method, n_steps, tol, baseline, internal_batch_size, memory_budget, store: as of
            `Attributor.attribute`.
        progress: called with (done, in all, what is being done).

    Raises:
        InputError: a model that writes no text, or has no chat template; an empty prompt; a reply of no
            tokens, or of more than the model takes; sources that overlap or are not in the prompt; spans that
            overlap; an option that cannot be used.
        UnsupportedModelError: the attention cannot be intercepted, or not cut at tokens.
    """
    tell = asked.progress(progress)
    options, max_new_tokens, seed, spans = checked(
        max_new_tokens=max_new_tokens, seed=seed, spans=spans, contrast=contrast, method=method,
        n_steps=n_steps, tol=tol, baseline=baseline, internal_batch_size=internal_batch_size,
        memory_budget=memory_budget, store=store,
    )  # fmt: skip
    if seed is not None and continuation is not None:
        raise InputError("the continuation is given, and a seed draws one: leave the seed out")
    model, tokenizer = attributor.model, attributor.tokenizer
    read = read_prompt(model, tokenizer, prompt)
    found = parts.find(read, sources)
    other = None if contrast is None else replies.given(model, tokenizer, read, contrast)
    if continuation is not None:
        reply = replies.given(model, tokenizer, read, continuation)
    else:
        reply = replies.written(model, tokenizer, read, max_new_tokens, seed, tell)
        if reply.stopped == "length":
            warnings.warn(
                f"the reply was cut at {len(reply.ids)} tokens, before the model was done: give more "
                "max_new_tokens, or a shorter prompt",
                stacklevel=3,
            )
    mine = _scored(attributor, read, reply, spans, found, options, tell)
    against = None
    if other is not None:  # logits of all tokens of two replies are not held together: recorded again
        mine = replace(mine, recording=None)
        against = replace(_scored(attributor, read, other, "whole", found, options, tell), recording=None)
    score = mine.score if against is None else mine.score - against.score
    measured = [_worth_measuring(each) for each in score]  # in both replies the same
    logs, effect = _effects(attributor, mine, measured, options, tell)
    if against is not None:
        effect = effect - _effects(attributor, against, measured, options, tell)[1]
    return _made(attributor, read, found, mine, against, logs, score, effect, options, seed)


def checked(
    *,
    max_new_tokens: int = NEW_TOKENS,
    seed: int | None = None,
    spans: Any = None,
    contrast: str | None = None,
    **how: Any,
) -> tuple[Options, int, int | None, Any]:
    """The options that can be refused before a prompt is read: how to attribute, the most new tokens, the
    seed, and what the reply is cut into.

    Raises:
        InputError: one that cannot be used.
    """
    usual: dict[str, Any] = {"method": "gausslegendre", "n_steps": "auto", "tol": 1e-3, "baseline": "zero"}
    usual |= {"store": "edges", "output": None, "layers": None, "internal_batch_size": None}
    options = Options(**usual | how)
    max_new_tokens = asked.whole(max_new_tokens, "max_new_tokens", 1)
    seed = None if seed is None else asked.seed(seed)
    spans = spans if spans is not None else "sentence" if contrast is None else "whole"
    if contrast is not None and spans != "whole":
        raise InputError("a contrast is another whole reply: it goes with spans='whole'")
    if isinstance(spans, str):
        asked.choice(spans, "spans", cutting.SPANS)
    return options, max_new_tokens, seed, spans


@dataclass(frozen=True)
class _Scored:
    """A reply's spans, and the score of each of their sources, (S, N + 1), the last the reply so far."""

    reply: Reply
    encoded: Encoded
    first: int  # the position that predicts its first token
    rows: Sequence[Asked]
    spans: tuple[Span, ...]
    score: np.ndarray
    recording: Recording | None  # of all of it, from one forward


def _scored(
    attributor: Attributor, prompt: Prompt, reply: Reply, spans: Any, sources: Sequence[Source],
    options: Options, tell: asked.Progress,
) -> _Scored:  # fmt: skip
    encoded, axis, first = replies.extended(prompt, reply, attributor.tokenizer)
    places = cutting.cut(reply.text, reply.offsets, spans)
    rows = asked_of(encoded, axis, first, [tokens for *_, tokens in places], sources)
    wishes = [
        Wish(
            "continuation", reply.ids[a:b], reply.text[start:end], "log_probability", at=tuple(row.predicting)
        )
        for (start, end, (a, b)), row in zip(places, rows, strict=True)
    ]
    sums, known = Sums(rows), dict[int, Recording | None]({id(encoded): None})
    results = attributor.attributed(
        [row.encoded for row in rows], wishes, options, seen=sums, known=known,
        progress=lambda done, total, _: tell(done, total, "attributing"),
    )  # fmt: skip
    attributions = _possible(results)
    warn(attributions)
    made = tuple(
        Span(reply.text[start:end], start, end, (a, b), result.target.value, result)
        for (start, end, (a, b)), result in zip(places, attributions, strict=True)
    )
    return _Scored(reply, encoded, first, rows, made, sums.score(), known[id(encoded)])


def _possible(results: Sequence[Attribution | ImpossibleError]) -> list[Attribution]:
    found = []
    for result in results:
        if isinstance(result, ImpossibleError):
            raise result
        found.append(result)
    return found


def _effects(
    attributor: Attributor, scored: _Scored, measured: Sequence[Sequence[int]], options: Options,
    tell: asked.Progress,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """log p of the reply's tokens, (T,), and F − F without each source of each span, (S, N + 1).

    measured: the numbers of each span's sources that are taken out.
    """
    model, tokenizer = attributor.model, attributor.tokenizer
    reply, encoded, first, rows = scored.reply, scored.encoded, scored.first, scored.rows
    at = range(first, first + len(reply.ids))
    wish = Wish("continuation", reply.ids, reply.text, LOG, at=tuple(at), head="tokens")

    def read(outputs: Any, _: Tensor) -> Tensor:
        """log p of each of the reply's tokens, (R, T)."""
        logits = checked_logits(outputs)
        own = logits if logits.shape[1] == len(at) else logits[:, at.start : at.stop]
        logs = in_full(own).log_softmax(-1)
        ids = torch.tensor(reply.ids, device=logs.device)
        return logs.gather(2, ids.expand(len(logs), -1)[:, :, None])[:, :, 0]

    # the same tokens taken out are one forward, whichever spans ask for it
    cells: dict[tuple[str, tuple[int, ...]], list[tuple[int, int]]] = {}
    for s, row in enumerate(rows):
        for k in measured[s]:
            cells.setdefault(row.sources[k], []).append((s, k))
    with Capture(model) as capture, collating(model, tokenizer, [encoded]) as collate:
        room = room_for(model, [encoded], options.memory_budget, options.internal_batch_size)
        batch, _ = opened(capture, tokenizer, collate, [encoded], [wish], room, scored.recording)
        clean = np.array(read(batch.recording.outputs, batch.value).tolist())[0]
        batch = unmasked(fewer_logits(batch))
        masks = [without(batch.recording, encoded, *tokens) for tokens in cells]
        found = under(batch, masks, lambda done, total, _: tell(done, total, "taking out"), read)
    effect = np.full(scored.score.shape, np.nan)
    for logs, asked_by in zip(found, cells.values(), strict=True):
        for s, k in asked_by:
            a, b = (place - first for place in (rows[s].predicting.start, rows[s].predicting.stop))
            effect[s, k] = (clean - logs)[a:b].sum()
    return clean, effect


def _worth_measuring(score: np.ndarray) -> list[int]:
    """The sources of one span that are taken out: all, or of many the strongest."""
    there = np.flatnonzero(~np.isnan(score))
    if len(there) <= MEASURED:
        return there.tolist()
    return sorted(there[np.argsort(-np.abs(score[there]), kind="stable")[:STRONGEST]].tolist())


def _made(
    attributor: Attributor, prompt: Prompt, sources: tuple[Source, ...], mine: _Scored,
    against: _Scored | None, logs: np.ndarray, score: np.ndarray, effect: np.ndarray, options: Options,
    seed: int | None,
) -> Generation:  # fmt: skip
    columns = tuple(source.name for source in sources)
    if not np.isnan(mine.score[:, -1]).all():
        columns += (REPLY,)
    tokenizer, reply = attributor.tokenizer, mine.reply
    how = {name: value for name, value in asdict(options).items() if name not in ("output", "layers")}
    for name in ("refine", "memory_budget"):
        if how[name] is None:
            del how[name]
    how["store"] = mine.spans[0].attribution.options["store"]  # "auto" is one or the other by then
    return Generation(
        prompt=prompt.text,
        turns=prompt.turns,
        reply=reply.text,
        stopped=reply.stopped,
        tokens=tuple(tokenizer.decode([token]) for token in reply.ids),
        token_log_probability=logs,
        sources=sources,
        spans=mine.spans,
        columns=columns,
        score=np.ascontiguousarray(score[:, : len(columns)]),
        effect=np.ascontiguousarray(effect[:, : len(columns)]),
        contrast=None if against is None else against.spans[0],
        options=how | {"seed": seed},
        model=attributor.facts,
    )
