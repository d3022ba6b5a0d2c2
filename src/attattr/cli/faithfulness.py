"""attattr faithfulness: how much do the edges that attribution names matter?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attattr.cli import options
from attattr.cli.resuming import done, resuming
from attattr.cli.tree import Threshold, check_threshold

if TYPE_CHECKING:
    from attattr.measure.faithfulness import Estimate, Faithfulness

NAMES = {
    "attribution": "attribution",
    "gradient_x_attention": "gradient × attention",
    "attention": "attention weight",
    "random": "random",
}


@dataclass(frozen=True)
class SomeData(options.SomeRows):
    limit: options.Limit = 100


def faithfulness(
    the_data: SomeData,
    the_model: options.TheModel,
    threshold: Threshold = 0.4,
    json_file: options.Json = None,
    fresh: options.Fresh = False,
) -> None:
    """What becomes of predictions on DATA when attributed edges are taken out, or all others.

    Example: attattr faithfulness sst2_dev.tsv.gz --model sst2
    """
    check_threshold(threshold)
    options.check_files({"--json": json_file}, [the_data.data, the_model.model])
    examples, problems = the_data.read(unlabelled=True)
    options.report(problems)
    attributor = the_model.attributor()
    from attattr.measure.faithfulness import measure_faithfulness

    with resuming(fresh, json_file) as resume, options.progress_bar("measuring") as progress:
        found = measure_faithfulness(
            attributor, examples, threshold=threshold, seed=the_data.seed, progress=progress, resume=resume
        )
    if json_file is not None:
        facts = {
            **found.to_json(),
            "model": attributor.facts,
            "data": the_data.name,
            "limit": the_data.most,
            "left_out": [problem._asdict() for problem in problems],
        }
        options.write_json(json_file, facts)
    done(resume)
    if json_file != "-":
        _show(found, f"{the_model.model} on {the_data.name}")


def _show(found: Faithfulness, title: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    from attattr.report.tables import banded

    console = Console(highlight=False)
    console.print(f"[bold]{escape(title)}[/bold]  n = {found.n:,}, means with 95 % bootstrap intervals")
    console.print(f"probability of the predicted class: {_span(found.clean)}")

    def show(columns: Sequence[str], cells: Mapping[str, Sequence[str]]) -> None:
        rows = [(name, *values) for name, values in cells.items()]
        console.print(banded(("edges chosen by", *columns), rows, console.width))

    edges = f"{found.tree_edges.mean:.1f} edges a tree, threshold {found.threshold:g}"
    console.print(f"\n[bold]The tree's edges[/bold] ({edges}), beside as many of each layer")
    by_tree: dict[str, list[str]] = {}
    for method, name in NAMES.items():
        flips = [f"{of[method].mean:.0%}" for of in (found.flips or {}).values()]
        by_tree[name] = [_span(found.keep[method]), _span(found.remove[method]), *flips]
    by_tree["none"] = [_span(found.keep_none), "", *("" for _ in found.flips or ())]
    flipped = ["flips with only these", "flips without these"] if found.flips else []
    show(["only these", "without these", *flipped], by_tree)
    console.print("\n[bold]What attribution is ahead by[/bold], example by example")
    others = list(NAMES.items())[1:]
    ahead = {name: [_span(of[method], "+.3f") for of in found.lead.values()] for method, name in others}
    show(["only these", "without these"], ahead)
    console.print("\n[bold]All edges, of all layers and heads[/bold], area below the curve")
    areas = {
        name: [_span(found.deletion[method].area), _span(found.insertion[method].area)]
        for method, name in NAMES.items()
    }
    show(["deletion (lower is better)", "insertion (higher is better)"], areas)
    for what, curves in (("deleted", found.deletion), ("inserted", found.insertion)):
        console.print(f"\nprobability with this share {what}")
        shares = {
            name: [f"{value.mean:.3f}" for value in curves[method].values] for method, name in NAMES.items()
        }
        show([f"{fraction:.0%}" for fraction in found.fractions], shares)


def _span(estimate: Estimate, form: str = ".3f") -> str:
    return f"{estimate.mean:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"
