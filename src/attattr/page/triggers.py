"""The attack with triggers as one HTML page: no script, no network, nothing trusted that was read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from attattr.report.triggers_table import percent, rows_of, summary, turned, words

STYLE = Path(__file__).with_name("triggers.css").read_text(encoding="utf-8")
ADVICE = (
    "Look at the turned inputs first. Some words rightly change the answer (a negation in the second text): "
    "such a pattern is no weakness. What remains are words that should not matter.",
    "A flagged word is tied to that label in the data itself. Add inputs that have the word and another "
    "label, or thin out those that have it, and train again.",
    "Train on inputs with the worst patterns inserted and their labels kept. Then mine anew: a model can "
    "learn these patterns by heart and still fall for their neighbours.",
    "In use, predict once more without the one or two words that carry the most attribution. An answer that "
    "hangs on them deserves a second look.",
    "If random words of equal frequency cost about as much as the patterns, the model is brittle against any "
    "insertion: that calls for noise in training rather than for a list of words.",
)


def page(facts: Mapping[str, Any]) -> str:
    """An attack's JSON (with the attributions of its examples, see `triggers.explained`) as one HTML page."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    name = escape(str(facts["model"]["name"]))
    advice = "".join(f"<li>{escape(text)}</li>" for text in ADVICE)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Adversarial triggers: {name}</title><style>{STYLE}</style></head><body>\n"
        f"<h1>What few words does {name} fall for?</h1>\n"
        f'<p class="soft">{escape(summary(facts))}</p>\n{_lead(facts)}'
        f"<h2>Accuracy by gold label</h2>\n{_table(facts)}"
        f"<h2>Worst patterns of each class</h2>\n{_by_class(facts)}"
        f"<h2>What the inputs turn into</h2>\n{_confusions(facts)}"
        f"<h2>Before and after</h2>\n{_examples(facts)}"
        f"<h2>What a defender could do</h2>\n<ul>{advice}</ul>\n</body></html>\n"
    )


def _lead(facts: Mapping[str, Any]) -> str:
    worst, labels = facts["worst"], facts["labels"]
    if not worst["overall"]:
        return ""
    top, clean = worst["overall"][0], worst["clean"]
    falls = {
        label: clean["per_class"][label] - top["per_class"][label]
        for label in labels
        if clean["per_class"][label] is not None and top["per_class"][label] is not None
    }
    if not falls:  # no row of any class is left on the reporting half
        return ""
    hit = max(falls, key=lambda label: falls[label])
    return (
        f'<p class="lead">The worst pattern, <mark>{escape(words(top["tokens"]))}</mark>, takes accuracy '
        f"from {percent(clean['accuracy'])} % to <b>{percent(top['accuracy'])} %</b>; on {escape(hit)} from "
        f"{percent(clean['per_class'][hit])} % to <b>{percent(top['per_class'][hit])} %</b>.</p>\n"
    )


def _bar(share: float | None, clean: float | None) -> str:
    """A bar to 100 %, with a mark where the clean accuracy is."""
    if share is None or clean is None:
        return ""
    kind = "low" if share < clean - 0.1 else "bar"
    return (
        '<svg width="90" height="7" viewBox="0 0 90 7" aria-hidden="true">'
        '<rect class="track" width="90" height="7"/>'
        f'<rect class="{kind}" width="{90 * share:.1f}" height="7"/>'
        f'<rect class="mark" x="{max(0, 90 * clean - 1):.1f}" width="1.5" height="7"/></svg>'
    )


def _table(facts: Mapping[str, Any]) -> str:
    labels, rows = facts["labels"], rows_of(facts)
    head = "".join(f'<th class="n">{escape(label)}</th>' for label in ("all", *labels))
    lines, group = [], "clean"
    for row in rows:
        shares = [(row.accuracy, rows[0].accuracy, row.share)]
        shares += [
            (row.per_class[each], rows[0].per_class[each], percent(row.per_class[each])) for each in labels
        ]
        cells = "".join(f'<td class="n">{text}{_bar(share, clean)}</td>' for share, clean, text in shares)
        flags = (
            f'<br><span class="tag">gives away: {escape(", ".join(row.flagged))}</span>'
            if row.flagged
            else ""
        )
        kind = "clean" if row.group == "clean" else "first" if row.group != group else ""
        group = row.group
        lines.append(f'<tr class="{kind}"><td>{escape(row.name)}{flags}</td>{cells}</tr>')
    return (
        f'<div class="scroll"><table><tr><th>trigger</th>{head}</tr>{"".join(lines)}</table></div>\n'
        '<p class="soft">The thin mark is the clean accuracy; ⟨2⟩ is the second text. “Gives away”: the data '
        "the pattern was mined from ties the word to that label. Random and frequent words stand where the "
        "worst pattern does; universal triggers were searched with the model’s gradients, for one class "
        "each.</p>\n"
    )


