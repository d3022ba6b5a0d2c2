"""The attack with triggers as one HTML page: no script, no network, nothing trusted that was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attattr.page.render import render, static
from attattr.report.trigger_signs import tables
from attattr.report.triggers_table import percent, rows_of, summary, turned, words


def page(facts: Mapping[str, Any]) -> str:
    """An attack's JSON (with the attributions of its examples: `triggers.explained`) as one HTML page."""
    return render(
        "triggers.html.jinja", facts=facts, rows=rows_of(facts), summary=summary(facts), hit=_hit(facts),
        tables=tables(facts),
        style=static("triggers.css"), percent=percent, turned=turned, words=words,
    )  # fmt: skip


def _hit(facts: Mapping[str, Any]) -> str | None:
    """The class that the worst pattern costs the most; None without such a pattern, or rows to tell by."""
    clean, worst = facts["worst"]["clean"]["per_class"], facts["worst"]["overall"][:1]
    falls = {
        label: clean[label] - of["per_class"][label]
        for of in worst
        for label in facts["labels"]
        if clean[label] is not None and of["per_class"][label] is not None
    }
    return max(falls, key=lambda label: falls[label], default=None)
