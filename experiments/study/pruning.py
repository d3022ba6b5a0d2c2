"""Part 2. Which ranking of heads prunes best? Five criteria, and other ways to read attributions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from study.attention import pooled
from study.setting import SEED, TASKS, Facts, Setting, group_interval, groups
from study.universality import PRUNED, ranking
from study.words import points, table

CRITERIA = ("attattr", "taylor", "accuracy_drop", "attention", "random")
NAMES = {
    "attattr": "AttAttr",
    "taylor": "Taylor",
    "accuracy_drop": "accuracy drop",
    "attention": "attention weight",
    "random": "random",
}
VARIED = ("mnli", "sst2")
SURE = 0.95  # predictions above it are called saturated


def curves(setting: Setting, task: str) -> Facts:
    """The ranked criteria beside random orders, other ones for each task."""
    from attattr.heads import Importance

    found = ranking(setting, task)
    importances = {name: found.importances[name] for name in CRITERIA if name != "random"}
    shape = importances["attattr"].mean.shape
    rng, unknown = np.random.default_rng([SEED, TASKS.index(task)]), np.full(shape, np.nan)
    for number in range(setting.sizes.random_orders):
        order = rng.permutation(unknown.size).reshape(shape) + 1.0
        importances[f"random {number + 1}"] = Importance(order, unknown, unknown)
    return measured(setting, task, replace(found, importances=importances), steps=10)


def normalized(setting: Setting, task: str) -> Facts:
    """AttAttr beside Taylor as the authors' code has it: each layer's importances of L2 norm 1. In steps of
    a fifth."""
    found = ranking(setting, task)
    both = {name: found.importances[name] for name in ("attattr", "taylor_normalized")}
    return measured(setting, task, replace(found, importances=both), steps=5)


def measured(setting: Setting, task: str, found: Any, steps: int) -> Facts:
    """The curves of all rows, and the area between the first criterion's and each other's, group by group."""
    from attattr.pruning import prune_curves

    parts = groups(setting.halves(task)[1], 20)
    made = [prune_curves(setting.model(task), found, rows, steps=steps) for rows in parts]
    first, *others = made[0].curves
    gaps = {name: [each.curves[first].area - each.curves[name].area for each in made] for name in others}
    return {
        "ranked_on": made[0].ranked_on,
        "measured_on": sum(each.measured_on for each in made),
        "groups": {
            "sizes": [each.measured_on for each in made],
            "accuracy": {name: [each.curves[name].accuracy for each in made] for name in made[0].curves},
        },
        "curves": {
            name: pooled([(each.measured_on, each.curves[name]) for each in made]) for name in made[0].curves
        },
        "between": {name: group_interval(of) for name, of in gaps.items()},
        # whoever picks the best of them does so on every second group, and reports the others
        "selecting": {name: float(np.mean(of[::2])) for name, of in gaps.items()},
        "reporting": {name: group_interval(of[1::2]) for name, of in gaps.items()},
        "lost": {  # by the first criterion, at each share removed
            str(step): group_interval(
                [each.curves[first].accuracy[0] - each.curves[first].accuracy[step] for each in made]
            )
            for step in range(1, steps + 1)
        },
    }


def variants(setting: Setting, task: str) -> Facts:
    """The same curve with heads ranked by other readings of the attribution, in steps of a fifth."""
    from attattr.heads import HeadRanking, Importance, digest
    from attattr.result import REDUCTIONS

    model = setting.model(task)
    ranked, _ = setting.halves(task)
    ranked = ranked[:: max(1, len(ranked) // (setting.sizes.variants or len(ranked)))]
    importances, sure = {}, []
    for output, target in (("probability", "gold"), ("probability", "predicted"), ("logit", "gold")):
        gold = [example.label for example in ranked] if target == "gold" else None
        results = model.attribute(ranked, target=gold, output=output, store="heads")
        sure = [result.prediction.probability for result in results]
        for reduce in REDUCTIONS:
            mean = np.mean([result.per_head(reduce) for result in results], axis=0)
            importances[f"{output}, {target}, {reduce}"] = Importance(mean, mean, mean)
    names = tuple(site.name for site in results[0].sites)
    found = HeadRanking(importances, names, tuple(map(digest, ranked)), {})
    facts = measured(setting, task, found, steps=5)
    return facts | {"sure": float(np.mean(np.array(sure) > SURE))}


UNITS = (
    {f"pruning-{task}": (curves, task) for task in PRUNED}
    | {f"normalized-{task}": (normalized, task) for task in PRUNED}
    | {f"variants-{task}": (variants, task) for task in VARIED}
)


def draw(units: Facts, folder: Path) -> None:
    from attattr.report.plots import plot_curves

    for task in PRUNED:
        if f"pruning-{task}" in units:
            found = units[f"pruning-{task}"]["curves"]
            plot_curves(
                {
                    name: tuple(found[criterion][key] for key in ("x", "accuracy", "low", "high"))
                    for criterion, name in NAMES.items()
                },
                folder / f"pruning-{task}.svg", x_label="share of heads removed", y_label="accuracy",
            )  # fmt: skip


def section(units: Facts) -> str:
    """This part of the document; nothing where nothing was measured."""
    rows, more, pictures = [], [], []
    for task in PRUNED:
        found = units.get(f"pruning-{task}")
        if not found:
            continue
        areas = (f"{100 * found['curves'][name]['area']:.1f}" for name in CRITERIA)
        between = (points(found["between"][name], True) for name in CRITERIA[1:])
        rows.append((task, found["ranked_on"], found["measured_on"], *areas, *between))
        pictures.append(f"![{task}](study/pruning-{task}.svg)")
    for task in VARIED:
        found = units.get(f"variants-{task}")
        if found:
            for name, curve in found["curves"].items():
                gap = points(negative(found["between"][name]), True) if name in found["between"] else "–"
                more.append((task, name, f"{100 * curve['area']:.1f}", gap))
    if not rows:
        return ""
    names = [NAMES[name] for name in CRITERIA]
    made = f"""## 2. Pruning

`make study PARTS=2`, or `attattr prune curve DATA --model M --criterion attattr,taylor,attention,…`

Mean accuracy (in %) along the curve from no to all heads removed, least important first, and the area between
AttAttr and each other criterion (in points, positive where AttAttr is better):

{table(("task", "ranked on", "measured on", *names, *(f"AttAttr − {name}" for name in names[1:])), rows)}
{" ".join(pictures)}
"""
    beside = [
        f"{task} {points(units[f'normalized-{task}']['between']['taylor_normalized'], True)}"
        for task in PRUNED
        if f"normalized-{task}" in units
    ]
    if beside:
        made += f"""
The authors' code gives each layer's Taylor importances the L2 norm 1. AttAttr − that, in steps of a fifth:
{"; ".join(beside)}.
"""
    if more:
        made += f"""
Other readings of the attribution (steps of a fifth): what is attributed, of which class, and what of a head's
scores counts. The first is the paper's; the last column is the area between each and it.

{table(("task", "reading", "mean accuracy, %", "less the first"), more)}"""
    return made


def negative(of: Facts) -> Facts:
    """The estimate of the opposite difference."""
    swapped = {"mean": of["mean"], "low": of["high"], "high": of["low"]}
    return {key: None if value is None else -value for key, value in swapped.items()}
