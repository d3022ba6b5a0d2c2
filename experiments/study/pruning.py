"""Part 2. Which ranking of heads prunes best? Five criteria, and other ways to read attributions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from study.attention import pooled
from study.setting import SEED, TASKS, Facts, Setting, group_interval, groups
from study.universality import PRUNED, ranking
from study.verdicts import opposite
from study.words import points, table

CRITERIA = ("attattr", "taylor", "accuracy_drop", "attention", "random")
NAMES = {
    "attattr": "AttAttr",
    "taylor": "Taylor",
    "accuracy_drop": "accuracy drop",
    "attention": "attention weight",
    "random": "random",
}
VARIED = ("mnli", "sst2", "mrpc")
HALF = 0.5  # of the heads: behind it most orders have fallen to what a model without attention says
SURE = 0.95  # predictions above it are called saturated


def curves(setting: Setting, task: str) -> Facts:
    """The ranked criteria beside random orders, other ones for each task."""
    from attattr.heads.importance import Importance

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
    from attattr.heads.prune_curves import prune_curves

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
    from attattr.choices import REDUCTIONS
    from attattr.data.examples import digest
    from attattr.heads.importance import HeadRanking, Importance

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


SIZES = ("pool", "rank", "prune", "random_orders", "variants")  # that the units depend on
UNITS = (
    {f"pruning-{task}": (curves, task) for task in PRUNED}
    | {f"normalized-{task}": (normalized, task) for task in PRUNED}
    | {f"variants-{task}": (variants, task) for task in VARIED}
)


def accuracies(unit: Facts, criterion: str) -> np.ndarray:
    """(K, G, S): of each order of heads (several if they are random), group of rows and step."""
    of = unit["groups"]["accuracy"]
    names = [name for name in of if name == criterion or name.startswith(f"{criterion} ")]
    return np.array([of[name] for name in names], float)


def steps(unit: Facts) -> np.ndarray:
    """(S,) the shares of heads removed."""
    return np.array(unit["curves"]["attattr"]["x"])


def gap(unit: Facts, criterion: str, until: float = 1.0) -> Facts:
    """Mean height of AttAttr's curve over another's, from 0 to a share of heads removed."""
    x = steps(unit)
    upto = x <= until + 1e-9
    heights = accuracies(unit, "attattr") - accuracies(unit, criterion)
    return crossed_interval(np.trapezoid(heights[..., upto], x[upto], axis=-1) / x[upto][-1])


def farthest(unit: Facts, criterion: str, behind: bool = False) -> tuple[float, Facts]:
    """Where AttAttr's curve is farthest ahead of another's, or behind: the share removed, and by how much."""
    heights = accuracies(unit, "attattr") - accuracies(unit, criterion)
    means = heights.mean((0, 1))
    step = int(means.argmin() if behind else means.argmax())
    return float(steps(unit)[step]), crossed_interval(heights[..., step])


def apart(unit: Facts, criterion: str) -> str:
    """Both, to be read; a curve that is never ahead, or never behind, says so."""
    said = []
    for behind, word in ((False, "ahead"), (True, "behind")):
        share, of = farthest(unit, criterion, behind)
        there = of["mean"] < 0 if behind else of["mean"] > 0
        said.append(f"farthest {word} {points(of, True)} at {share:.0%}" if there else f"never {word}")
    return ", ".join(said)


def crossed_interval(values: np.ndarray) -> Facts:
    """Mean of (K, G) values with Student's 95 % interval for K orders and G groups, both drawn at random.

    >>> crossed_interval(np.array([[1.0, 2.0, 3.0]])) == group_interval([1.0, 2.0, 3.0])
    True
    """
    if len(values) == 1:
        return group_interval(values[0])
    from scipy.stats import t

    mean = float(values.mean())
    orders, rows = values.mean(1), values.mean(0)
    error = (orders.var(ddof=1) / len(orders) + rows.var(ddof=1) / len(rows)) ** 0.5
    half = float(t.ppf(0.975, min(values.shape) - 1) * error)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def emptied(units: Facts, task: str, criterion: str) -> float | None:
    """The share removed from which on the last layer has no head left; its output alone is read."""
    from attattr.heads.prune import heads_to_keep

    importance = np.array(units[f"importance-{task}"]["importance"][criterion])
    shares = (x for x in np.linspace(0, 1, 11) if not heads_to_keep(importance, 1 - x)[-1].any())
    return next(map(float, shares), None)


def draw(units: Facts, folder: Path) -> None:
    from attattr.report.plots import plot_curves

    for task in PRUNED:
        if f"pruning-{task}" in units:
            unit = units[f"pruning-{task}"]
            keys = ("x", "accuracy", "low", "high")
            curves = {
                name: tuple(unit["curves"][criterion][key] for key in keys)
                for criterion, name in NAMES.items()
                if criterion != "random"
            }
            drawn = accuracies(unit, "random").mean(1)
            if len(drawn):
                name = f"random: {len(drawn)} orders"
                curves[name] = (steps(unit), drawn.mean(0), drawn.min(0), drawn.max(0))
            plot_curves(
                curves, folder / f"pruning-{task}.svg", x_label="share of heads removed", y_label="accuracy"
            )


def section(units: Facts) -> str:
    """This part of the document; nothing where nothing was measured."""
    rows, halves, far, more, pictures = [], [], [], [], []
    others = CRITERIA[1:]
    for task in PRUNED:
        unit = units.get(f"pruning-{task}")
        if not unit:
            continue
        first = accuracies(unit, "attattr")[0].mean(0)
        rows.append(
            (task, unit["ranked_on"], unit["measured_on"], f"{100 * first[0]:.1f}", f"{100 * first[-1]:.1f}",
             *(points(gap(unit, name), True) for name in others))
        )  # fmt: skip
        halves.append((task, *(points(gap(unit, name, HALF), True) for name in others)))
        for behind, word in ((False, "ahead"), (True, "behind")):
            most = [farthest(unit, name, behind) for name in others]
            far.append((task, word, *(f"{points(of, True)} at {share:.0%}" for share, of in most)))
        pictures.append(f"![{task}](study/pruning-{task}.svg)")
    for task in VARIED:
        found = units.get(f"variants-{task}")
        if found:
            for name, curve in found["curves"].items():
                less = points(opposite(found["between"][name]), True) if name in found["between"] else "–"
                more.append((task, name, f"{100 * curve['area']:.1f}", less))
    if not rows:
        return ""
    names = [NAMES[name] for name in others]
    header = [f"over {name}" for name in names]
    made = f"""## 2. Pruning

