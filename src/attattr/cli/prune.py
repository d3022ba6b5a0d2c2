"""attattr prune: a smaller model that loads, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from attattr.choices import PrunedFormat
from attattr.cli import options
from attattr.cli.heads import Criteria, named
from attattr.cli.resuming import done, resuming
from attattr.disk import files

if TYPE_CHECKING:
    from attattr.heads.prune_curves import PruneCurves, PruneReport


@dataclass(frozen=True)
class OtherData(options.TheData):
    """Rows to measure accuracy on."""

    data: Annotated[
        str | None, typer.Option(help="Measure accuracy on these rows, less those the heads were ranked on.")
    ] = None  # type: ignore[assignment]


def model(
    the_model: options.TheModel,
    heads: Annotated[str, typer.Option(help="Table of `attattr heads rank`.", metavar="FILE")],
    out: Annotated[str, typer.Option(help="New folder of the pruned model.", metavar="DIR")],
    the_data: OtherData,
    criterion: Annotated[str | None, typer.Option(help="Which importance. [default: the first]")] = None,
    keep_heads: Annotated[float, typer.Option(help="Share of the heads to keep, 0 to 1.")] = 0.5,
    layout: Annotated[
        PrunedFormat,
        typer.Option("--format", help="sliced: smaller and faster; masked: same size, loads anywhere."),
    ] = "sliced",
    any_model: options.AnyModel = False,
    json_file: options.Json = None,
) -> None:
    """Prune the least important heads of a model into a folder that loads again.

    Example: attattr prune model --model mnli --heads heads.parquet --keep-heads 0.5 --out mnli-half
    """
    options.check_files(
        {"--json": json_file, "--out": out}, [heads, the_model.model, the_data.data], folders=("--out",)
    )
    from attattr.models.sliced import check_new, write_pruned

    check_new(out)
    if the_data.data is None:
        options.refuse("goes with --data", "limit", "seed", "text_columns", "label_column", "split")
    from attattr.heads.importance import load_heads
    from attattr.heads.prune import heads_to_keep

    ranking = load_heads(heads)
    importance = ranking.of(criterion).mean
    heads_to_keep(importance, keep_heads)  # whether the share is one
    examples = []
    if the_data.data is not None:
        rows, problems = the_data.read(draws=False)
        options.report(problems)
        examples = ranking.unlike(rows)
    attributor = the_model.attributor()
    from attattr.heads.prune import prune_model
    from attattr.heads.prune_curves import compare_models
    from attattr.models.identity import belongs
    from attattr.models.quiet import quiet

    of_ranking = ranking.facts.get("model")
    belongs(of_ranking, attributor.facts, f"the ranking in '{heads}'", any_model=any_model)
    with options.working("pruning"):
        pruned = prune_model(attributor, importance, keep_heads, layout)
        files.check_room(out, sum(parameter.nbytes for parameter in pruned.model.parameters()))
    with options.progress_bar("measuring", parts=True) as progress:
        report = compare_models(
            attributor.model, pruned.model, attributor.tokenizer, examples, pruned.made_up, kept=pruned.kept,
            logits_off=pruned.logits_off, ranked_on=len(ranking.rows), progress=progress,
        )  # fmt: skip

    def write(place: str) -> None:
        with quiet():
            write_pruned(
                pruned.model, attributor.tokenizer, place, pruned.facts, pruned.auto, of=attributor.facts
            )

    written = options.write(out, write)
    if json_file is not None:
        options.write_json(json_file, report.to_json())
    if json_file != "-":
        _show(report, written, layout)


def _show(report: PruneReport, out: str | None, layout: str) -> None:
    """out: its folder; None: it could not be written."""
    from rich.console import Console

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=bool(out) and str(out) in line)  # a path stays whole

    console = Console(highlight=False)
    kept, (before, after) = sum(report.kept_heads), report.parameters
    by_layer = ", ".join(map(str, report.kept_heads))
    say(f"{out or 'not written'}: {kept} of {report.heads} heads kept")
    say(f"by layer    {by_layer}")
    say(f"parameters  {before:,} → {after:,} ({after / before:.1%})")
    say(f"weights     {report.bytes[0] / 1e6:.1f} MB → {report.bytes[1] / 1e6:.1f} MB")
    middle, low, high = report.latency_ratio
    say(f"latency     {middle:.2f} of the whole model's ({low:.2f} to {high:.2f} in turns)")
    say(f"logits      within {report.logits_off:.0e} of masking the same heads (float64)")
    if report.accuracy is not None:
        whole, small = report.accuracy
        spans = [f"{e.accuracy:.2%} ({e.interval[0]:.1%} – {e.interval[1]:.1%})" for e in (whole, small)]
        say(
            f"accuracy    {spans[0]} → {spans[1]}, {whole.n:,} rows "
            f"other than the {report.ranked_on} ranked on"
        )
    if out is None:
        return
    if layout == "sliced":
        say(f'It loads with attattr.load_pruned("{out}"), --model {out},')
        say("or from_pretrained with trust_remote_code=True.")
    else:
        say("It loads with from_pretrained.")


@dataclass(frozen=True)
class Measured(options.SomeRows):
    limit: options.Limit = 220  # 120 to rank on, 100 to measure on


def curve(
    the_data: Measured,
    the_model: options.TheModel,
    criteria: Criteria = "attattr,taylor,attention,random",
    rank_limit: Annotated[int, typer.Option(min=2, help="Rows to rank the heads on.")] = 120,
    steps: Annotated[int, typer.Option(min=1, help="Steps from no head to all of them.")] = 10,
    json_file: options.Json = None,
    figure: options.Figure = None,
    fresh: options.Fresh = False,
) -> None:
    """Accuracy as the least important heads go: ranked on some rows of DATA, measured on the others.

    Example: attattr prune curve mnli_dev.tsv.gz --model mnli --figure curve.svg
    """
    options.check_files({"--json": json_file, "--figure": figure}, [the_data.data, the_model.model])
    criterion = named(criteria)
    examples, problems = the_data.read()
    options.report(problems)
    from attattr.heads.importance import rank_heads
    from attattr.heads.prune_curves import prune_curves, split

    first, others = split(examples, rank_limit, the_data.seed)
    attributor = the_model.attributor()
    progress_bar = options.progress_bar("pruning curves", parts=True)
    with resuming(fresh, json_file, figure) as resume, progress_bar as progress:
        ranking = rank_heads(
            attributor, first, criteria=criterion, seed=the_data.seed, progress=progress,
            resume=resume and resume.within("ranking"),
        )  # fmt: skip
        found = prune_curves(
            attributor, ranking, others, steps=steps, progress=progress,
            resume=resume and resume.within("curves"),
        )  # fmt: skip
    if figure is not None:
        from attattr.report.plots import plot_curves

        curves = {name: (c.x, c.accuracy, c.low, c.high) for name, c in found.curves.items()}
        x_label = "share of heads removed"
        options.write(figure, lambda place: plot_curves(curves, place, x_label=x_label, y_label="accuracy"))
    if json_file is not None:
        options.write_json(json_file, found.to_json())
    done(resume)
    if json_file != "-":
        _show_curves(found)


def _show_curves(found: PruneCurves) -> None:
    from rich.console import Console

    from attattr.report.tables import banded

    console = Console(highlight=False)
    rows = [
        (
            f"{share:.0%}",
            *(f"{c.accuracy[k]:.1%} ({c.low[k]:.1%} – {c.high[k]:.1%})" for c in found.curves.values()),
        )
        for k, share in enumerate(next(iter(found.curves.values())).x)
    ]
    rows.append(("mean", *(f"{c.area:.1%}" for c in found.curves.values())))
    console.print(banded(("heads removed", *found.curves), rows, console.width))
    console.print(f"Ranked on {found.ranked_on} rows, accuracy on {found.measured_on} others.", style="dim")
