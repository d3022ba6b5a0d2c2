"""How much memory does a long text take? A random decoder of 0.5 B parameters (Qwen2's shape), on the CPU.

    python benchmarks/long_texts.py --tokens 4096 --sites 0 --method riemann_trapezoid --steps 2
    python benchmarks/long_texts.py --tokens 256 --sites all
    python benchmarks/long_texts.py --calculate 32768

Each length is attributed in a process of its own, with store="edges", and its peak (VmHWM) told with what it
was before the attribution: torch, the weights. --calculate asks nothing of the machine: see `engine.room`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

SAME = ("sites", "dtype", "method", "steps")  # for the process of each length
SHAPE: dict[str, Any] = {
    "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
    "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": True,
}  # fmt: skip
LLAMA: dict[str, Any] = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128_256, "tie_word_embeddings": True,
}  # fmt: skip


def decoder(dtype: str) -> transformers.PreTrainedModel:
    """Its weights are drawn where they lie: a copy would be part of the peak."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.Qwen2Config(**SHAPE, max_position_embeddings=1 << 17), dtype=getattr(torch, dtype)
    )
    return model.eval().requires_grad_(False)


def calculated(tokens: int) -> None:
    """What decoders of 0.5 B and 1 B parameters are calculated to need in bfloat16, with a budget of 20 GB,
    that of a device with 80 GB."""
    from attattr.engine.room import needs

    for name, shape in (("0.5 B (Qwen2)", SHAPE), ("1.2 B (Llama 3.2)", LLAMA)):
        kind = transformers.LlamaConfig if shape is LLAMA else transformers.Qwen2Config
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(kind(**shape), dtype=torch.bfloat16)
        found = needs(model, tokens, 20_000_000_000)
        sizes = {part: size for part, size in asdict(found).items() if part != "checkpoint"}
        parts = ", ".join(f"{part} {size / 1e9:.1f}" for part, size in sizes.items())
        again = ", blocks computed again" if found.checkpoint else ""
        print(f"{name}, {tokens:,} tokens: {found.total / 1e9:.1f} GB ({parts}){again}")


def peak() -> int:
    """Bytes of the largest resident set this process had so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def one(tokens: int, sites: str, dtype: str, method: str, steps: str) -> None:
    from attattr import Attributor

    torch.set_num_threads(1)
    model = decoder(dtype)
    ids = torch.randint(0, SHAPE["vocab_size"], (tokens,), generator=torch.Generator().manual_seed(0))
    before, began = peak(), time.perf_counter()
    layers = None if sites == "all" else [int(site) for site in sites.split(",")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = Attributor(model).attribute(
            {"input_ids": ids}, store="edges", layers=layers, method=method,
            n_steps=steps if steps == "auto" else int(steps),
        )  # fmt: skip
    facts = {"tokens": tokens, "sites": len(result.sites), "dtype": dtype, "before": before, "peak": peak()}
    print(json.dumps(facts | {"seconds": round(time.perf_counter() - began), "gap": result.worst_gap}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", default="1024", metavar="N[,N…]")
    parser.add_argument("--sites", default="0,23", metavar="N[,N…]", help="their numbers, or all")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--method", default="gausslegendre")
    parser.add_argument("--steps", default="auto", help="nodes of a site")
    parser.add_argument("--calculate", type=int, metavar="N", help="tokens; nothing is run")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.calculate:
        calculated(asked.calculate)
    elif asked.one:
        one(int(asked.tokens), asked.sites, asked.dtype, asked.method, asked.steps)
    else:
        same = [word for name in SAME for word in (f"--{name}", getattr(asked, name))]
        for tokens in asked.tokens.split(","):
            subprocess.run([sys.executable, __file__, "--one", "--tokens", tokens, *same], check=True)


if __name__ == "__main__":
    main()
