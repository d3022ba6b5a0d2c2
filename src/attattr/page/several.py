"""Several results as one table for a notebook: what each says in a row, its page to be unfolded."""

from __future__ import annotations

from collections.abc import Sequence

from attattr.errors import InputError
from attattr.page.document import frame
from attattr.page.render import render
from attattr.result.attribution import Attribution
from attattr.result.shown import short

ROWS = 100
PAGES = 20  # a page is a quarter of a megabyte, and the notebook keeps them all
COLUMNS = ("", "text", "prediction", "probability", "strongest edge", "worst gap")


def table(results: Sequence[Attribution]) -> str:
    """The table as HTML.

    >>> html = table([result, result])
    >>> html.count("<details"), "a fine film" in html
    (2, True)

    A page is below its row, drawn when it is unfolded. It is not behind a link, since browsers follow none
    to a `data:` or a `blob:` URL out of a notebook.
    """
    rows = [
        (_row(number, result), frame(result, held_in="data-page") if number < PAGES else None)
        for number, result in enumerate(results[:ROWS])
    ]
    return render("several.html.jinja", columns=COLUMNS, rows=rows, number=len(results), pages=PAGES)


def _row(number: int, result: Attribution) -> tuple[str, ...]:
    texts = [text for text in (result.text, result.text_pair) if text is not None]
    shown = " | ".join(short(text, 80) for text in texts) or short(" ".join(result.tokens[:40]), 80)
    return (
        str(number),
        shown,
        short(result.prediction.label),
        "" if result.prediction.probability is None else f"{result.prediction.probability:.3f}",
        _strongest(result),
        f"{result.worst_gap:.0e}",
    )


def _strongest(result: Attribution) -> str:
    try:
        edges = result.top_edges(1)
    except InputError:  # kept only sums
        return ""
    return "".join(
        f"{short(edge.query_token, 20)} → {short(edge.key_token, 20)} {edge.score:+.3f} "
        f"(layer {edge.site}, head {edge.head})"
        for edge in edges
    )
