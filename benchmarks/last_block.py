"""What computing the last block on the rows that F reads saves, alone: the shortcut on and off, taking turns.

OMP_NUM_THREADS=1 python benchmarks/last_block.py
"""

from __future__ import annotations

import statistics
import time
import warnings

import torch
import transformers as t

from attattr import Attributor
from attattr.engine import shortcuts

TURNS = 5


def models(layers: int):
    """An encoder with a classifier and a decoder, of MiniLM's width, with random weights."""
    torch.manual_seed(0)
    size = {"hidden_size": 384, "num_hidden_layers": layers, "intermediate_size": 1536}
    bert = t.BertConfig(**size, num_attention_heads=12, num_labels=2)
    llama = t.LlamaConfig(**size, num_attention_heads=12, num_key_value_heads=4, vocab_size=8000)
    yield "encoder", t.BertForSequenceClassification(bert).eval()
    yield "decoder", t.LlamaForCausalLM(llama).eval()


def seconds(attributor: Attributor, inputs: dict[str, torch.Tensor]) -> float:
    began = time.perf_counter()
    attributor.attribute(inputs, method="gausslegendre", n_steps=4, store="heads")
    return time.perf_counter() - began


def main() -> None:
    warnings.simplefilter("ignore")
    found = shortcuts.rows_read
    print("layers  kind     without / with: median (lowest – highest)")
    for layers in (6, 12, 24):
        for kind, model in models(layers):
            attributor = Attributor(model)
            inputs = {"input_ids": torch.randint(5, 8000, (128,), generator=torch.Generator().manual_seed(0))}
            seconds(attributor, inputs)
            ratios = []
            for _ in range(TURNS):
                with_it = seconds(attributor, inputs)
                shortcuts.rows_read = lambda batch: None
                without = seconds(attributor, inputs)
                shortcuts.rows_read = found
                ratios.append(without / with_it)
            middle = statistics.median(ratios)
            print(f"{layers:6}  {kind:8} {middle:.3f} ({min(ratios):.3f} – {max(ratios):.3f})", flush=True)


if __name__ == "__main__":
    main()
