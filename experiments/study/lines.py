"""The first screen: ten lines to quote, made of the units' numbers, best verdicts first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from study import numerics, sentences, trees, triggers
from study.claims import effects
from study.sentences import (
    areas,
    deepest,
    errors,
    fallen_and_lucky,
    heights,
    lost_points,
    of_tasks,
    off_layers,
    shares,
    worst_accuracies,
)
from study.setting import Facts
from study.trigger_claims import losses
from study.universality import shared
from study.verdicts import HOLDS, MANY, POINTS, VERDICTS, Case, above, opposite
from study.words import listed, reach


def lines(units: Facts, cases: Sequence[Case]) -> list[tuple[str, str]]:
    """(verdict, sentence) of all that was measured, best first."""
    there = [(of, said(units)) for said, keys in LINES.items() if (of := sentences.verdict(cases, *keys))]
    return sorted(there, key=lambda line: VERDICTS.index(line[0]))


def weight_line(units: Facts) -> str:
    low, off = off_layers(units)
    said = "A heavy edge need not matter"
    if low:
        said += f": r of weight and score is {reach(low, 2)} in {len(low)} of {len(low) + len(off)} layers"
    if off:
        said += f", but {reach([r for _, _, r in off], 2)} in {_layers(units, off)}"
    return said + "."


def _layers(units: Facts, off: list[tuple[str, int, float]]) -> str:
    """Where the others are; in the last layer only what the prediction is read from looks."""
    if all(i == len(units[f"edges-{task}"]["pearson"]) - 1 for task, i, _ in off):
        return "the last, of which only the readout's row counts"
    return listed([f"layer {i} of {task}" for task, i, _ in off])


def effective_line(units: Facts) -> str:
    largest, smallest = (areas(units, order).values() for order in ("largest", "smallest"))
    return (
        "Heads of large attribution carry the prediction, those of large weight less so: with the largest "
        f"out first accuracy is {reach(largest, 0)} points lower by attribution than by weight, with the "
        f"smallest out first {reach(smallest, 0)} higher."
    )


def taylor_line(units: Facts) -> str:
    return (
        "As a ranking of heads to prune by, attribution lies "
        f"{reach(heights(units, 'taylor').values(), 0)} points above Taylor expansion, which needs "
        f"one gradient, in the mean of the curve; {deepest(units)}."
    )


def better_line(units: Facts) -> str:
    weights, drop = (heights(units, name).values() for name in ("attention", "accuracy_drop"))
    return (
        f"As a ranking of heads to prune by, attribution lies {reach(weights, 0)} points above the "
        f"largest weight and {reach(drop, 0)} above the accuracy drop of single heads, in the mean "
        "of the curve."
    )


def pruned_line(units: Facts) -> str:
    return f"{MANY:.0%} of the heads can go for {reach(lost_points(units).values(), 1)} points of accuracy."


def shared_line(units: Facts) -> str:
    of = shared(units)["criteria"]["attattr"]
    kin = of["kin"]
    return (
        f"Tasks of a kind share their heads: r = {of['lead']['nli']['mean']:.2f} between NLI models, "
        f"{of['lead']['others']['mean']:.2f} between others"
        + (f", {kin['others']['mean']:.2f} where these began as the same model." if kin else ".")
    )


def tree_line(units: Facts) -> str:
    found = of_tasks(units, "faithfulness", trees.TASKS)
    sizes = [unit["tree_edges"]["mean"] for unit in found.values()]
    random = [100 * effects(unit, "random")["remove"] for unit in found.values()]
    beaten = [
        task
        for task, unit in found.items()
        if above(opposite(unit["lead"]["remove"]["gradient_x_attention"])) == HOLDS
    ]
    return (
        f"Taking a tree's {reach(sizes, 0)} edges out costs {reach(shares(units, 'remove').values(), 0)} % "
        f"of what taking all out does, as many at random {reach(random, 0)} %; kept alone they bring back "
        f"{reach(shares(units, 'keep').values(), 0)} %"
        + (f". On {listed(beaten)} edges by gradient × attention cost surely more." if beaten else ".")
    )


def triggers_line(units: Facts) -> str:
    said = []
    if of := worst_accuracies(units):
        said.append(
            f"The worst mined trigger takes entailment on mnli from {of[0]:.0f} to {of[1]:.0f} % right, the "
            f"worst random one to {of[2]:.0f} %"
        )
    tasks = list(of_tasks(units, "attack", triggers.CLAIMED))
    pairs = [fallen_and_lucky(units, task) for task in tasks]
    fallen = {
        f"{label} of {task}": of
        for task, (own, _) in zip(tasks, pairs, strict=True)
        for label, of in own.items()
    }
    lucky = [each["mean"] for _, random in pairs for each in random.values()]
    if fallen:
        short = [name for name, of in fallen.items() if above(of, POINTS) != HOLDS]
        leads = [of for task in tasks for of in losses(units[f"attack-{task}"]["luck"], "ahead").values()]
        ahead = sum(above(lead) == HOLDS for lead in leads)
        said.append(
            f"{'the' if said else 'The'} three worst cost a class of {listed(tasks)} "
            f"{reach([100 * each['mean'] for each in fallen.values()], 0)} points (random ones "
            f"{reach([100 * value for value in lucky], 0)}), surely more than {100 * POINTS:.0f} in "
            f"{len(fallen) - len(short)} of {len(fallen)} classes"
            + (f" (not {listed(short)})" if short else "")
            + f" and surely more than random ones in {ahead}"
        )
    return "; ".join(said) + "."


def quadrature_line(units: Facts) -> str:
    times = [
        1 / unit["rules"][numerics.PAPER]["time_ratio"]
        for unit in of_tasks(units, "quadrature", numerics.TASKS).values()
    ]
    return (
        "20 right Riemann steps leave an error of "
        f"{reach(errors(units, numerics.PAPER, 'median').values())} % in the median input, attattr's rule "
        f"{reach(errors(units, numerics.AUTO, 'median').values(), 3)} %, in {reach(times, 2)} of the time."
    )


def cost_line(units: Facts) -> str:
    found = units["cost-seconds"]
    literal = next(of["median"] for name, of in found["ratio"].items() if "64 left" in name)
    return (
        f"attattr takes {found['seconds_each']['attattr']:.1f} s for {found['n']} tokens on one thread, "
        f"where the authors' rule takes {literal:.0f} times as long (random weights); the paper's second is "
        "a V100's."
    )


LINES: dict[Callable[[Facts], str], tuple[str, ...]] = {
    effective_line: ("effective_largest", "effective_smallest"),
    weight_line: ("weight",),
    better_line: ("better",),
    taylor_line: ("taylor",),
    pruned_line: ("pruned",),
    shared_line: ("shared",),
    tree_line: ("tree",),
    triggers_line: ("worst", "forty"),
    quadrature_line: ("quadrature",),
    cost_line: ("cost",),
}
