"""Part 1. Is a large attention weight a large contribution? Correlation, and taking heads out.

Also how far each layer's edges reach (part 4), which reads the same attributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from study.setting import Facts, Setting, group_interval, groups, mean_interval
from study.words import span, table

TASKS = ("mnli", "sst2")
CHUNK = 25  # dense results in memory at once
IDLE = 0.01  # of its layer's strongest edge: what contributes less is called idle
NAMES = {
    "attribution_gold": "attribution, gold class",
    "attribution_predicted": "attribution, predicted class",
    "attention": "attention weight",
}


def edges(setting: Setting, task: str) -> Facts:
    """Layer by layer, over inputs: r of weight and score, what the heaviest edges are worth, and reach."""
    from attattr.result.tree import receptive_field

    model, rows = setting.model(task), setting.dev(task, setting.sizes.edges)
    r: list[list[float]] = []
    ranks: list[list[float]] = []
    idle: list[list[float]] = []
    reach: list[list[tuple[float | None, float | None]]] = []
    lengths = []
    for first in range(0, len(rows), CHUNK):
        for result in model.attribute(rows[first : first + CHUNK]):
            pairs = [counted(site.attention, site.scores) for site in result.sites]
            r.append([pearson(*pair) for pair in pairs])
            ranks.append([spearman(*pair) for pair in pairs])
            idle.append([idle_share(*pair) for pair in pairs])
            reach.append([(each.mean, each.weighted_mean) for each in receptive_field(result)])
            lengths.append(len(result.tokens))

    def by_layer(values: list) -> list[Facts]:
        return [mean_interval(column) for column in np.array(values, float).T]

    means = np.array(reach, float)  # (N, L, 2); NaN where nothing is kept
    relative = means[..., 0] / np.array(lengths)[:, None]
    return {
        "n": len(rows),
        "pearson": by_layer(r),
        "spearman": by_layer(ranks),
        "idle": by_layer(idle),
        "reach": by_layer(means[..., 0]),
        "reach_weighted": by_layer(means[..., 1]),
        "reach_relative": by_layer(relative),
        "tokens": float(np.mean(lengths)),
    }


def counted(weights: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both without the queries that no edge of which scores: in the last layer all but the readout's row,
    where weights cannot matter whatever they are."""
    rows = np.abs(np.asarray(scores)).max((0, 2)) > 0
    return np.asarray(weights, float)[:, rows], np.asarray(scores, float)[:, rows]


def pearson(weights: Any, scores: Any) -> float:
    """r over all edges of a layer; NaN where either is the same everywhere."""
    a, b = np.ravel(weights), np.ravel(scores)
    return float(np.corrcoef(a, b)[0, 1]) if len(a) and min(np.ptp(a), np.ptp(b)) > 0 else float("nan")


def spearman(weights: Any, scores: Any) -> float:
    """ρ of weight and |score|: does a heavier edge matter more, in whichever direction?"""
    from scipy.stats import rankdata

    return pearson(rankdata(weights), rankdata(np.abs(scores)))


def idle_share(weights: Any, scores: Any) -> float:
    """Of the heads' heaviest edges, the share whose |score| is below IDLE times the layer's largest."""
    if not np.size(weights):
        return float("nan")
    heads = len(weights)
    heaviest = np.asarray(weights).reshape(heads, -1).argmax(1)
    sizes = np.abs(np.asarray(scores).reshape(heads, -1))
    return float((sizes[np.arange(heads), heaviest] < IDLE * sizes.max()).mean())


def effectiveness(setting: Setting, task: str) -> Facts:
    """The curves of all rows, and what attribution has over attention, group by group."""
    from attattr.heads.effectiveness import ORDERS, RANKINGS, measure_effectiveness

    parts = groups(setting.dev(task, setting.sizes.effectiveness), 10)
    found = [measure_effectiveness(setting.model(task), rows) for rows in parts]
    curves: Facts = {ranking: {} for ranking in RANKINGS}
    lead: Facts = {}
    for order in ORDERS:
        for ranking in RANKINGS:
            curves[ranking][order] = pooled([(each.n, each.curves[ranking][order]) for each in found])
        sign = 1 if order == "smallest_first" else -1  # largest first, accuracy is to fall
        lead[order] = {
            ranking: group_interval(
                [
                    sign * (each.curves[ranking][order].area - each.curves["attention"][order].area)
                    for each in found
                ]
            )
            for ranking in RANKINGS
            if ranking != "attention"
        }
    return {"n": sum(each.n for each in found), "curves": curves, "lead": lead}


def pooled(parts: Sequence[tuple[int, Any]]) -> Facts:
    """One curve of all rows from the curves of groups, (rows, Curve) each."""
    from attattr.heads.effectiveness import Curve

    n = sum(rows for rows, _ in parts)
    right = np.sum([np.round(np.array(curve.accuracy) * rows) for rows, curve in parts], axis=0)
    curve = Curve.of(parts[0][1].x, right.astype(int).tolist(), n)
    return asdict(curve) | {"area": curve.area}


SIZES = ("pool", "edges", "effectiveness")  # that the units depend on
UNITS = {f"edges-{task}": (edges, task) for task in TASKS} | {
    f"effectiveness-{task}": (effectiveness, task) for task in TASKS
}


def draw(units: Facts, folder: Path) -> None:
    from attattr.report.plots import plot_curves

    for task in TASKS:
        found = units.get(f"effectiveness-{task}")
        for order in ("smallest_first", "largest_first") if found else ():
            curves = {
                name: tuple(found["curves"][ranking][order][key] for key in ("x", "accuracy", "low", "high"))
                for ranking, name in NAMES.items()
            }
            plot_curves(
                curves, folder / f"effectiveness-{task}-{order.split('_')[0]}.svg",
                x_label=f"heads out of every layer, {order.replace('_', ' ')}", y_label="accuracy",
            )  # fmt: skip


def section(units: Facts) -> str:
    """This part of the document; nothing where nothing was measured."""
    tasks = [task for task in TASKS if f"edges-{task}" in units]
    made = ""
    for task in tasks:
        found = units[f"edges-{task}"]
        rows = [
            (layer, span(r), span(rank), f"{100 * idle['mean']:.0f} %")
            for layer, (r, rank, idle) in enumerate(
                zip(found["pearson"], found["spearman"], found["idle"], strict=True)
            )
        ]
        made += f"\n{task}, {found['n']} inputs:\n\n" + table(
            ("layer", "r of weight and score", "ρ of weight and size of score", "idle heaviest edges"), rows
        )
    for task in TASKS:
        if f"effectiveness-{task}" in units:
            found = units[f"effectiveness-{task}"]
            pictures = " ".join(
                f"![{task}, {order} first](study/effectiveness-{task}-{order}.svg)"
                for order in ("largest", "smallest")
            )
            made += f"\nEffectiveness, {task}, {found['n']} inputs:\n\n{pictures}\n"
    return (
        made
        and f"""## 1. Attention weight against attribution

`make study PARTS=1`, or `attattr heads effectiveness DATA --model M`

r is Pearson's over the edges of a layer with their signs, ρ Spearman's with the scores' sizes, averaged
over inputs. Queries whose edges cannot score, in the last layer all but the readout's, are left out.
*Idle*: the size of the score of a head's heaviest edge is below a hundredth of its layer's largest. In the
curves, k heads go from every layer at once, chosen input by input; the gold class tells the ranking the
answer, the predicted class does not.
{made}"""
    )