def _by_class(facts: Mapping[str, Any]) -> str:
    lines = []
    for label in facts["labels"]:
        clean = facts["worst"]["clean"]["per_class"][label]
        for rank, of in enumerate(facts["worst"]["per_class"][label], 1):
            into, why = turned(facts, label, of)
            share = of["per_class"][label]
            lines.append(
                f'<tr class="{"first" if rank == 1 else ""}"><td>{escape(label) if rank == 1 else ""}</td>'
                f'<td>{escape(words(of["tokens"]))}</td><td class="n">{percent(clean)}</td>'
                f'<td class="n">{percent(share)}{_bar(share, clean)}</td>'
                f"<td>{escape(into or '–')}</td>"
                f"<td>{escape(', '.join(why) or '–')}</td></tr>"
            )
    head = '<th>class</th><th>pattern</th><th class="n">clean</th><th class="n">attacked</th>'
    head += "<th>most wrong ones become</th><th>explained by the data</th>"
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>\n'


def _confusions(facts: Mapping[str, Any]) -> str:
    worst = facts["worst"]
    shown = [("clean", worst["clean"])]
    shown += [(f"top-{rank}: {words(of['tokens'])}", of) for rank, of in enumerate(worst["overall"][:1], 1)]
    tables = []
    head = "".join(f'<th class="n">{escape(label)}</th>' for label in facts["labels"])
    for name, of in shown:
        lines = ""
        for label, counts in zip(facts["labels"], of["confusion"], strict=True):
            cells = "".join(f'<td class="n">{count:,}</td>' for count in counts)
            lines += f"<tr><td>{escape(label)}</td>{cells}</tr>"
        table = f"<table><tr><th>gold ↓ predicted →</th>{head}</tr>{lines}</table>"
        tables.append(f"<div><h3>{escape(name)}</h3>{table}</div>")
    return f'<div class="two">{"".join(tables)}</div>\n'


def _examples(facts: Mapping[str, Any]) -> str:
    cards = []
    for shown in facts["examples"]:
        about = f"worst for {shown['about']}" if shown["about"] else "worst of all"
        edges = ""
        if "edges_before" in shown:
            lists = (_edges("before", shown["edges_before"]), _edges("after", shown["edges_after"]))
            edges = f'<div class="two">{"".join(lists)}</div>'
        cards.append(
            f'<div class="card"><p class="tag">{escape(about)} · gold {escape(shown["gold"])} · predicted '
            f"{escape(shown['clean'])} → <mark>{escape(shown['attacked'])}</mark></p>"
            f"<p>{_marked(shown['tokens'], shown['inserted'])}</p>{edges}</div>"
        )
    return "".join(cards) + "\n" if cards else "<p>The worst patterns turn over no input.</p>\n"


def _marked(tokens: Sequence[str], inserted: Sequence[int]) -> str:
    """The attacked input to be read, with what was inserted marked."""
    made = ""
    for i, token in enumerate(tokens):
        glued = token.startswith("##")
        text = escape(token.removeprefix("##").replace("Ġ", "").replace("▁", ""))
        made += ("" if glued else " ") + (f"<mark>{text}</mark>" if i in inserted else text)
    return made


def _edges(name: str, edges: Sequence[Mapping[str, Any]]) -> str:
    lines = "".join(
        f"<tr><td>{escape(edge['query'])} → {escape(edge['key'])}</td>"
        f'<td class="tag">layer {edge["layer"]}, head {edge["head"]}</td>'
        f'<td class="n">{edge["score"]:.3f}</td></tr>'
        for edge in edges
    )
    return f"<div><h3>Strongest edges, {escape(name)}</h3><table>{lines}</table></div>"
