"""Ways to mine triggers, on rows neither mined nor chosen on: "Which way to mine" of docs/triggers.md.

    python experiments/mining.py --data ../shared/data --work mining-run     # resumes; an hour of one core
    python experiments/mining.py --tasks sst2 --out other.md                 # a file of its own

The rule, written before the figures: some training rows of each task are mined; the development rows, drawn
by seed, are cut in two. On the first part the ways are compared, and the default is that of the package's
methods that costs more in the mean over classes and tasks. On the second that one alone is reported. Both
times all patterns of a way are screened on a few rows of a class, the best five tried on more, and the three
worst of those reported on rows of neither, as `attattr triggers attack` does, but class by class.

Each way has random patterns of its own, one for each of its patterns, words as frequent at its places,
screened, chosen and reported on the same rows; how far the way is ahead of them is paired by row. Intervals:
95 %, bootstrap over the rows reported on. They do not say how other rows to mine, or other random patterns,
would have done.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from attattr.disk import files
from attattr.triggers.mine import LEAST
from attattr.triggers.pattern import Pattern
from mining import telling
from mining.bench import Bench
from mining.telling import RANDOM
from mining.ways import TASKS, attributions, mined, ways
from study.setting import commit

MAIN = ("paper", "text")
BEGIN, END = "<!-- mining:begin -->", "<!-- mining:end -->"


def unit(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    if not path.exists():
        files.write(path, json.dumps(make() | {"commit": commit()}))
        print(f"{path.stem} done", flush=True)
    return json.loads(path.read_text())


def compared(data: Path, work: Path, task: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """What the ways of these names, or all, and random patterns for each cost on the first part."""
    bench, found = Bench(data, task), {}
    for name, make in ways(data, work, task).items():
        if names and name not in names:
            continue

        def cost(draw: bool, make: Callable[[], tuple[list[Pattern], bool]] = make) -> dict[str, Any]:
            patterns, union = make()
            return bench.cost(bench.twins(patterns) if draw else patterns, 0, union)

        for draw, of in enumerate((name, RANDOM + name)):
            found[of] = unit(work / f"{task}-first-{of}.json", partial(cost, bool(draw)))
    return found


def reported(data: Path, work: Path, task: str, method: str) -> dict[str, Any]:
    bench = Bench(data, task)
    patterns = mined(attributions(data, work, task, "probability"), method)
    lists = {method: patterns, RANDOM + method: bench.twins(patterns)}
    return {
        name: unit(work / f"{task}-second-{name}.json", partial(bench.cost, of, 1))
        for name, of in lists.items()
    }


def lone(data: Path, work: Path, task: str) -> dict[str, Any]:
    """Of each method, patterns that score enough for the paper's: how many are one word, of how many."""
    rows = attributions(data, work, task, "probability")
    found = {name: mined(rows, name, LEAST["paper"]) for name in MAIN}
    return {
        "rows": len(rows),
        "of": {name: (sum(len(p.tokens) == 1 for p in of), len(of)) for name, of in found.items()},
    }


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("mining-run"))
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument(
        "--out", type=Path, help="file with the two marks that the figures go between; docs/triggers.md"
    )
    asked = parser.parse_args(words)
    tasks = asked.tasks.split(",")
    out = asked.out or Path(__file__).parents[1] / "docs" / "triggers.md"
    before, begin, rest = (out.read_text() if out.exists() else BEGIN + END).partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        parser.error(f"'{out}' lacks the marks {BEGIN} and {END}")
    first = {task: compared(asked.data, asked.work, task, MAIN) for task in tasks}
    method = max(MAIN, key=lambda name: np.mean([telling.mean_lost(first[task][name]) for task in tasks]))
    for task in tasks:
        reported(asked.data, asked.work, task, method)
    told = telling.document(
        method,
        {task: compared(asked.data, asked.work, task) for task in tasks},
        {task: reported(asked.data, asked.work, task, method) for task in tasks},
        {task: lone(asked.data, asked.work, task) for task in tasks},
    )
    files.write(out, before + begin + "\n" + told + end + after)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
