"""docs/study.md, its figures, and docs/study.json, written from the units and from nothing else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import ModuleType

from study import attention, claims, cost, numerics, pruning, trees, triggers, universality
from study.paper import PAPER
from study.setting import Facts, Setting, plain, write_json, write_text
from study.verdicts import VERDICTS
from study.words import table

SCHEMA_VERSION = "1"
PARTS: dict[int, ModuleType] = {
    1: attention, 2: pruning, 3: universality, 4: trees, 5: triggers, 6: numerics, 7: cost,
}  # fmt: skip


def write(results: Facts, setting: Setting, out: Path) -> None:
    """study.json, study.md and study/*.svg; pictures of trees come from the folder of the units."""
    results = plain(results)  # as it is read back: the same figures from the units and from study.json
    write_json(out / "study.json", results)
    folder = out / "study"
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS.values():
        if hasattr(part, "draw"):
            part.draw(results["units"], folder)
    for name in trees.EXAMPLES:
        drawn = setting.work / f"tree-{name}.svg"
        if drawn.exists():
            shutil.copyfile(drawn, folder / drawn.name)
    write_text(out / "study.md", text(results))


def text(results: Facts) -> str:
    units = results["units"]
    sections = {number: part.section(units) for number, part in PARTS.items()}
    anchors = {number: _anchor(made) for number, made in sections.items() if made}
    return "\n".join([_head(results), _summary(units, anchors), *filter(None, sections.values())])


def _anchor(section: str) -> str:
    """Where a link to the section leads.

    >>> _anchor("## 3. Shared heads\\n…")
    '#3-shared-heads'
    """
    title = section.removeprefix("## ").split("\n")[0].lower()
    return "#" + re.sub(r"[^a-z0-9 ]", "", title).replace(" ", "-")


def _head(results: Facts) -> str:
    machine, units = results["machine"], results["units"]
    hours = sum(unit["seconds"] for unit in units.values()) / 3600
    missing = [name for part in PARTS.values() for name in part.UNITS if name not in units]
    still = f"- Not measured yet: {', '.join(missing)}.\n" if missing else ""
    most = results["setting"]["sizes"]["pool"]
    pool = "all" if most is None else f"{most:,}"
    own = results["setting"]["models"] or results["setting"]["rows"]
    other = ", ".join(results["setting"]["rows"])
    source = "`../shared/data`" + (f", of {other} those that were given" if other else "")
    what = (
        f"other models and rows ({own})" if own else "the five embedded models (MiniLM, 6 layers of 12 heads)"
    )
    return f"""# The study: the paper's tables and figures, ours beside theirs

Written by `make study` from [study.json](study.json), never by hand. The paper (Hao, Dong, Wei and Xu,
AAAI 2021, arXiv 2004.11207) has BERT-base-cased, 12 layers of 12 heads; this run has
{what}. So it asks whether a claim holds there too;
it does not repeat the paper's numbers with the paper's weights.

- Rows: development sets of {source}. Samples are drawn once, each class with its share; tables say how many.
  Of a development set at most {pool} rows are drawn from (`--full`: all).
- What is chosen is reported on other rows: heads are ranked on some and pruned on others, patterns are
  mined in the training set, all screened on some development rows, the worst chosen on more and reported on
  others.
  The table of other ways to mine, in part 5, picks none, and says so where one of it is named as the best.
- Intervals are of 95 %: bootstrap over inputs for means, Wilson for accuracies, Student over groups of rows
  for areas between curves of the same rows. They tell what other inputs would change, not other models.
- *Holds*: the whole interval is on the claim's side of its bound. *Holds weakly*: the mean is. *Cannot
  tell*: the mean is not, and the interval is on both sides. *Does not hold here*: the whole interval is on
  the other side. What the bound is, and where a claim has other steps, stands with the claim.
- The command below a part's title measures it again; the other one of that line is the tool's own, on rows
  of your choice. What is done is kept in `study-run` and not done again: delete a unit's file to have it
  made anew, and `heads-TASK.parquet` or `patterns-TASK.jsonl` as well where heads are to be ranked or
  patterns mined again.
- torch {machine["torch"]}, transformers {machine["transformers"]}, attattr {machine["attattr"]},
  {machine["machine"]}, {machine["threads"]} thread; {hours:.1f} hours on a shared machine.
{still}"""


def _summary(units: Facts, anchors: dict[int, str]) -> str:
    made = claims.every(units)
    rows = [
        (
            said.claim,
            f"{said.figure} (section {said.section})",
            c.about,
            c.ours,
            f"**{c.verdict}**",
            f"[{said.part}]({anchors[said.part]})",
        )
        for c in made
        for said in [PAPER[c.key]]
    ]
    counts = ", ".join(
        f"{sum(c.verdict == verdict for c in made)} × {verdict}"
        for verdict in VERDICTS
        if any(c.verdict == verdict for c in made)
    )
    why = "\n".join(f"- *{PAPER[c.key].claim}*, {c.about}: {c.verdict}. {c.why}" for c in made)
    return f"""## Claims

{counts}.

Verdicts follow from the numbers by the rules in `experiments/study/verdicts.py`; what was tried where a claim
does not hold stands below. One reason could not be tried, the size of the model: no larger one is embedded.
`python experiments/study.py --help` says how to put your own in a task's place.

{table(("claim", "paper", "on", "ours", "verdict", "part"), rows)}
### Why

{why}
"""
