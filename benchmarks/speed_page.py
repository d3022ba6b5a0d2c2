"""docs/benchmarks.md from the figures of speed.py."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import first_look


def ratio(found: dict, theirs: str, ours: str = "attattr") -> dict:
    """How many times faster, turn by turn."""
    pairs = zip(found["seconds"][theirs], found["seconds"][ours], strict=True)
    return spread([a / b for a, b in pairs])


def spread(values: list[float]) -> dict:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def document(results: dict) -> str:
    """docs/benchmarks.md."""
    machine = results["machine"]
    parts = [
        f"""# Benchmarks

Written by `make bench` from benchmarks/speed.json (one section: `OMP_NUM_THREADS=1 .venv/bin/python
benchmarks/speed.py --only NAME`). Every figure is a ratio within one run, the contestants taking turns:
median (lowest – highest). torch {machine["torch"]}, {machine["machine"]}, threads: {machine["threads"]};
of one thread its own time is taken. float32 unless said otherwise{_without(machine)}.
Compare within a section, not between.
"""
    ]
    for name, section in SECTIONS.items():
        if name in results:
            parts.append(section(results[name]) + _when(results["when"][name]))
    return "\n".join(parts)


def _without(machine: dict) -> str:
    if machine.get("bfloat16", True):
        return ""
    return "; the processor of the latest sections has no instructions for bfloat16, and is not timed in it"


def _when(of: dict) -> str:
    share = of.get("share")
    shared = share is not None and share < 0.9
    busy = f", on a shared machine: this process had {share:.0%} of a core" if shared else ""
    return f"\nMeasured {of['date']}{busy}{of.get('how', '')}.\n"


def _ours(row: dict) -> list[str]:
    return [name for name in row["seconds"] if name.startswith("attattr")]


def _trained(found: dict) -> str:
    others = [name for name in next(iter(found.values()))[0]["seconds"] if not name.startswith("attattr")]
    rows = []
    for model, inputs in found.items():
        lengths, nodes = [of["n"] for of in inputs], [n for of in inputs for n in of["nodes"]]
        for ours in _ours(inputs[0]):
            ratios = [spread([of["seconds"][name] / of["seconds"][ours] for of in inputs]) for name in others]
            rows.append(
                [model, f"{min(lengths)} – {max(lengths)}", f"{statistics.mean(nodes):.1f}", ours]
                + [_span(each) for each in ratios]
            )
    count = len(next(iter(found.values())))
    return f"""## One input, trained models

The models that come with the package (6 layers, 384 wide), {count} inputs of their development sets each. How
many times faster attattr is, its gaps and error estimates included, input by input:

{_table(["model", "tokens", "nodes, mean", "", *others], rows)}
The others are timed as said below.
"""


def _equal(found: dict) -> str:
    rows = []
    for model, inputs in found.items():
        for rule in [name for name in inputs[0] if name not in ("n", "error", "seconds")]:
            of = [each[rule] for each in inputs]
            falls = spread([each["few"] / each["many"] for each in of])
            steps = [each["steps"] for each in of]
            times = [each["ratio"] for each in of]
            rows.append(
                [
                    model, f"{statistics.median(each['error'] for each in inputs):.1e}",
                    rule.partition(" (")[0] + (", left" if "left" in rule else ", right"),
                    f"{statistics.median(each['few'] for each in of):.1e}", _span(falls),
                    f"{statistics.median(steps):,.0f} ({min(steps):,.0f} – {max(steps):,.0f})",
                    f"{statistics.median(times):,.0f} ({min(times):,.0f} – {max(times):,.0f})",
                ]
            )  # fmt: skip
    count = len(next(iter(found.values())))
    head = ["model", "attattr's error", "sum", "at 64 steps", "64 over 256", "steps needed", "times as long"]
    return f"""## Time to equal error, trained models

Error: relative L1 distance of all scores from 40 Gauss nodes, {count} inputs each. How many steps a one-sided
sum would take to be as close as attattr with automatic nodes, and how many times as long as attattr the
literal algorithm takes for them. The error of such a sum falls as 1 / steps: from 64 to 256 steps it should
become 4 times smaller. From 256 on it is extrapolated, so is the time from that of a step.

{_table(head, rows)}"""


def _limit(found: dict) -> str:
    rows = []
    for model, of in found.items():
        rate, theirs = of["flop"] / of["seconds"], of["their_flop"] / of["their_seconds"]
        fewer = of["their_flop"] / of["flop"]
        rows.append(
            [
                model, f"{of['their_seconds'] / of['seconds']:.1f}", f"{fewer:.1f}", f"{rate / theirs:.2f}",
                f"{fewer * 128 / of['tokens']:.0f}", f"{rate / 1e9:.0f} GFLOP/s",
                ", ".join(f"`{name}` {part:.0%}" for name, part in of["profile"].items()),
            ]
        )  # fmt: skip
    return f"""## What stands in the way of more

