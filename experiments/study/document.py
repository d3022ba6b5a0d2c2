"""docs/study.md, its figures, and docs/study.json, written from the units and from nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from study import attention, claims, cost, lines, numerics, pruning, sentences, trees, triggers, universality
from study.paper import PAPER
from study.setting import Facts, plain, write_json, write_text
from study.verdicts import RULES, VERDICTS, Case
from study.words import table

SCHEMA_VERSION = "2"
PARTS: dict[int, ModuleType] = {
    1: attention, 2: pruning, 3: universality, 4: trees, 5: triggers, 6: numerics, 7: cost,
}  # fmt: skip


def write(results: Facts, out: Path) -> None:
    """study.json, study.md and study/*.svg."""
    results = plain(results)  # as it is read back: the same figures from the units and from study.json
    write_json(out / "study.json", results)
    folder = out / "study"
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS.values():
        if hasattr(part, "draw"):
            part.draw(results["units"], folder)
    write_text(out / "study.md", text(results))


def text(results: Facts) -> str:
    units = results["units"]
    cases = claims.every(units)
    sections = [
        made + _verdicts(number, cases) for number, part in PARTS.items() if (made := part.section(units))
    ]
    return "\n".join([_head(results, units, cases), _summary(units, cases), _measured(results), *sections])


def _head(results: Facts, units: Facts, cases: Sequence[Case]) -> str:
    own = results["setting"]["models"] or results["setting"]["rows"]
    what = "the five embedded models (MiniLM, 6 layers of 12 heads)"
    if own:
        what = f"other models and rows ({own})"
    told = "\n".join(f"- **{of.capitalize()}.** {said}" for of, said in lines.lines(units, cases))
    return f"""# The study: the paper's claims, and what we measure

On {what}; the paper (Hao, Dong, Wei and Xu,
AAAI 2021, arXiv 2004.11207) has BERT-base-cased, 12 layers of 12 heads. So: whether its claims hold there
too, not its numbers with its weights. Attribution is from zero attention, as in the paper.

{told}

Rules, intervals and reasons stand in the parts, with the commands that measure them. Whether the edges it
finds are those that matter, on models where that is known: [truth](truth.md).
"""


def _summary(units: Facts, cases: Sequence[Case]) -> str:
    verdicts = {key: of for key in PAPER if (of := sentences.verdict(cases, key))}
    rows = [
        (said.claim, said.figure, sentences.SENTENCES[key](units), f"**{of}**", _link(said.part))
        for key, of in verdicts.items()
        for said in [PAPER[key]]
    ]
    there = list(verdicts.values())
    counts = ", ".join(f"{there.count(of)} × {of}" for of in VERDICTS if of in there)
    return f"""## Claims

{counts}. †: remembered of the paper, not looked up.

{table(("claim", "paper", "here, in the mean", "verdict", "why"), rows)}
- An interval of 95 % decides. *Holds*: the whole interval is on the claim's side of its bound. *Holds
  weakly*: the mean is. *Cannot tell*: the mean is not, and the interval is on both sides. *Does not hold
  here*: the whole interval is on the other side. *Holds in part*: surely in some cases (tasks, layers) and
  surely not in others. *Not comparable*: not measured in the paper's units. Of several tasks the worst
  decides. The bounds and their reasons: `experiments/study/verdicts.py`.
- One reason for a claim that does not hold could not be tried, the size of the model: no larger one is
  embedded. `python experiments/study.py --help` says how to put your own in a task's place.
"""


def _link(part: int) -> str:
    """To a part's verdicts, as its title is made an anchor."""
    return f"[{part}](#verdicts-of-part-{part})"


def _verdicts(number: int, cases: Sequence[Case]) -> str:
    """Below a part: its claims' rules, once, and what each came to on each task."""
    made = ""
    for key, said in PAPER.items():
        own = [case for case in cases if case.key == key]
        if said.part == number and own:
            made += f"\n**{said.claim}**: {sentences.verdict(cases, key)}. *Rule*: {RULES[key]}\n\n"
            made += "\n".join(f"- {c.about}: {c.ours}: **{c.verdict}**. {c.facts}" for c in own) + "\n"
    return made and f"\n### Verdicts of part {number}\n{made}"


def _measured(results: Facts) -> str:
    units = results["units"]
    made = [unit["made"] for unit in units.values()]
    hours = sum(unit["seconds"] for unit in units.values()) / 3600
    missing = [name for part in PARTS.values() for name in part.UNITS if name not in units]
    still = f"- Not measured yet: {', '.join(missing)}.\n" if missing else ""
    pools = {of["sizes"]["pool"] for of in made if "pool" in of["sizes"]}
    pool = " or ".join("all rows" if most is None else f"at most {most:,}" for most in pools)
    other = ", ".join(results["setting"]["rows"])
    source = "`../shared/data`" + (f", of {other} those that were given" if other else "")
    commits = Counter(of["commit"] or "an unknown commit" for of in made)
    code = ", ".join(f"{commit} ({n})" for commit, n in commits.most_common())
    machines = {
        f"torch {of['torch']}, transformers {of['transformers']}, attattr {of['attattr']}, {of['machine']}, "
        f"{of['threads']} thread"
        for of in (each["machine"] for each in made)
    }
    return f"""## How it was measured

- Written by `make study` from [study.json](study.json), figures included, never by hand. The command below a
  part's title measures it again; the other one of that line is the tool's own, on rows of your choice. What
  is done is kept in `study-run` and not done again: delete a unit's file to have it made anew, and
  `heads-TASK.parquet` or `patterns-TASK.jsonl` as well where heads are to be ranked or patterns mined again.
- Rows: development sets of {source}, {pool or "all rows"} of each (`--full`: all). Samples are
  drawn once, each class with its share; tables say how many.
- What is chosen is reported on other rows: heads are ranked on some and pruned on others, patterns are mined
  in the training set, all screened on some development rows, the worst chosen on more and reported on others.
- Intervals: bootstrap over inputs for means, Wilson for accuracies, Student over groups of rows for areas
  between curves of the same rows. They tell what other inputs would change, not other models.
- {"; ".join(sorted(machines))}; {hours:.1f} hours on a shared machine.
- Code, by commit (units): {code}. “By”: made by it or before; it was not recorded then.
{still}"""
