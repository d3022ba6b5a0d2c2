"""Writing the folder of a data-set run so that nothing is lost: one writer, whole files, the marker last.

What lies in it: data/run_folder.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr.data.run_folder import marker_file, numbers, read_manifest, read_marker, table_file
from attattr.disk import files
from attattr.disk.checked import signed
from attattr.disk.held import difference
from attattr.errors import InputError
from attattr.models.identity import belongs

if TYPE_CHECKING:
    from attattr.data.examples import Problem
    from attattr.runs.shard import Shard

# parts of the manifest that may differ; which model it is says `identity.belongs`
FREE: set[str | tuple[str, str]] = {
    "environment",
    ("data", "name"),
    ("model", "parameters"),
    ("model", "digest"),
    ("model", "adapter_digest"),
}


def agree(out: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, or find it there already, the same in all that decides the results."""
    path = out / "manifest.json"
    if not path.exists():
        if any(out.glob("shards/*.json")):
            raise InputError(f"'{out}' holds shards but no manifest: choose another folder")
        files.write(path, json.dumps(signed(manifest), indent=1, ensure_ascii=False) + "\n")
        return
    old = read_manifest(out)
    belongs(old["model"], manifest["model"], f"the run in '{out}'")
    if found := difference(old, manifest, FREE):
        name, held, asked = found
        raise InputError(
            f"'{out}' holds another run: its {name} is {held}, asked for is {asked}; choose another folder, "
            "or ask for the same"
        )


def forget(out: Path, numbers: Iterable[int]) -> None:
    """Shards that are to be computed again are not finished."""
    for number in numbers:
        marker_file(out, number).unlink(missing_ok=True)


def write_shard(out: Path, number: int, shard: Shard) -> None:
    """The shard's files, and last of all the marker that says it is finished."""
    marker_file(out, number).unlink(missing_ok=True)
    for name, content in shard.files.items():
        table_file(out, name, number).parent.mkdir(exist_ok=True)
        files.write(table_file(out, name, number), content)
    held = {name: hashlib.sha256(content).hexdigest() for name, content in shard.files.items()}
    facts = {"rows": shard.rows, "worst_gap": shard.worst_gap, "files": held, "batches": shard.batches}
    if shard.left_out:
        facts["left_out"] = [problem._asdict() for problem in shard.left_out]
    marker_file(out, number).parent.mkdir(exist_ok=True)
    files.write(marker_file(out, number), json.dumps(signed(facts)) + "\n")


def write_left_out(out: Path, problems: Sequence[Problem], manifest: Mapping[str, Any]) -> None:
    """Rows that cannot be used, and inputs that the finished shards had to leave out."""
    every = [problem._asdict() for problem in problems]
    for number in numbers(out, manifest["shards"]["count"]):
        with contextlib.suppress(OSError, ValueError):
            every += [each.model_dump() for each in read_marker(out, number, manifest).left_out]
    lines = [json.dumps(each, ensure_ascii=False) + "\n" for each in every]
    files.write(out / "left_out.jsonl", "".join(lines))
