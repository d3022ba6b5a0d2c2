"""docs/benchmarks.md from the figures of speed.py."""

from __future__ import annotations

import statistics


def ratio(found: dict, theirs: str, ours: str = "attattr") -> dict:
    """How many times faster, turn by turn."""
    pairs = zip(found["seconds"][theirs], found["seconds"][ours], strict=True)
    ratios = [a / b for a, b in pairs]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def document(results: dict) -> str:
    """docs/benchmarks.md."""
    machine = results["machine"]
    parts = [
        f"""# Benchmarks

Written by `make bench` from benchmarks/speed.json. Every figure is a ratio within one run, the contestants
taking turns {machine["turns"]} times: median (lowest – highest). torch {machine["torch"]},
{machine["machine"]}, threads: {machine["threads"]}, float32 unless said otherwise.
The sections were run one by one, on a machine with other work: compare within a section, not between them.
"""
    ]
    if "single" in results:
        names = list(dict.fromkeys(name for row in results["single"] for name in row["seconds"]))
        others = [name for name in names if not name.startswith("attattr")]
        rows = [
            [row["n"], ", ".join(map(str, row["nodes"])), ours]
            + [_span(ratio(row, name, ours)) if name in row["seconds"] else "" for name in others]
            for row in results["single"]
            for ours in ("attattr", "attattr, bfloat16")
        ]
        parts.append(
            f"""## One input, BERT-base size, random weights

How many times faster attattr is, its gaps and error estimates included:

{_table(["tokens", "nodes", "", *others], rows)}
The others cost the same at every step, and at a site the less the higher it stands: they are timed at the
lowest and the highest site with some steps (`steps_timed` in the JSON), and multiplied.
"""
        )
    if "causal" in results:
        of = results["causal"]
        parts.append(
            f"""## A causal language model

Llama-like, 4 layers, 1,024 wide, {of["n"]:,} tokens, `store="edges"`:
{_span(ratio(of, "authors' rule (64 left)"))} times faster than the authors' rule, and
{_span(ratio(of, "paper's rule (20 right)"))} times faster than the paper's.
"""
        )
    if "error" in results:
        rows = [
            [name, of["inputs"], rule, f"{value['median']:.1e}", f"{value['max']:.1e}"]
            for name, of in results["error"].items()
            for rule, value in of.items()
            if rule != "inputs"
        ]
        parts.append(
            f"""## Error

Relative L1 distance of all scores from 40 Gauss nodes, on real inputs:

{_table(["model", "inputs", "rule", "median", "worst"], rows)}"""
        )
    if "throughput" in results:
        rows = [
            [name, _span(of["ratio"], 0), f"{of['inputs_a_second']:.1f}"]
            for name, of in results["throughput"].items()
        ]
        parts.append(
            f"""## Data sets

Inputs a second, over those of the authors' algorithm with one padded input at a time, development sets:

{_table(["model", "ratio", "inputs a second"], rows)}"""
        )
    if "flops" in results:
        share, peak = results["flops"]["share"], results["flops"]["gemm_flop_a_second"]
        profile = ", ".join(f"`{name}` {part:.1%}" for name, part in results["flops"]["profile"].items())
        parts.append(
            f"""## How close to the limit

An attribution of 128 tokens, BERT-base size, runs at {share["median"]:.0%} ({share["min"]:.0%} –
{share["max"]:.0%}) of the FLOP/s of plain matrix products of its shapes ({peak / 1e9:.0f} GFLOP/s). Where
its time goes: {profile}.
"""
        )
    if "memory" in results:
        lengths = sorted({row["n"] for row in results["memory"]})
        peaks = {(row["who"], row["n"]): row for row in results["memory"]}
        rows = [[f"{n:,}", *(_peak(peaks.get((who, n))) for who in ("attattr", "literal"))] for n in lengths]
        parts.append(
            f"""## Memory

Peak of a whole process that attributes two sites (the lowest and the highest) of one input, BERT-base size,
`store="edges"`, beside one that takes a single step of the literal algorithm at the lowest site; each may
ask for 10 GiB:

{_table(["tokens", "attattr", "literal, one step"], rows)}"""
        )
    return "\n".join(parts)


def _span(ratio: dict, digits: int = 1) -> str:
    return f"{ratio['median']:.{digits}f} ({ratio['min']:.{digits}f} – {ratio['max']:.{digits}f})"


def _table(names: list, rows: list[list]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _peak(row: dict | None) -> str:
    if row is None:
        return ""
    return "stops: out of memory" if row.get("failed") else f"{row['peak_bytes'] / 1e9:.2f} GB"
