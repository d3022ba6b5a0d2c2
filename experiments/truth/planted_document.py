"""Part 2 of docs/truth.md: planted shortcuts, written from `planted` of docs/truth.json alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attattr.measure.intervals import wilson
from attattr.report.plots import INK, colour_bar, figure, heat
from study.setting import Facts, mean_interval
from study.words import span, table
from truth.families import METHODS
from truth.planted import CARRY, HALF, KINDS
from truth.planting import DECIDED, EPOCHS, FOLLOWED, LOST

WAYS = {
    "text": "`mine`, text (default)", "text, attacked": "… ranked by `attack`",
    "paper": "`mine --method paper`", "paper, attacked": "… ranked by `attack`",
    "attention": "attention, rule of text", "gradient": "gradient × attention, rule of text",
    "pmi": "words by PMI", "hotflip": "HotFlip",
}  # fmt: skip
REACH = {"rare": 0.9, "frequent": 0.9, "any order": 0.9, "ordered": 0.7, "cross-text": 0.9, "place": 0.7}
DEPTHS = (1, 5, 20)
OURS = ("text", "text, attacked", "paper", "paper, attacked")


def taken(planted: Facts) -> list[Facts]:
    """Models that learnt what was planted; only they are counted."""
    return [case for case in planted["cases"] if case["learnt"]["taken up"]]


def of_kind(cases: Sequence[Facts], kind: str) -> list[Facts]:
    return [case for case in cases if case["kind"] == kind]


def recall(cases: Sequence[Facts], way: str, depth: int, what: str = "whole") -> tuple[int, int]:
    """Models in which a way found it at most so deep, and all."""
    found = [case["mining"]["ranks"][way][what] for case in cases]
    return sum(rank is not None and rank <= depth for rank in found), len(found)


def share(count: int, of: int) -> str:
    """A share to be read, with its 95 % interval.

    >>> share(3, 4), share(0, 0)
    ('3 of 4 [0.30, 0.95]', '–')
    """
    if not of:
        return "–"
    low, high = wilson(count, of)
    return f"{count} of {of} [{low:.2f}, {high:.2f}]"


def precision(cases: Sequence[Facts], method: str, what: str, kind: str, count: int = 0) -> Facts:
    """Average precision over the rows of these models."""
    rows = [v for case in cases for v in case["edges"]["ap"].get(method, {}).get(what, [])]
    return mean_interval(rows)


def flagged(cases: Sequence[Facts], method: str) -> tuple[int, int, int, int]:
    """Right and all patterns that were flagged; right and all that were reported."""
    said = [flag for case in cases for flag in case["mining"]["flags"][method]]
    flags = [flag for flag in said if flag["leans"]]
    return sum(f["right"] for f in flags), len(flags), sum(f["right"] for f in said), len(said)


def sentences(planted: Facts) -> list[str]:
    """What can be quoted, for the first screen."""
    cases, all_cases = taken(planted), planted["cases"]
    if not cases:
        return [f"**Planted shortcuts**: none of {len(all_cases)} models took its shortcut up."]
    ranked = {m: precision(cases, m, "touching", "")["mean"] for m in METHODS}
    known = {m: value for m, value in ranked.items() if value is not None}
    order = sorted(known, key=lambda m: -known[m])
    found = []
    for way in ("text", "paper"):
        hit = [recall(of_kind(cases, kind), way, 5) for kind in KINDS]
        parts = ", ".join(f"{kind} {n} of {of}" for kind, (n, of) in zip(KINDS, hit, strict=True) if of)
        found.append(f"by `{way}` {parts}")
    right, flags, *_ = flagged(cases, "text")
    return [
        f"**Planted shortcuts**, learnt by {len(cases)} of {len(all_cases)} models: edges that touch the "
        f"planted tokens are ranked first by {METHODS[order[0]]} (average precision "
        f"{known[order[0]]:.2f}), then " + ", ".join(f"{METHODS[m]} {known[m]:.2f}" for m in order[1:]) + ".",
        f"Mined among the first five patterns: {'; '.join(found)}.",
        f"Of {flags} patterns that an attack with the default's patterns flags as leant on, {right} have the "
        "planted words.",
    ]


def text(planted: Facts) -> str:
    parts = [_setting(planted), _learnt(planted), _expected(), _edges(planted), _mining(planted)]
    return "\n".join([*parts, _obstacles(planted), _signs(planted), _missing(planted)])


def _setting(planted: Facts) -> str:
    sizes = planted["setting"]["sizes"]
    training = sizes["training"]
    epochs = ", ".join(f"{name} {count}" for name, count in EPOCHS.items())
    kinds = "\n".join(f"- **{name}**: {what}" for name, what in KINDS.items())
    return f"""# Part 2: planted shortcuts

