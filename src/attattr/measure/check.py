"""Can this model be attributed, how exactly, and what does it cost? Measured on a made-up input."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from attattr import asked
from attattr.data.encoding import longest_input
from attattr.engine import quadrature
from attattr.engine.attributor import Attributor
from attattr.engine.capture import Capture
from attattr.engine.literal import literal_scores
from attattr.engine.resumed import Part
from attattr.engine.room import longest_kept, needs
from attattr.errors import InputError
from attattr.measure.effects import again
from attattr.models.heads import reading
from attattr.models.place import input_device
from attattr.models.quantised import plain_parts
from attattr.result.attribution import Attribution
from attattr.result.shown import brief, counted
from attattr.targets.objective import states_of

LITERAL_STEPS = 20  # the paper's
LONG = (4096, 32_768)  # tokens of which the memory is calculated


@dataclass(frozen=True)
class Cost:
    """One input of `tokens` tokens: seconds of a whole attribution, bytes held at its widest point."""

    tokens: int
    seconds: float
    bytes: int
    checkpoint: bool = False  # each block is computed again on the way back: bytes are calculated


@dataclass(frozen=True)
class Check:
    """What `check_model` found. `zero` and `uniform` are attributions from either baseline."""

    zero: Attribution
    uniform: Attribution
    replayed: bool  # lower layers need not run again
    fused: tuple[bool, ...]  # per site: layers that are passed through may use fused attention
    costs: tuple[Cost, ...]
    off: float | None  # ‖scores − scores of `exact`‖₁ / ‖scores of `exact`‖₁, where that was given
    literal: float | None = None  # the same against the paper's algorithm to the letter, where asked for
    kept: int | None = None  # tokens up to which no block is computed again; None: never is one
    expected: tuple[Cost, ...] = ()  # of long texts, calculated: their seconds are NaN

    def __repr__(self) -> str:
        holds = "from the zero baseline" if self.zero_usable else "from the uniform baseline alone"
        return brief(
            self,
            f"complete {holds}" if self.holds else "not complete",
            counted(len(self.zero.sites), "site"),
            f"{len(self.zero.left_out)} left out",
        )

    @property
    def holds(self) -> bool:
        """Whether every site is integrated to the tolerance from at least one baseline."""
        return bool(self.zero.converged.all() or self.uniform.converged.all())

    @property
    def zero_usable(self) -> bool:
        """Whether the paper's baseline converges at every site."""
        return bool(self.zero.converged.all())


def check_model(
    attributor: Attributor,
    *,
    tokens: Sequence[int] = (32, 128),
    seed: int = 0,
    exact: Attributor | None = None,
    literal: bool = False,
) -> Check:
    """Attribute seeded random inputs and report sites, completeness and cost.

    >>> found = check_model(Attributor.from_pretrained("sst2"), tokens=(8,))
    >>> found.zero_usable, len(found.zero.sites), found.zero.left_out
    (True, 6, ())

    exact: the same model in a finer precision, to measure the scores against.
    literal: measure them against the paper's algorithm to the letter, too (slow).

    Raises:
        InputError: more tokens than the model takes.
        UnsupportedModelError: no attention can be intercepted.
    """
    model = asked.attributor(attributor).model
    seed = asked.seed(seed)
    tokens = [asked.whole(n, "each number of tokens") for n in asked.listed(tokens, object, "tokens")]
    if not tokens:
        raise InputError("no number of tokens is given to try")
    if exact is not None:
        asked.attributor(exact)
    limit = longest_input(model, None)
    for n in tokens:
        if n < 2 or (limit is not None and limit < n):
            raise InputError(f"{n} tokens cannot be tried: this model takes 2 to {limit or 'any number'}")
    inputs = [_made_up(attributor, n, seed) for n in tokens]
    target = _along if reading(model) == "likeness" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what they would say is in the result
        zero, uniform = (
            attributor.attribute(inputs[0], target=target, baseline=baseline, store="heads")
            for baseline in ("zero", "uniform")
        )
        costs = []
        for made_up in inputs:
            n = made_up["input_ids"].shape[0] if "input_ids" in made_up else len(zero.tokens)
            began = time.perf_counter()
            attributor.attribute(made_up, target=target, store="heads")
            costs.append(_cost(attributor, made_up, n, time.perf_counter() - began))
    with Capture(model) as capture:
        recording = capture.record(_batch(inputs[0], input_device(model)))
    fused = tuple(recording.site(number).fused for number in recording.sites)
    same = target or again(zero)
    off = None if exact is None else _distance(attributor, exact, inputs[0], same)
    letter = _from_literal(attributor, inputs[0], same) if literal else None
    kept, expected = None, tuple[Cost, ...]()
    if model.main_input_name != "pixel_values":
        kept = longest_kept(model)
        kept = kept if limit is None or kept < limit else None
        long = [n for n in LONG if limit is None or n <= limit] or [limit or 0]
        expected = tuple(Cost(n, np.nan, (of := needs(model, n)).total, of.checkpoint) for n in long)
    return Check(zero, uniform, recording.ways.replay, fused, tuple(costs), off, letter, kept, expected)


