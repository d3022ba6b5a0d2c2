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
from study.setting import Facts, Setting, commit, machine, write_json

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
            made = {"commit": commit(), "machine": machine(), "sizes": sizes_of(number, setting.facts())}
            for name, (make, task) in PARTS[number].UNITS.items():
                if task is None or task.split("-")[0] in tasks:
                    began = time.perf_counter()
                    try:
                        setting.unit(name, partial(make, setting, task), made)
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


def sizes_of(number: int, facts: Facts) -> Facts:
    """The sizes that a part's units depend on."""
    return {name: facts["sizes"][name] for name in PARTS[number].SIZES}


def document(setting: Setting, out: Path) -> None:
    """study.json, study.md and figures, of the units that are there; what an earlier study.json has besides
    is kept where its models, rows and the sizes of its part are the same. Others are replaced only where
    nothing is lost."""
    units = gathered(setting)
    path = out / "study.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if units:
        facts = json.loads((setting.work / "setting.json").read_text(encoding="utf-8"))
        about = {name: value for name, value in facts.items() if name not in ("machine", "sizes")}
        if results:
            fit = {
                name: unit
                for number, part in PARTS.items()
                for name, unit in results["units"].items()
                if name in part.UNITS
                and results["setting"] == about
                and unit["made"]["sizes"] == sizes_of(number, facts)
            }
            known = {name for part in PARTS.values() for name in part.UNITS}
            if lost := len((results["units"].keys() & known) - fit.keys() - units.keys()):
                sys.exit(
                    f"error: '{path}' has {lost} units of another setting that '{setting.work}' has not: "
                    "give another --out, or measure all parts"
                )
            units = fit | units
        results = {"schema_version": SCHEMA_VERSION, "setting": about, "units": units}
    if results is None:
        sys.exit(f"error: nothing to write: there are no units in '{setting.work}', and no {path}")
    write(results, out)
    print(f"wrote {out / 'study.md'} of {len(results['units'])} units")


def gathered(setting: Setting) -> Facts:
    names = [name for part in PARTS.values() for name in part.UNITS]
    paths = {name: setting.work / f"{name}.json" for name in names}
    return {n: json.loads(p.read_text(encoding="utf-8")) for n, p in paths.items() if p.exists()}
