"""docs/truth.md and its figure, written from docs/truth.json and from nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from attattr.report.plots import INK, colour_bar, figure, heat
from study.setting import Facts, write_text
from study.words import span, table
from truth import planted_document
from truth.families import FAMILIES, METHODS

FOUND = 0.95  # a method finds a family's edges where the whole interval of its average precision is above
FAILED = 0.6  # and fails where it is below: half of the edges in front give 0.5
NAMES = {"plain": "without LayerNorm", "norm": "with LayerNorm"}
AP = "average precision"


def write(results: Facts, out: Path) -> None:
    write_text(out / "truth.md", text(results))
    (out / "truth").mkdir(parents=True, exist_ok=True)
    draw(results, out / "truth" / "compiled.svg")
    if "planted" in results:
        planted_document.draw(results["planted"], out / "truth" / "planted.svg")


def text(results: Facts) -> str:
    parts = [_head(results), _answer(results), _setting(results), _theory(), _results(results)]
    parts += [_predictions(results), _shapley(results)]
    if "planted" in results:
        parts.append(planted_document.text(results["planted"]))
    return "\n".join(parts)


def verdict(of: Facts) -> str:
    """What an interval of average precision says.

    >>> verdict({"mean": 1.0, "low": 0.99, "high": 1.0})
    'finds'
    """
    return "finds" if of["low"] >= FOUND else "fails" if of["high"] <= FAILED else "in part"


def verdicts(results: Facts, kind: str, method: str) -> dict[str, str]:
    """By family."""
    return {name: verdict(of[method][AP]) for name, of in results["ranked"][kind].items()}


def _inputs(results: Facts) -> list[str]:
    return [f"{count} of {length}" for length, count in results["setting"]["sizes"]["inputs"]]


def _head(results: Facts) -> str:
    machine = results["machine"]
    inputs = sum(count for _, count in results["setting"]["sizes"]["inputs"])
    return f"""# Is it there? Methods against known truth

Written by `make truth` from [truth.json](truth.json), never by hand. Where nobody knows which edges a model
uses, each method is its own judge ([the study](study.md) among them). Here it is known, and attattr can lose:
the weights are written by hand (part 1), or a shortcut was planted by training (part 2). Part 1 has
{inputs} inputs of each family, {", ".join(_inputs(results))} tokens; torch {machine["torch"]},
transformers {machine["transformers"]}, attattr {machine["attattr"]}, {machine["machine"]},
{machine["threads"]} thread, {results["seconds"] / 60:.0f} minutes on a shared machine.
"""


def _answer(results: Facts) -> str:
    rows = []
    for method, name in METHODS.items():
        row = [name]
        for kind in NAMES:
            found = verdicts(results, kind, method)
            means = [of[method][AP]["mean"] for of in results["ranked"][kind].values()]
            fails = ", ".join(of for of, said in found.items() if said == "fails")
            count = sum(said == "finds" for said in found.values())
            row += [f"{count} of {len(found)}", f"{np.mean(means):.2f}"]
            row += [fails if fails.count(",") < 7 else f"{fails.count(',') + 1} families"]
        rows.append(row)
    said = planted_document.sentences(results["planted"]) if "planted" in results else []
    planted = "".join(f"- {each}\n" for each in said)
    header = ("method", *(f"{what}, {NAMES[k]}" for k in NAMES for what in ("finds", "mean AP", "fails on")))
    return f"""## The answer

{_sentence(results)}
{planted}

{table(header, rows)}
*Finds*: the 95 % interval of the average precision, of true against inert edges, is from {FOUND} up. *Fails*:
it is under {FAILED}; a method that puts one of two true edges in front and the other nowhere has 0.5.

![Average precision of each method on each family](truth/compiled.svg)
"""


def _sentence(results: Facts) -> str:
    """What can be quoted."""
    plain = {method: verdicts(results, "plain", method) for method in METHODS}
    norm = {method: verdicts(results, "norm", method) for method in METHODS}

    def counted(method: str) -> str:
        return f"{sum(v == 'finds' for v in plain[method].values())} of {len(plain[method])} families"

    def lost(method: str, found: dict) -> str:
        """Families, without LayerNorm with the reason that was given beforehand."""
        names = [name for name, said in found[method].items() if said != "finds"]
        if found is norm:
            return ", ".join(f"“{name}”" for name in names) or "none"
        reasons = {name: FAMILIES[name].fails.get(method, "not foreseen") for name in names}
        of = [(why, ", ".join(f"“{name}”" for name in grouped)) for why, grouped in _grouped(reasons)]
        return "; ".join(f"{grouped} ({why})" for why, grouped in of) or "none"

    counts = {m: [*plain[m].values(), *norm[m].values()].count("finds") for m in METHODS}
    best = " and ".join(METHODS[m] for m, count in counts.items() if count == max(counts.values()))
    return f"""- **Attention weights** find the true edges in {counted("attention")},
  times ‖value‖ in {counted("norm")}.
