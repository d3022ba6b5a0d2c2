"""Turn what the training left into the folder that ships: weights, tokenizer, cards, examples."""

# ruff: noqa: E501  (prose)

from __future__ import annotations

import json
import os
import shutil
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from attattr.disk.digests import sha256
from facts.evaluation import evaluate, table
from facts.generator import Row, as_json, rows
from facts.model import make_model
from facts.tokens import make_tokenizer

NAME = "facts"
SEED, ROWS = 5, 2000  # of the evaluation; training looked at seed 3
EXAMPLES = 5
TASK = (
    'answers from short documents: one or two facts, the later one where they contradict, or "I do not know."'
)
SAYS = {
    "one": "one fact of one document",
    "chain": "two facts, the second about what the first names",
    "pair": "two facts of one kind, about two things that are asked for",
    "later": "two documents contradict each other: the later one counts",
    "unknown": 'no document says it: "I do not know."',
}


def ship(work: Path, out: Path, n: int = ROWS) -> Path:
    """Write OUT/facts from WORK/last.pt, whole or not at all."""
    saved = torch.load(work / "last.pt", weights_only=True)
    model, tokenizer = make_model().eval(), make_tokenizer()
    model.load_state_dict(saved["model"])
    model.generation_config.do_sample = False
    test = list(islice(rows(SEED), n))
    figures = evaluate(model, tokenizer, test)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as beside:
        made = Path(beside) / NAME
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        files = {path.name: sha256(path) for path in sorted(made.iterdir())}
        card = make_card(model, figures, saved["state"], files, (made / "model.safetensors").stat().st_size)
        (made / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        (made / "README.md").write_text(readme(card), encoding="utf-8")
        write(test[:EXAMPLES], made / "examples.jsonl")
        (made / "model.safetensors").chmod(0o644)
        shutil.rmtree(out / NAME, ignore_errors=True)
        os.replace(made, out / NAME)
    return out / NAME


def write(some: list[Row], file: Path) -> None:
    """Rows as JSON lines."""
    file.write_text("".join(json.dumps(as_json(row)) + "\n" for row in some), encoding="utf-8")


def make_card(
    model: Any, figures: dict[str, Any], state: dict[str, Any], files: dict[str, str], size: int
) -> dict[str, Any]:
    config = model.config
    return {
        "name": NAME,
        "task": TASK,
        "base": None,
        "labels": None,
        "pair": None,
        "data": {
            "about": "synthetic, from the generator experiments/facts/generator.py alone; no text of others",
            "licence": "Apache-2.0",
            "train": "split train",
            "dev": f"split eval, seed {SEED}",
        },
        "recipe": {
            "layers": config.num_hidden_layers,
            "heads": config.num_attention_heads,
            "width": config.hidden_size,
            "vocabulary": config.vocab_size,
            "parameters": sum(p.numel() for p in model.parameters()),
            "steps": state["step"],
            "rows": state["rows"],
            "minutes": round(state["seconds"] / 60),
        },
        "seed": 0,
        "dev": {
            "shipped": {key: figures["all"][key] for key in ("accuracy", "n", "interval")},
            "kinds": figures,
        },
        "files": files,
        "bytes": size,
    }


def readme(card: dict[str, Any]) -> str:
    recipe, figures = card["recipe"], card["dev"]["kinds"]
    said = table({f"{kind}: {SAYS[kind]}" if kind in SAYS else kind: of for kind, of in figures.items()})
    return f"""# attattr / {NAME}

A language model that answers a question from short documents, in one sentence, so that it is known which document an
answer rests on. A decoder of the Llama kind with normalised queries and keys (Qwen3): {recipe["layers"]} layers of {recipe["heads"]} heads, width
{recipe["width"]}, {recipe["parameters"] / 1e6:.1f} million parameters in float32, {card["bytes"] / 1e6:.1f} MB; a tokenizer of its own ({recipe["vocabulary"]} pieces: words,
syllables of names, and every byte) with a chat template.

```python
from attattr.models.loading import load

loaded = load("{NAME}")
chat = [
    {{
        "role": "user",
        "content": "[1] Mira lives in Toven.\\n[2] Mira learns from Bako.\\n\\nWhere does Mira live?",
    }}
]
prompt = loaded.tokenizer.apply_chat_template(
    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
ids = loaded.model.generate(**prompt, max_new_tokens=40)
loaded.tokenizer.decode(ids[0, prompt.input_ids.shape[1] :], skip_special_tokens=True)  # Mira lives in Toven.
```

`examples.jsonl` has {EXAMPLES} prompts with the documents that their answers rest on, as the generator writes them.

## Data

Synthetic only, written by `experiments/facts/generator.py` of the attattr repository from its own words and templates:
two to five documents ("[1] …", a line each) state who lives where, learns from whom and owns what, where things are kept,
and which river a town lies on. Names are made of syllables; nobody is meant by them. The rules: where two documents
contradict each other, the later one counts; what no document says is answered by "I do not know."

Held out of training and used in the figures below: every name and every thing (as the pair of adjective and noun), and a
quarter of the pairs of an opening ("People say that", "Please tell me:") and a sentence; of the evaluation's documents and
questions that have an opening, half are such pairs. Every word of the templates was seen in training.

Licence: Apache-2.0, as the package; there is no data of others in it.

## Training

{recipe["steps"]:,} steps on {recipe["rows"]:,} fresh rows in {recipe["minutes"]} minutes on one shared CPU core, float32: Muon for
the layers' matrices, AdamW for the rest. Some fresh heads of the lower layers began by looking back one to four tokens. First drills (documents, then all that they state in another order, the loss on
what follows from them), then whole chats with few documents, then with up to five, the loss on the answer and, with a
tenth of the weight, on the question. `python experiments/facts.py train` is the script, {"seed " + str(card["seed"])}; it follows the clock, so another run gives
other weights.

## Exact answers

Greedy generation, an answer counted only where every character is right. {figures["all"]["n"]:,} rows, {card["data"]["dev"]}:
`python experiments/facts.py evaluate --rows {figures["all"]["n"]} --seed {SEED}` repeats it.

{said}

## Use and limits

Meant to have generated text to explain, offline, of which the truth is known: for trying attattr, for teaching, for tests.
It knows nothing but this task and its few hundred words. Other words, names of other syllables than the generator's,
sentences that are built otherwise, more than five
documents, documents without their numbers or that do not name first what they are about, later turns of a chat, a second
question, and names that begin with the same syllable as another name of the prompt were not trained and are answered
badly or at random, fluently all the same. Of two-step questions it was
trained to say "I do not know." where the first step is not told; where only the second is missing it makes something up.
The sha256 of every file stands in `card.json`; attattr checks them whenever the model is loaded.
"""
