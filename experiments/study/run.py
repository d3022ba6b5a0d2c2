"""Units in their order, one file each; then the document of all of them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from attattr.errors import AttAttrError
from study.document import PARTS, SCHEMA_VERSION, write
from study.setting import Facts, Setting, machine, write_json

ORDER = (3, 1, 7, 2, 5, 4, 6)  # cheap and telling first


def measure(setting: Setting, parts: Sequence[int], tasks: Sequence[str]) -> list[str]:
    """Every unit of the parts that is not there yet. What cannot be measured is told, and the rest goes on.

    Returns the names of the units that failed.
    """
    failed = []
    if parts:
        check(setting)
    for number in ORDER:
        if number in parts:
            for name, (make, task) in PARTS[number].UNITS.items():
                if task is None or task.split("-")[0] in tasks:
                    began = time.perf_counter()
                    try:
                        setting.unit(name, partial(make, setting, task))
                    except AttAttrError as error:
                        failed.append(name)
                        print(f"part {number}: {name} failed: {error}", file=sys.stderr, flush=True)
                    else:
                        print(f"part {number}: {name} {time.perf_counter() - began:.0f} s", flush=True)
    return failed


def check(setting: Setting) -> None:
    """The folder's units, rankings and patterns are of this setting, or it is empty."""
    path = setting.work / "setting.json"
    asked = json.loads(json.dumps(setting.facts()))
    if {*setting.work.glob("[!.]*.*")} <= {path}:  # nothing yet: an earlier call went wrong, or none was made
        write_json(path, asked | {"machine": machine()})
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if any(found.get(name) != value for name, value in asked.items()):
        sys.exit(f"'{setting.work}' holds units of other sizes, models or data: give another --work")


def document(setting: Setting, out: Path) -> None:
    """study.json, study.md and figures, of the units that are there; what an earlier study.json of the
    same setting has besides is kept. One of another setting is replaced only where nothing is lost."""
    units = gathered(setting)
    path = out / "study.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if units:
        facts = json.loads((setting.work / "setting.json").read_text(encoding="utf-8"))
        about = facts.pop("machine")
        if results:
            known = {name for part in PARTS.values() for name in part.UNITS}
            earlier = {name: unit for name, unit in results["units"].items() if name in known}
            if results["setting"] == facts:
                units = earlier | units
            elif lost := len(earlier.keys() - units.keys()):
                sys.exit(
                    f"error: '{path}' has {lost} units of another setting that '{setting.work}' has not: "
                    "give another --out, or measure all parts"
                )
        results = {"schema_version": SCHEMA_VERSION, "machine": about, "setting": facts, "units": units}
    if results is None:
        sys.exit(f"error: nothing to write: there are no units in '{setting.work}', and no {path}")
    write(results, setting, out)
    print(f"wrote {out / 'study.md'} of {len(results['units'])} units")


def gathered(setting: Setting) -> Facts:
    names = [name for part in PARTS.values() for name in part.UNITS]
    paths = {name: setting.work / f"{name}.json" for name in names}
    return {n: json.loads(p.read_text(encoding="utf-8")) for n, p in paths.items() if p.exists()}
