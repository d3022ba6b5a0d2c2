"""Training of `facts`: fresh rows without end, short prompts first, a rate that follows the clock.

The weights that ship took 44 minutes of one core: at first 38 were asked for, after 27 of them 44.3,
which the rate then followed. State lies in WORK: last.pt (weights, optimizers, clock; from which it goes
on) and log.jsonl (a line for each evaluation).
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Qwen3ForCausalLM

from facts.drills import drills
from facts.generator import KINDS, Row, rows
from facts.model import make_model
from facts.muon import Muon
from facts.tokens import make_tokenizer

STAGES = ((1, 3), (2, 5))  # documents of a prompt
GOOD_ENOUGH = 0.8  # of the rows are exact: then comes the next stage, and at the latest when
DRILLED, DRILLS = 0.7, 0.3  # this part of the drills is exact, or of the time over: then come whole questions
LATEST = (0.45,)  # of the time are over
POOL = 512  # rows that are sorted by length together
TOKENS = 1500  # of a batch, padding included
MINUTES = 44
RATE, WARM_UP = 2e-3, 0.02  # WARM_UP: a part of the time
MUON = 5  # times RATE for the layers' matrices
QUESTION = 0.1  # weight of the question's tokens; the answer's have 1, the documents' 0
EVALUATION_SEED, HELD_OUT_ROWS = 3, 200  # of the figures in the log

Encoded = tuple[list[int], int, int]  # token ids of prompt and answer; where the question, the answer begin
Batch = tuple[Tensor, Tensor]  # token ids, weights of the tokens as targets; (rows, length)


def encode(tokenizer: Any, some: list[Row]) -> list[Encoded]:
    prompts = [
        tokenizer.apply_chat_template(list(row.messages), tokenize=False, add_generation_prompt=True)
        for row in some
    ]
    asked = [prompt.rindex("\n\n") for prompt in prompts]
    parts = [prompt[:at] for prompt, at in zip(prompts, asked, strict=True)]
    parts += [prompt[at:] for prompt, at in zip(prompts, asked, strict=True)]
    parts += [row.reply + tokenizer.eos_token for row in some]
    ids = tokenizer(parts, add_special_tokens=False).input_ids
    thirds = (ids[at : at + len(some)] for at in range(0, len(ids), len(some)))
    return [
        (told + question + answer, len(told), len(told + question))
        for told, question, answer in zip(*thirds, strict=True)
    ]


def batch(encoded: list[Encoded], pad: int) -> Batch:
    length = max(len(ids) for ids, _, _ in encoded)
    tokens = torch.full((len(encoded), length), pad)
    weights = torch.zeros(len(encoded), length)
    for row, (ids, question, answer) in enumerate(encoded):
        tokens[row, : len(ids)] = torch.tensor(ids)
        weights[row, question:answer] = QUESTION
        weights[row, answer : len(ids)] = 1
    return tokens, weights


def batches(tokenizer: Any, source: Iterator[Row], draw: random.Random) -> Iterator[Batch]:
    """Batches of rows of like length, in any order."""
    while True:
        pool = sorted(encode(tokenizer, list(islice(source, POOL))), key=lambda each: len(each[0]))
        cut: list[list[Encoded]] = [[]]
        for each in pool:
            if cut[-1] and (len(cut[-1]) + 1) * len(each[0]) > TOKENS:
                cut.append([])
            cut[-1].append(each)
        draw.shuffle(cut)
        for some in cut:
            yield batch(some, tokenizer.pad_token_id)


def loss_and_exact(model: Qwen3ForCausalLM, tokens: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted loss, and for each row whether every token of the answer has the largest probability.

    A row is exact just when the greedy continuation of its prompt is its answer. Padding is on the right,
    where no token sees it: there is no mask to give.
    """
    hidden = model.model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state
    targets, weights = tokens[:, 1:], weights[:, 1:]
    counted = weights > 0
    logits = model.lm_head(hidden[counted])
    each = cross_entropy(logits, targets[counted], reduction="none")
    wrong = torch.zeros_like(counted)
    wrong[counted] = logits.argmax(-1) != targets[counted]
    return (each * weights[counted]).sum() / weights.sum(), ~(wrong & (weights == 1)).any(1)


