"""Data-set runs: inputs a second beside the literal algorithm, bytes an input, and peak memory.

    python benchmarks/runs.py --data ../shared/data            # all of it; results in benchmarks/runs.json

Throughput is a ratio from one process, the two taking turns: `attattr run`'s shard function on a whole
shard of SST-2 dev sentences, and the literal algorithm (benchmarks/literal.py) on a few of them. Memory
is the peak of whole processes that attribute one, ten and forty shards of short phrases with one node
each: the same shard's phrases over and over, since a shard of longer inputs would need more by itself.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import literal
import torch

from attattr import Attributor
from attattr.data.examples import read_examples
from attattr.runs.shard import Work, make_shard

OUT = Path(__file__).with_suffix(".json")
SHARD = 256
WORDS = 2  # phrases of the memory runs: short, so that ten thousand take minutes


def throughput(data: Path, repetitions: int, literal_inputs: int) -> dict:
    attributor = Attributor.from_pretrained("sst2")
    examples, _ = read_examples(data / "sst2_dev.tsv.gz")
    work = Work()
    make_shard(attributor, examples[:8], 0, work)  # warm up
    attributor.model.requires_grad_(False)  # as our own side computes: no gradients of weights
    turns = []
    for turn in range(repetitions):
        rows = examples[turn * 128 : turn * 128 + 128]
        began = time.perf_counter()
        shard = make_shard(attributor, rows, 0, work)
        ours = len(rows) / (time.perf_counter() - began)
        few = rows[:: len(rows) // literal_inputs][:literal_inputs]
        began = time.perf_counter()
        for example in few:
            literal.attribute(attributor.model, attributor.tokenizer, example.text)
        theirs = len(few) / (time.perf_counter() - began)
        size = sum(map(len, shard.files.values())) / shard.rows
        turns.append(
            {"ours_per_s": ours, "literal_per_s": theirs, "ratio": ours / theirs, "bytes_per_input": size}
        )
        print(json.dumps(turns[-1]), flush=True)
    ratios = [turn["ratio"] for turn in turns]
    return {
        "threads": torch.get_num_threads(),
        "turns": turns,
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "literal": {"steps": literal.STEPS, "padded_to": literal.PADDED, "inputs_a_turn": literal_inputs},
    }


def memory(data: Path, counts: list[int]) -> list[dict]:
    found = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable, __file__, "--one-run", str(count), "--data", str(data), "--folder", folder,
            ]  # fmt: skip
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(found[-1]), flush=True)
    return found


def one_run(data: Path, count: int, folder: Path) -> None:
    """In a process of its own: a run over `count` phrases, then this process's peak memory."""
    from attattr.runs.run import attribute_data

    every, _ = read_examples(data / "sst2_train.tsv.gz")
    phrases = [example for example in every if len((example.text or "").split()) <= WORDS][:SHARD]
    examples = [replace(phrases[i % SHARD], id=str(i)) for i in range(count)]
    attributor = Attributor.from_pretrained("sst2")
    work = Work(method="riemann_middle", n_steps=1)
    began = time.perf_counter()
    attribute_data(attributor, examples, folder / "run", work=work, shard_size=SHARD)
    seconds = time.perf_counter() - began
    size = sum(file.stat().st_size for file in (folder / "run").rglob("*") if file.is_file())
    # not ru_maxrss: a process inherits that of the one that started it
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    facts = {
        "threads": torch.get_num_threads(),
        "inputs": count,
        "peak_bytes": peak,
        "seconds": seconds,
        "bytes_per_input": size / count,
    }
    print(json.dumps(facts))


def table(results: dict) -> str:
    """The section "Measured" of docs/runs.md."""
    speed, machine = results["throughput_sst2_dev"], results["machine"]
    ratio = speed["ratio"]
    ours = statistics.median(turn["ours_per_s"] for turn in speed["turns"])
    size = statistics.median(turn["bytes_per_input"] for turn in speed["turns"])
    rows = "\n".join(
        f"| {run['inputs']:,} | {run['peak_bytes'] / 1e6:,.0f} MB | {run['bytes_per_input'] / 1e3:.1f} kB |"
        for run in results["memory"]
    )
    return f"""
By `python benchmarks/runs.py` (its figures: benchmarks/runs.json), torch {machine["torch"]},
{machine["machine"]}.

SST-2 development sentences, embedded sst2, automatic nodes, `--store edges`: **{ratio["median"]:.0f} times**
the inputs a second of the literal algorithm one input at a time, {speed["literal"]["steps"]} left steps,
padded to {speed["literal"]["padded_to"]} tokens ({ratio["min"]:.0f} to {ratio["max"]:.0f} in
{len(speed["turns"])} alternating turns). That was {ours:.1f} inputs a second, and
{size / 1e3:.0f} kB an input on disk; {speed["threads"]} threads.

Peak memory of a whole process, {SHARD} SST-2 phrases of at most {WORDS} words over and over, one node
each, {SHARD} a shard, {results["memory"][0]["threads"]} thread:

| inputs | peak memory | on disk, an input |
|---|---|---|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--literal-inputs", type=int, default=3)
    parser.add_argument("--counts", default="256,2560,10240")
    parser.add_argument("--one-run", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--memory-only", action="store_true", help="keep the throughput of the last time")
    args = parser.parse_args()
    if args.one_run:
        one_run(args.data, args.one_run, args.folder)
        return
    results = {
        "machine": {
            "torch": torch.__version__,
            "machine": platform.machine(),
        },
        "throughput_sst2_dev": json.loads(OUT.read_text())["throughput_sst2_dev"]
        if args.memory_only
        else throughput(args.data, args.repetitions, args.literal_inputs),
        "memory": memory(args.data, [int(count) for count in args.counts.split(",")]),
    }
    OUT.write_text(json.dumps(results, indent=1) + "\n")
    document = OUT.parents[1] / "docs" / "runs.md"
    before, begin, rest = document.read_text().partition("<!-- runs:begin -->")
    _, end, after = rest.partition("<!-- runs:end -->")
    document.write_text(before + begin + table(results) + end + after)


if __name__ == "__main__":
    main()
