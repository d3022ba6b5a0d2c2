"""How an attack's worst patterns stand against chance: two tables, for every view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COST = ("class", "points lost", "under random patterns", "ahead of them")
LEANS = ("pattern", "speaks for", "inserted", "removed", "leans on it")
COST_SAID = (
    "Points of accuracy lost under a class’s three worst patterns, in their mean; under the three worst of "
    "{number}random patterns of the same shapes, screened, chosen and reported on the same rows; and the "
    "difference, row by row. Intervals are over rows, against these random patterns; other draws may do "
    "better."
)
LEANS_SAID = (
    "Points of probability of the label that a pattern speaks for. Inserted: into rows of other classes, "
    "beyond random patterns of its shape. Removed: what goes with its words from rows that have them, beyond "
    "other words of the same rows. The model leans on a pattern where both are surely above 0: over rows, "
    "against these random patterns; other draws may do better. Of fewer than 10 rows it cannot be told."
)


def points(of: Mapping[str, Any]) -> str:
    """An estimate in hundredths, with its interval and how many rows it is of.

    >>> points({"mean": 0.5, "interval": (0.4, 0.625), "n": 30})
    '50.0 (40.0–62.5, n 30)'
    """
    if of["mean"] is None:
        return f"– (n {of['n']:,})"
    span = "" if of["interval"] is None else "{:.1f}–{:.1f}, ".format(*(100 * end for end in of["interval"]))
    return f"{100 * of['mean']:.1f} ({span}n {of['n']:,})"


def cost_rows(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What the worst patterns cost, by class and of all; nothing of an attack of before."""
    lost, luck = facts["worst"].get("lost"), facts.get("luck")
    if lost is None:
        return []

    def row(name: str, of: Any) -> tuple[str, ...]:
        return name, points(of(lost)), *(points(of(luck[key])) if luck else "–" for key in ("lost", "ahead"))

    return [
        row("all", lambda by: by["overall"]),
        *(row(label, lambda by, label=label: by["per_class"][label]) for label in facts["labels"]),
    ]


def leaning_rows(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Whether the model leans on the worst patterns."""
    found: list[tuple[str, ...]] = []
    for of in facts.get("leans", ()):
        tokens = facts["patterns"][of["pattern"]]["tokens"]
        words = " + ".join(f"{'⟨2⟩ ' * token['segment']}{token['token']}" for token in tokens)
        unsure = any(of[name]["interval"] is None for name in ("inserted", "removed"))
        says = "yes" if of["leans"] else "cannot tell" if unsure else "no sign"
        found.append((words, of["label"], points(of["inserted"]), points(of["removed"]), says))
    return found


def tables(facts: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """What is said, names of columns, rows; only tables that have some."""
    luck = facts.get("luck")
    said = COST_SAID.format(number=f"{luck['patterns']:,} " if luck else "")
    made = [(said, COST, cost_rows(facts)), (LEANS_SAID, LEANS, leaning_rows(facts))]
    return [table for table in made if table[2]]
