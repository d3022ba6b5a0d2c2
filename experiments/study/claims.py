"""The paper's claims beside what was measured: figures, verdict, and what decided it."""

from __future__ import annotations

from study import attention, numerics, pruning, trees, trigger_claims
from study.setting import Facts
from study.universality import NLI, shared
from study.verdicts import HOLDS, NOT, WEAKLY, Claim, above, average, below, least, opposite
from study.words import points, span

MARGIN = 0.02  # of accuracy: so much less is called comparable
LOSS = 0.03  # of accuracy: called little
MANY = 0.3  # of the heads
LOW_R = 0.3  # a correlation below: weight says little of the contribution


def every(units: Facts) -> list[Claim]:
    """All claims whose units are there."""
    made = [
        weight,
        effective,
        pruned,
        universal,
        tree,
        trigger_claims.worst,
        trigger_claims.forty,
        quadrature,
        cost,
    ]
    return [claim for make in made for claim in make(units)]


def weight(units: Facts) -> list[Claim]:
    made = []
    for task in attention.TASKS:
        found = units.get(f"edges-{task}")
        if not found:
            continue
        layers = found["pearson"]
        r = average(layers)
        verdict = least([below(each, LOW_R) for each in layers])
        if verdict != HOLDS:  # in some layers only
            verdict = WEAKLY if r["high"] < LOW_R else NOT
        high = [f"{span(each)} in layer {i}" for i, each in enumerate(layers) if below(each, LOW_R) != HOLDS]
        idle = average(found["idle"])
        why = (
            "r over the edges of a layer, mean of the layers; holds where every layer is surely below "
            f"{LOW_R}, weakly where their mean is. "
            + (f"Not below: {', '.join(high)}. " if high else "")
            + f"Of the heads' heaviest edges {100 * idle['mean']:.0f} % score below a hundredth of their "
            "layer's largest. A score being weight times slope, edges of next to no weight score next to "
            "nothing: so the rank correlation of weights with the sizes of the scores, over all edges, is "
            f"{span(average(found['spearman']))}, and says little of the heavy ones."
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
    tasks = [task for task in pruning.PRUNED if f"pruning-{task}" in units]
    makers = (_comparable, _better, _little_loss)
    return [make(units, task, units[f"pruning-{task}"]) for make in makers for task in tasks]


def _comparable(units: Facts, task: str, found: Facts) -> Claim:
    leads = {"": pruning.gap(found, "taylor"), "up to half ": pruning.gap(found, "taylor", pruning.HALF)}
    beside = units.get(f"normalized-{task}")
    if beside:
        leads["normalised "] = beside["between"]["taylor_normalized"]
    verdict = least([above(lead, -MARGIN) for lead in leads.values()])
    share, apart = pruning.widest(found, "taylor")
    why = (
        f"Mean height of AttAttr's curve over Taylor's; {100 * MARGIN:.0f} points less count as comparable, "
        "and the worst decides: over the whole curve, up to half of the heads, and over Taylor normalised "
        "layer by layer, as the authors' code has it. AttAttr and plain Taylor are farthest apart "
        f"{points(apart, True)} at {share:.0%}."
    )
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
    return Claim("taylor", task, ours, verdict, why)


def _better(units: Facts, task: str, found: Facts) -> Claim:
    names = ("accuracy_drop", "attention")
    whole, half = ({name: pruning.gap(found, name, until) for name in names} for until in (1.0, pruning.HALF))
    verdict = least([above(lead) for leads in (whole, half) for lead in leads.values()])

    def said(leads: Facts) -> str:
        return ", ".join(f"{points(lead, True)} over {pruning.NAMES[name]}" for name, lead in leads.items())

    why = (
        "Mean height of AttAttr's curve over theirs; the worst decides: over the whole curve, and up to half "
        f"of the heads. Over the mean of {len(pruning.accuracies(found, 'random'))} random orders: "
        f"{points(pruning.gap(found, 'random'), True)}."
    )
    return Claim("better", task, f"{said(whole)}; up to half {said(half)}", verdict, why)


def _little_loss(units: Facts, task: str, found: Facts) -> Claim:
    curve = found["curves"]["attattr"]
    step = min(range(len(curve["x"])), key=lambda i: abs(curve["x"][i] - MANY))
    lost = found["lost"][str(step)]
    kept = [i for i, value in enumerate(curve["accuracy"]) if curve["accuracy"][0] - value <= LOSS]
    until = next(i for i in reversed(range(len(curve["x"]))) if all(k in kept for k in range(i + 1)))
    means = {name: pruning.accuracies(found, name).mean((0, 1)) for name in pruning.CRITERIA[1:]}
    why = (
        f"Points lost with {curve['x'][step]:.0%} of the heads gone; up to {100 * LOSS:.0f} count as little. "
        f"In the mean that holds up to {curve['x'][until]:.0%}. Ordered by the others: "
        + ", ".join(f"{pruning.NAMES[name]} {100 * (of[0] - of[step]):.1f}" for name, of in means.items())
        + "."
    )
    return Claim("pruned", task, points(lost), below(lost, LOSS), why)


def universal(units: Facts) -> list[Claim]:
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
    return [Claim("shared", ", ".join(found["tasks"]), span(lead["difference"], sign=True), verdict, why)]


def _nli(pair: str) -> bool:
    return all(task in NLI for task in pair.split())


def tree(units: Facts) -> list[Claim]:
    made = []
    for task in trees.TASKS:
        found = units.get(f"faithfulness-{task}")
        if not found:
            continue
        leads = found["lead"]
        verdict = least([above(leads[what][to]) for what in leads for to in ("attention", "random")])
        strong = [above(leads[what]["gradient_x_attention"]) for what in leads]
        if verdict == HOLDS and NOT in strong:
            verdict = WEAKLY
        said = "; ".join(
            f"{what}: "
            + ", ".join(f"{span(lead, digits=3, sign=True)} over {CONTROLS[to]}" for to, lead in each.items())
            for what, each in leads.items()
        )
        none, clean, kept = (
            of["mean"] for of in (found["keep_none"], found["clean"], found["keep"]["attribution"])
        )
        why = (
            f"Lead in the probability when only {found['tree_edges']['mean']:.1f} edges are kept, or they "
            "are removed, over as many edges of each layer chosen otherwise. Holds where all four leads over "
            "weight and random do, weakly where gradient × attention is surely ahead of the tree. Kept "
            f"alone, the tree brings back {100 * (kept - none) / (clean - none):.0f} % of what taking all "
            "edges out costs."
        )
        if NOT in strong:
            ours, theirs = (
                found["deletion"][m]["area"]["mean"] for m in ("attribution", "gradient_x_attention")
            )
            why += (
                " Gradient × attention picks edges freely, the tree only such as hang together. Of all edges "
                f"ranked freely, deletion areas are {ours:.3f} by attribution and {theirs:.3f} by it (low is "
                "good)."
            )
        made.append(Claim("tree", f"{task}, n = {found['n']}", said, verdict, why))
    return made


CONTROLS = {"gradient_x_attention": "gradient × attention", "attention": "weight", "random": "random"}


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
    literal, right, captum = (
        next(of["median"] for name, of in ratios.items() if word in name)
        for word in ("64 left", "20 right", "Captum, 20")
    )
    why = (
        "Other machines, so only the order of size can be compared: below 2 s holds, below 20 weakly. In the "
        f"same run the authors' rule (64 steps) takes {literal:.0f} times as long, the paper's (20 steps) "
        f"{right:.0f} and Captum with 20 steps {captum:.0f} times; the literal algorithm and Captum need "
        f"{memory['ratio']['the literal algorithm']:.1f} and {memory['ratio']['Captum']:.1f} times the "
        "memory."
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
    return [Claim("cost", f"BERT-base size, {found['n']} tokens", f"{seconds:.1f} s", verdict, why)]
