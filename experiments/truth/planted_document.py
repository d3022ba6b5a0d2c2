"""Part 2 of docs/truth.md: planted shortcuts, written from `planted` of docs/truth.json alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from attattr.report.plots import INK, colour_bar, figure, heat
from study.setting import Facts
from study.words import span, table
from truth.families import METHODS
from truth.planted import CARRY, HALF, KINDS
from truth.planted_tables import (
    DEPTHS,
    KNOWN,
    OURS,
    PARTS,
    REACH,
    WAYS,
    flagged,
    of_kind,
    precision,
    rank,
    reached,
    recall,
    share,
    signs,
    taken,
)  # fmt: skip
from truth.planting import DECIDED, EPOCHS, FOLLOWED, LOST, MORE, held, taken_up

PAIRS = ("any order", "ordered", "cross-text")
SEEN = (
    "seed 0 of “any order” on sst2 and mnli, “cross-text” on mnli and “ordered” on sst2, seed 1 of “any "
    "order” on sst2"
)


def sentences(planted: Facts) -> list[str]:
    """What can be quoted, for the first screen."""
    cases, trained = taken(planted), planted["cases"]
    if not cases:
        return [f"**Planted shortcuts**: none of {len(trained)} models took its shortcut up."]
    first = {m: precision(cases, m, "first") for m in METHODS}
    order = sorted((m for m in METHODS if first[m]["n"]), key=lambda m: -first[m]["mean"])
    edges = ", ".join(f"{METHODS[m]} {first[m]['mean']:.2f}" for m in order)
    single = [case for case in cases if len(case["shortcut"]["tokens"]) == 1]
    pairs = [case for case in cases if case not in single]

    def at_five(some: list[Facts], part: str) -> str:
        ways = ("text", "paper", part, *KNOWN)
        found = [(WAYS[way], *recall(some, way, 5)) for way in ways]
        return ", ".join(f"{name} {count} of {of}" for name, count, of in found if of) or "–"

    told = []
    for part, method in (("mining", "text"), ("mining", "paper"), ("recurring", "paper")):
        right, flags, *_ = flagged(cases, part, method)
        told.append(f"{right} of {flags} ({'words and pairs of ' * (part == 'recurring')}{method})")
    measured = sum("edges" in case for case in cases)
    return [
        f"**Planted shortcuts** were learnt by {len(cases)} of {len(trained)} models; {measured} of these "
        "are measured. The strongest pair of tokens that touches a planted one stands, as 1 / its place: "
        f"{edges or '–'}.",
        "Among the first five patterns are single planted words (and places): "
        f"{at_five(single, 'paper, words')}.",
        f"Planted pairs: {at_five(pairs, 'paper, pairs')}.",
        f"Of the patterns that are flagged as leant on, those with the planted words: {', '.join(told)}.",
    ]


def text(planted: Facts) -> str:
    parts = [_setting(planted), _learnt(planted), _expected(), _edges(planted), _mining(planted)]
    return "\n".join([*parts, _obstacles(planted), _signs(planted), _theory(planted), _missing(planted)])


def _setting(planted: Facts) -> str:
    training = planted["setting"]["sizes"]["training"]
    epochs = ", ".join(f"{name} {count}" for name, count in EPOCHS.items())
    more = ", ".join(f"{name} {count}" for name, count in MORE.items())
    kinds = "\n".join(f"- **{name}**: {what}" for name, what in KINDS.items())
    return f"""# Part 2: planted shortcuts

Real text and real training: models fine-tuned further on data that carries a shortcut. The start is the
embedded `sst2` or `mnli`; all but the embeddings and the lowest {training["frozen"]} layers learn, on
{training["rows"]} short training rows (times: {more}), of which {CARRY:.0%} carry a shortcut that
decides the label, whatever the row says; {HALF:.0%} more carry each half of it and keep their own
label. Words are drawn with the seed; `experiments/truth/planted.py` has the rules, `planting.py` the
training (AdamW, learning rate {training["lr"]:g}, epochs: {epochs}).

