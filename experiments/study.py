"""The paper's tables and figures, ours beside theirs.

    python experiments/study.py --data ../shared/data        # all seven parts; then docs/study.md
    python experiments/study.py --parts 1,3                  # some; the others keep their figures
    python experiments/study.py --quick --work /tmp/q        # does it run at all: minutes; /tmp/q/docs
    python experiments/study.py --full --work full           # all rows: days on one core; full/docs
    python experiments/study.py --parts none                 # only the document, from docs/study.json

Every unit of work is one file in the folder --work and is not done again: stopped, the study goes on where it
was. Then docs/study.json, docs/study.md and docs/study/*.svg are written from the units.
Other models and data, from the hub or a folder, take a task's place:

    python experiments/study.py --model mnli=OWNER/MODEL --labels mnli=contradiction,entailment,neutral \\
        --rows mnli=nyu-mll/multi_nli@validation_matched,nyu-mll/multi_nli@train --work mine
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from attattr.errors import AttAttrError
from study import run
from study.document import PARTS
from study.setting import FULL, QUICK, TASKS, Setting, Sizes


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder of the .tsv.gz files"
    )
    parser.add_argument("--parts", default="1,2,3,4,5,6,7", help="numbers, or none")
    parser.add_argument("--tasks", default=",".join(TASKS), help="only these tasks")
    parser.add_argument("--work", type=Path, default=Path("study-run"), help="folder of the units")
    parser.add_argument(
        "--out", type=Path, help="folder of the document: docs, or WORK/docs with other sizes, models or rows"
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="a handful of rows: the figures mean nothing")
    sizes.add_argument("--full", action="store_true", help="all rows")
    for name, what in (("model", "NAME"), ("labels", "A,B,C"), ("rows", "DEV,TRAIN")):
        parser.add_argument(f"--{name}", action="append", default=[], metavar=f"TASK={what}")
    asked = parser.parse_args(words)
    given = {name: named(parser, name, getattr(asked, name)) for name in ("model", "labels", "rows")}
    setting = Setting(
        asked.data, asked.work, QUICK if asked.quick else FULL if asked.full else Sizes(),
        models=given["model"], labels=given["labels"],
        rows={task: tuple(names.split(",")) for task, names in given["rows"].items()},
    )  # fmt: skip
    parts = [] if asked.parts == "none" else asked.parts.split(",")
    if wrong := set(parts) - set(map(str, PARTS)):
        parser.error(f"--parts {','.join(sorted(wrong))}: parts are {', '.join(map(str, PARTS))}")
    if wrong := set(asked.tasks.split(",")) - set(TASKS):
        parser.error(f"--tasks {','.join(sorted(wrong))}: tasks are {', '.join(TASKS)}")
    ours = setting == Setting(asked.data, asked.work)  # what docs/study.md is about
    out = asked.out or (Path("docs") if ours else asked.work / "docs")
    try:
        failed = run.measure(setting, [int(number) for number in parts], asked.tasks.split(","))
        run.document(setting, out)
        if failed:
            sys.exit(f"error: {len(failed)} units failed: {', '.join(failed)}")
    except AttAttrError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("stopped: the same command goes on with the units that are missing", file=sys.stderr)
        sys.exit(130)


def named(parser: argparse.ArgumentParser, option: str, given: list[str]) -> dict[str, str]:
    """TASK=VALUE of each."""
    found = {}
    for each in given:
        task, _, value = each.partition("=")
        if task not in TASKS or not value or (option == "rows" and value.count(",") != 1):
            parser.error(f"--{option} {each}: it is TASK=VALUE, and tasks are {', '.join(TASKS)}")
        found[task] = value
    return found


if __name__ == "__main__":
    main()
