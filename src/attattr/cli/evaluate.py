"""attattr evaluate: how often is the model right?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attattr.cli import options
from attattr.cli.resuming import done, resuming

if TYPE_CHECKING:
    from attattr.measure.accuracy import Evaluation

SCHEMA_VERSION = "1"


def evaluate(
    the_data: options.TheData,
    the_model: options.TheModel,
    json_file: options.Json = None,
    batch_size: options.BatchSize = 32,
    fresh: options.Fresh = False,
) -> None:
    """Accuracy of a model on DATA, by class too, with 95 % intervals.

    Example: attattr evaluate sst2_dev.tsv.gz --model sst2
    """
    options.check_files({"--json": json_file}, [the_data.data, the_model.model])
    examples, problems = the_data.read(draws=False)
    options.report(problems)
    loaded = the_model.load()
    from attattr.measure.accuracy import evaluate_model

    with resuming(fresh, json_file) as resume, options.progress_bar("evaluating") as progress:
        found = evaluate_model(
            loaded.model,
            loaded.tokenizer,
            examples,
            batch_size=batch_size,
            pair=loaded.info.pair,
            progress=progress,
            resume=resume,
        )
    if json_file is not None:
        from dataclasses import asdict

        facts = {
            "schema_version": SCHEMA_VERSION,
            "model": asdict(loaded.info),
            "data": the_data.name,
            "limit": the_data.limit,
            "seed": the_data.seed,
            **found.to_json(),
            "left_out": [problem._asdict() for problem in problems],
        }
        options.write_json(json_file, facts)
    done(resume)
    if json_file != "-":
        _show(found, f"{loaded.info.name} on {the_data.name}", the_data.limit)


def _show(found: Evaluation, title: str, limit: int | None) -> None:
    from rich.console import Console
    from rich.markup import escape

    from attattr.report.tables import banded

    console = Console()
    console.print(f"[bold]{escape(title)}[/bold]" + (f" (a sample of {found.n})" if limit else ""))
    low, high = found.interval
    console.print(
        f"accuracy [bold]{found.accuracy:.2%}[/bold]  95 % interval {low:.2%} to {high:.2%}  n = {found.n:,}"
    )
    rows = []
    for i, label in enumerate(found.labels):
        of = found.per_class[label]
        span = "" if of.interval is None else f"{of.interval[0]:.1%} – {of.interval[1]:.1%}"
        share = "" if of.accuracy is None else f"{of.accuracy:.1%}"
        rows.append((label, f"{of.n:,}", share, span, *(f"{count:,}" for count in found.confusion[i])))
    columns = ("gold label", "n", "accuracy", "95 % interval", *found.labels)
    console.print(banded(columns, rows, console.width))
    console.print("[dim]The columns on the right count what was predicted.[/dim]")
