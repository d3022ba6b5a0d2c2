"""The attack with triggers as a table: its rows, and they as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from attattr.report.trigger_signs import tables


class Row(NamedTuple):
    """One line of the table. Accuracies are shares; None: no rows of that class. n, counts: of how many rows;
    None and nothing for a mean of several patterns."""

    group: str  # clean | top | class | control
    name: str
    accuracy: float | None
    interval: Sequence[float] | None
    per_class: Mapping[str, float | None]
    intervals: Mapping[str, Sequence[float] | None]
    flagged: tuple[str, ...]  # token → label that the mined data ties it to
    n: int | None = None
    counts: Mapping[str, int | None] = {}

    @property
    def share(self) -> str:
        """Accuracy with its interval, and of how many rows."""
        return _share(self.accuracy, self.interval, self.n)

    def of_class(self, label: str) -> str:
        """The same of one gold class."""
        return _share(self.per_class[label], self.intervals.get(label), self.counts.get(label))


def _share(accuracy: float | None, interval: Sequence[float] | None, n: int | None) -> str:
    span = "" if interval is None else "–".join(map(percent, interval))
    about = ", ".join(filter(None, (span, "" if n is None else f"n {n:,}")))
    return f"{percent(accuracy)} ({about})" if about else percent(accuracy)


def percent(share: float | None) -> str:
    """A share of 1 to be read: 12.3 %."""
    return "–" if share is None else f"{100 * share:.1f}"


def words(tokens: Sequence[Mapping[str, Any]]) -> str:
    """Tokens of a pattern to be read; ⟨2⟩ marks the second text."""
    return " + ".join(f"{'⟨2⟩ ' * token['segment']}{token['token']}" for token in tokens)


def rows_of(facts: Mapping[str, Any]) -> list[Row]:
    """The table of an attack's JSON, measured on the rows to report on: clean, worst, controls."""
    worst = facts["worst"]
    flags = [
        tuple(f"{leak['token']} → {leak['label']}" for leak in pattern["leaks"] if leak["flagged"])
        for pattern in facts["patterns"]
    ]

    def row(group: str, name: str, of: Mapping[str, Any]) -> Row:
        flagged = flags[of["pattern"]] if "pattern" in of else ()
        return Row(
            group, name, of["accuracy"], of["interval"], of["per_class"], of.get("intervals", {}), flagged,
            of.get("n"), of.get("counts", {}),
        )  # fmt: skip

    found = [row("clean", "clean", worst["clean"])]
    for rank, of in enumerate(worst["overall"], 1):
        found.append(row("top", f"top-{rank}: {words(of['tokens'])}", of))
    found.append(row("top", f"any of the {len(worst['overall'])}", worst["any_of_overall"]))
    for label in facts["labels"]:
        for of in worst["per_class"][label][:1]:
            found.append(row("class", f"worst for {label}: {words(of['tokens'])}", of))
    drawn = [control for control in facts["controls"] if control["kind"] == "random"]
    if drawn:
        reports = [control["report"] for control in drawn]
        mean: dict[str, Any] = {"accuracy": _mean(of["accuracy"] for of in reports), "interval": None}
        mean["per_class"] = {
            label: _mean(of["per_class"][label] for of in reports) for label in facts["labels"]
        }
        found.append(row("control", f"random words, equally frequent (mean of {len(drawn)})", mean))
        lowest = min(drawn, key=lambda control: control["report"]["accuracy"] or 0)  # None: no rows at all
        found.append(row("control", f"the worst of them: {words(lowest['tokens'])}", lowest["report"]))
    for control in facts["controls"]:
        if control["kind"] != "random":
            name = f"{control['kind']}, {control['about']}: {words(control['tokens'])}"
            found.append(row("control", name, control["report"]))
    return found


def _mean(shares: Iterable[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None


def turned(facts: Mapping[str, Any], label: str, of: Mapping[str, Any]) -> tuple[str | None, Sequence[str]]:
    """What most of a class become where a pattern makes them wrong; its words that the data ties to that."""
    counts = dict(zip(facts["labels"], of["confusion"][facts["labels"].index(label)], strict=True))
    wrong = {other: count for other, count in counts.items() if other != label and count}
    if not wrong:
        return None, ()
    into = max(wrong, key=lambda other: wrong[other])
    leaks = facts["patterns"][of["pattern"]]["leaks"]
    named = [leak["token"] for leak in leaks if leak["flagged"] and leak["label"].lower() == into.lower()]
    return into, named


def summary(facts: Mapping[str, Any]) -> str:
    """What was measured on what, in a sentence or two."""
    worst = facts["worst"]
    said = (
        f"{len(facts['patterns'])} patterns in {facts['rows']:,} inputs of {facts.get('data', 'the data')}, "
        f"model {facts['model']['name']}. {_screened(worst)}The worst are chosen on "
        f"{worst['selection_rows']:,} inputs and reported on the other {worst['report_rows']:,}; accuracy in "
        "%, with 95 % intervals."
    )
    if any(pattern["rows_left_out"] for pattern in facts["patterns"]):
        said += " A pattern’s own inputs, those it was mined from, do not count for it."
    cut = max((pattern["shortened"] for pattern in facts["patterns"]), default=0)
    return said + (f" Up to {cut:,} inputs were shortened to make room for the trigger." if cut else "")


def _screened(worst: Mapping[str, Any]) -> str:
    if "screening_rows" not in worst:
        return ""
    return f"Each is screened on {worst['screening_rows']:,} of them, the best on more. "


def markdown(facts: Mapping[str, Any]) -> str:
    """The table, and the worst patterns of each class, for a README or an issue."""
    labels = facts["labels"]
    lines = [summary(facts), "", f"| trigger | all | {' | '.join(map(_cell, labels))} | gives away |"]
    lines.append("|---|" + "--:|" * (len(labels) + 1) + "---|")
    for row in rows_of(facts):
        shares = " | ".join(map(row.of_class, labels))
        lines.append(f"| {_cell(row.name)} | {row.share} | {shares} | {_cell(', '.join(row.flagged))} |")
    for label in labels:
        clean = percent(facts["worst"]["clean"]["per_class"][label])
        lines += ["", f"Worst patterns for {_cell(label)} (clean {clean}):", ""]
        for of in facts["worst"]["per_class"][label]:
            into, why = turned(facts, label, of)
            said = f", most of the wrong ones {into}" if into else ""
            said += f" (the data ties {', '.join(why)} to it)" if why else ""
            lines.append(f"- {_cell(words(of['tokens']))}: {percent(of['per_class'][label])}{_cell(said)}")
    for said, names, rows in tables(facts):
        lines += ["", said, "", f"| {' | '.join(names)} |", "|---|" + "--:|" * (len(names) - 1)]
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that no Markdown table falls apart over."""
    for mark in "\\|*_`[]<>#":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")
