"""A universal trigger found with the model's gradients: the strong opponent of mined patterns.

Source: Wallace et al. 2019, Universal adversarial triggers (arXiv 1908.07125); HotFlip's first-order
replacement of tokens (Ebrahimi et al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from attattr.data.encoding import Encoded
from attattr.result.words import unmarked
from attattr.triggers.insert import Piece, insert
from attattr.triggers.pattern import Pattern, PatternToken

if TYPE_CHECKING:
    from attattr.engine.attributor import Attributor

ROWS = 32  # inputs it is fitted to
CANDIDATES = 10  # replacements of a token that are really tried
SWEEPS = 2  # over all tokens


def universal_trigger(
    attributor: Attributor,
    encoded: Sequence[Encoded],
    gold: np.ndarray,
    slots: Sequence[Piece],
    *,
    longest: int | None = None,
    seed: int = 0,
    candidates: int = CANDIDATES,
    sweeps: int = SWEEPS,
) -> Pattern:
    """The words that raise the loss most, as many as there are slots and at their places.

    All begin as "the"; one after the other is replaced by that of the `candidates` with the largest
    first-order gain which really raises the mean loss most, if any does. Whole words of letters only.

    Args:
        encoded, gold: inputs (32 of them are drawn with `seed`) and the index of each one's label.
    """
    model, tokenizer = attributor.model, attributor.tokenizer
    chosen = np.random.default_rng(seed).permutation(len(encoded))[:ROWS]
    rows, gold = [encoded[i] for i in chosen], np.asarray(gold)[chosen]
    embeddings: Any = model.get_input_embeddings()
    words = _words(tokenizer, min(len(tokenizer), len(embeddings.weight)))
    the = [word for word in words if unmarked(tokenizer.convert_ids_to_tokens(word)).lower() == "the"]
    pieces = [slot._replace(id=(the or words)[0]) for slot in slots]
    (best,) = _losses(attributor, rows, gold, [pieces], longest)
    for _ in range(sweeps):
        before = list(pieces)
        for slot in range(len(pieces)):
            gains = _gains(attributor, rows, gold, pieces, slot, longest)[words]
            order = np.argsort(-gains, kind="stable")[:candidates]
            trials = []
            for word in (words[i] for i in order):
                trials.append([*pieces[:slot], pieces[slot]._replace(id=int(word)), *pieces[slot + 1 :]])
            losses = _losses(attributor, rows, gold, trials, longest)
            if losses.max(initial=best) > best:
                best, pieces = losses.max(), trials[int(losses.argmax())]
        if pieces == before:
            break
    names = tokenizer.convert_ids_to_tokens([piece.id for piece in pieces])
    tokens = (
        PatternToken(piece.segment, piece.position, name) for piece, name in zip(pieces, names, strict=True)
    )
    return Pattern(tuple(tokens), pieces=True)


def _words(tokenizer: Any, size: int) -> list[int]:
    """Ids of the pieces that are a word by themselves."""
    names = [name or "" for name in tokenizer.convert_ids_to_tokens(list(range(size)))]
    mark = next((mark for mark in "Ġ▁" if any(name.startswith(mark) for name in names)), "")
    special = set(tokenizer.all_special_ids)
    return [
        i
        for i, name in enumerate(names)
        if name.startswith(mark) and name[len(mark) :].isalpha() and i not in special
    ]


def _gains(
    attributor: Attributor, rows: list[Encoded], gold: np.ndarray, pieces: Sequence[Piece], slot: int,
    longest: int | None,
) -> np.ndarray:  # fmt: skip
    """How much each piece of the vocabulary would add to the loss in a slot, to first order, (V,)."""
    import torch

    from attattr.engine.batches import collating
    from attattr.engine.precision import BLIND
    from attattr.measure.accuracy import evaluating

    model = attributor.model
    made = [insert(row, pieces, longest) for row in rows]
    filled = [each.encoded for each in made]
    embeddings: Any = model.get_input_embeddings()
    held = []

    def hold(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        held.append(output.detach().requires_grad_())
        return held[-1]

    handle = embeddings.register_forward_hook(hold)
    try:
        with (
            evaluating(model),
            torch.enable_grad(),
            collating(model, attributor.tokenizer, filled) as collate,
        ):
            logits = model(**collate(filled)).logits
            # scaled on the way, since gradients of half precision underflow
            wanted = torch.as_tensor(gold, device=logits.device)
            loss = torch.nn.functional.cross_entropy(logits.float(), wanted)
            (gradient,) = torch.autograd.grad(BLIND * loss, held[:1])
    finally:
        handle.remove()
    at = torch.as_tensor([each.places[slot] for each in made], device=gradient.device)
    summed = gradient[torch.arange(len(made), device=gradient.device), at].sum(0)
    with torch.no_grad():
        return (embeddings.weight @ summed.to(embeddings.weight.dtype)).float().cpu().numpy() / BLIND


def _losses(
    attributor: Attributor, rows: list[Encoded], gold: np.ndarray, trials: Sequence[Sequence[Piece]],
    longest: int | None,
) -> np.ndarray:  # fmt: skip
    """Mean cross-entropy under each trial, (T,)."""
    from attattr.measure.accuracy import predict

    inputs = [insert(row, pieces, longest).encoded for pieces in trials for row in rows]
    logits = predict(attributor.model, attributor.tokenizer, inputs).astype(float)
    top = logits.max(-1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    return -logs[np.arange(len(logs)), np.tile(gold, len(trials))].reshape(len(trials), -1).mean(1)
