"""Part 5. Adversarial triggers: mined from training rows, inserted into development rows, with controls."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from study import trigger_readings
from study.paper import WORDS
from study.setting import SEED, Facts, Setting, write_text
from study.words import table

TASKS = ("mnli", "sst2", "mrpc", "rte")
CLAIMED = ("mnli", "sst2")  # the paper's claim is about them
KEPT = ("accuracy", "interval", "n", "per_class", "intervals", "counts")


def mined(setting: Setting, task: str) -> list[Any]:
    """The patterns, kept in the folder as `attattr triggers mine` writes them."""
    from attattr.triggers.mine import mine_triggers
    from attattr.triggers.pattern import read_patterns

    path = setting.work / f"patterns-{task}.jsonl"
    if not path.exists():
        sizes = setting.sizes
        found = mine_triggers(
            setting.model(task), setting.train(task), top=sizes.patterns, limit=sizes.mined, seed=SEED
        )
        write_text(path, "".join(pattern.line() for pattern in found))
    return read_patterns(path)


def attack(setting: Setting, task: str) -> Facts:
    """What `attattr triggers attack` measures, without its examples: those are rows of the data."""
    from attattr.report.triggers_table import rows_of
    from attattr.triggers.attack import attack_model

    rows = setting.dev(task, setting.sizes.attack)
    patterns = mined(setting, task)
    found = attack_model(
        setting.model(task), rows, patterns, words_from=setting.dev(task, None), seed=SEED
    ).to_json()
    worst = found["worst"]

    def shown(of: Facts) -> Facts:
        pattern = found["patterns"][of["pattern"]]
        words = [token["token"] for token in of["tokens"]]
        about = {key: pattern[key] for key in ("score", "support", "flips_to", "explained_by")}
        return {"tokens": of["tokens"], "words": words} | about | {key: of[key] for key in KEPT}

    return {
        "rows": found["rows"],
        "mined": setting.sizes.mined,
        "patterns": len(found["patterns"]),
        "selection_rows": worst["selection_rows"],
        "report_rows": worst["report_rows"],
        "labels": found["labels"],
        "clean": {key: worst["clean"][key] for key in KEPT},
        "overall": [shown(of) for of in worst["overall"]],
        "any_of_overall": {key: worst["any_of_overall"][key] for key in KEPT},
        "per_class": {label: [shown(of) for of in chosen] for label, chosen in worst["per_class"].items()},
        "controls": [
            {"kind": of["kind"], "about": of["about"], "words": [token["token"] for token in of["tokens"]]}
            | {key: of["report"][key] for key in KEPT}
            for of in found["controls"]
        ],
        "twins": twins(setting, task, rows, patterns),
        "table": [row._asdict() for row in rows_of(found)],
        "papers": papers(setting, task, rows) if task == "mnli" else None,
    }


def twins(setting: Setting, task: str, rows: list[Any], patterns: list[Any]) -> Facts:
    """The attack with random patterns: as many, each at a mined one's places, of words as frequent. The worst
    of them are chosen and reported on the same rows, so that mining is compared with luck."""
    from attattr.triggers.attack import attack_model

    drawn = [pattern for i, each in enumerate(patterns) for pattern in twin(setting, task, each, SEED + i)]
    worst = attack_model(setting.model(task), rows, drawn, controls=False, seed=SEED).to_json()["worst"]

    def shown(of: Facts) -> Facts:
        return {"tokens": of["tokens"]} | {key: of[key] for key in KEPT}

    return {
        "patterns": len(drawn),
        "overall": [shown(of) for of in worst["overall"]],
        "per_class": {label: [shown(of) for of in three] for label, three in worst["per_class"].items()},
    }


def twin(setting: Setting, task: str, pattern: Any, seed: int) -> list[Any]:
    """A random pattern at this one's places; none where no word is in the vocabulary."""
    from attattr.errors import InputError
    from attattr.triggers.controls import random_controls
    from attattr.triggers.insert import pieces_of

    dev = setting.dev(task, None)
    for control in random_controls(pattern, dev, seed):
        with suppress(InputError):
            pieces_of(control.pattern, setting.model(task).tokenizer, "auto", bool(dev[0].text_pair))
            return [control.pattern]
    return []


def papers(setting: Setting, task: str, rows: list[Any]) -> Facts:
    """The paper's own trigger on this model, all rows. Where in the premise it stood is not told here:
    at a third and at two thirds."""
    from attattr.triggers.attack import attack_model
    from attattr.triggers.pattern import Pattern, PatternToken

    places = tuple(PatternToken(0, (i + 1) / 3, word) for i, word in enumerate(WORDS))
    found = attack_model(setting.model(task), rows, [Pattern(places)], controls=False, seed=SEED).to_json()
    return {"words": WORDS, "clean": {key: found["clean"][key] for key in KEPT}} | {
        key: found["patterns"][0][key] for key in KEPT
    }


UNITS = {f"triggers-{task}": (attack, task) for task in TASKS} | trigger_readings.UNITS


def section(units: Facts) -> str:
    """This part of the document; nothing where nothing was measured."""
    from attattr.report.triggers_table import words

    made = ""
    for task in TASKS:
        found = units.get(f"triggers-{task}")
        if not found:
            continue
        rows = [
            (
                row["name"], _share(row["accuracy"], row["interval"]),
                *(_share(row["per_class"][label], row["intervals"].get(label)) for label in found["labels"]),
                ", ".join(row["flagged"]) or "–",
            )
            for row in found["table"]
        ]  # fmt: skip
        drawn = found["twins"]
        for label, of in {
            None: drawn["overall"][0],
            **{k: v[0] for k, v in drawn["per_class"].items()},
        }.items():
            rows.append(
                (
                    f"worst of {drawn['patterns']} random{f' for {label}' if label else ''}: "
                    + words(of["tokens"]),
                    _share(of["accuracy"], of["interval"]),
                    *(_share(of["per_class"][each], of["intervals"][each]) for each in found["labels"]), "–",
                )
            )  # fmt: skip
        made += (
            f"\n{task}: {found['patterns']} patterns of {found['mined']} training rows in {found['rows']} "
            f"development rows, chosen on {found['selection_rows']} and reported on the other "
            f"{found['report_rows']}:\n\n" + table(("trigger", "all", *found["labels"], "gives away"), rows)
        )
    return (
        made
        and f"""## 5. Triggers

`make study PARTS=5`, or `attattr triggers mine` and `attattr triggers attack`

Accuracy in %. *Gives away*: the training data itself ties that word to that label. *Frequent* words are
counted in the development set with its labels, *universal* ones searched with gradients on the rows that
the worst is chosen on. *Worst of … random*: as many patterns as were mined, at their places, of random
words as frequent; chosen and reported as the mined ones are. "Random words" above them stand at the worst
pattern's places.
{made}{trigger_readings.section(units)}"""
    )


def _share(share: float | None, interval: Sequence[float] | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share:.1f}" + (
        f" ({100 * interval[0]:.0f}–{100 * interval[1]:.0f})" if interval and interval[0] is not None else ""
    )