`make study PARTS=2`, or `attattr prune curve DATA --model M --criterion attattr,taylor,attention,…`

How much higher AttAttr's curve lies than that of each other criterion, in points of accuracy in the mean,
from no to all heads removed, least important first; beside it the accuracy of the whole model and, a constant
answer, with no heads left.

{table(("task", "ranked on", "measured on", "whole", "no heads", *header), rows)}
{" ".join(pictures)}

In the mean up to {HALF:.0%} of the heads, before curves reach the bottom:

{table(("task", *header), halves)}
Where AttAttr is farthest ahead and farthest behind, and at which share of heads removed (0 at 0%: never).
They are picked as the largest of ten, and their intervals do not know of it:

{table(("task", "farthest", *header), far)}
Intervals are over groups of rows and, for the random orders, over orders as well; the other rankings are
taken as given: what other rows to rank on would change is not in them. *Attention weight* is a head's
largest weight, in the mean over inputs. The band of the random orders is from the lowest to the highest.
"""
    made += _empty_layers(units)
    beside = [
        f"{task} {points(units[f'normalized-{task}']['between']['taylor_normalized'], True)}"
        for task in PRUNED
        if f"normalized-{task}" in units
    ]
    if beside:
        made += f"""
The authors' code gives each layer's Taylor importances the L2 norm 1. AttAttr over that, no to all heads in
steps of a fifth: {"; ".join(beside)}.
"""
    if more:
        made += f"""
Other readings of the attribution (steps of a fifth): what is attributed, of which class, and what of a head's
scores counts. The first is the paper's; the last column is the area between each and it.

{table(("task", "reading", "mean accuracy, %", "less the first"), more)}"""
    return made


def _empty_layers(units: Facts) -> str:
    """From when on nothing is attended to in the last layer, by criterion: then curves are at the bottom."""
    rows = []
    for task in PRUNED:
        if {f"importance-{task}", f"pruning-{task}"} <= set(units):
            known = [name for name in CRITERIA if name in units[f"importance-{task}"]["importance"]]
            shares = {name: emptied(units, task, name) for name in known}
            rows.append((task, *(f"{share:.0%}" if share else "–" for share in shares.values())))
    if not rows:
        return ""
    return f"""
An order that takes the last layer's heads early leaves the prediction nothing to read. Its last head goes at:

{table(("task", *(NAMES[name] for name in known)), rows)}"""
