"""Part 4. Attribution trees: four inputs of our own as figures; do a tree's edges matter more than others?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from study.setting import SEED, Facts, Setting, write_text
from study.words import span, table

TASKS = ("mnli", "sst2", "mrpc")  # those of the examples; rte has too few development rows
REACHED = ("mnli", "sst2")  # their receptive field is in the units of part 1
# written for this study: no row of a data set stands in the repository
EXAMPLES: dict[str, tuple[str, ...]] = {
    "mnli-1": (
        "The museum is closed on Mondays because the staff need a day off.",
        "The museum is open every day.",
    ),
    "mnli-2": (
        "Two engineers repaired the old bridge before the storm arrived.",
        "The bridge was repaired.",
    ),
    "sst2": ("The plot is thin, but the two leads are so charming that I left smiling.",),
    "mrpc": (
        "The company said on Monday that its profit rose by ten percent in the third quarter.",
        "Third-quarter profit was up ten percent, the company announced on Monday.",
    ),
}


def explained(setting: Setting, name: str) -> Any:
    return setting.model(name.split("-")[0]).attribute(tuple(EXAMPLES[name]))


def tree(setting: Setting, name: str) -> Facts:
    """One tree as numbers, and as it is drawn: a drawing needs more of the result than its numbers."""
    from attattr.report.figures import draw_tree
    from attattr.result.tree import build_tree

    result = explained(setting, name)
    with tempfile.TemporaryDirectory() as folder:
        draw_tree(result, path := Path(folder) / "tree.svg")
        drawing = path.read_text(encoding="utf-8")
    made = build_tree(result).to_json()
    kept = {key: made[key] for key in ("tokens", "top", "terminal", "nodes")}
    edges = [{key: edge[key] for key in ("layer", "parent", "child", "score")} for edge in made["edges"]]
    return kept | {
        "texts": EXAMPLES[name],
        "label": result.prediction.label,
        "probability": result.prediction.probability,
        "edges": edges,
        "drawing": drawing,
    }


def faithfulness(setting: Setting, task: str) -> Facts:
    """What a tree's edges are worth, on development rows, beside controls."""
    from attattr.measure.faithfulness import measure_faithfulness

    rows = setting.dev(task, setting.sizes.faithfulness)
    return measure_faithfulness(setting.model(task), rows, seed=SEED).to_json()


SIZES = ("pool", "faithfulness")  # that the units depend on
UNITS = {f"tree-{name}": (tree, name) for name in EXAMPLES} | {
    f"faithfulness-{task}": (faithfulness, task) for task in TASKS
}


def draw(units: Facts, folder: Path) -> None:
    from attattr.report.plots import plot_curves

    for name in EXAMPLES:
        if f"tree-{name}" in units:
            write_text(folder / f"tree-{name}.svg", units[f"tree-{name}"]["drawing"])
    for task in REACHED:
        found = units.get(f"edges-{task}")
        if found:
            layers = [i for i, each in enumerate(found["reach"]) if each["mean"] is not None]
            columns = {
                name: (layers, *([found[key][i][of] for i in layers] for of in ("mean", "low", "high")))
                for name, key in (("kept edges", "reach"), ("weighted by score", "reach_weighted"))
            }
            plot_curves(
                columns, folder / f"reach-{task}.svg", x_label="layer", y_label="distance |i − j|, tokens"
            )


def section(units: Facts) -> str:
    """This part of the document; nothing where nothing was measured."""
    made = ""
    for name in EXAMPLES:
        if f"tree-{name}" in units:
            found = units[f"tree-{name}"]
            said = " / ".join(f"“{each}”" for each in found["texts"])
            made += f"\n{said}: **{found['label']}** ({found['probability']:.2f})\n"
            made += f"\n![{name}](study/tree-{name}.svg)\n"
    rows = []
    for task in TASKS:
        found = units.get(f"faithfulness-{task}")
        for method in found["keep"] if found else ():
            flips = [(found["flips"] or {}).get(what, {}).get(method) for what in ("keep", "remove")]
            rows.append(
                (
                    task, found["n"], method.replace("_", " "), span(found["keep"][method], digits=3),
                    span(found["remove"][method], digits=3),
                    *(f"{each['mean']:.1%}" if each else "–" for each in flips),
                    span(found["deletion"][method]["area"], digits=3),
                    span(found["insertion"][method]["area"], digits=3),
                )
            )  # fmt: skip
    if rows:
        base = "; ".join(
            f"{task}: untouched {span(units[f'faithfulness-{task}']['clean'], digits=3)}, with none of them "
            f"{span(units[f'faithfulness-{task}']['keep_none'], digits=3)}"
            for task in TASKS
            if f"faithfulness-{task}" in units
        )
        columns = (
            "task", "n", "chosen by", "keep only", "remove", "flipped, keep", "flipped, remove", "deletion",
            "insertion",
        )  # fmt: skip
        made += f"""
### Do the tree's edges matter?

`attattr faithfulness DATA --model M`. Probability of the predicted class with only the tree's edges,
without them, the share of inputs whose prediction changes, and the areas of deletion (low is good) and
insertion (high is good) of all edges; *attribution* is the tree in the first columns, the others choose as
many edges in each layer. {base}.

{table(columns, rows)}"""
    reach = ""
    for task in REACHED:
        found = units.get(f"edges-{task}")
        if found:
            lines = [
                (layer, span(found["reach"][layer], digits=1), span(found["reach_weighted"][layer], digits=1),
                 span(found["reach_relative"][layer]))
                for layer in range(len(found["reach"]))
                if found["reach"][layer]["mean"] is not None
            ]  # fmt: skip
            reach += (
                f"\n{task}, {found['n']} inputs of {found['tokens']:.0f} tokens in the mean:\n\n"
                + table(("layer", "distance", "weighted by score", "share of the length"), lines)
            )
            reach += f"\n![{task}](study/reach-{task}.svg)\n"
    if reach:
        made += f"""
### How far a layer's strongest edges reach

`make study PARTS=1`. Distance |i − j| of the edges above 0.4 of their layer's largest score, without the
readout row; the last layer has none. The paper shows it as a figure.
{reach}"""
    return (
        made
        and f"""## 4. Trees

`make study PARTS=4`, or `attattr tree TEXT TEXT2 --model M` and `attattr figure`
{made}"""
    )