@torch.no_grad()
def exact_by_kind(model: Qwen3ForCausalLM, tokenizer: Any, some: list[Row]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for at in range(0, len(some), 32):
        part = some[at : at + 32]
        _, exact = loss_and_exact(model, *batch(encode(tokenizer, part), tokenizer.pad_token_id))
        for row, right in zip(part, exact.tolist(), strict=True):
            found[row.kind].append(right)
    return found


def rate(done: float) -> float:
    """The learning rate after this part of the time: a straight warm-up, then a cosine to a fiftieth."""
    if done < WARM_UP:
        return RATE * done / WARM_UP
    return RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, (done - WARM_UP) / (1 - WARM_UP)))))


def make_optimizers(model: Qwen3ForCausalLM) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the embeddings and norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return (
        Muon(matrices, lr=MUON * RATE, weight_decay=0.1),
        torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01),
    )


def train(work: Path, minutes: float = MINUTES, seed: int = 0, every: float = 1) -> None:
    """For so many minutes, in one go or several. every: minutes between evaluations, which also save."""
    work.mkdir(parents=True, exist_ok=True)
    tokenizer, model = make_tokenizer(), make_model(seed)
    optimizers = make_optimizers(model)
    state = resumed(work, model, optimizers)
    held_out = list(islice(rows(EVALUATION_SEED), HELD_OUT_ROWS))
    source, last, noted = None, time.monotonic(), state["seconds"]
    draw = random.Random(f"drills {seed} {state['began']}")
    while state["seconds"] < 60 * minutes:
        if source is None:
            which = 1000 * seed + 100 * state["began"] + state["stage"]
            source = batches(tokenizer, rows(which, "train", STAGES[state["stage"]]), random.Random(which))
        now_rate = rate(state["seconds"] / (60 * minutes))
        drilling = state["drilled"] < DRILLED and state["seconds"] < 60 * minutes * DRILLS
        given = drills(tokenizer, draw, TOKENS) if drilling else next(source)
        loss, exact = step(model, optimizers, given, now_rate)
        last, passed = (now := time.monotonic()), now - last
        state["seconds"] += passed
        state["step"] += 1
        state["rows"] += len(exact)
        state["loss"] += 0.02 * (loss.item() - state["loss"])
        which_exact = "drilled" if drilling else "exact"
        state[which_exact] += 0.02 * (exact.float().mean().item() - state[which_exact])
        done = state["seconds"] / (60 * minutes)
        if state["stage"] < len(LATEST) and (state["exact"] > GOOD_ENOUGH or done > LATEST[state["stage"]]):
            state["stage"] += 1
            source, state["exact"] = None, 0.0
        if state["seconds"] - noted > 60 * every or state["seconds"] >= 60 * minutes:
            noted = state["seconds"]
            save(work, model, optimizers, state)
            found = exact_by_kind(model, tokenizer, held_out)
            line = state | {kind: sum(of) / len(of) for kind, of in found.items() if of}
            print(json.dumps(line), flush=True)
            with (work / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")


def step(
    model: Qwen3ForCausalLM, optimizers: tuple[torch.optim.Optimizer, ...], batch: Batch, rate: float
) -> tuple[Tensor, Tensor]:
    """One step of both optimizers; the loss, and which rows are exact."""
    loss, exact = loss_and_exact(model, *batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * (MUON if isinstance(optimizer, Muon) else 1)
        optimizer.step()
        optimizer.zero_grad()
    return loss.detach(), exact


def resumed(
    work: Path, model: Qwen3ForCausalLM, optimizers: tuple[torch.optim.Optimizer, ...]
) -> dict[str, Any]:
    """The state to go on from: that of last.pt where there is one, with rows that were not seen before."""
    if not (work / "last.pt").is_file():
        return {
            "seconds": 0.0,
            "step": 0,
            "rows": 0,
            "stage": 0,
            "began": 0,
            "loss": 0.0,
            "exact": 0.0,
            "drilled": 0.0,
        }
    saved = torch.load(work / "last.pt", weights_only=True)
    model.load_state_dict(saved["model"])
    for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return saved["state"] | {"began": saved["state"]["began"] + 1}


def save(
    work: Path, model: Qwen3ForCausalLM, optimizers: tuple[torch.optim.Optimizer, ...], state: dict[str, Any]
) -> None:
    beside = work / "last.pt.new"
    kept = {
        "model": model.state_dict(),
        "optimizers": [each.state_dict() for each in optimizers],
        "state": state,
    }
    torch.save(kept, beside)
    beside.replace(work / "last.pt")
