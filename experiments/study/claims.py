"""The paper's claims beside what was measured: figures, verdict, and what decided it."""

from __future__ import annotations

from study import attention, numerics, pruning, trees, trigger_claims
from study.setting import Facts
from study.universality import NLI, shared
from study.verdicts import (
    APART,
    EFFECT,
    HOLDS,
    LOSS,
    LOW_R,
    MANY,
    MARGIN,
    NEARLY_ALL,
    TYPICAL,
    WEAKLY,
    Case,
    above,
    average,
    below,
    least,
    opposite,
    stepped,
    together,
)
from study.words import points, span


def every(units: Facts) -> list[Case]:
    """Every claim on every task whose units are there."""
    makers = (
        weight, effective, pruned, universal, tree, trigger_claims.worst, trigger_claims.forty, quadrature,
        cost,
    )  # fmt: skip
    return [case for make in makers for case in make(units)]


def weight(units: Facts) -> list[Case]:
    made = []
    for task in attention.TASKS:
        found = units.get(f"edges-{task}")
        if not found:
            continue
        layers = found["pearson"]
        verdict = together([below(each, LOW_R) for each in layers])
        high = [f"{span(each)} in layer {i}" for i, each in enumerate(layers) if below(each, LOW_R) != HOLDS]
        low = [each["mean"] for each in layers if below(each, LOW_R) == HOLDS]
        idle = average(found["idle"])
        said = [f"r = {min(low):.2f} to {max(low):.2f} in {len(low)} of {len(layers)} layers"] if low else []
        ours = ", ".join(said + high)
        why = (
            f"Of the heads' heaviest edges {100 * idle['mean']:.0f} % score below a hundredth of their "
            "layer's largest. A score being weight times slope, edges of next to no weight score next to "
            "nothing: so the rank correlation of weights with the sizes of the scores, over all edges, is "
            f"{span(average(found['spearman']))}, and says little of the heavy ones."
        )
        made.append(Case("weight", task, ours, verdict, why))
    return made


def effective(units: Facts) -> list[Case]:
    made = []
    for order in ("largest", "smallest"):
        for task in attention.TASKS:
            found = units.get(f"effectiveness-{task}")
            if not found:
                continue
            lead = found["lead"][f"{order}_first"]
            fair, leaky = lead["attribution_predicted"], lead["attribution_gold"]
            why = f"Ranked by the gold class: {points(leaky, True)}."
            made.append(Case(f"effective_{order}", task, points(fair, True), above(fair), why))
    return made


def pruned(units: Facts) -> list[Case]:
    tasks = [task for task in pruning.PRUNED if f"pruning-{task}" in units]
    makers = (_comparable, _better, _little_loss)
    return [make(units, task, units[f"pruning-{task}"]) for make in makers for task in tasks]


def _comparable(units: Facts, task: str, found: Facts) -> Case:
    leads = {"": pruning.gap(found, "taylor"), "up to half ": pruning.gap(found, "taylor", pruning.HALF)}
    beside = units.get(f"normalized-{task}")
    if beside:
        leads["normalised "] = beside["between"]["taylor_normalized"]
    verdict = least([above(lead, -MARGIN) for lead in leads.values()])
    why = f"AttAttr against plain Taylor: {pruning.apart(found, 'taylor')}."
    if min(lead["low"] for lead in leads.values()) > 0:
        why += " AttAttr is surely better."
    gone = {name: pruning.emptied(units, task, name) for name in ("attattr", "taylor")}
    if gone["taylor"] and (gone["attattr"] or 1.0) > gone["taylor"]:
        why += f" Taylor takes the last layer's last head at {gone['taylor']:.0%}, AttAttr "
        why += f"at {gone['attattr']:.0%}." if gone["attattr"] else "never."
    other = units.get(f"variants-{task}")
    if other:
        best = min(other["selecting"], key=lambda name: other["selecting"][name])
        gain = opposite(other["reporting"][best])
        why += (
            f" Tried besides: {len(other['curves']) - 1} other readings of the attribution. The best on half "
            f"of the rows, “{best}”, has {points(gain, True)} points over “{next(iter(other['curves']))}” "
            f"on the other half. {100 * other['sure']:.0f} % of the inputs are predicted with more than "
            f"{100 * pruning.SURE:.0f} %, where a probability saturates and a logit does not"
        )
        logit = other["between"].get("logit, gold, max")
        why += f": by logits, {points(opposite(logit), True)}." if logit else "."
    ours = "; ".join(f"{which}{points(lead, True)}" for which, lead in leads.items())
    return Case("taylor", task, ours, verdict, why)