The time of the authors' rule over attattr's, one input at a time, is the work that is left out, times how
much faster the rest is done. One input makes smaller products than the literal algorithm's 16 steps, though
the nodes of all its sites go up together: at the lower layers there are few rows. In a data set inputs make
them large, too; the authors' algorithm pads to 128 tokens, and *FLOP, padded* is what that adds to the work
that is left out: data sets cannot be much faster than that.

{_table(["model", "time", "= FLOP", "× FLOP/s", "FLOP, padded", "attattr", "where its time goes"], rows)}"""


def _single(found: list[dict]) -> str:
    names = list(dict.fromkeys(name for row in found for name in row["seconds"]))
    others = [name for name in names if not name.startswith("attattr")]
    rows = [
        [row["n"], ", ".join(map(str, row["nodes"])), ours]
        + [_span(ratio(row, name, ours)) if name in row["seconds"] else "" for name in others]
        for row in found
        for ours in _ours(row)
    ]
    return f"""## One input, BERT-base size, random weights

Random weights are nearly linear, and four nodes do. How many times faster attattr is:

{_table(["tokens", "nodes", "", *others], rows)}
The others cost the same at every step, and at a site the less the higher it stands: they are timed at the
lowest and the highest site with some steps (`steps_timed` in the JSON), and multiplied; so above.
"""


def _causal(of: dict) -> str:
    return f"""## A causal language model

Llama-like, 4 layers, 1,024 wide, random weights, {of["n"]:,} tokens, `store="edges"`:
{_span(ratio(of, "authors' rule (64 left)"))} times faster than the authors' rule, and
{_span(ratio(of, "paper's rule (20 right)"))} times faster than the paper's.
"""


def _error(found: dict) -> str:
    rows = [
        [name, of["inputs"], rule, f"{value['median']:.1e}", f"{value['max']:.1e}"]
        for name, of in found.items()
        for rule, value in of.items()
        if rule != "inputs"
    ]
    return f"""## Error, trained models

Relative L1 distance of all scores from 40 Gauss nodes, on real inputs:

{_table(["model", "inputs", "rule", "median", "worst"], rows)}"""


def _throughput(found: dict) -> str:
    rows = [
        [name, who, _span(of["ratio"], 0), f"{of['inputs_a_second']:.1f}"]
        for name, by_precision in found.items()
        for who, of in by_precision.items()
    ]
    return f"""## Data sets, trained models

Inputs a second of a shard of 128, over those of the authors' algorithm with one padded input at a time,
development sets:

{_table(["model", "", "ratio", "inputs a second"], rows)}"""


def _flops(of: dict) -> str:
    share, peak = of["share"], of["gemm_flop_a_second"]
    profile = ", ".join(f"`{name}` {part:.1%}" for name, part in of["profile"].items())
    return f"""## How close to the limit

An attribution of 128 tokens, BERT-base size, runs at {share["median"]:.0%} ({share["min"]:.0%} –
{share["max"]:.0%}) of the FLOP/s of plain matrix products of its shapes ({peak / 1e9:.0f} GFLOP/s). Where
its time goes: {profile}.
"""


def _memory(found: list[dict]) -> str:
    lengths = sorted({row["n"] for row in found})
    peaks = {(row["who"], row["n"]): row for row in found}
    rows = [[f"{n:,}", *(_peak(peaks.get((who, n))) for who in ("attattr", "literal"))] for n in lengths]
    return f"""## Memory

Peak of a whole process that attributes two sites (the lowest and the highest) of one input, BERT-base size,
`store="edges"`, beside one that takes a single step of the literal algorithm at the lowest site; each may
ask for 10 GiB:

{_table(["tokens", "attattr", "literal, one step"], rows)}"""


def _first(of: dict) -> str:
    return f"""## A fast first look

`method="gradient"` with `refine=K` on {of["inputs"]} inputs of {of["model"]}: how many of the 20 edges that
are strongest by the integral are among the look's 20 strongest; its passes and its time as shares of those of
the integral everywhere; the worst completeness gap of a site. Means of what is found, else medians.

{first_look.table(of)}"""


SECTIONS: dict[str, Callable[[Any], str]] = {
    "trained": _trained, "equal": _equal, "throughput": _throughput, "limit": _limit, "error": _error,
    "first": _first, "single": _single, "causal": _causal, "flops": _flops, "memory": _memory,
}  # fmt: skip


def _span(ratio: dict, digits: int = 1) -> str:
    return f"{ratio['median']:.{digits}f} ({ratio['min']:.{digits}f} – {ratio['max']:.{digits}f})"


def _table(names: list, rows: list[list]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _peak(row: dict | None) -> str:
    if row is None:
        return ""
    return "stops: out of memory" if row.get("failed") else f"{row['peak_bytes'] / 1e9:.2f} GB"
