"""What was found: a plain sentence for each claim, of the units' numbers, and its one verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from study import attention, numerics, pruning, trees, trigger_claims, triggers
from study.claims import effects
from study.setting import Facts
from study.universality import shared
from study.verdicts import (
    HOLDS,
    LOW_R,
    MANY,
    Case,
    average,
    below,
    least,
    together,
)
from study.words import listed, reach


def verdict(cases: Sequence[Case], *keys: str) -> str | None:
    """One verdict of a claim, or of several, on all tasks; None where nothing was measured.

    Each task is a case, but of a claim about every class of every task the worst decides.
    """
    made = {key: [case.verdict for case in cases if case.key == key] for key in keys}
    of = [(least if key == "forty" else together)(each) for key, each in made.items() if each]
    return together(of) if of else None


def of_tasks(units: Facts, prefix: str, tasks: Sequence[str]) -> dict[str, Facts]:
    """By task, the units of a name."""
    return {task: units[f"{prefix}-{task}"] for task in tasks if f"{prefix}-{task}" in units}


def _by_task(values: Mapping[str, float], digits: int = 1, sign: bool = False) -> str:
    return listed([f"{reach([value], digits, sign)} ({task})" for task, value in values.items()])


def off_layers(units: Facts) -> tuple[list[float], list[tuple[str, int, float]]]:
    """r of the layers that are surely low, and (task, layer, r) of the others."""
    low, off = [], []
    for task, unit in of_tasks(units, "edges", attention.TASKS).items():
        for i, each in enumerate(unit["pearson"]):
            if below(each, LOW_R) == HOLDS:
                low.append(each["mean"])
            else:
                off.append((task, i, each["mean"]))
    return low, off


def weight(units: Facts) -> str:
    means = {
        task: average(unit["pearson"])["mean"]
        for task, unit in of_tasks(units, "edges", attention.TASKS).items()
    }
    off = [f"{r:.2f} in layer {i} of {task}" for task, i, r in off_layers(units)[1]]
    return f"r = {_by_task(means, 2)} in the mean of the layers" + (f"; {listed(off)}." if off else ".")


def areas(units: Facts, order: str) -> dict[str, float]:
    found = of_tasks(units, "effectiveness", attention.TASKS)
    return {
        task: 100 * unit["lead"][f"{order}_first"]["attribution_predicted"]["mean"]
        for task, unit in found.items()
    }


def effective_largest(units: Facts) -> str:
    return f"Lower by {_by_task(areas(units, 'largest'))} points in the mean of the curve."


def effective_smallest(units: Facts) -> str:
    return f"Higher by {_by_task(areas(units, 'smallest'))} points in the mean of the curve."


def heights(units: Facts, criterion: str, until: float = 1.0) -> dict[str, float]:
    found = of_tasks(units, "pruning", pruning.PRUNED)
    return {task: 100 * pruning.gap(unit, criterion, until)["mean"] for task, unit in found.items()}


def deepest(units: Facts) -> str:
    """Where AttAttr is farthest behind Taylor, of all tasks."""
    behind = {
        task: pruning.farthest(unit, "taylor", behind=True)
        for task, unit in of_tasks(units, "pruning", pruning.PRUNED).items()
    }
    task = min(behind, key=lambda name: behind[name][1]["mean"])
    share, of = behind[task]
    if of["mean"] >= 0:
        return "never behind"
    return f"at worst {reach([-100 * of['mean']], 0)} behind ({task}, {share:.0%} of the heads gone)"


def taylor(units: Facts) -> str:
    whole, half = heights(units, "taylor"), heights(units, "taylor", pruning.HALF)
    return (
        f"{_by_task(whole, sign=True)} points in the mean of the curve, {_by_task(half, sign=True)} up to "
        f"half of the heads; {deepest(units)}."
    )


def better(units: Facts) -> str:
    return (
        f"{_by_task(heights(units, 'accuracy_drop'), sign=True)} points over accuracy drop, "
        f"{_by_task(heights(units, 'attention'), sign=True)} over weight."
    )


def lost_points(units: Facts) -> dict[str, float]:
    made = {}
    for task, unit in of_tasks(units, "pruning", pruning.PRUNED).items():
        shares = unit["curves"]["attattr"]["x"]
        step = min(range(len(shares)), key=lambda i: abs(shares[i] - MANY))
        made[task] = 100 * unit["lost"][str(step)]["mean"]
    return made


def pruned(units: Facts) -> str:
    return f"With {MANY:.0%} gone {_by_task(lost_points(units))} points are lost."


def universal(units: Facts) -> str:
    of = shared(units)["criteria"]["attattr"]
    lead, kin = of["lead"], of["kin"]
    said = f"Mean r {lead['nli']['mean']:.2f} within NLI, {lead['others']['mean']:.2f} of the other pairs"
    if kin:
        said += f"; of models with one start {kin['nli']['mean']:.2f} and {kin['others']['mean']:.2f}"
    return said + "."


def shares(units: Facts, what: str) -> dict[str, float]:
    found = of_tasks(units, "faithfulness", trees.TASKS)
    return {task: 100 * effects(unit)[what] for task, unit in found.items()}


def tree(units: Facts) -> str:
    return (
        f"Removed, {_by_task(shares(units, 'remove'), 0)} % of what all edges do; kept alone, "
        f"{_by_task(shares(units, 'keep'), 0)} %."
    )


def worst_accuracies(units: Facts) -> tuple[float, float, float] | None:
    found = units.get("attack-mnli")
    label = trigger_claims.entailment(found) if found else None
    if not found or label is None:
        return None
    of = (found["clean"], found["per_class"][label][0], found["luck"]["per_class"][label][0])
    clean, hit, luck = (100 * each["per_class"][label] for each in of)
    return clean, hit, luck


def fallen_and_lucky(units: Facts, task: str) -> tuple[dict[str, Facts], dict[str, Facts]]:
    found = units[f"attack-{task}"]
    return trigger_claims.losses(found), trigger_claims.losses(found["luck"])


def worst(units: Facts) -> str:
    clean, hit, luck = worst_accuracies(units) or (0.0, 0.0, 0.0)
    return f"{clean:.1f} % → {hit:.1f} %; by the worst of as many random patterns {luck:.1f} %."


def forty(units: Facts) -> str:
    said = []
    for task in of_tasks(units, "attack", triggers.CLAIMED):
        fallen = [100 * each["mean"] for each in fallen_and_lucky(units, task)[0].values()]
        said.append(f"{task} {reach(fallen, 0)} by class, {sum(fallen) / len(fallen):.0f} in their mean")
    return "; ".join(said) + " (points)."


def errors(units: Facts, rule: str, key: str) -> dict[str, float]:
    found = of_tasks(units, "quadrature", numerics.TASKS)
    return {task: 100 * unit["rules"][rule]["error"][key] for task, unit in found.items()}


def quadrature(units: Facts) -> str:
    return (
        f"Off by {_by_task(errors(units, numerics.PAPER, 'median'), 0)} % in the median, "
        f"{_by_task(errors(units, numerics.PAPER, 'p95'), 0)} % at the 95 % quantile."
    )


def cost(units: Facts) -> str:
    return f"{units['cost-seconds']['seconds_each']['attattr']:.1f} s on one thread of a processor."


SENTENCES: dict[str, Callable[[Facts], str]] = {
    "weight": weight,
    "effective_largest": effective_largest,
    "effective_smallest": effective_smallest,
    "taylor": taylor,
    "better": better,
    "pruned": pruned,
    "shared": universal,
    "tree": tree,
    "worst": worst,
    "forty": forty,
    "quadrature": quadrature,
    "cost": cost,
}