def _better(units: Facts, task: str, found: Facts) -> Case:
    names = ("accuracy_drop", "attention")
    whole, half = ({name: pruning.gap(found, name, until) for name in names} for until in (1.0, pruning.HALF))
    verdict = least([above(lead) for leads in (whole, half) for lead in leads.values()])

    def said(leads: Facts) -> str:
        return ", ".join(f"{points(lead, True)} over {pruning.NAMES[name]}" for name, lead in leads.items())

    why = (
        "Step by step, "
        + "; ".join(f"against {pruning.NAMES[name]} {pruning.apart(found, name)}" for name in names)
        + f". Over the mean of {len(pruning.accuracies(found, 'random'))} random orders: "
        f"{points(pruning.gap(found, 'random'), True)}."
    )
    return Case("better", task, f"{said(whole)}; up to half {said(half)}", verdict, why)


def _little_loss(units: Facts, task: str, found: Facts) -> Case:
    curve = found["curves"]["attattr"]
    step = min(range(len(curve["x"])), key=lambda i: abs(curve["x"][i] - MANY))
    lost = found["lost"][str(step)]
    kept = [i for i, value in enumerate(curve["accuracy"]) if curve["accuracy"][0] - value <= LOSS]
    until = next(i for i in reversed(range(len(curve["x"]))) if all(k in kept for k in range(i + 1)))
    means = {name: pruning.accuracies(found, name).mean((0, 1)) for name in pruning.CRITERIA[1:]}
    why = (
        f"In the mean that holds up to {curve['x'][until]:.0%}. Ordered by the others: "
        + ", ".join(f"{pruning.NAMES[name]} {100 * (of[0] - of[step]):.1f}" for name, of in means.items())
        + "."
    )
    return Case("pruned", task, points(lost), below(lost, LOSS), why)


def universal(units: Facts) -> list[Case]:
    found = shared(units)
    of = found["criteria"].get("attattr")
    if not of or not of["lead"]:
        return []
    lead, pairs, kin = of["lead"], of["pairs"], of["kin"]
    verdict = above(lead["difference"])
    lone = ", ".join(f"{task} {r:.2f}" for task, r in of["with_nli"].items())
    why = (
        f"Mean r of the NLI pairs {span(lead['nli'])}, of the others {span(lead['others'])}; of each other "
        f"task with the NLI tasks: {lone}. Heads are resampled, not models: what another training would "
        "change is not in the intervals."
    )
    if verdict == HOLDS and min(pairs[pair]["low"] for pair in pairs if _nli(pair)) < LOW_R:
        verdict = WEAKLY
        why += f" Not every NLI pair is surely above {LOW_R}."
    if kin:
        apart = kin["difference"]
        started = [task for task in found["tasks"] if units[f"importance-{task}"]["start"] == "mnli"]
        other = [task for task in started if task not in NLI]
        why += (
            f" Weights are mixed in: {', '.join(started)} were trained from the mnli model. Among these and "
            f"mnli, where only {', '.join(other)} is of another kind, the difference is "
            f"{span(apart, sign=True)}: "
        )
        if above(apart) == HOLDS:
            why += "not all of it comes with the weights."
        else:
            verdict = WEAKLY if verdict == HOLDS else verdict
            why += "it may all come with the weights."
    if found["left_out"]:
        why += f" Left out, as of another number of layers or heads: {', '.join(found['left_out'])}."
    return [Case("shared", ", ".join(found["tasks"]), span(lead["difference"], sign=True), verdict, why)]


def _nli(pair: str) -> bool:
    return all(task in NLI for task in pair.split())


