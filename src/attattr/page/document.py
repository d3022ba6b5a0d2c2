"""The page: one HTML file that holds a result, its views and nothing from anywhere else."""

from __future__ import annotations

import json
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from attattr.disk import files
from attattr.page import data as data
from attattr.page.facts import ROOM, report
from attattr.page.render import render, static
from attattr.result.attribution import Attribution
from attattr.result.shown import printable

if TYPE_CHECKING:
    from attattr.result.effects import Effects


def to_html(result: Attribution, effects: Effects | None = None) -> str:
    """A result as one self-contained page.

    >>> page = to_html(result)
    >>> page.startswith("<!doctype html>"), "<script src" in page
    (True, False)

    The page runs only its own script and reaches no network (its Content-Security-Policy says so). The
    matrices of single heads are quantised so that it stays below 2 MB with 128 tokens and below 8 MB
    with 512; the strongest edges and what the tree is built from are exact.
    """
    script, style = static("report.js"), static("report.css")
    title = f"{result.prediction.label} · {result.model.get('name') or 'model'} · attattr"
    facts = payload(report(result, effects, ROOM - len(script) - len(style)))
    return render("report.html.jinja", facts=facts, title=printable(title), script=script, style=style)


def frame(result: Attribution, held_in: str = "srcdoc") -> str:
    """The page inside an <iframe>, for a notebook; in another attribute than srcdoc it is only held."""
    return render("frame.html.jinja", page=to_html(result), held_in=held_in)


def show(result: Attribution) -> None:
    """In a notebook below the cell, elsewhere in the browser."""
    notebook = sys.modules.get("IPython")
    if notebook is not None and notebook.get_ipython() is not None:
        notebook.display.display(result)
        return
    path = Path(tempfile.mkdtemp(prefix="attattr-")) / "report.html"
    files.write(path, to_html(result))
    webbrowser.open(path.as_uri())


def payload(facts: data.Report) -> str:
    """JSON that can stand inside <script>: plain ASCII, without what could end the element."""
    text = json.dumps(facts.model_dump(mode="json"), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
