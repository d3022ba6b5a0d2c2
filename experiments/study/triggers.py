"""Part 5. Adversarial triggers: mined from training rows, inserted into development rows, with controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from study.paper import WORDS
from study.setting import SEED, Facts, Setting, write_text
from study.words import table

TASKS = ("mnli", "sst2", "mrpc", "rte")
CLAIMED = ("mnli", "sst2")  # the paper's claim is about them
KEPT = ("accuracy", "interval", "n", "per_class", "intervals", "counts")


def mined(setting: Setting, task: str) -> list[Any]:
    """The paper's patterns, all at or above its threshold, as `attattr triggers mine --method paper` writes
    them; kept in the folder."""
    from attattr.triggers.mine import mine_triggers
    from attattr.triggers.pattern import read_patterns

    path = setting.work / f"patterns-{task}.jsonl"
    if not path.exists():
        found = mine_triggers(
            setting.model(task), setting.train(task), method="paper", limit=setting.sizes.mined, seed=SEED
        )
        write_text(path, "".join(pattern.line() for pattern in found))
    return read_patterns(path)


def attack(setting: Setting, task: str) -> Facts:
    """What `attattr triggers attack` measures, without its examples: those are rows of the data."""
    from attattr.report.triggers_table import rows_of
    from attattr.triggers.attack import attack_model

    rows = setting.dev(task, setting.sizes.attack)
    found = attack_model(
        setting.model(task), rows, mined(setting, task), screen=setting.sizes.screen,
        choose=setting.sizes.choose, words_from=setting.dev(task, None), seed=SEED,
    ).to_json()  # fmt: skip
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
        "screening_rows": worst["screening_rows"],
        "lost": worst["lost"],
        "luck": luck(found["luck"]),
        "leans": found["leans"],
        "table": [row._asdict() for row in rows_of(found)],
        "papers": papers(setting, task, rows) if task == "mnli" else None,
    }


def luck(found: Facts) -> Facts:
    """The worst of as many random patterns, chosen and reported on the same rows."""

    def shown(of: Facts) -> Facts:
        return {"tokens": of["tokens"]} | {key: of[key] for key in KEPT}

    return {
        "patterns": found["patterns"],
        "overall": [shown(of) for of in found["overall"]],
        "per_class": {label: [shown(of) for of in three] for label, three in found["per_class"].items()},
        "lost": found["lost"],
        "ahead": found["ahead"],
    }


def papers(setting: Setting, task: str, rows: list[Any]) -> Facts:
    """The paper's own trigger on this model, all rows. Where in the premise it stood is not told here:
    at a third and at two thirds."""
    from attattr.triggers.attack import attack_model
    from attattr.triggers.pattern import Pattern, PatternToken

    places = tuple(PatternToken(0, (i + 1) / 3, word) for i, word in enumerate(WORDS))
    trigger = Pattern(places)
    found = attack_model(setting.model(task), rows, [trigger], controls=False, seed=SEED)
    here = {
        "clean": found.accuracy(found.clean), "attacked": found.accuracy(found.attacked[0].predicted)
    }  # fmt: skip
    kept = {name: {key: of[key] for key in KEPT} for name, of in here.items()}
    return {"words": WORDS, "clean": kept["clean"]} | kept["attacked"]


SIZES = ("pool", "mined", "screen", "choose", "attack")  # that the units depend on
UNITS = {f"attack-{task}": (attack, task) for task in TASKS}


def section(units: Facts) -> str:
    """This part of the document; nothing where nothing was measured."""
    from attattr.report.triggers_table import words

    made = ""
    for task in TASKS:
        found = units.get(f"attack-{task}")
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
        drawn = found["luck"]
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
            f"development rows, all screened on {found['screening_rows']}, the best tried on more, chosen on "
            f"{found['selection_rows']} and reported on the other {found['report_rows']}:\n\n"
            + table(("trigger", "all", *found["labels"], "gives away"), rows)
        )
    return (
        made
        and f"""## 5. Triggers

`make study PARTS=5`, or `attattr triggers mine --method paper` and `attattr triggers attack`

Accuracy in %. *Gives away*: the training data itself ties that word to that label. *Frequent* words are
counted in the development set with its labels, *universal* ones searched with gradients on the rows that
the worst is chosen on. *Worst of … random*: as many patterns as were mined, at their places, of random
words as frequent; screened, chosen and reported on the same rows. The rule was fixed before these figures:
[triggers](triggers.md#the-attack). How little a pattern's score says of what it costs, and what other ways to
mine cost on other rows: [which way to mine](triggers.md#which-way-to-mine).
{made}"""
    )


def _share(share: float | None, interval: Sequence[float] | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share:.1f}" + (
        f" ({100 * interval[0]:.0f}–{100 * interval[1]:.0f})" if interval and interval[0] is not None else ""
    )
