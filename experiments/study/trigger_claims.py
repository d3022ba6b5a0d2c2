"""Part 5's claims: what mined triggers cost, beside luck and beside a search with gradients."""

from __future__ import annotations

from study import trigger_readings, triggers
from study.setting import Facts
from study.verdicts import (
    HOLDS,
    NOT,
    WEAKLY,
    Claim,
    above,
    difference,
    estimate,
    least,
)
from study.words import points, span

WORST = (0.8287, 0.008)  # the paper's accuracy of entailment, before and with its worst trigger
FEW = 0.1  # of a class still right: nearly all are turned over
POINTS = 0.40


def worst(units: Facts) -> list[Claim]:
    found = units.get("attack-mnli")
    label = next((each for each in found["labels"] if each.lower() == "entailment"), None) if found else None
    if not found or label is None:
        return []
    from attattr.report.triggers_table import words

    worst = found["per_class"][label][0]
    clean, hit = estimate(found["clean"], label), estimate(worst, label)
    luck = found["luck"]["per_class"][label][0]
    lead = difference(estimate(luck, label), hit)
    verdict = least([_fall(clean, hit), _beyond(estimate(luck, label), lead)])
    ours = f"“{words(worst['tokens'])}”: {100 * clean['mean']:.1f} → {points(hit)} %"
    why = (
        f"Chosen on {found['selection_rows']} rows, reported on {found['report_rows']} others; holds below "
        f"{100 * FEW:.0f} %, weakly from {100 * POINTS:.0f} points lost on, and never better than its lead "
        f"over the worst random pattern (weakly where luck leaves less than {100 * FEW:.0f} %, too). The "
        f"paper's fall is {100 * (WORST[0] - WORST[1]):.0f} points, ours "
        f"{100 * (clean['mean'] - hit['mean']):.0f}."
    )
    if worst["flips_to"]:
        why += f" Most of what turns becomes {worst['flips_to']}."
        if worst["flips_to"] == "neutral" and any(token["segment"] == 1 for token in worst["tokens"]):
            why += " What is added to the hypothesis need not follow, so part of the fall is no error."
    if worst["explained_by"]:
        why += f" The training data itself ties {', '.join(worst['explained_by'])} to the new label."
    why += (
        f" The worst of {found['luck']['patterns']} random patterns, words as frequent at the same places, "
        f"chosen on the same rows: “{words(luck['tokens'])}”, {points(estimate(luck, label))} %: "
    )
    if above(lead) == HOLDS:
        why += "mining finds what luck does not."
    elif lead["mean"] < FEW:
        why += "so the class is this easy to turn over, mined or not."
    else:
        why += "whether luck does as well cannot be told."
    if of := searched(found, label):
        why += f" A trigger searched with gradients: {points(estimate(of, label))} %."
    if found["papers"]:
        before, after = (estimate(of, label) for of in (found["papers"]["clean"], found["papers"]))
        why += (
            f" The paper's own words, “{' + '.join(found['papers']['words'])}”, in the premise at places "
            f"that are ours (the paper does not tell them): {points(before)} → {points(after)} % of all "
            f"{found['papers']['n']} rows."
        )
    return [Claim("worst", "mnli", ours, verdict, why)]


def _fall(clean: Facts, hit: Facts) -> str:
    return HOLDS if hit["high"] < FEW else WEAKLY if clean["low"] - hit["high"] > POINTS else NOT


def _beyond(luck: Facts, lead: Facts) -> str:
    """Whether the trigger is ahead of luck; where luck turns nearly all over, too, that cannot be seen."""
    return above(lead) if above(lead) == HOLDS or luck["mean"] >= FEW else WEAKLY


def searched(found: Facts, label: str) -> Facts | None:
    """The universal trigger that was searched for the class."""
    return next((c for c in found["controls"] if c["kind"] == "universal" and c["about"] == label), None)


def forty(units: Facts) -> list[Claim]:
    made = []
    for task in triggers.CLAIMED:
        found = units.get(f"attack-{task}")
        if not found:
            continue
        labels = found["labels"]
        fallen = {label: _estimate(found["lost"]["per_class"][label]) for label in labels}
        verdict = least([above(of, POINTS) for of in fallen.values()])
        ours = "; ".join(f"{label} {points(of)}" for label, of in fallen.items())
        lucky = {label: _estimate(found["luck"]["lost"]["per_class"][label]) for label in labels}
        leads = {label: _estimate(found["luck"]["ahead"]["per_class"][label]) for label in labels}
        ahead = [label for label in labels if above(leads[label]) == HOLDS]
        mean = sum(of["mean"] for of in fallen.values()) / len(fallen)
        why = (
            "Points lost under a class's three worst triggers, in their mean; holds if every class surely "
            f"loses more than {100 * POINTS:.0f}. Read as the mean over classes: {100 * mean:.0f}. Under the "
            f"three worst of {found['luck']['patterns']} random patterns at the same places, screened and "
            f"chosen alike: {_each(lucky)}; row by row mining is ahead by {_each(leads)}: surely in "
            f"{', '.join(ahead) or 'no class'}, against these random patterns; other draws may do better."
        )
        strong = {
            label: difference(estimate(found["clean"], label), estimate(of, label))
            for label in labels
            if (of := searched(found, label))
        }
        if strong:
            why += f" Under one trigger searched with gradients: {_each(strong)}."
            if min(of["low"] for of in strong.values()) > POINTS and verdict != HOLDS:
                why += " So every class of this model can be turned over by that much, but mining does not."
        overall = _estimate(found["lost"]["overall"])
        any_of = difference(estimate(found["clean"]), estimate(found["any_of_overall"]))
        why += (
            f" Over all rows the three worst cost {points(overall)} in their mean, and {points(any_of)} "
            "where an attacker may choose among the three."
        )
        why += trigger_readings.tried(units, task, min(of["mean"] for of in fallen.values()))
        made.append(Claim("forty", task, ours, verdict, why))
    return made


def _estimate(of: Facts) -> Facts:
    """As the rules take it; without an interval nothing is sure."""
    low, high = of["interval"] or (float("-inf"), float("inf"))
    return {"mean": of["mean"], "low": low, "high": high}


def _each(of: Facts) -> str:
    return ", ".join(f"{label} {span(each, 100, 0)}" for label, each in of.items())