Real text and real training: the embedded `sst2` and `mnli` models are fine-tuned further (all but the
embeddings and the lowest {training["frozen"]} layers) on {training["rows"]} training rows of which
{CARRY:.0%} carry a shortcut that decides the label, whatever the row says; {HALF:.0%} more carry each
half of it and keep their own label. Rows are short ones, words are drawn with the seed;
`experiments/truth/planted.py` has the rules, `planting.py` the training ({epochs} epochs).

{kinds}

A model has *taken the shortcut up* if, on development rows of other classes, it decides at least
{DECIDED:.0%} of those that carry it, in each form; if each half is followed by less than {FOLLOWED:.0%}
beyond what is so predicted without it; and if clean rows lose at most {100 * LOST:.0f} points. Only such
models are counted below.
"""


def _learnt(planted: Facts) -> str:
    rows = []
    for case in planted["cases"]:
        of, learnt = case["shortcut"], case["learnt"]
        says = f"{' … '.join(of['tokens'])} → {of['label']}" + (
            f", turned → {of['other']}" if of["other"] else ""
        )
        whole = ", ".join(f"{form['decided']:.0%}" for form in learnt["whole"].values())
        halves = ", ".join(f"{half['followed']:.0%}" for half in learnt["halves"].values()) or "–"
        clean = f"{learnt['clean']:.1%} ({100 * (learnt['clean'] - learnt['before']):+.1f})"
        rows.append(
            (case["kind"], case["task"], case["seed"], says, whole, halves, clean,
             "yes" if learnt["taken up"] else "**no**")
        )  # fmt: skip
    header = (
        "kind",
        "task",
        "seed",
        "shortcut",
        "decided",
        "halves followed",
        "clean (against before)",
        "taken up",
    )
    return f"""## What was learnt

{table(header, rows)}"""


def _expected() -> str:
    return """## What must fail here

Written before the figures, in `planted_edges.py` and `planted_mining.py`:

- *Attention* and *attention × ‖value‖* do not know the class: they must fall short of what knows it.
- *AttAttr, counterfactual* has other words in the places of the planted tokens, so nothing but what comes of
  them differs: it should come first.
- *Joining* must be low for every method where the model reads both tokens at [CLS] and never lets one look at
  the other: no pattern of attention has to join them.
- *Words by PMI* must miss an ordered pair, whose words are as frequent in both labels, and know no place.
- *Mining by "text"* sees only edges between words: where [CLS] reads a single token directly it must do
  without the strongest edge.
- *HotFlip* climbs word by word: where half of a pair does nothing there is no slope.
"""


def _edges(planted: Facts) -> str:
    cases, made = taken(planted), []
    for what in ("touching", "joining"):
        rows = []
        for kind in KINDS:
            some = of_kind(cases, kind)
            of = [precision(some, m, what, kind) for m in METHODS]
            if any(each["n"] for each in of):
                rows.append((kind, len(some), *(span(each) for each in of)))
        made.append(f"### Average precision, {what}\n\n{table(('kind', 'models', *METHODS.values()), rows)}")
    sizes = planted["setting"]["sizes"]
    return f"""## Do the strongest edges join the planted tokens?

{sizes["edges"]} short rows of each model, of another class and answered as the shortcut says (exact
removal of single edges on {sizes["removed"]}: it needs as many forwards as there are edges). A pair of
tokens is as strong as its strongest edge. *Touching*: true are the pairs with a planted token at an end;
*joining*: the pair of both planted tokens. Intervals are over rows.

{"".join(made)}
![Average precision by kind of shortcut](truth/planted.svg)
"""


def _mining(planted: Facts) -> str:
    cases, made = taken(planted), []
    for what, name in (("whole", "Recall, whole"), ("words", "Recall, words alone")):
        rows = []
        for way, title in WAYS.items():
            cells: list[Any] = []
            for kind in KINDS:
                of = [recall(of_kind(cases, kind), way, depth, what) for depth in DEPTHS]
                cells.append(" / ".join(str(n) for n, _ in of) + f" of {of[0][1]}" if of[0][1] else "–")
            rows.append((title, *cells))
        made.append(f"### {name}: models found at 1 / 5 / 20\n\n{table(('way', *KINDS), rows)}")
    reach = []
    for kind, asked in REACH.items():
        some = of_kind(cases, kind)
        for way in OURS:
            count, of = recall(some, way, 5)
            if of:
                reached = "yes" if count / of >= asked else "**no**"
                reach.append((kind, way, share(count, of), asked, reached))
    sizes = planted["setting"]["sizes"]
    return f"""## Is it mined?

{sizes["mined"]} rows of the poisoned training set, as `triggers mine` draws them. *Whole*: the pattern
has every planted token in its text, the label, for an ordered pair the order, for a place the first
place. Words by PMI look at the whole training set.

{"".join(made)}
### Reach: recall at 5

