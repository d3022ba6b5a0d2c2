"""What a model answers to rows of the generator, and how often exactly the answer that belongs there."""

from __future__ import annotations

from typing import Any

import torch

from attattr.measure.intervals import wilson
from facts.generator import KINDS, Row

LONGEST = 40  # tokens of an answer; the longest of the generator has fewer


@torch.no_grad()
def replies(model: Any, tokenizer: Any, prompts: list[list[dict[str, str]]]) -> list[str]:
    """What the model writes after each chat, greedily."""
    found = []
    for at in range(0, len(prompts), 64):
        some = prompts[at : at + 64]
        texts = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in some]
        given = tokenizer(
            texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
        )
        ids = model.generate(**given, max_new_tokens=LONGEST, do_sample=False)
        found += tokenizer.batch_decode(ids[:, given.input_ids.shape[1] :], skip_special_tokens=True)
    return found


def evaluate(model: Any, tokenizer: Any, some: list[Row]) -> dict[str, dict[str, Any]]:
    """Exact answers, for each kind of question and for "all": right, n, accuracy, its 95 % interval."""
    written = replies(model, tokenizer, [list(row.messages) for row in some])
    exact = [(row.kind, reply == row.reply) for row, reply in zip(some, written, strict=True)]
    return {
        kind: share([right for of, right in exact if kind in (of, "all")])
        for kind in (*KINDS, "all")
        if kind == "all" or any(of == kind for of, _ in exact)
    }


def share(outcomes: list[bool]) -> dict[str, Any]:
    right, n = sum(outcomes), len(outcomes)
    return {"right": right, "n": n, "accuracy": right / n, "interval": list(wilson(right, n))}


def table(found: dict[str, dict[str, Any]]) -> str:
    """Of Markdown."""
    lines = ["| question | exact | 95 % interval | n |", "|---|---|---|---|"]
    for kind, of in found.items():
        low, high = of["interval"]
        lines.append(f"| {kind} | {of['accuracy']:.1%} | {low:.1%} to {high:.1%} | {of['n']:,} |")
    return "\n".join(lines)
