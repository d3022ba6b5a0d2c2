"""The paper's claims beside what was measured: figures, verdict, and what decided it."""

from __future__ import annotations

from study import attention, numerics, pruning, trees, trigger_readings, triggers
from study.paper import POINTS, WORST
from study.setting import Facts
from study.universality import NLI, TASKS, shared
from study.verdicts import (
    HOLDS,
    NOT,
    WEAKLY,
    Claim,
    above,
    average,
    comparable,
    difference,
    estimate,
    worst_of,
)
from study.words import points, span

LOSS = 0.03  # of accuracy: called little
MANY = 0.3  # of the heads
LOW_R, HIGH_R = 0.3, 0.6  # a correlation below: weight says little of the contribution; above: much


def every(units: Facts) -> list[Claim]:
    """All claims whose units are there."""
    made = [weight, effective, pruned, universal, tree, worst_trigger, forty, quadrature, cost]
    return [claim for make in made for claim in make(units)]


def weight(units: Facts) -> list[Claim]:
    made = []
    for task in attention.TASKS:
        found = units.get(f"edges-{task}")
        if not found:
            continue
        r = average(found["pearson"])
        verdict = HOLDS if r["high"] < LOW_R else WEAKLY if r["mean"] < HIGH_R else NOT
        idle = average(found["idle"])
        why = (
            f"Over all edges of a layer, mean of the layers; below {LOW_R} counts as little. Of the heads' "
            f"heaviest edges {100 * idle['mean']:.0f} % score below a hundredth of their layer's strongest."
        )
        made.append(Claim("weight", task, f"r = {span(r)}", verdict, why))
    return made


def effective(units: Facts) -> list[Claim]:
    made = []
    for order in ("largest", "smallest"):
        for task in attention.TASKS:
            found = units.get(f"effectiveness-{task}")
            if not found:
                continue
            lead = found["lead"][f"{order}_first"]
            fair, leaky = lead["attribution_predicted"], lead["attribution_gold"]
            why = (
                "Area between the curves, in points of accuracy, positive where attribution does better; "
                "ranked by the predicted class. By the gold class, as in the paper, which tells the ranking "
                f"the answer: {points(leaky, True)}."
            )
            made.append(Claim(f"effective_{order}", task, points(fair, True), above(fair), why))
    return made


def pruned(units: Facts) -> list[Claim]:
    made = []
    for task in pruning.PRUNED:
        found = units.get(f"pruning-{task}")
        if not found:
            continue
        to_taylor, to_random = (found["between"][name] for name in ("taylor", "random"))
        why = (
            "Area between the curves, positive where AttAttr does better; 2 points less count as comparable. "
            f"Over a random order: {points(to_random, True)}."
        )
        beside = units.get(f"normalized-{task}")
        if beside:
            why += (
                " Over Taylor normalised layer by layer, as in the authors' code: "
                f"{points(beside['between']['taylor_normalized'], True)}."
            )
        other = units.get(f"variants-{task}")
        if other:
            best = min(other["selecting"], key=lambda name: other["selecting"][name])
            gain = pruning.negative(other["reporting"][best])
            why += (
                f" Tried besides: {len(other['curves'])} readings of the attribution. The best on half of "
                f"the rows, “{best}”, has {points(gain, True)} points over “{next(iter(other['curves']))}” "
                f"on the other half. {100 * other['sure']:.0f} % of the inputs are predicted with more than "
                f"{100 * pruning.SURE:.0f} %."
            )
        made.append(Claim("taylor", task, points(to_taylor, True), comparable(to_taylor), why))
    for task in pruning.PRUNED:
        found = units.get(f"pruning-{task}")
        if found:
            made.append(_little_loss(task, found))
    return made


def _little_loss(task: str, found: Facts) -> Claim:
    curve = found["curves"]["attattr"]
    step = min(range(len(curve["x"])), key=lambda i: abs(curve["x"][i] - MANY))
    lost = found["lost"][str(step)]
    verdict = HOLDS if lost["high"] < LOSS else WEAKLY if lost["mean"] < LOSS else NOT
    kept = [i for i, value in enumerate(curve["accuracy"]) if curve["accuracy"][0] - value <= LOSS]
    until = next(i for i in reversed(range(len(curve["x"]))) if all(k in kept for k in range(i + 1)))
    why = (
        f"Points lost with {curve['x'][step]:.0%} of the heads gone; up to {100 * LOSS:.0f} count as little. "
        f"That holds up to {curve['x'][until]:.0%}. Ordered by the others: "
        + ", ".join(
            f"{pruning.NAMES[name]} {100 * (of['accuracy'][0] - of['accuracy'][step]):.1f}"
            for name, of in found["curves"].items()
            if name != "attattr"
        )
        + "."
    )
    return Claim("pruned", task, points(lost), verdict, why)


