"""The page: one HTML file that holds a result, its views and nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from attattr.disk import files
from attattr.page import data as data
from attattr.page.facts import ROOM, report
from attattr.result.attribution import Attribution
from attattr.result.shown import printable

if TYPE_CHECKING:
    from attattr.result.effects import Effects

STATIC = Path(__file__).parent / "static"


def to_html(result: Attribution, effects: Effects | None = None) -> str:
    """A result as one self-contained page.

    >>> page = to_html(result)
    >>> page.startswith("<!doctype html>"), "<script src" in page
    (True, False)

    The page runs only its own script and reaches no network (its Content-Security-Policy says so). The
    matrices of single heads are quantised so that it stays below 2 MB with 128 tokens and below 8 MB
    with 512; the strongest edges and what the tree is built from are exact.
    """
    script, style = ((STATIC / name).read_text(encoding="utf-8") for name in ("report.js", "report.css"))
    facts = payload(report(result, effects, ROOM - len(script) - len(style)))
    likeliest = f"{result.prediction.label} · {result.model.get('name') or 'model'} · attattr"
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{html.escape(printable(likeliest))}</title>
<style>{style}</style>
</head>
<body>
<main id="attattr"><noscript>The script in this page draws its figures: allow it to run.</noscript></main>
<script type="application/json" id="data">{facts}</script>
<script>{script}</script>
</body>
</html>
"""


def frame(result: Attribution, held_in: str = "srcdoc") -> str:
    """The page inside an <iframe>, for a notebook; in another attribute than srcdoc it is only held."""
    page = html.escape(to_html(result))
    allowed = "allow-scripts allow-downloads"
    look = 'width="100%" height="900" frameborder="0"'
    return f'<iframe sandbox="{allowed}" {held_in}="{page}" {look}></iframe>'


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


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
