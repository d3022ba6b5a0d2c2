"""Part 3. Do tasks share their important heads? The correlation of head importance between tasks."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from study.setting import SEED, TASKS, Facts, Setting
from study.words import span, table

NLI = ("mnli", "snli", "rte")
CRITERIA = ("attattr", "taylor", "attention")
PRUNED = ("mnli", "rte", "sst2", "mrpc")  # their heads are ranked by every criterion


def ranking(setting: Setting, task: str) -> Any:
    """The task's HeadRanking, kept in the folder: parts 2 and 3 need the same one."""
    from attattr.heads import load_heads, rank_heads

    path = setting.work / f"heads-{task}.parquet"
    if not path.exists():
        extra = ("taylor_normalized", "accuracy_drop", "random") if task in PRUNED else ()
        rows, _ = setting.halves(task)
        setting.work.mkdir(parents=True, exist_ok=True)
        rank_heads(setting.model(task), rows, criteria=(*CRITERIA, *extra), seed=SEED).save(path)
    return load_heads(path)


def importance(setting: Setting, task: str) -> Facts:
    """(L, H) of each criterion, and what the model was trained from."""
    from attattr.embedded import cards

    found = ranking(setting, task)
    card = cards().get(task, {}) if task not in setting.models else {}
    return {
        "n": len(found.rows),
        "importance": {name: found.of(name).mean for name in CRITERIA},
        "start": card.get("recipe", {}).get("start"),
    }


UNITS = {f"importance-{task}": (importance, task) for task in TASKS}


def shared(units: Facts) -> Facts:
    """Pearson's r of every pair of tasks by criterion, and what NLI pairs have over the others."""
    from attattr.heads import correlate

    found: Facts = {"criteria": {}}
    tasks = [task for task in TASKS if f"importance-{task}" in units]
    if len(tasks) < len(TASKS):
        return found
    for criterion in CRITERIA:
        of = {t: np.array(units[f"importance-{t}"]["importance"][criterion]) for t in tasks}
        pairs = {}
        for a, b in combinations(tasks, 2):
            r = correlate(of[a], of[b], (a, b))
            pairs[f"{a} {b}"] = {
                "r": r.pearson, "low": r.pearson_interval[0], "high": r.pearson_interval[1],
                "spearman": r.spearman,
            }  # fmt: skip
        kin = [t for t in tasks if t == "mnli" or units[f"importance-{t}"]["start"] == "mnli"]
        found["criteria"][criterion] = {"pairs": pairs, "lead": _lead(of), "kin": None}
        if set(NLI) < set(kin):  # tasks of another kind, from the same weights
            found["criteria"][criterion]["kin"] = _lead({t: of[t] for t in kin})
    return found


def _lead(of: dict[str, np.ndarray], draws: int = 2000) -> Facts:
    """Mean r of the NLI pairs, of the pairs with another task, and the difference; heads are resampled."""
    values = np.stack([matrix.ravel() for matrix in of.values()])
    rows, columns = np.triu_indices(len(of), 1)
    names = list(of)
    nli = np.array([names[i] in NLI and names[j] in NLI for i, j in zip(rows, columns, strict=True)])

    def means(chosen: np.ndarray) -> np.ndarray:
        """(draws, heads) indices of heads to (3, draws)."""
        sample = values[:, chosen]  # (tasks, draws, heads)
        sample = sample - sample.mean(2, keepdims=True)
        sample /= np.linalg.norm(sample, axis=2, keepdims=True)
        r = np.stack([(sample[i] * sample[j]).sum(1) for i, j in zip(rows, columns, strict=True)])
        return np.stack([r[nli].mean(0), r[~nli].mean(0), r[nli].mean(0) - r[~nli].mean(0)])

    heads = values.shape[1]
    drawn = means(np.random.default_rng(SEED).integers(heads, size=(draws, heads)))
    low, high = np.quantile(drawn, (0.025, 0.975), axis=1)
    found = means(np.arange(heads)[None])[:, 0]
    return {
        name: {"mean": float(found[i]), "low": float(low[i]), "high": float(high[i])}
        for i, name in enumerate(("nli", "others", "difference"))
    }


def draw(units: Facts, folder: Path) -> None:
    from attattr.report.plots import plot_matrix

    of = shared(units)["criteria"]
    if of:
        matrix = np.eye(len(TASKS))
        for (i, a), (j, b) in combinations(enumerate(TASKS), 2):
            matrix[i, j] = matrix[j, i] = of["attattr"]["pairs"][f"{a} {b}"]["r"]
        plot_matrix(matrix, TASKS, folder / "universality.svg", label="Pearson r of head importance")


def section(units: Facts) -> str:
    """This part of the document; nothing where nothing was measured."""
    found = shared(units)["criteria"]
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
    n = ", ".join(f"{task} {units[f'importance-{task}']['n']}" for task in TASKS)
    return f"""## 3. Shared heads

`make study PARTS=3`, or `attattr heads rank` for each task and `attattr heads compare A.parquet B.parquet …`

Pearson's r of the heads' importance between two tasks, by AttAttr and, for comparison, by other criteria.
Rows ranked on: {n}.

![correlation of head importance](study/universality.svg)

{table(("tasks", *found), rows)}
Mean r of the pairs of NLI tasks, of the other pairs, and the difference (bootstrap over heads); over all
tasks, and over those whose models have mnli's weights as their start:

{table(("criterion", "tasks", "NLI", "others", "difference"), leads)}"""
