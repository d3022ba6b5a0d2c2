"""attattr triggers: which few words the model falls for, and what they cost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attattr import choices
from attattr.cli import options
from attattr.cli.resuming import done, resuming
from attattr.errors import InputError

if TYPE_CHECKING:
    from attattr.triggers.pattern import Pattern

MINED = 200  # rows that are mined where it is not said how many
SHOWN = 10


@dataclass(frozen=True)
class MinedData(options.SomeRows):
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only so many rows, drawn at random. [default: 200; of a run folder all]"),
    ] = None


def mine(
    the_data: MinedData,
    the_model: options.TheModel,
    out: Annotated[str, typer.Option(help="File for the patterns; - for standard output.", metavar="FILE")],
    method: Annotated[
        choices.Mining,
        typer.Option(
            help="Edges between words of the text; all edges, as in the paper; or, to find what a model "
            "leans on, single words that the paper's patterns come back to, or these with a second word each."
        ),
    ] = "text",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Leave out patterns whose edges score less together. [default: 0.02, of text none]",
            metavar="X",
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Only so many of the strongest. [default: all]")
    ] = None,
    pieces: Annotated[
        bool, typer.Option("--pieces", help="Raw pieces of the vocabulary instead of whole words.")
    ] = False,
    fresh: options.Fresh = False,
) -> None:
    """Patterns of trigger words: what the strongest head of each input of DATA looks at.

    Example: attattr triggers mine mnli_train.tsv.gz --model mnli --out patterns.jsonl
    """
    options.check_files({"--out": out}, [the_data.data, the_model.model], streams=("--out",))
    from attattr.data.run_folder import Run, open_run

    data: Run | list
    if (Path(the_data.data) / "manifest.json").is_file():
        options.refuse("has no effect on a run folder", "text_columns", "label_column", "split", "fresh")
        if the_data.most is None:
            options.refuse("draws rows, and of a run folder all are taken without --limit", "seed")
        data, limit = open_run(the_data.data), the_data.most
    else:
        data, problems = the_data.every(unlabelled=True)
        options.report(problems)
        limit = the_data.most if the_data.all_rows else the_data.limit or MINED
        if limit is not None and limit < len(data):
            the_data.tell_left_out(limit, len(data))
    attributor = the_model.attributor()
    from attattr.triggers.mine import mine_triggers

    with resuming(fresh, out) as resume, options.progress_bar("mining") as progress:
        found = mine_triggers(
            attributor, data, method=method, threshold=threshold, top=top, pieces=pieces, limit=limit,
            seed=the_data.seed, progress=progress,
            resume=resume,
        )  # fmt: skip
    written = options.write_text(out, "".join(pattern.line() for pattern in found))
    done(resume)
    if out != "-":
        _show_patterns(found)
        if written is not None:
            inputs = data.inputs.count_rows() if isinstance(data, Run) else len(data)
            inputs = inputs if limit is None else min(limit, inputs)
            # of words and pairs several may come from one input
            gave = {row for each in found for row in each.rows}
            parts = method in ("words", "pairs")
            none = inputs - (len(gave) if parts else sum(each.support for each in found))
            typer.echo(
                f"Wrote {len(found)} patterns to {written}. {none:,} of {inputs:,} inputs gave none of them.",
                err=True,
            )


@dataclass(frozen=True)
class AttackedData(options.SomeRows):
    limit: options.Limit = 200


def attack(
    the_data: AttackedData,
    the_model: options.TheModel,
    patterns: Annotated[str, typer.Option(help="File of patterns, from `mine`.", metavar="FILE")],
    insert_into: Annotated[
        Literal["auto", "premise", "hypothesis", "both"],
        typer.Option(help="Text the tokens go into; auto: each into the text it was mined from."),
    ] = "auto",
    screen: Annotated[
        int, typer.Option(min=1, help="Rows of a class that every pattern is tried on.", metavar="N")
    ] = 6,
    choose: Annotated[
        int, typer.Option(min=1, help="Rows of a class that the worst are chosen on.", metavar="N")
    ] = 20,
    json_file: Annotated[
        str | None,
        typer.Option("--json", help="Write the figures there; - for standard output.", metavar="FILE|-"),
    ] = None,
    no_controls: Annotated[
        bool, typer.Option("--no-controls", help="Leave out random, frequent and universal triggers.")
    ] = False,
    any_model: options.AnyModel = False,
    batch_size: options.BatchSize = 32,
    fresh: options.Fresh = False,
) -> None:
    """Insert patterns into DATA: what accuracy they cost, by class, beside controls.

    Example: attattr triggers attack mnli_dev_matched.tsv.gz --model mnli --patterns patterns.jsonl
    """
    options.check_files({"--json": json_file}, [the_data.data, the_model.model, patterns])
    from attattr.triggers.pattern import read_patterns

    found = read_patterns(patterns)
    every, problems = the_data.every()
    options.report(problems)
    examples = the_data.drawn(every)
    attributor = the_model.attributor()
    from attattr.disk.checked import signed
    from attattr.triggers.attack import attack_model

    with resuming(fresh, json_file) as resume, options.progress_bar("attacking") as progress:
        measured = attack_model(
            attributor, examples, found, insert_into=insert_into, screen=screen, choose=choose,
            controls=not no_controls, words_from=every, seed=the_data.seed, batch_size=batch_size,
            any_model=any_model, progress=progress, resume=resume,
        )  # fmt: skip
    source = {"data": the_data.name, "limit": the_data.most, "patterns_file": patterns}
    facts = measured.to_json() | source
    facts["left_out"] = [problem._asdict() for problem in problems]
    if json_file is not None:
        # a pipe may not take every character: there, only ASCII
        text = json.dumps(signed(facts), indent=2, ensure_ascii=json_file == "-", allow_nan=False)
        options.write_text(json_file, text + "\n")
    done(resume)
    if json_file != "-":
        _show_attack(facts)


@dataclass(frozen=True)
class ModelForExamples(options.TheModel):
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="The attacked model: the examples are shown with their attribution."
        ),
    ] = None  # type: ignore[assignment]


def report(
    attack_file: Annotated[str, typer.Argument(help="What `attack --json` wrote.", metavar="FILE")],
    the_model: ModelForExamples,
    out: Annotated[str, typer.Option(help="A .html or .md file.", metavar="FILE")],
) -> None:
    """An attack as one self-contained page, or as a Markdown table.

    Example: attattr triggers report attack.json --out triggers.html --model mnli
    """
    from attattr.page import triggers as triggers_page
    from attattr.report import triggers_table
    from attattr.triggers.attack_file import read_attack
    from attattr.triggers.explained import explained

    ways = {".html": triggers_page.page, ".md": triggers_table.markdown}
    options.check_files({"--out": out}, [attack_file, the_model.model])
    suffix = Path(out).suffix.lower()
    if suffix not in ways:
        raise InputError(
            f"--out takes a .html or .md file, not '{out}': the figures are in the JSON that `attack` wrote"
        )
    if the_model.model is None:
        options.refuse("goes with --model", *options.OPENING)
    if suffix == ".md":
        options.refuse("adds edges to the page, and a table shows none", "model")
    facts = read_attack(attack_file)
    if the_model.model is not None:
        facts = explained(facts, the_model.attributor())
    if written := options.write_text(out, ways[suffix](facts)):
        typer.echo(f"Wrote {written}.", err=True)


def _show_attack(facts: dict) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.text import Text

    from attattr.report.tables import banded
    from attattr.report.trigger_signs import tables
    from attattr.report.triggers_table import rows_of, summary

    console = Console(highlight=False)
    console.print(escape(summary(facts)))
    console.print("\nAccuracy by gold label", style="italic")
    labels = facts["labels"]
    rows = [
        (row.name, row.share, *map(row.of_class, labels), ", ".join(row.flagged)) for row in rows_of(facts)
    ]
    columns = ("trigger", "all", *labels, "flagged")
    console.print(banded(columns, rows, console.width, words=(0, len(columns) - 1)))
    for _, names, signs in tables(facts):
        console.print(Text(), banded(names, signs, console.width))
    console.print("[dim]flagged: the data the pattern was mined from ties the word to that label.[/dim]")


def _show_patterns(found: list[Pattern]) -> None:
    from rich.console import Console

    from attattr.report.tables import banded

    rows = [
        (each.text, f"{each.strength:.3f}", str(each.support), each.label or "", each.gold or "")
        for each in found[:SHOWN]
    ]
    console = Console()
    names = ("pattern", "score", "support", "predicted", "gold")
    console.print(banded(names, rows, console.width, words=(0, 3, 4)))