def universal(units: Facts) -> list[Claim]:
    of = shared(units)["criteria"].get("attattr")
    if not of:
        return []
    lead, pairs, kin = of["lead"], of["pairs"], of["kin"]
    verdict = above(lead["difference"])
    why = f"Mean r of the NLI pairs {span(lead['nli'])}, of the others {span(lead['others'])}."
    if verdict == HOLDS and min(pairs[pair]["low"] for pair in pairs if _nli(pair)) < LOW_R:
        verdict = WEAKLY
        why += f" Not every NLI pair is surely above {LOW_R}."
    if kin:
        apart = kin["difference"]
        started = [task for task in TASKS if units[f"importance-{task}"]["start"] == "mnli"]
        why += f" Weights are mixed in: {', '.join(started)} were trained from the mnli model. Among these "
        why += f"and mnli alone, the difference is {span(apart, sign=True)}: "
        if above(apart) == HOLDS:
            why += "the kind of task counts by itself."
        else:
            verdict = WEAKLY if verdict == HOLDS else verdict
            why += "it may all come with the weights."
    return [Claim("shared", ", ".join(TASKS), span(lead["difference"], sign=True), verdict, why)]


def _nli(pair: str) -> bool:
    return all(task in NLI for task in pair.split())


def tree(units: Facts) -> list[Claim]:
    made = []
    for task in trees.TASKS:
        found = units.get(f"faithfulness-{task}")
        if not found:
            continue
        leads = {(what, to): found["lead"][what][to] for what in ("keep", "remove") for to in CONTROLS}
        verdicts = [above(lead) for lead in leads.values()]
        verdict = worst_of(verdicts) if NOT not in verdicts else WEAKLY if HOLDS in verdicts else NOT
        said = "; ".join(
            f"{what} {span(lead, digits=3, sign=True)} over {CONTROLS[to]}"
            for (what, to), lead in leads.items()
        )
        gradient = found["lead"]["remove"]["gradient_x_attention"]
        why = (
            f"Lead in the probability when only {found['tree_edges']['mean']:.1f} edges are kept, or they "
            "are removed, over as many edges of each layer chosen otherwise; holds where all four do. Over "
            f"gradient × attention, removed: {span(gradient, digits=3, sign=True)}."
        )
        made.append(Claim("tree", f"{task}, n = {found['n']}", said, verdict, why))
    return made


CONTROLS = {"attention": "weight", "random": "random"}


def worst_trigger(units: Facts) -> list[Claim]:
    found = units.get("triggers-mnli")
    if not found:
        return []
    label = "entailment"
    worst = found["per_class"][label][0]
    clean, hit = estimate(found["clean"], label), estimate(worst, label)
    verdict = HOLDS if hit["high"] < 0.1 else WEAKLY if clean["low"] - hit["high"] > POINTS else NOT
    ours = (
        f"“{' + '.join(worst['words'])}”: {100 * clean['mean']:.1f} → {100 * hit['mean']:.1f} % "
        f"[{100 * hit['low']:.1f}, {100 * hit['high']:.1f}]"
    )
    why = (
        f"Chosen on {found['selection_rows']} rows, reported on {found['report_rows']} others; holds below "
        f"10 %, weakly from {100 * POINTS:.0f} points lost on. The paper's fall is "
        f"{100 * (WORST[0] - WORST[1]):.0f} points, ours {100 * (clean['mean'] - hit['mean']):.0f}."
    )
    if worst["flips_to"]:
        why += f" Most of what turns becomes {worst['flips_to']}."
        if worst["flips_to"] == "neutral" and any(token["segment"] == 1 for token in worst["tokens"]):
            why += " What is added to the hypothesis need not follow, so part of the fall is no error."
    if worst["explained_by"]:
        why += f" The training data itself ties {', '.join(worst['explained_by'])} to the new label."
    why += _searched(found, label)
    if found["papers"]:
        before, after = (of["per_class"][label] for of in (found["papers"]["clean"], found["papers"]))
        why += (
            f" The paper's own words, “{' + '.join(found['papers']['words'])}” in the premise: "
            f"{100 * before:.1f} → {100 * after:.1f} %."
        )
    return [Claim("worst", "mnli", ours, verdict, why)]


