"""The HTML of every page: its templates, in which whatever is put in is escaped unless they call it safe."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

STATIC = Path(__file__).with_name("static")


def render(name: str, **facts: Any) -> str:
    """A template filled in.

    >>> render("frame.html.jinja", held_in="srcdoc", page='<p title="a">')
    '<style>...<iframe ... srcdoc="&lt;p title=&#34;a&#34;&gt;" height="900"></iframe>\\n'
    """
    return TEMPLATES.get_template(name).render(facts)


def static(name: str) -> str:
    """A script or style sheet, to be inlined."""
    return (STATIC / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """How a Content-Security-Policy names the one inlined script or style that it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


TEMPLATES = Environment(
    loader=PackageLoader("attattr.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True, keep_trailing_newline=True,
)  # fmt: skip
TEMPLATES.filters["digest"] = digest
