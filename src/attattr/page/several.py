"""Several results as one table for a notebook: what each says in a row, its page to be unfolded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from attattr.errors import InputError
from attattr.page.document import frame
from attattr.result.attribution import Attribution
from attattr.result.shown import short

ROWS = 100
PAGES = 20  # a page is a quarter of a megabyte, and the notebook keeps them all
COLUMNS = ("", "text", "prediction", "probability", "strongest edge", "worst gap")
# browsers draw frames that cannot be seen yet, even those that say loading="lazy"
DRAW = "const frame = this.querySelector('iframe'); frame.srcdoc ||= frame.dataset.page"


def table(results: Sequence[Attribution]) -> str:
    """The table as HTML.

    >>> html = table([result, result])
    >>> html.count("<details"), "a fine film" in html
    (2, True)

    A page is below its row, drawn when it is unfolded. It is not behind a link, since browsers follow none
    to a `data:` or a `blob:` URL out of a notebook.
    """
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    rows = "".join(
        f"<tr>{_row(number, result)}</tr>" + (_page(result) if number < PAGES else "")
        for number, result in enumerate(results[:ROWS])
    )
    more = f"… and {len(results) - ROWS:,} more. " if len(results) > ROWS else ""
    others = f"<p>{more}The page of any: <code>results[…].show()</code></p>" if len(results) > PAGES else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{others}"


def _row(number: int, result: Attribution) -> str:
    texts = [text for text in (result.text, result.text_pair) if text is not None]
    shown = " | ".join(short(text, 80) for text in texts) or short(" ".join(result.tokens[:40]), 80)
    cells = (
        str(number),
        shown,
        short(result.prediction.label),
        f"{result.prediction.probability:.3f}",
        _strongest(result),
        f"{result.worst_gap:.0e}",
    )
    return "".join(f"<td>{escape(cell)}</td>" for cell in cells)


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


def _page(result: Attribution) -> str:
    page = frame(result, held_in="data-page")
    unfolded = f'<details ontoggle="{DRAW}"><summary>page</summary>{page}</details>'
    return f'<tr><td colspan="{len(COLUMNS)}" style="text-align: left">{unfolded}</td></tr>'
