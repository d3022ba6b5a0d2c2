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
from attattr.page.facts import LARGEST, ROOM, report
from attattr.page.generation import generation
from attattr.page.render import render, static
from attattr.result.attribution import Attribution
from attattr.result.generation import Generation
from attattr.result.shown import printable

if TYPE_CHECKING:
    from attattr.result.effects import Effects


def to_html(result: Attribution | Generation, effects: Effects | None = None) -> str:
    """A result as one self-contained page.

    >>> page = to_html(result)
    >>> page.startswith("<!doctype html>"), "<script src" in page
    (True, False)

    The page runs only its own script and reaches no network (its Content-Security-Policy says so). The
    matrices of single heads are quantised so that it stays below 2 MB with 128 tokens and below 8 MB
    with 512; the strongest edges and what the tree is built from are exact. A generation's page stays below
    8 MB: edges of spans for which there is no room are left out, and it says so.
    """
    script, style = static("report.js"), static("report.css")
    label = "a reply and its sources"
    if isinstance(result, Generation):
        shown = payload(generation(result, LARGEST - len(script) - len(style)))
    else:
        label = result.prediction.label
        shown = payload(report(result, effects, ROOM - len(script) - len(style)))
    title = f"{label} · {result.model.get('name') or 'model'} · attattr"
    return render("report.html.jinja", facts=shown, title=printable(title), script=script, style=style)


def frame(result: Attribution | Generation, held_in: str = "srcdoc") -> str:
    """The page inside an <iframe>, for a notebook; in another attribute than srcdoc it is only held."""
    return render("frame.html.jinja", page=to_html(result), held_in=held_in)


def show(result: Attribution | Generation) -> None:
    """In a notebook below the cell, elsewhere in the browser."""
    notebook = sys.modules.get("IPython")
    if notebook is not None and notebook.get_ipython() is not None:
        notebook.display.display(result)
        return
    path = Path(tempfile.mkdtemp(prefix="attattr-")) / "report.html"
    files.write(path, to_html(result))
    webbrowser.open(path.as_uri())


def payload(facts: data.Report | data.GenerationFacts) -> str:
    """JSON that can stand inside <script>: plain ASCII, without what could end the element."""
    text = json.dumps(facts.model_dump(mode="json"), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
