"""Part 5's claims: what mined triggers cost, beside luck and beside a search with gradients."""

from __future__ import annotations

from study import triggers
from study.setting import Facts
from study.verdicts import (
    FEW,
    HOLDS,
    POINTS,
    Case,
    above,
    ahead_of_luck,
    below,
    difference,
    estimate,
    least,
    mean_of_classes,
    stepped,
)
from study.words import points, span

WORST = (0.8287, 0.008)  # the paper's accuracy of entailment, before and with its worst trigger


def worst(units: Facts) -> list[Case]:
    found = units.get("attack-mnli")
    label = entailment(found) if found else None
    if not found or label is None:
        return []
    from attattr.report.triggers_table import words

    worst = found["per_class"][label][0]
    clean, hit = estimate(found["clean"], label), estimate(worst, label)
    luck = found["luck"]["per_class"][label][0]
    lucky = estimate(luck, label)
    lead = difference(lucky, hit)
    fall = stepped(below(hit, FEW), above(difference(clean, hit), POINTS))
    verdict = least([fall, ahead_of_luck(lucky["mean"], lead)])
    ours = f"“{words(worst['tokens'])}”: {100 * clean['mean']:.1f} → {points(hit)} %"
    why = (
        f"Chosen on {found['selection_rows']} rows, reported on {found['report_rows']} others. The paper's "
        f"fall is {100 * (WORST[0] - WORST[1]):.0f} points, ours {100 * (clean['mean'] - hit['mean']):.0f}."
    )
    if worst["flips_to"]:
        why += f" Most of what turns becomes {worst['flips_to']}."
        if worst["flips_to"] == "neutral" and any(token["segment"] == 1 for token in worst["tokens"]):
            why += " What is added to the hypothesis need not follow, so part of the fall is no error."
    if worst["explained_by"]:
        why += f" The training data itself ties {', '.join(worst['explained_by'])} to the new label."
    why += (
        f" The worst of {found['luck']['patterns']} random patterns, words as frequent at the same places, "
        f"chosen on the same rows: “{words(luck['tokens'])}”, {points(lucky)} %: "
    )
    if above(lead) == HOLDS:
        why += "mining finds what luck does not."
    elif lucky["mean"] < FEW:
        why += "so the class is this easy to turn over, mined or not."
    else:
        why += "whether luck does as well cannot be told."
    if of := searched(found, label):
        why += f" A trigger searched with gradients: {points(estimate(of, label))} %."
    if found["papers"]:
        before, after = (estimate(of, label) for of in (found["papers"]["clean"], found["papers"]))
        why += (
            f" The paper's own words, “{' + '.join(found['papers']['words'])}”, in the premise at places "
            f"that are ours (the paper does not tell them): {points(before)} → {points(after)} % of "
            f"{label}, of all {found['papers']['n']} rows attacked."
        )
    return [Case("worst", "mnli", ours, verdict, why)]


def entailment(found: Facts) -> str | None:
    return next((each for each in found["labels"] if each.lower() == "entailment"), None)


def searched(found: Facts, label: str) -> Facts | None:
    """The universal trigger that was searched for the class."""
    return next((c for c in found["controls"] if c["kind"] == "universal" and c["about"] == label), None)


def forty(units: Facts) -> list[Case]:
    made = []
    for task in triggers.CLAIMED:
        found = units.get(f"attack-{task}")
        if not found:
            continue
        labels = found["labels"]
        fallen, lucky, leads = losses(found), losses(found["luck"]), losses(found["luck"], "ahead")
        left = {label: found["clean"]["per_class"][label] - lucky[label]["mean"] for label in labels}
        fell = {label: above(fallen[label], POINTS) for label in labels}
        lucks = {label: ahead_of_luck(left[label], leads[label]) for label in labels}
        verdict = least([*fell.values(), *lucks.values()])
        mean, lead = (mean_of_classes(list(of.values())) for of in (fallen, leads))
        ours = f"{_each(fallen, 1)}; mean of the classes {points(mean)}"
        surely = [label for label in labels if above(leads[label]) == HOLDS]
        alike = [label for label in labels if label not in surely and left[label] < FEW]
        why = (
            f"Read as the mean of the classes: more than {100 * POINTS:.0f} points {above(mean, POINTS)}, "
            f"ahead of random patterns by {points(lead, True)} {above(lead)}. Under the three worst of "
            f"{found['luck']['patterns']} random patterns: {_each(lucky)}. Row by row mining is ahead by "
            f"{_each(leads)}: surely in {', '.join(surely) or 'no class'}"
            + (f"; luck leaves next to nothing right in {', '.join(alike)}" if alike else "")
            + ". Other random patterns may do better."
        )
        turned = {label: found["per_class"][label][0]["flips_to"] for label in labels}
        why += " What turns under a class's worst becomes: " + ", ".join(
            f"{label} → {to or 'nothing in particular'}" for label, to in turned.items()
        )
        why += "."
        strong = {
            label: difference(estimate(found["clean"], label), estimate(of, label))
            for label in labels
            if (of := searched(found, label))
        }
        if strong:
            why += f" Under one trigger searched with gradients: {_each(strong)}."
            missed = [label for label in labels if fell[label] != HOLDS]
            could = [label for label in missed if label in strong and above(strong[label], POINTS) == HOLDS]
            if could:
                why += (
                    f" So of {', '.join(could)} the model can be made to lose that much, and what is mined "
                    "does not do it."
                )
            if rest := [label for label in missed if label not in could]:
                why += f" In {', '.join(rest)} that search does not surely reach it either."
        any_of = difference(estimate(found["clean"]), estimate(found["any_of_overall"]))
        why += (
            f" Over all rows the three worst cost {points(_estimate(found['lost']['overall']))} in their "
            f"mean, and {points(any_of)} where an attacker may choose among the three."
        )
        made.append(Case("forty", task, ours, verdict, why))
    return made


def losses(found: Facts, key: str = "lost") -> dict[str, Facts]:
    return {label: _estimate(of) for label, of in found[key]["per_class"].items()}


def _estimate(of: Facts) -> Facts:
    """As the rules take it; without an interval nothing is sure."""
    low, high = of["interval"] or (float("-inf"), float("inf"))
    return {"mean": of["mean"], "low": low, "high": high}


def _each(of: Facts, digits: int = 0) -> str:
    return ", ".join(f"{label} {span(each, 100, digits)}" for label, each in of.items())
