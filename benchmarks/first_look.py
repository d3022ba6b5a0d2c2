"""How much of the truth does a first look find? The strongest edges, and what they cost, on real inputs.

    python benchmarks/first_look.py --data ../shared/data/mnli_dev_matched.tsv.gz --model mnli --limit 40

Of each input the 20 strongest edges by the integral are the truth. Found are those of them that are among the
20 strongest of a first look that integrates 0, 1, 2 … sites. Passes: blocks run, two with their backward.
Seconds are the process's own. Shares are of the whole integral's; means of what is found, else medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from attattr import Attributor
from attattr.data.examples import read_examples
from attattr.engine.structure import blocks_of
from attattr.result.attribution import Attribution

TOP = 20


@dataclass
class Passes:
    """Blocks that were run, counted at the last linear layer of each."""

    count: int = 0

    def watch(self, model: nn.Module) -> None:
        for block in blocks_of(model).values():
            last = [part for part in block.modules() if isinstance(part, nn.Linear)][-1]
            last.register_forward_hook(self._ran)

    def _ran(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        self.count += len(output) * (2 if output.requires_grad else 1)


def strongest(result: Attribution) -> set[tuple[int, ...]]:
    return {(edge.site, edge.head, edge.query, edge.key) for edge in result.top_edges(TOP)}


def measured(attributor: Attributor, example: Any, passes: Passes, **options: Any) -> tuple[Any, int, float]:
    passes.count, began = 0, time.process_time()
    result = attributor.attribute(example, **options)
    return result, passes.count, time.process_time() - began


def looks(data: Path, model: str, limit: int) -> dict:
    """By number of sites that are integrated: the shares found, and median shares of passes and time."""
    attributor = Attributor.from_pretrained(model)
    passes = Passes()
    passes.watch(attributor.model)
    examples, _ = read_examples(data, limit=limit, seed=3)
    sites = len(attributor.attribute(examples[0]).sites)  # finds out, too, what is found out once a model
    ways = [None, *range(1, min(5, sites))]
    rows: dict[Any, list[tuple[float, ...]]] = {refine: [] for refine in ways}
    for example in examples:
        truth, whole, seconds = measured(attributor, example, passes)
        for refine in ways:
            found, cost, took = measured(attributor, example, passes, method="gradient", refine=refine)
            gap = max(abs(site.completeness_gap) / max(1e-12, _size(site, found)) for site in found.sites)
            share = len(strongest(truth) & strongest(found)) / TOP
            rows[refine].append((share, cost / whole, took / seconds, gap))
    by_count = {}
    for refine in ways:
        shares, *others = zip(*rows[refine], strict=True)
        costs, times, gaps = map(statistics.median, others)
        by_count[str(refine or 0)] = {
            "found": statistics.mean(shares), "low": float(np.quantile(shares, 0.05)), "passes": costs,
            "time": times, "gap": gaps,
        }  # fmt: skip
    return {"model": model, "inputs": len(examples), "sites": sites, "looks": by_count}


def table(of: dict) -> str:
    """What `looks` found."""
    head = ("integrated", "found", "5 % of inputs below", "passes", "time", "worst gap / Σ\\|scores\\|")
    lines: list[tuple[str, ...]] = [head, ("---",) * len(head)]
    for count, look in of["looks"].items():
        shares = [f"{look[name]:.0%}" for name in ("found", "low", "passes", "time")]
        lines.append((f"{count} of {of['sites']}", *shares, f"{look['gap']:.2f}"))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mnli_dev_matched.tsv.gz"))
    parser.add_argument("--model", default="mnli")
    parser.add_argument("--limit", type=int, default=200)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(table(looks(args.data, args.model, args.limit)), end="")


def _size(site: Any, result: Attribution) -> float:
    queries, keys = (len(result.axes[axis].tokens) for axis in (site.query_axis, site.key_axis))
    return float(site.head_abs.sum()) * queries * keys


if __name__ == "__main__":
    main()
