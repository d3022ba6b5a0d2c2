"""attattr models: what is embedded."""

from __future__ import annotations

from attattr.cli import options
from attattr.models.embedded import NAMES, cards

SCHEMA_VERSION = "1"


def models(
    json_file: options.Json = None,
) -> None:
    """The embedded models: base, task, labels, accuracy on its development set, size."""
    options.check_files({"--json": json_file})
    found = cards()
    if json_file is not None:
        options.write_json(json_file, {"schema_version": SCHEMA_VERSION, "models": found})
    if json_file == "-":
        return
    from rich.console import Console
    from rich.text import Text

    from attattr.report.tables import banded

    console = Console()
    rows = []
    for name, card in found.items():
        shipped = card["dev"]["shipped"]
        rows.append((
            Text(name, "bold"), card["task"], ", ".join(card["labels"] or ["text"]),
            f"{shipped['accuracy']:.1%}", f"{shipped['n']:,}", f"{card['bytes'] / 1e6:.1f} MB",
        ))  # fmt: skip
    if found:
        names = ("model", "task", "labels", "dev accuracy", "n", "size")
        console.print(banded(names, rows, console.width, words=(0, 1, 2)))
        bases = sorted({card["base"] for card in found.values() if card["base"]})
        whole = [name for name, card in found.items() if not card["base"]]
        if bases:
            console.print(f"Adapters on {', '.join(bases)}{'; but for ' if whole else ''}{', '.join(whole)}.")
    missing = [name for name in NAMES if name not in found]
    if missing:
        console.print(f"Not in this installation: {', '.join(missing)}.")
