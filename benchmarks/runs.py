"""Data-set runs: peak memory, and bytes an input on disk. How fast they are: benchmarks/speed.py.

    python benchmarks/runs.py --data ../shared/data            # results in benchmarks/runs.json

Memory is the peak of whole processes that attribute one, ten and forty shards of short phrases with one node
each: the same shard's phrases over and over, since a shard of longer inputs would need more by itself.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from attattr import Attributor
from attattr.data.examples import read_examples
from attattr.runs.shard import Work

OUT = Path(__file__).with_suffix(".json")
SHARD = 256
WORDS = 2  # phrases of the memory runs: short, so that ten thousand take minutes


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
    machine = results["machine"]
    rows = "\n".join(
        f"| {run['inputs']:,} | {run['peak_bytes'] / 1e6:,.0f} MB | {run['bytes_per_input'] / 1e3:.1f} kB |"
        for run in results["memory"]
    )
    return f"""
By `python benchmarks/runs.py` (its figures: benchmarks/runs.json), torch {machine["torch"]},
{machine["machine"]}. How many inputs a second: [benchmarks](benchmarks.md#data-sets).

Peak memory of a whole process, {SHARD} SST-2 phrases of at most {WORDS} words over and over, one node
each, {SHARD} a shard, {results["memory"][0]["threads"]} thread:

| inputs | peak memory | on disk, an input |
|---|---|---|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--counts", default="256,2560,10240")
    parser.add_argument("--one-run", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one_run:
        one_run(args.data, args.one_run, args.folder)
        return
    results = {
        "machine": {
            "torch": torch.__version__,
            "machine": platform.machine(),
        },
        "memory": memory(args.data, [int(count) for count in args.counts.split(",")]),
    }
    OUT.write_text(json.dumps(results, indent=1) + "\n")
    document = OUT.parents[1] / "docs" / "runs.md"
    before, begin, rest = document.read_text().partition("<!-- runs:begin -->")
    _, end, after = rest.partition("<!-- runs:end -->")
    document.write_text(before + begin + table(results) + end + after)


if __name__ == "__main__":
    main()