- **AttAttr from zero finds them in {counted("zero")}**, with LayerNorm in
  {sum(v == "finds" for v in norm["zero"].values())}. It loses {lost("zero", plain)} without LayerNorm,
  {lost("zero", norm)} with.
- One gradient (gradient × attention) loses {lost("gradient", plain)} without LayerNorm,
  {lost("gradient", norm)} with.
- Exact removal of each edge loses {lost("removal", plain)} without LayerNorm,
  {lost("removal", norm)} with.
- The baseline decides what can be seen ([baselines](baselines.md)): from uniform attention lost are
  {lost("uniform", plain)}; from a counterfactual input {lost("other", plain)}.
- Over both kinds of models the most is found by {best}."""


def _setting(results: Facts) -> str:
    rows = [
        (f"**{family.name}**", family.does, len(family.layers), family.true) for family in FAMILIES.values()
    ]
    return f"""## Part 1: compiled transformers

`experiments/truth/model.py` is a plain pre-norm encoder with ReLU, registered with transformers as a config
and a model class; attattr treats it as any other, by its public API. Its weights are written, not trained: a
head looks at a token by a given rule, and writes given features of it. Every model answers its inputs without
error (the tests ask).

**True and inert.** Taking an edge out sets its weight to 0, nothing else. An edge is *inert* if taking it out
changes the probability of the predicted class by nothing, whatever other edges were taken out before; every
other edge is *true*. So the two edges of “or” are true, though either can go; and so are those that cancel.
Without LayerNorm this is exact (the tests measure 1e-5 at most). With LayerNorm whatever a head writes makes
the stream longer and the logits a little smaller, so nothing is quite inert: true are the same edges, and all
others together, whichever true ones are there, move the probability by less than 0.1, the true ones together
by 0.35 to 1 (tests as well).

{table(("family", "what is asked", "layers", "true edges"), rows)}
**Inert heads** stand beside these in every layer: one that looks at the first token, which has no value for
it (an attention sink); one that looks as the first true head does and has no values; one that looks at the
next token and writes into a direction that nobody reads, as much as a true head; and in the last layer one
that looks at all alike, whose equal values lift both logits alike. A true edge's weight is near 1, and so are
n weights of each of the first three. Heads that find nothing look at the first token, too.

