"""The figures of the comparison, as docs/triggers.md has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from attattr.triggers.attacked import estimate
from mining.bench import FIRST, SECOND
from mining.ways import COMPARED, SEED
from study.verdicts import HOLDS, POINTS, above
from study.words import listed, reach, table

RANDOM = "random for "  # of a way's name: what it is compared with
Found = dict[str, Any]


def lost(found: Found, label: str, less: Found | None = None) -> Found:
    values = np.array(found["classes"][label]["lost"], float)
    if less is not None:
        values = values - np.array(less["classes"][label]["lost"], float)
    return estimate(values, SEED)


def mean_lost(found: Found) -> float:
    return float(np.mean([lost(found, label)["mean"] for label in found["classes"]]))


def points(of: Found) -> str:
    if of["interval"] is None:
        return "–"
    return f"{100 * of['mean']:.0f} [{100 * of['interval'][0]:.0f}, {100 * of['interval'][1]:.0f}]"


def surely(of: Found, bound: float) -> bool:
    low, high = of["interval"] or (float("-inf"), float("inf"))
    return above({"mean": of["mean"], "low": low, "high": high}, bound) == HOLDS


def compared(found: Found) -> str:
    """A row for each way: what it costs by class, and what that is ahead of its random patterns."""
    labels = list(next(iter(found.values()))["classes"])
    rows = []
    for name, of in found.items():
        if name.startswith(RANDOM):
            continue
        random = found[RANDOM + name]
        cells = [f"{points(lost(of, label))}; {points(lost(of, label, random))}" for label in labels]
        means = f"{100 * mean_lost(of):.0f}; {100 * (mean_lost(of) - mean_lost(random)):+.0f}"
        rows.append((name, of["patterns"], *cells, means))
    return table(("way", "patterns", *labels, "mean"), rows)


def reported(found: dict[str, Found], method: str) -> str:
    """A row for each class: what the chosen method costs on the second part, beside random patterns."""
    rows = []
    for task, both in found.items():
        ours, random = both[method], both[RANDOM + method]
        for label, of in ours["classes"].items():
            agree = of["score_against_damage"]
            rows.append(
                (
                    f"{task}, {label}", f"{100 * of['clean']:.0f} %", points(lost(ours, label)),
                    points(lost(random, label)), points(lost(ours, label, random)),
                    "–" if agree is None else f"{agree:+.2f}", "; ".join(of["worst"]),
                )
            )  # fmt: skip
    header = ("class", "clean", "lost", "lost to random ones", "ahead", "ρ of score and damage", "the three")
    return table(header, rows)


def document(method: str, first: Found, second: Found, lone: Found) -> str:
    ours = [
        (f"{label} of {task}", both, label)
        for task, both in second.items()
        for label in both[method]["classes"]
    ]
    enough = [name for name, both, label in ours if surely(lost(both[method], label), POINTS)]
    ahead = [
        name for name, both, label in ours if surely(lost(both[method], label, both[RANDOM + method]), 0.0)
    ]
    agree = [
        of for _, both, label in ours
        if (of := both[method]["classes"][label]["score_against_damage"]) is not None
    ]  # fmt: skip
    united = [
        lost(of["text, union of two"], label)["mean"] for of in first.values() if "text, union of two" in of
        for label in of["text, union of two"]["classes"]
    ]  # fmt: skip
    commits = sorted(
        {
            of.get("commit") or "unknown"
            for each in (first, second)
            for way in each.values()
            for of in way.values()
        }
    )
    means = {name: np.mean([mean_lost(of[name]) for of in first.values()]) for name in ("paper", "text")}
    words = "; ".join(
        f"of {of['rows']} rows of {task} "
        + " and ".join(f"{one} of {n} patterns by `{name}`" for name, (one, n) in of["of"].items())
        for task, of in lone.items()
    )
    made = f"""By `python experiments/mining.py` (code: {", ".join(commits)}).

- **The default is `{method}`**: on the first part its three worst cost {100 * means[method]:.0f} points in
  the mean over classes and tasks, {
        ", ".join(f"those of `{name}` {100 * of:.0f}" for name, of in means.items() if name != method)
    }.
- **On the second part**, of {len(ours)} classes it costs surely more than {100 * POINTS:.0f} points in
  {listed(enough) if enough else "none"}, and is surely ahead of random patterns in {
        listed(ahead) if ahead else "none"
    }.
- **What stands in the way.** The score of a pattern does not say what it costs: over the patterns of a class,
  on the screening rows, their rank correlation is {reach(agree, 2, True)}. So what is found is found by
  trying, and as many random patterns are tried, too."""
    if united:
        made += f""" More words cost more: two patterns at once {reach([100 * u for u in united], 0)} points
  in a class, but so do random ones (first part, below)."""
    made += f"""
- One word is the whole pattern, of those that score 0.02 and more: {words}.

First part: {COMPARED} rows mined, {FIRST[2]} of a class reported on. Points lost under the three worst
patterns of a way, and what that is more than its random patterns cost.

"""
    for task, found in first.items():
        made += f"{task}:\n\n{compared(found)}\n"
    return (
        made
        + f"""Second part, `{method}`, {SECOND[2]} rows of a class reported on:

{reported(second, method)}"""
    )