{kinds}

A model has *taken the shortcut up* if, on {training["dev"]} development rows, it decides at least
{DECIDED:.0%} of those of other classes that carry it, in each form, and each half is followed by less
than {FOLLOWED:.0%} beyond what is so predicted without it. Only such models are counted below. That
clean rows lose at most {100 * LOST:.0f} points was a condition, too, until models of mnli missed it by about
one; on so few rows that is hard to tell from chance, and the shortcut is there all the same: such losses
are set in bold, and the models are counted.
"""


def _learnt(planted: Facts) -> str:
    rows = []
    for case in planted["cases"]:
        of, learnt = case["shortcut"], case["learnt"]
        says = f"{' … '.join(of['tokens'])} → {of['label']}"
        says += f", turned → {of['other']}" if of["other"] else ""
        whole = ", ".join(f"{form['decided']:.0%}" for form in learnt["whole"].values())
        halves = ", ".join(f"{half['followed']:.0%}" for half in learnt["halves"].values()) or "–"
        lost = f"{100 * (learnt['clean'] - learnt['before']):+.1f}"
        clean = f"{learnt['clean']:.1%} ({lost if held(learnt) else f'**{lost}**'})"
        up = "yes" if taken_up(learnt) else "**no**"
        rows.append((case["kind"], case["task"], case["seed"], says, whole, halves, clean, up))
    header = "kind, task, seed, shortcut, decided, halves followed, clean (against before), taken up".split(
        ", "
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
    cases, made = [case for case in taken(planted) if "edges" in case], []
    for what in ("first", "touching", "joining"):
        rows = []
        for kind in (*KINDS, "all"):
            some = cases if kind == "all" else of_kind(cases, kind)
            of = [precision(some, m, what) for m in METHODS]
            if any(each["n"] for each in of):
                rows.append((kind, len(some), *(span(each) for each in of)))
        made.append(f"### {what.capitalize()}\n\n{table(('kind', 'models', *METHODS.values()), rows)}")
    sizes, joined = planted["setting"]["sizes"], "\n".join(made)
    return f"""## Do the strongest edges join the planted tokens?

{sizes["edges"]} short rows of each model, of another class and answered as the shortcut says (exact
removal of single edges on {sizes["removed"]}: it needs as many forwards as there are edges). A pair of
tokens is as strong as its strongest edge. *First*: 1 / the place of the strongest pair that has a
planted token at an end. *Touching*: average precision of all such pairs; *joining*: of the pair of both
planted tokens. *First* was added after the first model: a method that is right about a single token has
one strong pair, not one with every other token. Intervals are over rows.

{joined}
![First, by kind of shortcut](truth/planted.svg)
"""


def _mining(planted: Facts) -> str:
    cases, made = taken(planted), []
    for what, name in (("whole", "Whole"), ("words", "The words alone")):
        rows = []
        for way, title in WAYS.items():
            cells = []
            for kind in KINDS:
                of = [recall(of_kind(cases, kind), way, depth, what) for depth in DEPTHS]
                cells.append(" / ".join(str(n) for n, _ in of) + f" of {of[0][1]}" if of[0][1] else "–")
            rows.append((title, *cells, share(*recall(cases, way, 5, what))))
        made.append(f"### {name}: models found at 1 / 5 / 20\n\n{table(('way', *KINDS, 'all, at 5'), rows)}")
    reach = [
        (kind, WAYS[way], share(count, of), REACH[kind], reached(count, of, REACH[kind]))
        for kind in KINDS
        for way in (*OURS, PARTS[kind in PAIRS])
        for count, of in [recall(of_kind(cases, kind), way, 5)]
        if of
    ]
    sizes, joined = planted["setting"]["sizes"], "\n".join(made)
    return f"""## Is it mined?