**Contestants** rank the edges of all layers and heads by size. *Attention*: the weight. *Attention ×
‖value‖*: times the length of what is written (Kobayashi, Kuribayashi, Yokoi and Inui 2020). *Gradient ×
attention*: one gradient, at the attention as it is. *AttAttr*: from zero (the paper's), from uniform
attention, and from that of a counterfactual input, in which the tokens that decide are fillers. *Exact
removal*: the probability less that without this one edge. What is below 1e-12 is 0. Edges
that tie are taken together in the average precision, which gains by no order; in the other measures they
count as their mean. """


def _theory() -> str:
    everywhere = {"attention", "norm", "random"}
    rows = [
        (family.name, ", ".join(METHODS[m] for m in methods), why)
        for family in FAMILIES.values()
        for why, methods in _grouped({m: w for m, w in family.fails.items() if m not in everywhere})
    ]
    return f"""## What must fail

By construction, for the models without LayerNorm:

- *Attention* must fail everywhere: {next(iter(FAMILIES.values())).fails["attention"]}, and there are more of
  them.
- *Attention × ‖value‖* must fall short everywhere: {next(iter(FAMILIES.values())).fails["norm"]}, and there
  are more of them. Where a true head writes more than that, it may still come first.
- *Random* finds nothing.

{table(("family", "must miss true edges", "because"), rows)}
A saturated *softmax* at the output is no such case: it makes all gradients of an input small alike, which
changes no order. Nor is a second layer's attention that is sure of itself: its gradient is a trace, e^-15,
and where nothing else moves the output a trace comes first. With LayerNorm the length of the stream lets a
little through of what is clipped, and of inert edges too: there nothing fails by theory alone.
"""


def _grouped(fails: dict[str, str]) -> list[tuple[str, list[str]]]:
    whys = dict.fromkeys(fails.values())
    return [(why, [method for method, said in fails.items() if said == why]) for why in whys]


def _results(results: Facts) -> str:
    made = []
    for kind, name in NAMES.items():
        ranked = results["ranked"][kind]
        made.append(f"### Average precision, {name}\n")
        made.append(
            table(
                ("family", *METHODS.values()),
                [(family, *(span(of[m][AP]) for m in METHODS)) for family, of in ranked.items()],
            )
        )
    others = [
        m for m in next(iter(results["ranked"]["plain"].values()))["zero"] if m not in (AP, "by length")
    ]
    rows = [
        (METHODS[m], *(f"{np.mean([of[m][what]['mean'] for of in results['ranked'][k].values()]):.3f}"
         for k in NAMES for what in others))
        for m in METHODS
    ]  # fmt: skip
    made.append("### The other measures, means over the families\n")
    made.append(table(("method", *(f"{what}, {NAMES[k]}" for k in NAMES for what in others)), rows))
    lengths = [length for length, _ in results["setting"]["sizes"]["inputs"]]
    rows = [(METHODS[m], *(f"{mean:.2f}" for mean in _by_length(results, m))) for m in METHODS]
    made.append("### By length: average precision, means over the families without LayerNorm\n")
    made.append(table(("method", *(f"{length} tokens" for length in lengths)), rows))
    return "## What was measured\n\n" + "\n".join(made)


def _by_length(results: Facts, method: str) -> np.ndarray:
    return np.mean([of[method]["by length"] for of in results["ranked"]["plain"].values()], axis=0)


def _predictions(results: Facts) -> str:
    rows, right, count = [], 0, 0
    for name, of in results["ranked"]["plain"].items():
        for method in FAMILIES[name].fails:
            found, short = verdict(of[method][AP]), of[method][AP]["high"] < FOUND
            count, right = count + 1, right + short
            if method not in ("attention", "norm", "random") or not short:
                rows.append(
                    (name, METHODS[method], span(of[method][AP]), found, "yes" if short else "**no**")
                )
    missed = [
        f"{METHODS[method]} on “{name}” ({span(of[method][AP])})"
        for name, of in results["ranked"]["plain"].items()
        for method in METHODS
        if method not in FAMILIES[name].fails and verdict(of[method][AP]) != "finds"
    ]
    rest = "; ".join(missed) or "none"
    return f"""## Did theory hold

Of {count} predictions that a method misses true edges, {right} came true (the interval is under {FOUND}).
Those about attention, ‖value‖ and chance are left out of the table where they came true.

{table(("family", "method", AP, "so it", "as said"), rows)}
Not foreseen, and yet not found: {rest}.
"""


def _shapley(results: Facts) -> str:
    rows: list[tuple] = []
    for kind, name in NAMES.items():
        of = list(results["shapley"][kind].values())
        for method in METHODS:
            agree = (f"{np.mean([e[method][what] for e in of]):.2f}" for what in ("Spearman", "top"))
            rows.append((METHODS[method], name, len(of), *agree))
    best = [e["shapley"][AP] for kind in NAMES for e in results["shapley"][kind].values()]
    sizes = results["setting"]["sizes"]
    return f"""## Beside Shapley values

On {sizes["tiny"]} input{"s" * (sizes["tiny"] > 1)} of {sizes["inputs"][0][0]} tokens of each family: what an
edge adds to the probability, averaged over {sizes["permutations"]:,} orders in which the edges come in,
layers mixed. By size they put the true edges first with an average precision of {np.mean(best):.2f} (least
{min(best):.2f}). *Spearman*: of the sizes, over the edges that carry anything to where it is read. *Top*: the
share of the strongest by Shapley value, of so many as are true, that a method has among its own.

{table(("method", "models", "families", "Spearman", "top"), rows)}
"""


def draw(results: Facts, path: Path) -> None:
    """Average precision, families × methods, without and with LayerNorm."""
    with figure(path, 8.6, 4.2) as drawn:
        several = drawn.subplots(1, 2, sharey=True)
        for axes, kind in zip(several, NAMES, strict=True):
            ranked = results["ranked"][kind]
            matrix = np.array([[of[m][AP]["mean"] for m in METHODS] for of in ranked.values()])
            image = heat(axes, matrix, most=1.0, signs=False)
            for (row, column), value in np.ndenumerate(matrix):
                ink = "white" if np.mean(image.to_rgba(value)[:3]) < 0.55 else INK
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=6)
            axes.set_xticks(
                range(len(METHODS)), METHODS.values(), rotation=40, ha="right", rotation_mode="anchor"
            )
            axes.set_yticks(range(len(ranked)), ranked)
            axes.set_title(NAMES[kind])
        colour_bar(drawn, image, several[-1], AP)
