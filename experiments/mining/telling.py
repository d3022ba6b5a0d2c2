"""The figures of the comparison, as docs/triggers.md has them."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np

from attattr.triggers.attacked import estimate
from attattr.triggers.mine import LEAST
from mining.bench import FIRST, SECOND
from mining.ways import COMPARED, SEED
from study.verdicts import FEW, HOLDS, POINTS, above, mean_of_classes
from study.words import listed, reach, span, table

UNION = "text, union of two"
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


def bounds(of: Found) -> Found:
    """As the study's rules take it; without an interval nothing is sure."""
    low, high = of["interval"] or (float("-inf"), float("inf"))
    return {"mean": of["mean"], "low": low, "high": high}


def surely(of: Found, bound: float) -> bool:
    return above(bounds(of), bound) == HOLDS


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
    classes = [(task, label) for task, both in second.items() for label in both[method]["classes"]]
    mine = {of: lost(second[of[0]][method], of[1]) for of in classes}
    luck = {of: lost(second[of[0]][RANDOM + method], of[1]) for of in classes}
    lead = {of: lost(second[of[0]][method], of[1], second[of[0]][RANDOM + method]) for of in classes}
    clean = {of: second[of[0]][method]["classes"][of[1]]["clean"] for of in classes}
    ahead = [of for of in classes if surely(lead[of], 0.0)]
    hidden = [of for of in classes if of not in ahead and clean[of] - luck[of]["mean"] < FEW]
    agree = [second[task][method]["classes"][label]["score_against_damage"] for task, label in classes]
    means = {name: np.mean([mean_lost(of[name]) for of in first.values()]) for name in ("paper", "text")}
    other = next(name for name in means if name != method)
    apart = mean_of_classes(
        [
            bounds(lost(found[method], label, found[other]))
            for found in first.values()
            for label in found[method]["classes"]
        ]
    )
    on_second = (
        f"**On the second part**, of {len(classes)} classes it costs surely more than {100 * POINTS:.0f} "
        f"points in {_named([of for of in classes if surely(mine[of], POINTS)])}, and is surely ahead of "
        f"random patterns in {_named(ahead)}."
    )
    if hidden:
        on_second += (
            f" In {_named(hidden)} random patterns leave fewer than {100 * FEW:.0f} % right, so that no lead "
            "could show."
        )
    told = [
        f"**The default is `{method}`**: on the first part its three worst cost {100 * means[method]:.0f} "
        f"points in the mean over classes and tasks, those of `{other}` {100 * means[other]:.0f}; row by row "
        f"{span(apart, 100, 1, True)} apart.",
        on_second,
        "**What stands in the way.** The score of a pattern does not say what it costs: over the patterns "
        "of a class, on the screening rows, their rank correlation is "
        f"{reach([of for of in agree if of is not None], 2, True)}. So what is found is found by trying, "
        f"and as many random patterns are tried, too.{_united(first)}",
        f"Patterns of a single word, of those that score {LEAST['paper']} and more: {_lone(lone)}.",
    ]
    made = f"""By `python experiments/mining.py` (code: {", ".join(_commits(first, second))}).

{"".join(_bullet(each) for each in told)}
First part: {COMPARED} rows mined, {FIRST[2]} of a class reported on. Points lost under the three worst
patterns of a way; behind the semicolon, how far that is ahead of its random patterns.

"""
    for task, found in first.items():
        made += f"{task}:\n\n{compared(found)}\n"
    made += f"Second part, `{method}`, {SECOND[2]} rows of a class reported on:\n\n"
    return made + reported(second, method)


def _bullet(text: str) -> str:
    return fill(f"- {text}", 118, subsequent_indent="  ", break_on_hyphens=False) + "\n"


def _named(classes: list[tuple[str, str]]) -> str:
    return listed([f"{label} of {task}" for task, label in classes]) if classes else "none"


def _commits(*parts: Found) -> list[str]:
    units = [unit for part in parts for way in part.values() for unit in way.values()]
    return sorted({unit.get("commit") or "unknown" for unit in units})


def _united(first: Found) -> str:
    """What two patterns at once cost, and random ones."""
    costs = []
    for name in (UNION, RANDOM + UNION):
        of = [found[name] for found in first.values() if name in found]
        costs.append([100 * lost(each, label)["mean"] for each in of for label in each["classes"]])
    if not costs[0]:
        return ""
    return (
        f" More words cost more: two patterns at once {reach(costs[0], 0)} points in a class, two random "
        f"ones {reach(costs[1], 0)} (first part)."
    )


def _lone(lone: Found) -> str:
    return "; ".join(
        f"of {of['rows']} rows of {task} "
        + " and ".join(f"{one} of {n} by `{name}`" for name, (one, n) in of["of"].items())
        for task, of in lone.items()
    )