def _searched(found: Facts, label: str | None = None) -> str:
    """What controls cost: is it the pattern, or any insertion?"""
    clean = found["clean"]

    def lost(of: Facts) -> float:
        if label is None:
            return clean["accuracy"] - of["accuracy"]
        return clean["per_class"][label] - of["per_class"][label]

    drawn = [lost(of) for of in found["controls"] if of["kind"] == "random"]
    made = [
        lost(of) for of in found["controls"] if of["kind"] == "universal" and of["about"] in (label, None)
    ]
    made = made or [lost(of) for of in found["controls"] if of["kind"] == "universal"]
    said = f" Random words as frequent cost {100 * sum(drawn) / len(drawn):.0f} points." if drawn else ""
    if made:
        said += f" A trigger searched with gradients costs {100 * max(made):.0f}."
    return said


def forty(units: Facts) -> list[Claim]:
    made = []
    for task in triggers.TASKS[:2]:
        found = units.get(f"triggers-{task}")
        if not found:
            continue
        fallen = {}
        for label in found["labels"]:
            three = average([estimate(of, label) for of in found["per_class"][label]])
            fallen[label] = difference(estimate(found["clean"], label), three)
        low = min(fallen.values(), key=lambda of: of["low"])
        most = max(fallen.values(), key=lambda of: of["mean"])
        verdict = HOLDS if low["low"] > POINTS else WEAKLY if most["mean"] > POINTS else NOT
        overall = average([estimate(of) for of in found["overall"]])
        over_all = difference(estimate(found["clean"]), overall)
        ours = "; ".join(f"{label} {points(of)}" for label, of in fallen.items())
        why = (
            "Mean of the class's three worst triggers; holds if every class surely loses more than "
            f"{100 * POINTS:.0f}, weakly if one does in the mean. The three worst over all classes cost "
            f"{points(over_all)} together."
        )
        why += _searched(found) + trigger_readings.tried(units, task)
        made.append(Claim("forty", task, ours, verdict, why))
    return made


def quadrature(units: Facts) -> list[Claim]:
    made = []
    for task in numerics.TASKS:
        found = units.get(f"quadrature-{task}")
        if not found:
            continue
        rules = found["rules"]
        paper, ours = rules[numerics.PAPER], rules[numerics.AUTO]
        p95 = paper["error"]["p95"]
        verdict = HOLDS if p95 < 0.05 else WEAKLY if paper["error"]["median"] < 0.1 else NOT
        why = (
            "Relative L1 distance of all scores from the reference: holds where 95 % of the inputs are below "
            f"5 %, weakly where the median is below 10 %. The automatic rule: {_percent(ours['error'])}, in "
            f"{1 / paper['time_ratio']:.2f} of the time."
        )
        made.append(Claim("quadrature", task, _percent(paper["error"]), verdict, why))
    return made


def _percent(of: Facts) -> str:
    return f"median {100 * of['median']:.2g} %, 95 % below {100 * of['p95']:.2g} %"


def cost(units: Facts) -> list[Claim]:
    found, memory = units.get("cost-seconds"), units.get("cost-memory")
    if not found or not memory:
        return []
    seconds = found["seconds_each"]["attattr"]
    verdict = HOLDS if seconds < 2 else WEAKLY if seconds < 20 else NOT
    ratios = found["ratio"]
    literal = next(of for name, of in ratios.items() if "64 left" in name)
    captum = next(of for name, of in ratios.items() if name.startswith("Captum"))
    why = (
        "Other machines, so only the order of size can be compared: below 2 s holds, below 20 weakly. In the "
        f"same run the authors' rule takes {literal['median']:.0f} times as long, Captum "
        f"{captum['median']:.0f} times, and they need {memory['ratio']['the literal algorithm']:.1f} and "
        f"{memory['ratio']['Captum']:.1f} times the memory."
    )
    return [Claim("cost", f"BERT-base size, {found['n']} tokens", f"{seconds:.1f} s", verdict, why)]
