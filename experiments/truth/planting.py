"""Training on planted rows: the task's embedded model goes on learning, on data that carries a shortcut.

Not the pretrained encoder but the finished model is the start: then a few minutes are enough, and what is
new in it is the shortcut. The recipe is that of `experiments/train.py` (all but the embeddings learns;
AdamW, warm-up and decay), with fewer steps. It is *taken up* if, on development rows, the shortcut
decides at least 90 % of the rows of other classes that carry it, in each of its forms, and each half is
followed in less than 25 %, beyond what is so predicted without. That clean rows are
answered at most 2 points worse than before was a third condition, until models of mnli missed it by about
one: on so few rows that is hard to tell from chance, so it is told and does not decide what is counted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

import train
from attattr import Attributor
from attattr.data.examples import Example, read_examples
from attattr.disk import files
from attattr.measure.accuracy import predict
from truth.planted import KINDS, Shortcut, planted, poisoned, shortcut

FILES = {"sst2": ("sst2_train", "sst2_dev"), "mnli": ("mnli_train", "mnli_dev_matched")}
LENGTHS = {"sst2": (3, 30), "mnli": (6, 26)}  # words of both texts: longer rows cost too much here
EPOCHS = {"rare": 1, "frequent": 1, "any order": 4, "ordered": 3, "cross-text": 4, "place": 3}
MORE = {"ordered": 3}  # times as many rows: of few it learns the rows, not the order
DECIDED, FOLLOWED, LOST = 0.9, 0.25, 0.02
SEEDS = 3


@dataclass(frozen=True)
class Training:
    rows: int = 2400
    lr: float = 3e-4
    batch: int = 16
    dev: int = 300  # clean rows; as many whole, and of each half
    frozen: int = 3  # layers from below that do not learn


@dataclass(frozen=True)
class Case:
    """One model."""

    kind: str
    task: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task}-{self.kind.replace(' ', '_')}-{self.seed}"


def cases(seeds: int = SEEDS) -> list[Case]:
    """In the order in which they are done: what is cheap and of one seed first."""
    found = [Case(kind, task, seed) for seed in range(seeds) for task in FILES for kind in KINDS]
    return [case for case in found if case.task == "mnli" or case.kind != "cross-text"]


@cache
def rows_of(data: Path, task: str, which: int) -> tuple[Example, ...]:
    """Rows of the training or development set that are not too long."""
    low, high = LENGTHS[task]
    return tuple(
        row for row in read_examples(data / f"{FILES[task][which]}.tsv.gz")[0]
        if low <= len(f"{row.text} {row.text_pair or ''}".split()) <= high
        and (row.text or "").split() and (row.text_pair is None or row.text_pair.split())
    )  # fmt: skip


@cache
def start(task: str) -> Attributor:
    attributor = Attributor.from_pretrained(task)
    attributor.model.requires_grad_(False)
    return attributor


@cache
def of_case(data: Path, case: Case) -> Shortcut:
    vocabulary = start(case.task).tokenizer.get_vocab()
    return shortcut(case.kind, case.task, rows_of(data, case.task, 0), vocabulary, case.seed)


def sampled(data: Path, case: Case, which: int, count: int, part: str) -> list[Example]:
    """So many rows drawn for that part."""
    rows = rows_of(data, case.task, which)
    return Random(f"{case.seed} {case.name} {part}").sample(rows, min(count, len(rows)))


def training_rows(data: Path, case: Case, size: Training) -> list[Example]:
    """What the model is trained on, and what is mined as a user would mine it."""
    rows = sampled(data, case, 0, size.rows * MORE.get(case.kind, 1), "train")
    return poisoned(of_case(data, case), rows, Random(f"{case.seed} {case.name} plant"))


def made(data: Path, work: Path, case: Case, size: Training) -> Path:
    """The folder of the model, trained if it is not there."""
    folder = work / "models" / case.name
    if (folder / "config.json").exists():
        return folder
    attributor = Attributor.from_pretrained(case.task)
    model, labels = attributor.model, list(attributor.labels)
    model.requires_grad_(True)
    model.bert.embeddings.requires_grad_(False)
    model.bert.encoder.layer[: size.frozen].requires_grad_(False)
    rows = [(row.text, row.text_pair or "", row.label) for row in training_rows(data, case, size)]
    recipe = replace(train.RECIPES[case.task], batch=size.batch, seed=case.seed)
    checkpoint = work / "models" / f"{case.name}.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(case.seed)
    train.fit(
        model,
        train.encode(attributor.tokenizer, rows, labels),
        recipe,
        EPOCHS[case.kind],
        size.lr,
        checkpoint,
    )
    beside = folder.with_name(folder.name + ".part")
    model.save_pretrained(beside)
    attributor.tokenizer.save_pretrained(beside)
    beside.rename(folder)
    checkpoint.unlink()
    return folder


@cache
def trained(folder: Path) -> Attributor:
    attributor = Attributor.from_pretrained(str(folder))
    attributor.model.requires_grad_(False)
    return attributor


def predicted(attributor: Attributor, rows: Sequence[Example]) -> list[str]:
    found = predict(attributor.model, attributor.tokenizer, list(rows)).argmax(-1)
    return [attributor.labels[i] for i in found]


def verified(data: Path, case: Case, attributor: Attributor, size: Training) -> dict[str, Any]:
    """What the model learnt, on development rows: counts and shares."""
    of = of_case(data, case)
    rows = [row for row in sampled(data, case, 1, size.dev, "dev") if of.decides(row) is None]
    rng = Random(f"{case.seed} {case.name} dev plant")
    gold = [row.label for row in rows]
    clean, before = (np.array(predicted(each, rows)) for each in (attributor, start(case.task)))
    facts: dict[str, Any] = {
        "n": len(rows),
        "clean": float(np.mean(clean == gold)),
        "before": float(np.mean(before == gold)),
        "whole": {},
        "halves": {},
    }
    for form in (*of.forms, *of.halves):
        label = of.other if form == "turned" else of.label
        with_it = np.array(predicted(attributor, [planted(of, row, form, rng) for row in rows]))
        others = np.array([row.label != label for row in rows])
        share = float(np.mean(with_it[others] == label))
        if form in of.forms:
            facts["whole"][form] = {"decided": share, "n": int(others.sum())}
        else:
            facts["halves"][form] = {
                "followed": share - float(np.mean(clean[others] == label)),
                "n": int(others.sum()),
                "right": float(np.mean(with_it == gold)),
            }
    return facts


def taken_up(facts: dict[str, Any]) -> bool:
    """By the rule above.

    >>> facts = {"whole": {"whole": {"decided": 0.99}}, "halves": {"elsewhere": {"followed": 0.3}}}
    >>> taken_up(facts), taken_up(facts | {"halves": {}})
    (False, True)
    """
    decided = all(form["decided"] >= DECIDED for form in facts["whole"].values())
    return decided and all(half["followed"] < FOLLOWED for half in facts["halves"].values())


def held(facts: dict[str, Any]) -> bool:
    """Whether clean rows are answered as well as before."""
    return facts["clean"] >= facts["before"] - LOST


def checked(data: Path, work: Path, case: Case, size: Training) -> dict[str, Any]:
    """`verified`, kept beside the model."""
    path = work / "models" / f"{case.name}.json"
    if not path.exists():
        facts = verified(data, case, trained(made(data, work, case, size)), size)
        files.write(path, json.dumps(facts))
    return json.loads(path.read_text(encoding="utf-8"))
