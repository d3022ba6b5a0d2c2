"""The embedded decoder `facts`: make its text, train it, measure it, ship it.

    python experiments/facts.py rows --rows 500 --seed 6 --out rows.jsonl  # prompts, answers, sources
    python experiments/facts.py train --work build/facts       # goes on where it was stopped
    python experiments/facts.py evaluate --rows 2000 --seed 5  # exact answers, by kind of question
    python experiments/facts.py ship --work build/facts        # the embedded folder, with its card

The row format and the rules of the task stand in facts/generator.py, the tokenizer in facts/tokens.py.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import torch

from attattr.models.embedded import WHOLE
from attattr.models.loading import load
from facts import card, training
from facts.evaluation import evaluate, table
from facts.generator import rows


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("rows", "train", "evaluate", "ship"))
    parser.add_argument("--rows", type=int, help=f"how many (500; to evaluate and ship {card.ROWS})")
    parser.add_argument("--seed", type=int, default=card.SEED, help="of the rows")
    parser.add_argument("--split", choices=("eval", "train"), default="eval")
    parser.add_argument("--out", type=Path, help="file of the rows, or folder of the embedded models")
    parser.add_argument("--work", type=Path, default=Path("build/facts"), help="folder of the training")
    parser.add_argument("--minutes", type=float, default=training.MINUTES)
    parser.add_argument("--model", default=card.NAME, help="what is evaluated: a name or a folder")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)  # as it was trained
    if asked.what == "rows":
        if asked.out is None:
            parser.error("rows need a file: --out FILE.jsonl")
        card.write(list(islice(rows(asked.seed, asked.split), asked.rows or 500)), asked.out)
    elif asked.what == "train":
        training.train(asked.work, asked.minutes)
    elif asked.what == "ship":
        print(card.ship(asked.work, asked.out or WHOLE, asked.rows or card.ROWS))
    else:
        loaded = load(asked.model, device="cpu")
        test = list(islice(rows(asked.seed, asked.split), asked.rows or card.ROWS))
        print(table(evaluate(loaded.model, loaded.tokenizer, test)))


if __name__ == "__main__":
    main()
