"""What can only be known on a GPU, in one command of under eight minutes.

    python benchmarks/gpu.py

1. Every family of the tests, in float32, equals the CPU to 1e-4 of its scores; sst2 in half precision is as
   far from float32 as it is on the CPU.
2. A 0.5 B and an 8 B decoder with random weights, in bfloat16: seconds, peak memory, kernels and waits of one
   input, its strongest edges kept, by its length. What no time is left for is said to be left out.

Without a GPU it says so and exits with 1; so it does where 1. fails.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

LONGEST = 8 * 60 - 60  # seconds after which nothing new is begun
SHAPES = {
    "0.5 B": (896, 4864, 24, 14, 2),
    "8 B": (4096, 14336, 32, 32, 8),
}  # numbers of WIDTHS
WIDTHS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
)  # fmt: skip
LENGTHS = (512, 2048, 8192)
NODES = 4  # of a fixed rule: with random weights, what "auto" goes on to says nothing
began = time.monotonic()


def distance(found: Any, expected: Any) -> float:
    """Σ|difference| / Σ|score| over all sites."""
    pairs = [(a.scores, b.scores) for a, b in zip(found.sites, expected.sites, strict=True)]
    return float(sum(abs(a - b).sum() for a, b in pairs) / sum(abs(b).sum() for _, b in pairs))


def same_as_the_cpu() -> bool:
    """Whether all families and half precision agree, line by line."""
    from attattr import Attributor
    from families import FAMILIES

    fine = True
    for name, family in FAMILIES.items():
        inputs = [
            {k: v.float() if v.is_floating_point() else v for k, v in each.items()} for each in family.inputs
        ]
        here, there = (Attributor(family.model().float().to(d)).attribute(inputs) for d in ("cpu", "cuda"))
        off = max(distance(a, b) for a, b in zip(there, here, strict=True))
        fine &= off <= 1e-4
        print(f"{name}: {off:.1e} from the CPU{'' if off <= 1e-4 else ', NOT the same'}", flush=True)
    text = "a fine film, if a little long"
    exact = Attributor.from_pretrained("sst2", device="cpu").attribute(text)
    for dtype in ("bfloat16", "float16"):
        cpu, gpu = (
            distance(Attributor.from_pretrained("sst2", device=d, dtype=dtype).attribute(text), exact)
            for d in ("cpu", "cuda")
        )
        fine &= gpu <= 2 * cpu + 1e-3
        print(f"sst2 in {dtype}: {gpu:.1%} from float32, on the CPU {cpu:.1%}", flush=True)
    return fine


def decoder(shape: tuple[int, ...]) -> Any:
    import transformers

    widths: dict[str, Any] = dict(zip(WIDTHS, shape, strict=True))
    config = transformers.LlamaConfig(vocab_size=32_000, max_position_embeddings=16_384, **widths)
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        try:
            return transformers.LlamaForCausalLM(config).eval()
        finally:
            torch.set_default_dtype(torch.float32)


def calls(attribute: Any) -> tuple[int, int]:
    """Kernels launched, and times that the host waited for the device."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        attribute()
    counts = {event.key: event.count for event in profile.key_averages()}
    launched = sum(count for key, count in counts.items() if "LaunchKernel" in key)
    return launched, sum(count for key, count in counts.items() if "Synchronize" in key)


def costs() -> None:
    from attattr import Attributor

    print("| decoder | tokens | seconds | peak memory, GB | of these weights | kernels | waits |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, shape in SHAPES.items():
        one = Attributor(decoder(shape))
        weights = torch.cuda.memory_allocated()
        for n in LENGTHS:
            if time.monotonic() - began > LONGEST:
                print(f"| {name} | {n:,} | no time was left |")
                continue
            example = {
                "input_ids": torch.randint(5, 32_000, (n,), generator=torch.Generator().manual_seed(n))
            }

            def attribute(one: Any = one, example: Any = example) -> None:
                one.attribute(example, store="edges", n_steps=NODES)
                torch.cuda.synchronize()

            try:
                torch.cuda.reset_peak_memory_stats()
                start = time.perf_counter()
                attribute()
                seconds = time.perf_counter() - start
                peak = torch.cuda.max_memory_allocated()
                kernels, waits = calls(attribute) if n == LENGTHS[0] else ("", "")
                row = f"{seconds:.1f} | {peak / 1e9:.1f} | {weights / 1e9:.1f} | {kernels} | {waits}"
            except Exception as error:  # whatever stops it is the figure
                row = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
            print(f"| {name} | {n:,} | {row} |", flush=True)
        del one, attribute
        torch.cuda.empty_cache()


def main() -> None:
    if not torch.cuda.is_available():
        print("there is no GPU here that torch can use: nothing was measured", file=sys.stderr)
        sys.exit(1)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    warnings.simplefilter("ignore")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    fine = same_as_the_cpu()
    costs()
    sys.exit(not fine)


if __name__ == "__main__":
    main()
