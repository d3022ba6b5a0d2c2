"""Part 3. Do tasks share their important heads? The correlation of head importance between tasks."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from attattr.measure.intervals import bootstrap
from study.setting import SEED, TASKS, Facts, Setting
from study.words import span, table

NLI = ("mnli", "snli", "rte")
CRITERIA = ("attattr", "taylor", "attention")
PRUNED = ("mnli", "rte", "sst2", "mrpc")  # their heads are ranked by every criterion


def ranking(setting: Setting, task: str) -> Any:
    """The task's HeadRanking, kept in the folder: parts 2 and 3 need the same one."""
    from attattr.heads.importance import load_heads, rank_heads

    path = setting.work / f"heads-{task}.parquet"
    if not path.exists():
        extra = ("taylor_normalized", "accuracy_drop", "random") if task in PRUNED else ()
        rows, _ = setting.halves(task)
        setting.work.mkdir(parents=True, exist_ok=True)
        rank_heads(setting.model(task), rows, criteria=(*CRITERIA, *extra), seed=SEED).save(path)
    return load_heads(path)


def importance(setting: Setting, task: str) -> Facts:
    """(L, H) of each criterion, and what the model was trained from."""
    from attattr.models.embedded import cards

    found = ranking(setting, task)
    own = {task, "mnli"} & set(setting.models)  # then no embedded model's start tells anything
    card = {} if own else cards().get(task, {})
    return {
        "n": len(found.rows),
        "importance": {name: found.of(name).mean for name in CRITERIA},
        "start": card.get("recipe", {}).get("start"),
    }


SIZES = ("pool", "rank")  # that the units depend on
UNITS = {f"importance-{task}": (importance, task) for task in TASKS}


def shared(units: Facts) -> Facts:
    """Pearson's r of every pair of tasks by criterion, and what NLI pairs have over the others.

    Heads correspond only between models of one grid: the tasks of the commonest are compared.
    """
    from attattr.heads.importance import correlate

    there = [task for task in TASKS if f"importance-{task}" in units]
    grids = {t: np.shape(units[f"importance-{t}"]["importance"]["attattr"]) for t in there}
    common = Counter(grids.values()).most_common(1)[0][0] if there else None
    tasks = [task for task in there if grids[task] == common]
    found: Facts = {"tasks": tasks, "left_out": [t for t in there if t not in tasks], "criteria": {}}
    for criterion in CRITERIA if len(tasks) > 1 else ():
        of = {t: np.array(units[f"importance-{t}"]["importance"][criterion]) for t in tasks}
        pairs = {}
        for a, b in combinations(tasks, 2):
            r = correlate(of[a], of[b], (a, b))
            pairs[f"{a} {b}"] = {
                "r": r.pearson, "low": r.pearson_interval[0], "high": r.pearson_interval[1],
                "spearman": r.spearman,
            }  # fmt: skip
        kin = [t for t in tasks if t == "mnli" or units[f"importance-{t}"]["start"] == "mnli"]
        found["criteria"][criterion] = {
            "pairs": pairs,
            "lead": _lead(of),
            "kin": _lead({t: of[t] for t in kin}) if set(kin) < set(tasks) else None,  # from the same weights
            "with_nli": {
                t: float(np.mean([pairs[pair]["r"] for pair in pairs if _joins(pair, t)]))
                for t in tasks
                if t not in NLI and set(NLI) & set(tasks)
            },
        }
    return found


def _joins(pair: str, task: str) -> bool:
    """The pair is of that task and one of NLI."""
    a, b = pair.split()
    return (a == task and b in NLI) or (b == task and a in NLI)


def _lead(of: dict[str, np.ndarray]) -> Facts | None:
    """Mean r of the NLI pairs, of the pairs with another task, and the difference; heads are resampled.
    None without pairs of both kinds."""
    if len(set(of) & set(NLI)) < 2 or set(of) <= set(NLI):
        return None
    values = np.stack([matrix.ravel() for matrix in of.values()])
    rows, columns = np.triu_indices(len(of), 1)
    names = list(of)
    nli = np.array([names[i] in NLI and names[j] in NLI for i, j in zip(rows, columns, strict=True)])

    def means(sample: np.ndarray, axis: int = -1) -> np.ndarray:
        """(tasks, draws, heads) importances to (3, draws)."""
        sample = sample - sample.mean(axis, keepdims=True)
        sample /= np.linalg.norm(sample, axis=axis, keepdims=True)
        r = np.stack([(sample[i] * sample[j]).sum(axis) for i, j in zip(rows, columns, strict=True)])
        return np.stack([r[nli].mean(0), r[~nli].mean(0), r[nli].mean(0) - r[~nli].mean(0)])

    low, high = bootstrap(values.T, SEED, statistic=means)
    found = means(values[:, None])[:, 0]
    return {
        name: {"mean": float(found[i]), "low": float(low[i]), "high": float(high[i])}
        for i, name in enumerate(("nli", "others", "difference"))
    }


def draw(units: Facts, folder: Path) -> None:
    from attattr.report.plots import plot_matrix

    found = shared(units)
    tasks, of = found["tasks"], found["criteria"]
    if of:
        matrix = np.eye(len(tasks))
        for (i, a), (j, b) in combinations(enumerate(tasks), 2):
            matrix[i, j] = matrix[j, i] = of["attattr"]["pairs"][f"{a} {b}"]["r"]
        plot_matrix(matrix, tasks, folder / "universality.svg", label="Pearson r of head importance")


def section(units: Facts) -> str:
    """This part of the document; nothing where nothing was measured."""
    made = shared(units)
    found = made["criteria"]
    if not found:
        return ""
    rows = [
        (pair, *(span({"mean": of["pairs"][pair]["r"], **of["pairs"][pair]}) for of in found.values()))
        for pair in next(iter(found.values()))["pairs"]
    ]
    leads = [
        (name, which, *(span(of[lead][key]) for key in ("nli", "others", "difference")))
        for name, of in found.items()
        for lead, which in (("lead", "all"), ("kin", "trained from mnli"))
        if of[lead]
    ]
    n = ", ".join(f"{task} {units[f'importance-{task}']['n']}" for task in made["tasks"])
    out = (
        f" Of another grid of heads, and left out: {', '.join(made['left_out'])}." if made["left_out"] else ""
    )
    text = f"""## 3. Shared heads

`make study PARTS=3`, or `attattr heads rank` for each task and `attattr heads compare A.parquet B.parquet …`

Pearson's r of the heads' importance between two tasks (intervals: Fisher's z over heads), by AttAttr and, for
comparison, by other criteria. Rows ranked on: {n}.{out}

![correlation of head importance](study/universality.svg)

{table(("tasks", *found), rows)}"""
    if leads:
        text += f"""
Mean r of the pairs of NLI tasks, of the other pairs, and the difference (bootstrap over heads); over all
tasks, and over those whose models have mnli's weights as their start:

{table(("criterion", "tasks", "NLI", "others", "difference"), leads)}"""
    return text