def tree(units: Facts) -> list[Case]:
    made = []
    for task in trees.TASKS:
        found = units.get(f"faithfulness-{task}")
        if not found:
            continue
        leads, whole = found["lead"], found["clean"]["mean"] - found["keep_none"]["mean"]
        verdict = together([_matters(each, whole) for each in leads.values()])
        done = effects(found)
        said = "; ".join(
            f"{DONE[what]} {100 * done[what]:.0f} %, lead "
            + ", ".join(f"{span(lead, digits=3, sign=True)} over {CONTROLS[to]}" for to, lead in each.items())
            for what, each in leads.items()
        )
        ours, theirs = (found["deletion"][m]["area"]["mean"] for m in ("attribution", "gradient_x_attention"))
        why = (
            f"Shares of what taking all edges out costs ({whole:.3f}), and leads in the probability, of "
            f"{found['tree_edges']['mean']:.1f} edges. Of all edges ranked freely, deletion areas are "
            f"{ours:.3f} by attribution and {theirs:.3f} by gradient × attention (low is good)."
        )
        made.append(Case("tree", f"{task}, n = {found['n']}", said, verdict, why))
    return made


def _matters(leads: Facts, whole: float) -> str:
    """One test of the tree's edges. whole: what taking all edges out costs."""
    plain = least(
        [*(above(leads[to]) for to in ("attention", "random")), above(leads["random"], EFFECT * whole)]
    )
    return stepped(least([plain, above(leads["gradient_x_attention"])]), plain)


def effects(found: Facts, method: str = "attribution") -> dict[str, float]:
    """By test, the share of what taking all edges out costs that the tree's edges bring back, or cost; or as
    many chosen otherwise."""
    whole = found["clean"]["mean"] - found["keep_none"]["mean"]
    kept = found["keep"][method]["mean"] - found["keep_none"]["mean"]
    removed = found["clean"]["mean"] - found["remove"][method]["mean"]
    return {"keep": kept / whole, "remove": removed / whole}


DONE = {"keep": "kept alone they bring back", "remove": "removed they cost"}
CONTROLS = {"gradient_x_attention": "gradient × attention", "attention": "weight", "random": "random"}


def quadrature(units: Facts) -> list[Case]:
    made = []
    for task in numerics.TASKS:
        found = units.get(f"quadrature-{task}")
        if not found:
            continue
        rules = found["rules"]
        paper, ours = rules[numerics.PAPER], rules[numerics.AUTO]
        verdict = stepped(
            below(numerics.estimate(paper["error"], "p95"), NEARLY_ALL),
            below(numerics.estimate(paper["error"], "median"), TYPICAL),
        )
        why = f"The automatic rule: {_percent(ours['error'])}, in {1 / paper['time_ratio']:.2f} of the time."
        made.append(Case("quadrature", task, _percent(paper["error"]), verdict, why))
    return made


def _percent(of: Facts) -> str:
    return (
        f"median {100 * of['median']:.2g} [{100 * of['low']:.2g}, {100 * of['high']:.2g}] %, "
        f"95 % below {100 * of['p95']:.2g} %"
    )


def cost(units: Facts) -> list[Case]:
    found, memory = units.get("cost-seconds"), units.get("cost-memory")
    if not found or not memory:
        return []
    seconds = found["seconds_each"]["attattr"]
    ratios = found["ratio"]
    literal, right, captum = (
        next(of["median"] for name, of in ratios.items() if word in name)
        for word in ("64 left", "20 right", "Captum, 20")
    )
    why = (
        f"On one thread of a processor. In the same run the authors' rule (64 steps) takes {literal:.0f} "
        f"times as long, the paper's (20 steps) {right:.0f} and Captum with 20 steps {captum:.0f} times; the "
        f"literal algorithm and Captum need {memory['ratio']['the literal algorithm']:.1f} and "
        f"{memory['ratio']['Captum']:.1f} times the memory."
    )
    more = units.get("cost-nodes")
    trained = [units[name]["nodes"] for name in units if name.startswith("quadrature-")]
    if more and trained:
        counts = [(int(count), n) for of in trained for count, n in of.items()]
        mean = sum(count * n for count, n in counts) / sum(n for _, n in counts)
        few, middle = list(more["ratio"])[:2]
        why += (
            f" That is with the {few} nodes that random weights need. Trained models take {mean:.1f} in the "
            f"mean (part 6), and {middle} nodes take {more['ratio'][middle]['median']:.1f} times as long: "
            "divide the ratios of time by about that."
        )
    return [Case("cost", f"BERT-base size, {found['n']} tokens", f"{seconds:.1f} s", APART, why)]
