"""attattr heads: which heads matter, whether that is so, and what tasks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attattr.choices import CRITERIA, Reduction
from attattr.cli import options
from attattr.cli.resuming import done, resuming
from attattr.errors import InputError

if TYPE_CHECKING:
    from attattr.heads.effectiveness import Effectiveness
    from attattr.heads.importance import Correlation, HeadRanking

SHOWN = 10
SCHEMA_VERSION = "1"
Criteria = Annotated[
    str,
    typer.Option(
        help=f"One or more of {', '.join(CRITERIA)}.",
        metavar="NAME[,NAME…]",
    ),
]


@dataclass(frozen=True)
class Sample(options.SomeRows):
    """The paper ranks heads over about 200 rows."""

    limit: options.Limit = 200


def rank(
    the_data: Sample,
    the_model: options.TheModel,
    criterion: Criteria = "attattr",
    reduce: Annotated[Reduction, typer.Option(help="Of attattr, over a head's scores.")] = "max",
    target: Annotated[
        Literal["gold", "predicted"], typer.Option(help="Of attattr: the class attributed.")
    ] = "gold",
    out: Annotated[str | None, typer.Option(help="Write the table (Parquet).", metavar="FILE")] = None,
    figure: options.Figure = None,
    fresh: options.Fresh = False,
) -> None:
    """Rank the heads of a model by their importance on DATA, with 95 % bootstrap intervals.

    Example: attattr heads rank mnli_dev.tsv.gz --model mnli --out heads.parquet --figure heads.svg
    """
    if "attattr" not in named(criterion):
        options.refuse("goes with --criterion attattr", "reduce", "target")
    options.check_files({"--out": out, "--figure": figure}, [the_data.data, the_model.model])
    labels = target == "gold" or set(named(criterion)) > {"attattr"}
    examples, problems = the_data.read(unlabelled=not labels)
    options.report(problems)
    attributor = the_model.attributor()
    from attattr.heads.importance import rank_heads

    progress_bar = options.progress_bar("ranking heads", parts=len(named(criterion)) > 1)
    with resuming(fresh, out, figure) as resume, progress_bar as progress:
        found = rank_heads(
            attributor, examples, criteria=named(criterion), reduce=reduce, target=target,
            seed=the_data.seed, progress=progress, resume=resume,
        )  # fmt: skip
    if out is not None:
        out = options.write(out, found.save)
    if figure is not None:
        from attattr.report.plots import plot_heads

        shown = {f"importance ({name})": each.mean for name, each in found.importances.items()}
        figure = options.write(
            figure,
            lambda place: plot_heads(shown, place, title=the_model.model, weights=["importance (attention)"]),
        )
    done(resume)
    _show(found, the_model.model, examples=len(examples))
    for kind, path in (("table", out), ("figure", figure)):
        if path is not None:
            typer.echo(f"Wrote the {kind} to {path}.", err=True)


def named(criteria: str) -> list[str]:
    """The criteria, which are known."""
    found = [name.strip() for name in criteria.split(",") if name.strip()]
    for name in found:
        if name not in CRITERIA:
            raise InputError(f"unknown criterion '{name}': choose one of {', '.join(CRITERIA)}")
    return found


def _show(found: HeadRanking, model: str, examples: int) -> None:
    from rich.console import Console
    from rich.markup import escape

    from attattr.report.tables import banded

    console = Console(highlight=False)
    console.print(f"[bold]{escape(model)}[/bold]: the heads that matter most, over {examples} inputs")
    for criterion, importance in found.importances.items():
        rows = []
        for place, (site, head) in enumerate(found.ranked(criterion)[:SHOWN], 1):
            low, high = importance.low[site, head], importance.high[site, head]
            span = "" if low != low else f"{low:.4f} – {high:.4f}"
            value = f"{importance.mean[site, head]:.4f}"
            rows.append((str(place), str(site), str(head), value, span))
        names = ("", "layer", "head", criterion, "95 % interval")
        console.print(banded(names, rows, console.width, words=()))
    console.print("Layers and heads count from 0.", style="dim")


@dataclass(frozen=True)
class FewRows(options.SomeRows):
    """Of each the model is asked about eighty times."""

    limit: options.Limit = 60


def effectiveness(
    the_data: FewRows,
    the_model: options.TheModel,
    json_file: options.Json = None,
    figure: options.Figure = None,
    fresh: options.Fresh = False,
) -> None:
    """Accuracy as heads are taken out of every layer, the most or the least attributed first.

    Example: attattr heads effectiveness sst2_dev.tsv.gz --model sst2 --figure effectiveness.svg
    """
    options.check_files({"--json": json_file, "--figure": figure}, [the_data.data, the_model.model])
    examples, problems = the_data.read()
    options.report(problems)
    attributor = the_model.attributor()
    from attattr.heads.effectiveness import measure_effectiveness

    progress_bar = options.progress_bar("effectiveness", parts=True)
    with resuming(fresh, json_file, figure) as resume, progress_bar as progress:
        found = measure_effectiveness(attributor, examples, progress=progress, resume=resume)
    if figure is not None:
        from attattr.report.plots import plot_curves

        curves = {
            f"{ranking.replace('_', ', ')}: {order.replace('_', ' ')}": (c.x, c.accuracy, c.low, c.high)
            for ranking, orders in found.curves.items()
            for order, c in orders.items()
        }
        x_label = "heads taken out of every layer"
        options.write(figure, lambda place: plot_curves(curves, place, x_label=x_label, y_label="accuracy"))
    if json_file is not None:
        options.write_json(json_file, found.to_json())
    done(resume)
    if json_file != "-":
        _show_effectiveness(found)


def _show_effectiveness(found: Effectiveness) -> None:
    from rich.console import Console

    from attattr.heads.effectiveness import RANKINGS
    from attattr.report.tables import banded

    console = Console(highlight=False)
    curves = {
        f"{ranking}, {order}".replace("_", " "): curve
        for ranking, orders in found.curves.items()
        for order, curve in orders.items()
    }
    rows = [
        (f"{x:g}", *(f"{c.accuracy[k]:.1%} ({c.low[k]:.1%} – {c.high[k]:.1%})" for c in curves.values()))
        for k, x in enumerate(next(iter(curves.values())).x)
    ]
    console.print(banded(("heads out of each layer", *curves), rows, console.width))
    leaking = ", ".join(ranking for ranking, leak_free in RANKINGS.items() if not leak_free)
    console.print(f"n = {found.n}. {leaking} knows the answer: read the others as the evidence.", style="dim")


def compare(
    files: Annotated[list[str], typer.Argument(help="Tables of `attattr heads rank`.", metavar="A B …")],
    criterion: Annotated[str | None, typer.Option(help="Which importance. [default: the first]")] = None,
    json_file: options.Json = None,
    figure: options.Figure = None,
) -> None:
    """Do tasks or models need the same heads? Correlation of their importances, head by head.

    Example: attattr heads compare mnli.parquet snli.parquet --figure shared.svg
    """
    if len(files) < 2:
        raise InputError("give two tables or more to compare")
    options.check_files({"--json": json_file, "--figure": figure}, files)
    from pathlib import Path

    import numpy as np

    from attattr.heads.importance import correlate, load_heads

    rankings = [load_heads(path) for path in files]
    names = [Path(path).stem for path in files]
    means = [ranking.of(criterion).mean for ranking in rankings]
    found = {
        (a, b): correlate(means[a], means[b], (names[a], names[b]))
        for a in range(len(files))
        for b in range(a + 1, len(files))
    }
    if figure is not None:
        from attattr.report.plots import plot_matrix, plot_scatter

        if len(files) == 2:
            r = found[0, 1]
            note = f"Pearson r = {r.pearson:.2f}"
            options.write(
                figure,
                lambda place: plot_scatter(
                    means[0], means[1], place, x_label=names[0], y_label=names[1], note=note
                ),
            )
        else:
            matrix = np.eye(len(files))
            for (a, b), each in found.items():
                matrix[a, b] = matrix[b, a] = each.pearson
            label = "Pearson r of head importance"
            options.write(figure, lambda place: plot_matrix(matrix, names, place, label=label))
    if json_file is not None:
        facts = {"schema_version": SCHEMA_VERSION, "pairs": [vars(each) for each in found.values()]}
        options.write_json(json_file, facts)
    if json_file != "-":
        _show_pairs(list(found.values()))


def _show_pairs(pairs: list[Correlation]) -> None:
    from rich.console import Console

    from attattr.report.tables import banded

    rows = []
    for each in pairs:
        spans = [f"{low:.2f} to {high:.2f}" for low, high in (each.pearson_interval, each.spearman_interval)]
        names = " · ".join(each.names)
        rows.append((names, f"{each.pearson:.3f}", spans[0], f"{each.spearman:.3f}", spans[1]))
    console = Console(highlight=False)
    columns = ("", "Pearson r", "95 % interval", "Spearman r", "95 % interval")
    console.print(banded(columns, rows, console.width))
    console.print(f"Over {pairs[0].heads} heads.", style="dim")
