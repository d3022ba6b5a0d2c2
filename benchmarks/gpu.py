"""What can only be known on a GPU, in one command of under eight minutes.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --on cpu    # the same steps, tiny, to try this file where there is no GPU

1. Every family of the tests, in float32, equals the CPU to 1e-4 of its scores, and the paper's algorithm to
   the letter on the same device. In bfloat16 and float16 it is at most twice as far from float32 as it is on
   the CPU, and so is sst2.
2. A 0.5 B and an 8 B decoder with random weights, in bfloat16: seconds, peak memory, kernels and waits of one
   input, its strongest edges kept, by its length. What no time is left for is said to be left out.

Without a GPU it says so and exits with 1; so it does where 1. fails.
"""

from __future__ import annotations

import argparse
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
HALF = ("bfloat16", "float16")
TINY = {"tiny": (64, 128, 2, 4, 2)}
began = time.monotonic()


def distance(found: Any, expected: Any) -> float:
    """Σ|difference| / Σ|score| over all sites."""
    pairs = [(a.scores, b.scores) for a, b in zip(found.sites, expected.sites, strict=True)]
    return float(sum(abs(a - b).sum() for a, b in pairs) / sum(abs(b).sum() for _, b in pairs))


def told(what: str, off: float, most: float) -> bool:
    """Whether a distance is small enough; says it."""
    print(f"{what}: {off:.1e}{'' if off <= most else f', which is MORE than {most:.1e}'}", flush=True)
    return off <= most


def of_family(family: Any, device: str, dtype: torch.dtype = torch.float32) -> tuple[Any, list[dict]]:
    """Its model, opened on the device, and its inputs."""
    from attattr import Attributor

    inputs = [
        {name: value.to(dtype) if value.is_floating_point() else value for name, value in each.items()}
        for each in family.inputs
    ]
    return Attributor(family.model().to(device, dtype)), inputs


def scored(family: Any, device: str, dtype: torch.dtype = torch.float32) -> list[Any]:
    attributor, inputs = of_family(family, device, dtype)
    return attributor.attribute(inputs, target=1, n_steps=NODES)


def from_the_letter(family: Any, device: str) -> float:
    """As `distance`, from the paper's algorithm, which shares no quadrature with ours and no replay."""
    from attattr.engine.literal import literal_scores

    attributor, (one, *_) = of_family(family, device)
    theirs = literal_scores(attributor, one, target=1, n_steps=NODES)
    ours = attributor.attribute(one, target=1, method="riemann_right", n_steps=NODES)
    pairs = list(zip(theirs, ours.sites, strict=True))
    return float(sum(abs(a - b.scores).sum() for a, b in pairs) / sum(abs(a).sum() for a, _ in pairs))


def farthest(found: list[Any], expected: list[Any]) -> float:
    return max(distance(a, b) for a, b in zip(found, expected, strict=True))


def families_agree(device: str, families: dict[str, Any]) -> bool:
    fine = True
    for name, family in families.items():
        exact = scored(family, "cpu")
        fine &= told(f"{name}, from the CPU", farthest(scored(family, device), exact), 1e-4)
        off = from_the_letter(family, device)
        fine &= told(f"{name}, from the paper's algorithm to the letter", off, 1e-4)
        for dtype in HALF:
            cpu, gpu = (farthest(scored(family, d, getattr(torch, dtype)), exact) for d in ("cpu", device))
            fine &= told(f"{name} in {dtype}, from float32 (the CPU: {cpu:.1e})", gpu, 2 * cpu + 1e-2)
    return fine


def sst2_agrees(device: str) -> bool:
    from attattr import Attributor

    fine, text = True, "a fine film, if a little long"
    exact = Attributor.from_pretrained("sst2", device="cpu").attribute(text)
    for dtype in HALF:
        cpu, gpu = (
            distance(Attributor.from_pretrained("sst2", device=d, dtype=dtype).attribute(text), exact)
            for d in ("cpu", device)
        )
        fine &= told(f"sst2 in {dtype}, from float32 (the CPU: {cpu:.1e})", gpu, 2 * cpu + 1e-3)
    return fine


def decoder(shape: tuple[int, ...], device: str) -> Any:
    import transformers

    widths: dict[str, Any] = dict(zip(WIDTHS, shape, strict=True))
    config = transformers.LlamaConfig(vocab_size=32_000, max_position_embeddings=16_384, **widths)
    with torch.device(device):
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


def costs(device: str, shapes: dict[str, tuple[int, ...]], lengths: tuple[int, ...]) -> None:
    from attattr import Attributor

    cuda = device == "cuda"

    print("| decoder | tokens | seconds | peak memory, GB | of these weights | kernels | waits |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, shape in shapes.items():
        one = Attributor(decoder(shape, device))
        weights = torch.cuda.memory_allocated() if cuda else 0
        for n in lengths:
            if time.monotonic() - began > LONGEST:
                print(f"| {name} | {n:,} | no time was left |")
                continue
            example = {
                "input_ids": torch.randint(5, 32_000, (n,), generator=torch.Generator().manual_seed(n))
            }

            def attribute(one: Any = one, example: Any = example) -> None:
                one.attribute(example, store="edges", n_steps=NODES)
                if cuda:
                    torch.cuda.synchronize()

            try:
                if cuda:
                    torch.cuda.reset_peak_memory_stats()
                start = time.perf_counter()
                attribute()
                seconds = time.perf_counter() - start
                peak = torch.cuda.max_memory_allocated() if cuda else 0
                kernels, waits = calls(attribute) if n == lengths[0] else ("", "")
                row = f"{seconds:.1f} | {peak / 1e9:.1f} | {weights / 1e9:.1f} | {kernels} | {waits}"
            except Exception as error:  # whatever stops it is the figure
                row = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
            print(f"| {name} | {n:,} | {row} |", flush=True)
        del one, attribute
        if cuda:
            torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--on", choices=("cuda", "cpu"), default="cuda")
    device = parser.parse_args().on
    if device == "cuda" and not torch.cuda.is_available():
        print("there is no GPU here that torch can use: nothing was measured", file=sys.stderr)
        sys.exit(1)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    warnings.simplefilter("ignore")
    print(
        f"{torch.cuda.get_device_name() if device == 'cuda' else 'CPU'}, torch {torch.__version__}",
        flush=True,
    )
    from families import FAMILIES

    fine = families_agree(device, FAMILIES) & sst2_agrees(device)
    costs(device, *((SHAPES, LENGTHS) if device == "cuda" else (TINY, (16,))))
    sys.exit(not fine)


if __name__ == "__main__":
    main()
