"""Is it there? Methods against known truth: hand-written transformers, and shortcuts planted by training.

    python experiments/truth.py                      # all of it; then docs/truth.md
    python experiments/truth.py --parts planted      # one part of it
    python experiments/truth.py --quick --work /tmp/q    # does it run at all: a minute or two; /tmp/q/docs
    python experiments/truth.py --document           # only the document, from docs/truth.json

Every unit of work is kept in the folder --work and is not done again: stopped, it goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from attattr.errors import AttAttrError
from truth import planted_run, run

PARTS = ("compiled", "planted")


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("truth-run"), help="folder of the units")
    parser.add_argument("--out", type=Path, help="folder of the document: docs, with --quick WORK/docs")
    parser.add_argument("--quick", action="store_true", help="two inputs each: the figures mean nothing")
    parser.add_argument("--parts", default=",".join(PARTS), help="compiled, planted, or both (default)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="SST-2 and MNLI")
    parser.add_argument("--document", action="store_true", help="measure nothing")
    asked = parser.parse_args(words)
    parts = asked.parts.split(",")
    if unknown := sorted({*parts} - {*PARTS}):
        parser.error(f"there is no part '{unknown[0]}': choose of {', '.join(PARTS)}")
    out = asked.out or (asked.work / "docs" if asked.quick else Path("docs"))
    try:
        if "compiled" in parts and not asked.document:
            run.measure(asked.work, run.QUICK if asked.quick else run.Sizes(), out)
        if "planted" in parts and not asked.document:
            sizes = planted_run.QUICK if asked.quick else planted_run.Sizes()
            planted_run.measure(asked.data, asked.work / "planted", sizes, lambda facts: run.keep(out, facts))
        run.document(out)
    except AttAttrError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("stopped: the same command goes on with the units that are missing", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
