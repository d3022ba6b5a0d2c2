"""Writing the folder of a data-set run so that nothing is lost: one writer, whole files, the marker last.

What lies in it: data/run_folder.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attattr.data.run_folder import marker_file, numbers, read_manifest, read_marker, table_file
from attattr.disk import files
from attattr.disk.checked import signed
from attattr.errors import AttAttrError, InputError
from attattr.models.identity import belongs

if TYPE_CHECKING:
    from attattr.data.examples import Problem
    from attattr.runs.shard import Shard

# parts of the manifest that may differ; which model it is says `identity.belongs`
FREE = {("data", "name"), ("model", "parameters"), ("model", "digest"), ("model", "adapter_digest")}


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
    for name, part in manifest.items():
        if name == "environment" or old.get(name) == part:
            continue
        if isinstance(part, dict) and isinstance(old.get(name), dict):
            for key in part:
                if part[key] != old[name].get(key) and (name, key) not in FREE and key in old[name]:
                    raise InputError(
                        f"'{out}' holds another run: its {name} {key} is {_short(old[name].get(key))}, asked "
                        f"for is {_short(part[key])}; choose another folder, or ask for the same"
                    )
            continue
        raise InputError(
            f"'{out}' holds another run: its {name} is {_short(old.get(name))}, not {_short(part)}"
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


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


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    try:
        # a link to a folder that is not there yet is followed
        Path(os.path.realpath(out)).mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise AttAttrError(
            f"cannot write into '{out}': {error.strerror or error}; what is finished stays, start the run "
            "again when there is room and permission"
        ) from error


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """One writer a folder. The lock is the operating system's: it goes with the process."""
    import filelock

    place = out / ".lock"
    if os.path.lexists(place) and not (place.is_file() and not place.is_symlink()):
        raise InputError(f"'{place}' is no file of attattr's: take it away, or choose another folder")
    lock = filelock.FileLock(place)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(
            f"another process is writing into '{out}': wait for it, or choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()
