"""Part 6. How wrong is each quadrature rule, on real inputs, and what does it cost?"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

from attattr.measure.intervals import bootstrap
from study.setting import Facts, Setting
from study.words import table

TASKS = ("mnli", "sst2")
REFERENCE: Facts = {"method": "gausslegendre", "n_steps": 24}
FINER: Facts = {"method": "gausslegendre", "n_steps": 64}  # that the reference itself is held against
RULES: dict[str, Facts] = {
    "automatic (attattr)": {},
    "Gauss-Legendre, 4": {"method": "gausslegendre", "n_steps": 4},
    "Gauss-Legendre, 8": {"method": "gausslegendre", "n_steps": 8},
    "right Riemann, 20 (the paper)": {"method": "riemann_right", "n_steps": 20},
    "left Riemann, 64 (its code)": {"method": "riemann_left", "n_steps": 64},
    "middle Riemann, 20": {"method": "riemann_middle", "n_steps": 20},
    "trapezoid, 20": {"method": "riemann_trapezoid", "n_steps": 20},
}
AUTO, PAPER, AUTHORS = (next(name for name in RULES if word in name) for word in ("auto", "paper", "code"))
CHUNK = 20


def errors(setting: Setting, task: str) -> Facts:
    """Relative L1 distance of an input's scores, and of each layer's worst gap, from the reference."""
    model, rows = setting.model(task), setting.dev(task, setting.sizes.quadrature)
    seconds = dict.fromkeys(RULES, 0.0)
    distances: dict[str, list[float]] = {name: [] for name in RULES}
    gaps: dict[str, list[float]] = {name: [] for name in RULES}
    unsure = 0.0  # what the reference says of its own error
    nodes: dict[str, int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for first in range(0, len(rows), CHUNK):
            chunk = rows[first : first + CHUNK]
            reference = model.attribute(chunk, **REFERENCE)
            unsure = max([unsure, *(float(of.error_estimate.max()) for of in reference)])
            for name, options in RULES.items():
                began = time.perf_counter()
                found = model.attribute(chunk, **options)
                seconds[name] += time.perf_counter() - began
                for ours, exact in zip(found, reference, strict=True):
                    distances[name].append(distance(ours, exact))
                    gaps[name].append(float(np.abs(ours.completeness_gap).max()))
                if not options:
                    for count in (int(n) for result in found for n in result.n_steps):
                        nodes[str(count)] = nodes.get(str(count), 0) + 1
    return {
        "n": len(rows),
        "reference": REFERENCE,
        "reference_error_estimate": unsure,
        "nodes": dict(sorted(nodes.items(), key=lambda pair: int(pair[0]))),
        "rules": {
            name: {
                "error": spread(distances[name]), "gap": spread(gaps[name]),
                "seconds_per_input": seconds[name] / len(rows), "time_ratio": seconds[name] / seconds[AUTO],
            }
            for name in RULES
        },
    }  # fmt: skip


def distance(ours: Any, exact: Any) -> float:
    off = sum(np.abs(a.scores - b.scores).sum() for a, b in zip(ours.sites, exact.sites, strict=True))
    return float(off / sum(np.abs(site.scores).sum() for site in exact.sites))


def spread(values: list[float]) -> Facts:
    """Median and 95 % quantile with their 95 % bootstrap intervals, worst."""
    array = np.array(values)
    low, high = bootstrap(array, 0, statistic=np.median)
    p95_low, p95_high = bootstrap(array, 0, statistic=p95)
    of = {
        "median": np.median(array), "low": low, "high": high, "p95": p95(array), "p95_low": p95_low,
        "p95_high": p95_high, "max": array.max(),
    }  # fmt: skip
    return {name: float(value) for name, value in of.items()}


def p95(array: np.ndarray, axis: int = -1) -> Any:
    return np.quantile(array, 0.95, axis=axis)


def estimate(of: Facts, which: str) -> Facts:
    """The median or the p95 of `spread` as the rules take it; without an interval nothing is sure."""
    low, high = (of[key] if which == "median" else of[f"p95_{key}"] for key in ("low", "high"))
    if low is None:
        low, high = float("-inf"), float("inf")
    return {"mean": of[which], "low": low, "high": high}


def reference(setting: Setting, task: str) -> Facts:
    """How far is the reference from a finer rule? On a tenth of the inputs."""
    model, rows = setting.model(task), setting.dev(task, setting.sizes.quadrature)
    rows = rows[::10]
    pairs = zip(model.attribute(rows, **REFERENCE), model.attribute(rows, **FINER), strict=True)
    return {"n": len(rows), "finer": FINER, "error": spread([distance(*pair) for pair in pairs])}


SIZES = ("pool", "quadrature")  # that the units depend on
UNITS = {f"quadrature-{task}": (errors, task) for task in TASKS} | {
    f"reference-{task}": (reference, task) for task in TASKS
}


def section(units: Facts) -> str:
    """This part of the document; nothing where nothing was measured."""
    rows, notes = [], []
    for task in TASKS:
        found = units.get(f"quadrature-{task}")
        if not found:
            continue
        for name, of in found["rules"].items():
            error = of["error"]
            rows.append(
                (
                    task, found["n"], name,
                    f"{error['median']:.1e} [{error['low']:.1e}, {error['high']:.1e}]",
                    f"{error['p95']:.1e}", f"{error['max']:.1e}", f"{of['gap']['max']:.1e}",
                    f"{of['seconds_per_input']:.2f}", f"{of['time_ratio']:.2f}",
                )
            )  # fmt: skip
        nodes = ", ".join(f"{count} × {n}" for n, count in found["nodes"].items())
        said = f"the reference says of its own error at most {found['reference_error_estimate']:.0e}"
        finer = units.get(f"reference-{task}")
        if finer:
            said = (
                f"from {finer['finer']['n_steps']} nodes, on {finer['n']} inputs, the reference is off by "
                f"{finer['error']['median']:.0e} in the median and {finer['error']['max']:.0e} at most"
            )
        notes.append(f"{task}: {said}; nodes of the automatic rule (layers × nodes): {nodes}.")
    header = ("task", "n", "rule", "median", "95 %", "worst", "worst gap", "seconds", "time")
    return (
        f"""## 6. Numerical honesty

`make study PARTS=6`, or `attattr explain TEXT --method riemann_right --n-steps 20`

Relative L1 distance of all scores of an input from {REFERENCE["n_steps"]} Gauss-Legendre nodes; the worst
completeness gap of a layer; seconds an input, and time over that of the automatic rule in the same run.

{table(header, rows)}
{" ".join(notes)}
The left and the right sum err the most because they are one-sided: F's slope at one end of the path is not
that at the other. The middle rule takes the same 20 steps.
"""
        if rows
        else ""
    )
