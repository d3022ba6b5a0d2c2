"""Part 5, where triggers do less than the paper's: is it what was attributed, or on which inputs?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from study.pruning import SURE
from study.setting import SEED, Facts, Setting, stratified
from study.words import table

TASKS = ("mnli", "sst2")  # the paper's claim is about them
BASE = "probability, predicted class"
CHUNK = 64


def readings(setting: Setting, task: str) -> Facts:
    """The attack, with half as many mined rows, these mined in several ways: points lost, by class."""
    train = setting.train(task)
    more = stratified(train, 2 * (setting.sizes.mined or len(train)))
    rows = stratified(more, len(more) // 4)
    unsure = [row for row, sure in zip(more, sureness(setting, task, more), strict=True) if sure <= SURE]
    longest = sorted(more, key=lambda row: -len(f"{row.text} {row.text_pair or ''}".split()))[: len(rows)]
    ways: dict[str, tuple[Sequence[Any], Facts]] = {
        BASE: (rows, {}),
        "probability, edges between words": (rows, {"method": "text"}),
        "logit, predicted class": (rows, {"output": "logit"}),
        "probability, gold class": (rows, {"target": [row.label for row in rows]}),
        f"probability, inputs predicted with less than {SURE:.0%}": (unsure[: len(rows)], {}),
        "probability, the longest quarter of four times the rows": (longest, {}),
        "probability, four times the rows": (more, {}),
    }
    return {"ways": {name: attacked(setting, task, *way) for name, way in ways.items() if way[0]}}


def sureness(setting: Setting, task: str, rows: Sequence[Any]) -> np.ndarray:
    """(N,) probabilities of the predicted classes."""
    from attattr.measure.accuracy import predict

    model = setting.model(task)
    logits = predict(model.model, model.tokenizer, rows).astype(float)
    return 1 / np.exp(logits - logits.max(1, keepdims=True)).sum(1)


def attacked(setting: Setting, task: str, rows: Sequence[Any], options: Facts) -> Facts:
    """Points lost on rows of their own by the three worst of all patterns. options: also the method."""
    from attattr.triggers.attack import attack_model
    from attattr.triggers.mine import LEAST, merged

    options = dict(options)
    method = options.pop("method", "paper")
    patterns = merged(found(setting, task, rows, options, method))
    if not options:  # the threshold is of the probability of the predicted class
        patterns = [pattern for pattern in patterns if pattern.strength >= LEAST[method]]
    worst = attack_model(
        setting.model(task), setting.dev(task, setting.sizes.attack), patterns, controls=False, seed=SEED,
        screen=setting.sizes.screen, choose=setting.sizes.choose,
    ).to_json()["worst"]  # fmt: skip

    return {
        "rows": len(rows),
        "patterns": len(patterns),
        "lost": {label: of["mean"] for label, of in worst["lost"]["per_class"].items()},
        "lost_overall": worst["lost"]["overall"]["mean"],
        "words": [[token["token"] for token in of["tokens"]] for of in worst["overall"]],
    }


def found(setting: Setting, task: str, rows: Sequence[Any], options: Facts, method: str) -> Iterator[Any]:
    from attattr.data.examples import digest
    from attattr.triggers.mine import pattern_of

    for first in range(0, len(rows), CHUNK):
        chunk = rows[first : first + CHUNK]
        asked = options | (
            {"target": options["target"][first : first + CHUNK]} if "target" in options else {}
        )
        results = setting.model(task).attribute(list(chunk), store="edges", **asked)
        for row, result in zip(chunk, results, strict=True):
            pattern = pattern_of(result, method=method, gold=row.label, row=digest(row))
            if pattern:
                yield pattern


UNITS = {f"mining-{task}": (readings, task) for task in TASKS}


def section(units: Facts) -> str:
    """The table below part 5's; nothing where nothing was measured."""
    made = ""
    for task in TASKS:
        if f"mining-{task}" not in units:
            continue
        ways = units[f"mining-{task}"]["ways"]
        labels = list(ways[BASE]["lost"])
        rows = [
            (
                name, of["rows"], of["patterns"], *(f"{100 * of['lost'][label]:.1f}" for label in labels),
                f"{100 * of['lost_overall']:.1f}", "; ".join(" + ".join(words) for words in of["words"]),
            )
            for name, of in ways.items()
        ]  # fmt: skip
        made += f"\n{task}:\n\n" + table(("mined by", "rows", "patterns", *labels, "all", "worst"), rows)
    return (
        made
        and f"""
### Mined in other ways

The same attack with half as many mined rows, for what is attributed, and on which inputs. Points lost
under the three worst patterns, in the mean: of each class under its own three, and of all.
{made}"""
    )


def tried(units: Facts, task: str, main: float) -> str:
    """A sentence for the claim: does any other way reach more? main: what the class that loses least loses
    by the patterns of the whole run."""
    unit = units.get(f"mining-{task}")
    if not unit:
        return ""
    ways = unit["ways"]

    def weakest(name: str) -> float:
        return min(ways[name]["lost"].values())

    best = max((name for name in ways if name != BASE), key=weakest)
    said = (
        f" Tried besides, with half as many mined rows: {len(ways) - 1} other ways to mine. The class "
        f"that loses least loses {100 * weakest(BASE):.0f} points by patterns mined as above, and "
        f"{100 * weakest(best):.0f} by the best of the others, “{best}”"
    )
    if weakest(best) <= main:
        return said + f": none beyond the {100 * main:.0f} of the whole run."
    return said + f", chosen on these rows; {100 * main:.0f} in the whole run."
