"""A generation in a terminal: each span with its strongest source, spans × sources, and how exact that is."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from attattr.result.generation import Generation, Span
from attattr.result.shown import counted, printable, short

STOPPED = {"end": "written to its end", "length": "cut at the limit of tokens", "given": "given"}
WIDE = 5  # sources that stand side by side in 80 columns
SHOWN = 40  # spans of a table


def view(made: Generation) -> RenderableType:
    """The reply with each span's strongest source, the table of spans and sources, completeness.

    >>> from rich.console import Console
    >>> Console(width=80).print(view(generation))
    handmade
    the reply, 3 tokens, written to its end (log p -1.75)
    ...
    """
    parts: list[RenderableType] = [_head(made), Text(), _reply(made), Text(), _sources(made), Text()]
    for first in range(0, len(made.columns), WIDE):
        parts += [_table(made, range(first, min(first + WIDE, len(made.columns)))), Text()]
    return Group(*parts, _exactness(made))


def _head(made: Generation) -> Text:
    text = Text(printable(str(made.model.get("name") or "model")), style="bold")
    tokens = counted(len(made.tokens), "token")
    text.append(f"\nthe reply, {tokens}, {STOPPED[made.stopped]}", style="not bold")
    if made.contrast is not None:
        other = short(made.contrast.text, 60)
        text.append(f", compared with: {other} (log p − log p {made.value:.4g})", style="not bold")
    else:
        text.append(f" (log p {made.value:.4g})", style="not bold")
    return text


def _reply(made: Generation) -> Table:
    """Each span, and what it rests on most."""
    found = made.per_source()
    table = Table(box=None, pad_edge=False, header_style="underline")
    table.add_column("", justify="right", style="dim")
    table.add_column("span", overflow="fold")
    table.add_column("strongest source", overflow="fold")
    table.add_column("effect", justify="right", no_wrap=True)
    for number, span in enumerate(made.spans[:SHOWN]):
        best = found.strongest(number)
        name = Text("none", style="dim") if best is None else Text(printable(found.sources[best]))
        effect = "" if best is None else _number(float(found.effect[number, best]))
        table.add_row(str(number + 1), Text(printable(_text(made, span))), name, effect)
    if len(made.spans) > SHOWN:
        table.add_row("", Text(f"and {len(made.spans) - SHOWN} more", style="dim"))
    return table


def _sources(made: Generation) -> Table:
    """What each source is, by its beginning."""
    table = Table(box=None, pad_edge=False, header_style="underline")
    table.add_column("source", overflow="fold")
    table.add_column("tokens", justify="right")
    table.add_column("text", overflow="ellipsis", no_wrap=True)
    for source in made.sources:
        text = short(made.prompt[source.start : source.end], 60)
        table.add_row(Text(printable(source.name)), str(len(source.tokens)), Text(text))
    return table


def _table(made: Generation, columns: range) -> Group:
    """A row a span: the measured effect of each source, and the sum of the edges to it."""
    found = made.per_source()
    table = Table(box=None, pad_edge=False, header_style="underline")
    table.add_column("span", justify="right", style="dim")
    for k in columns:
        table.add_column(Text(printable(found.sources[k])), justify="right", overflow="fold")
    table.add_column("rank corr.", justify="right")
    correlation = found.correlation.tolist()
    for number in range(len(made.spans[:SHOWN])):
        cells: list[RenderableType] = []
        for k in columns:
            effect, score = float(found.effect[number, k]), float(found.score[number, k])
            strong = "bold" if k == found.strongest(number) else ""
            cell = Text(_number(effect) if not math.isnan(effect) else "not measured", style=strong)
            cells.append(Text() if math.isnan(score) else cell.append(f"\n{_number(score)}", style="dim"))
        told = "" if math.isnan(correlation[number]) else f"{correlation[number]:+.2f}"
        table.add_row(str(number + 1), *cells, told)
    what = "the difference" if made.contrast is not None else "log p of the span"
    said = f"How much {what} falls without the source; below it, what the edges to it add up to:"
    return Group(Text(said), table)


def _exactness(made: Generation) -> Text:
    sites = [site for span in made.explained for site in span.attribution.sites]
    bad = sum(site.method == "integral" and not site.converged for site in sites)
    verdict = f"{bad} of {len(sites)} integrals did NOT converge" if bad else "every integral converged"
    if any(site.method == "gradient" for site in sites):
        verdict = "gradient × attention, no integral"
    baseline = made.options.get("baseline", "zero")
    text = f"Completeness: {verdict}, from the {baseline} baseline; worst gap {made.worst_gap:.1e}."
    return Text(text, style="bold red" if bad else "")


def _text(made: Generation, span: Span) -> str:
    return span.text if span.text.strip() else "".join(made.tokens[slice(*span.tokens)])


def _number(value: float) -> str:
    return f"{value:+.3f}" if abs(value) >= 0.001 or value == 0 else f"{value:+.1e}"