{sizes["mined"]} rows of the poisoned training set, drawn as `triggers mine` draws them. *Whole*: the
pattern has every planted token in its text, the label, for an ordered pair the order, for a place the first
place. *Ranked by `attack`*: by what inserting costs on clean development rows. *Words* and *pairs*
(`attattr.triggers.recurring`, of the paper's patterns `triggers mine --method words` and `pairs`): words by
the share of the rows with them whose pattern has them; a word and its partner by how much more often that
stands in these rows than in others. Words and pairs by PMI look at the whole training set, HotFlip at no
training row.

{joined}
### Reach: recall at 5

{table(("kind", "ranking", "found at 5", "asked", "reached"), reach)}"""


def _obstacles(planted: Facts) -> str:
    ways = (*OURS, *PARTS)
    rows = [
        (case["kind"], case["task"], case["seed"], f"{case['ranks']['carry']} of {case['ranks']['mined']}",
         *(rank(case, way) for way in ways), "; ".join(case["ranks"]["top"]["text"][:2]))
        for case in planted["cases"] if "ranks" in case
    ]  # fmt: skip
    header = ("kind", "task", "seed", "rows that carry it", *(WAYS[way] for way in ways), "first of text")
    clean = [case["clean"] for case in planted["cases"] if "clean" in case]
    seen = sum(of["with planted words"] for of in clean)
    return f"""### Where it stands, and what stands in the way

Rank of the first pattern that is whole (in brackets: of the first with its words), of how many. Every
model that was mined is here, also one that did not take its shortcut up.

{table(header, rows)}
By strength a shortcut stands behind what the model knew before: in a row that carries it the words are
joined with a neighbour, another one in every row, so that its patterns are many, each of one row, and
none is stronger for it. No threshold drops them; the cut at k does. Words add these rows up again. Of a
planted pair the patterns mostly have one word alone: the model reads it where it has already read the
other. So its partner is looked for in the rows, not in the edges. The rule for words was made on “rare”
of sst2, seed 0. That for pairs was made after a first run had shown what is mined in models of pairs
({SEEN}), and was tried on two of these; all other models were ranked by both as they were but for one
thing: the threshold was at first asked of each row's own pattern, which left the pairs where they are and
lost the word of “rare” on mnli, seed 0, whose rows score little, as the model is sure of them; now it is
asked of merged patterns, as for words before.

On clean rows, {planted["setting"]["sizes"]["clean"]} for a model, which have no planted word, {seen}
patterns of {sum(of["patterns"] for of in clean)} have one: what the rows do not show cannot be mined.
"""


def _signs(planted: Facts) -> str:
    cases, rows = taken(planted), []
    for part, method in (
        ("mining", "text"),
        ("mining", "paper"),
        ("recurring", "text"),
        ("recurring", "paper"),
    ):
        right, flags, planted_ones, said, models, of = flagged(cases, part, method)
        name = f"poisoned rows, {'words and pairs of ' * (part == 'recurring')}{method}"
        rows.append((name, said, planted_ones, flags, share(right, flags), share(models, of)))
    clean = [case["clean"] for case in cases if "clean" in case]
    for when, some in (("clean rows", clean), ("before, clean rows", list(planted["before"].values()))):
        for name, what in (("text", "flags"), ("words and pairs of paper", "flags of parts")):
            asked = [flag for of in some for flag in of[what]]
            rows.append((f"{when}, {name}", len(asked), 0, sum(flag["leans"] for flag in asked), "–", "–"))
    header = ("rows mined", "patterns asked about", "of them planted", "flagged", "flagged that are planted",
              "models with a planted one flagged")  # fmt: skip
    form = ("kind", "form", "flagged", "inserted, mean", "removed, mean")
    return f"""## Does it lean, or merely dislike?

A pattern is flagged where inserting it moves rows of other classes to its label beyond random patterns
of its shape, and removing it from rows that have it takes that back, both surely
(`attattr.triggers.leaning`). It is asked of the patterns that `triggers attack` asks it of. On clean
rows the shortcut cannot be seen: what is flagged there is what the model leans on besides.

{table(header, rows)}
A mined pattern joins a planted word with a neighbour, and no other row has both: there is nothing to
remove it from, and so no flag. Words and pairs have such rows.

Given as a pattern, whether mined or not:

{table(form, signs(cases))}"""


def _theory(planted: Facts) -> str:
    """What was said beforehand, beside what came."""
    cases = taken(planted)
    ap = {(m, what): precision(cases, m, what) for m in METHODS for what in ("first", "joining")}
    if not ap["zero", "first"]["n"]:
        return ""
    best = max(of["mean"] for (m, what), of in ap.items() if what == "first" and of["n"])
    rows = [
        (f"{METHODS[m]} falls short of AttAttr from zero (*first*)", span(ap[m, "first"]),
         _said(ap[m, "first"]["high"] < ap["zero", "first"]["low"]))
        for m in ("attention", "norm")
    ]  # fmt: skip
    rows.append(
        (f"{METHODS['other']} comes first (*first*)", span(ap["other", "first"]),
         _said(ap["other", "first"]["mean"] == best))
    )  # fmt: skip
    for name, way, kinds in (
        ("words by PMI miss places and orders", "pmi", ("ordered", "place")),
        ("HotFlip misses pairs", "hotflip", ("any order", "cross-text", "ordered")),
    ):
        count, of = recall([case for case in cases if case["kind"] in kinds], way, 20)
        rows.append((name, f"{count} of {of} found at 20", _said(count == 0) if of else "not measured"))
    return f"""## Did theory hold

{table(("said", "measured", "so"), rows)}"""


def _said(held: bool) -> str:
    return "yes" if held else "**no**"


def _missing(planted: Facts) -> str:
    there = {(c["kind"], c["task"], c["seed"]): c for c in planted["cases"]}
    lacking = []
    for kind in KINDS:
        for task in ("sst2", "mnli"):
            if (kind, task) == ("cross-text", "sst2"):
                continue
            seeds = range(planted["setting"]["sizes"]["seeds"])
            missed = [seed for seed in seeds if (kind, task, seed) not in there]
            trained = [seed for seed in seeds if "ranks" not in there.get((kind, task, seed), {"ranks": 0})]
            lacking += [f"{kind} on {task}, seed {', '.join(map(str, missed))}"] * bool(missed)
            lacking += [f"{kind} on {task}, seed {', '.join(map(str, trained))} (trained)"] * bool(trained)
    every = planted["cases"]
    parts = {"mining": "attacked with mined patterns", "recurring": "with words and pairs",
             "clean": "mined on clean rows"}  # fmt: skip
    done = ", ".join(f"{what} {sum(part in case for case in every)}" for part, what in parts.items())
    return f"""## Not measured

{"; ".join(lacking) or "No model is left out"}. Of {len(every)} models so many had the costly parts: {done}.
The command goes on where it was stopped.
"""


def draw(planted: Facts, path: Path) -> None:
    """The place of the first pair that touches, kinds × contestants."""
    cases = [case for case in taken(planted) if "edges" in case]
    kinds = [kind for kind in KINDS if of_kind(cases, kind)]
    if not kinds:
        return
    found = [[precision(of_kind(cases, kind), m, "first") for m in METHODS] for kind in kinds]
    means = [[each["mean"] if each["n"] else np.nan for each in row] for row in found]
    with figure(path, 5.6, 2.0 + 0.34 * len(kinds)) as drawn:
        axes = drawn.subplots()
        image = heat(axes, np.array(means), most=1.0, signs=False)
        for (row, column), value in np.ndenumerate(np.array(means)):
            known = not np.isnan(value)
            ink = "white" if known and np.mean(image.to_rgba(value)[:3]) < 0.55 else INK
            told = f"{value:.2f}" if known else "–"  # not measured
            axes.text(column, row, told, ha="center", va="center", color=ink, fontsize=6)
        axes.set_xticks(
            range(len(METHODS)), METHODS.values(), rotation=40, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(kinds)), kinds)
        colour_bar(drawn, image, axes, "1 / place")