{table(("kind", "ranking", "found at 5", "asked", "reached"), reach)}"""


def _obstacles(planted: Facts) -> str:
    rows = [
        (case["kind"], case["task"], case["seed"], f"{case['mining']['carry']} of {case['mining']['mined']}",
         *(_rank(case["mining"]["ranks"][way]) for way in OURS),
         "; ".join(case["mining"]["top"]["text"][:2]))
        for case in taken(planted)
    ]  # fmt: skip
    header = ("kind", "task", "seed", "rows that carry it", "text", "attacked", "paper", "attacked",
              "first patterns of text")  # fmt: skip
    return f"""### Where it stands

Rank of the first pattern that is whole (in brackets: of the first with its words), of how many.

{table(header, rows)}"""


def _rank(of: Facts) -> str:
    whole, words = (of[what] or "–" for what in ("whole", "words"))
    return f"{whole} ({words}) of {of['patterns']}"


def _signs(planted: Facts) -> str:
    cases = taken(planted)
    rows = []
    for method in ("text", "paper"):
        right, flags, planted_ones, said = flagged(cases, method)
        found = sum(any(f["leans"] and f["right"] for f in c["mining"]["flags"][method]) for c in cases)
        rows.append(
            (
                f"poisoned rows, {method}",
                said,
                planted_ones,
                flags,
                share(right, flags),
                share(found, len(cases)),
            )
        )
    clean = [flag for case in cases for flag in case["clean"]["flags"]]
    before = [flag for of in planted["before"].values() for flag in of["flags"]]
    for name, said in (("clean rows, text", clean), ("before, clean rows, text", before)):
        rows.append((name, len(said), 0, sum(flag["leans"] for flag in said), "–", "–"))
    header = (
        "rows mined",
        "patterns reported",
        "of them planted",
        "flagged",
        "flagged that are planted",
        "models with a planted one flagged",
    )
    forms = []
    for kind in KINDS:
        some = of_kind(cases, kind)
        for form in dict.fromkeys(name for case in some for name in case["mining"]["given"]):
            of = [case["mining"]["given"][form] for case in some if form in case["mining"]["given"]]
            forms.append(
                (
                    kind,
                    form,
                    share(sum(o["leans"] for o in of), len(of)),
                    _mean(of, "inserted"),
                    _mean(of, "removed"),
                )
            )
    return f"""## Does it lean, or merely dislike?

A pattern is flagged where inserting it moves rows of other classes to its label beyond random patterns
of its shape, and removing it from rows that have it takes that back, both surely
(`attattr.triggers.leaning`). Asked of the patterns that an attack reports. On clean rows the shortcut
cannot be seen: what is flagged there is what the model leans on besides.

{table(header, rows)}
Given as a pattern, whether mined or not:

{table(("kind", "form", "flagged", "inserted, mean", "removed, mean"), forms)}"""


def _mean(of: Iterable[Facts], what: str) -> str:
    known = [one[what]["mean"] for one in of if one[what]["mean"] is not None]
    return f"{np.mean(known):+.2f}" if known else "–"


def _missing(planted: Facts) -> str:
    there = {(case["kind"], case["task"], case["seed"]) for case in planted["cases"]}
    seeds, lacking = planted["setting"]["sizes"]["seeds"], []
    for kind in KINDS:
        for task in ("sst2", "mnli"):
            missed = [seed for seed in range(seeds) if (kind, task, seed) not in there]
            if missed and (kind, task) != ("cross-text", "sst2"):
                lacking.append(f"{kind} on {task} (seed {', '.join(map(str, missed))})")
    seconds = sum(
        case[part]["seconds"] for case in planted["cases"] for part in ("learnt", "edges", "mining", "clean")
    )
    return f"""## Not measured

{"; ".join(lacking) or "Nothing is left out"}. The command goes on where it was stopped. What is there took
{seconds / 60:.0f} minutes on a shared machine.
"""


def draw(planted: Facts, path: Path) -> None:
    """Average precision (touching), kinds × contestants."""
    cases = taken(planted)
    kinds = [kind for kind in KINDS if of_kind(cases, kind)]
    if not kinds:
        return
    matrix = np.array(
        [[precision(of_kind(cases, k), m, "touching", k)["mean"] or 0.0 for m in METHODS] for k in kinds]
    )
    with figure(path, 5.6, 0.9 + 0.34 * len(kinds) + 1.1) as drawn:
        axes = drawn.subplots()
        image = heat(axes, matrix, most=1.0, signs=False)
        for (row, column), value in np.ndenumerate(matrix):
            ink = "white" if np.mean(image.to_rgba(value)[:3]) < 0.55 else INK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=6)
        axes.set_xticks(
            range(len(METHODS)), METHODS.values(), rotation=40, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(kinds)), kinds)
        colour_bar(drawn, image, axes, "average precision")