def _along(outputs: Any) -> torch.Tensor:
    """Embeddings have nothing here to be compared with: the mean state's cosine with one direction."""
    mean = states_of(outputs).mean(1)
    drawn = torch.randn(mean.shape[1], generator=torch.Generator().manual_seed(0)).to(mean)
    return torch.nn.functional.cosine_similarity(mean, drawn[None], dim=-1)


def _from_literal(attributor: Attributor, made_up: dict[str, torch.Tensor], target: Any) -> float:
    theirs = literal_scores(attributor, made_up, target=target, n_steps=LITERAL_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        ours = attributor.attribute(made_up, target=target, method="riemann_right", n_steps=LITERAL_STEPS)
    return _apart(ours, theirs)


def _distance(
    attributor: Attributor, exact: Attributor, made_up: dict[str, torch.Tensor], target: Any
) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        ours, theirs = (
            each.attribute(
                {k: v.to(each.model.dtype) if v.is_floating_point() else v for k, v in made_up.items()},
                target=target,
            )
            for each in (attributor, exact)
        )
    return _apart(ours, [site.scores for site in theirs.sites])


def _apart(ours: Attribution, theirs: Sequence[np.ndarray | None]) -> float:
    """‖a − b‖₁ / ‖b‖₁ over all sites; the results here are dense."""
    pairs = [(site.scores, of) for site, of in zip(ours.sites, theirs, strict=True)]
    off = sum(float(np.abs(a - b).sum()) for a, b in pairs if a is not None and b is not None)
    return off / sum(float(np.abs(b).sum()) for _, b in pairs if b is not None)


def made_up_batch(attributor: Attributor, seed: int, tokens: int = 32) -> dict[str, torch.Tensor]:
    """One made-up input as a batch, of so many tokens or as many as the model takes."""
    limit = longest_input(attributor.model, None)
    n = tokens if limit is None else min(tokens, limit)
    return _batch(_made_up(attributor, n, seed), input_device(attributor.model))


def _made_up(attributor: Attributor, n: int, seed: int) -> dict[str, torch.Tensor]:
    """Random ordinary tokens between the special ones the tokenizer puts; random pixels for images."""
    config = attributor.model.config
    random = np.random.default_rng(seed)
    if attributor.model.main_input_name == "pixel_values":
        size = config.image_size if isinstance(config.image_size, int) else config.image_size[0]
        pixels = random.normal(size=(getattr(config, "num_channels", 3), size, size))
        return {"pixel_values": torch.tensor(pixels, dtype=attributor.model.dtype)}
    tokenizer = attributor.tokenizer
    special = set(getattr(tokenizer, "all_special_ids", ()))
    ids = [int(i) for i in random.permutation(config.get_text_config().vocab_size) if int(i) not in special]
    ids = (ids * (n // max(1, len(ids)) + 1))[:n]
    if tokenizer is not None:
        whole = (
            tokenizer.build_inputs_with_special_tokens(ids[:-2])
            if hasattr(tokenizer, "build_inputs_with_special_tokens")
            else ids
        )
        ids = whole[:n] if len(whole) >= n else ids
        if reading(attributor.model) == "masks" and tokenizer.mask_token_id is not None:
            ids[n // 2] = tokenizer.mask_token_id
    made_up = {"input_ids": torch.tensor(ids)}
    if config.is_encoder_decoder:
        made_up["decoder_input_ids"] = torch.tensor([config.decoder_start_token_id or 0])
    return made_up


def _batch(example: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: value[None].to(device) for name, value in example.items()}


def _cost(attributor: Attributor, example: dict[str, torch.Tensor], n: int, seconds: float) -> Cost:
    of = needs(attributor.model, n)
    if of.checkpoint:  # what is saved for the way back is not seen then
        return Cost(n, seconds, of.total, True)
    return Cost(n, seconds, _bytes(attributor, example))


def _bytes(attributor: Attributor, example: dict[str, torch.Tensor]) -> int:
    """Weights, what a backward of the first rule's nodes from the lowest site holds, that site's matrices."""
    model = attributor.model
    held: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        held.update(_storages(tensor))
        return tensor

    weights = {place: size for p in model.parameters() for place, size in _storages(p.data).items()}
    inputs = _batch(example, input_device(model))
    with Capture(model) as capture:
        recording = capture.record(inputs)
        number = recording.sites[0]
        call = recording.site(number)
        rows = torch.zeros(quadrature.auto()[0].passes, dtype=torch.long, device=input_device(model))
        context = call.context[rows].requires_grad_()
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            outputs = capture.resume(recording, inputs, [Part(number, rows, context)])
        square = call.weights().nbytes
        del outputs
    held = {pointer: size for pointer, size in held.items() if pointer not in weights}
    return sum(weights.values()) + sum(held.values()) + 4 * square


def _storages(tensor: torch.Tensor) -> dict[int, int]:
    """Bytes of each piece of memory of a tensor, by address."""
    storages = [part.untyped_storage() for part in plain_parts(tensor)]
    return {storage.data_ptr(): storage.nbytes() for storage in storages}
