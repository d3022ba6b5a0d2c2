"""A generation as a table of its spans and sources: for a notebook, and as a small page of its own."""

from __future__ import annotations

from attattr.page.render import render
from attattr.result.generation import Generation
from attattr.result.shown import printable

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:0 auto;padding:24px}"
    "table{border-collapse:collapse}th,td{padding:4px 10px;text-align:left;vertical-align:top}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}pre{white-space:pre-wrap}"
)


def table(made: Generation) -> str:
    """Each span with the measured effect of every source, the strongest in bold, and the edges' sum below it.

    >>> html = table(generation)
    >>> html.count("<tr>"), "<b>+0.500</b>" in html
    (3, True)
    """
    found = made.per_source()
    rows = []
    for number, span in enumerate(made.spans):
        best = found.strongest(number)
        cells = [
            (_number(effect), _number(score), place == best)
            for place, (effect, score) in enumerate(
                zip(found.effect[number].tolist(), found.score[number].tolist(), strict=True)
            )
        ]
        rows.append((printable(span.text), f"{span.log_probability:.3f}", cells))
    return render("generation.html.jinja", columns=found.sources, rows=rows, gap=f"{made.worst_gap:.0e}")


def document(made: Generation) -> str:
    """The table, the sources and the prompt as one self-contained page, without a script.

    >>> document(generation).startswith("<!doctype html>")
    True
    """
    sources = [(source.name, made.prompt[source.start : source.end]) for source in made.sources]
    title = f"{made.model.get('name') or 'model'}: a reply and its sources"
    return render(
        "generation_page.html.jinja", title=printable(title), style=STYLE, table=table(made), made=made,
        sources=sources, contrast=made.contrast.text if made.contrast else None,
    )  # fmt: skip


def _number(value: float) -> str:
    return "" if value != value else f"{value:+.3f}"
