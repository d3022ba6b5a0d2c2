"""attattr explain: one prediction, edge by edge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attattr.choices import Store
from attattr.cli import options, texts
from attattr.errors import InputError

if TYPE_CHECKING:
    from attattr.asked import Progress

DEFAULTS = {1: "sst2", 2: "mnli"}  # embedded models for so many texts


@dataclass(frozen=True)
class ModelOrDefault(options.TheModel):
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Embedded name, folder or hub id. [default: sst2; mnli for two texts]"
        ),
    ] = None  # type: ignore[assignment]

    def for_inputs(self, inputs: str | tuple[str, str] | dict[str, Any]) -> options.TheModel:
        """The model that was asked for, or the embedded one for so many texts, saying so."""
        if self.model is not None:
            return self
        if isinstance(inputs, dict):
            raise InputError("no embedded model sees images: name one that does with --model")
        name, which = (DEFAULTS[1], "one text") if isinstance(inputs, str) else (DEFAULTS[2], "two texts")
        typer.echo(f"Model: {name}, the embedded one for {which} (--model takes another).", err=True)
        return replace(self, model=name)


def explain(
    text: Annotated[
        list[str],
        typer.Argument(
            help="One text, or two for a model of pairs; a file that is there is read; - is standard input; "
            "an image (.png, .jpg, .webp, .gif, .bmp, .tiff) with a --model that sees.",
            metavar="TEXT",
        ),
    ],
    the_model: ModelOrDefault,
    target: Annotated[
        str,
        typer.Option(
            help="What to explain: what is predicted, or by the model's head a LABEL; WORD:LABEL or "
            "POSITION:LABEL of a token; start, end, span, the answer's text or its tokens FIRST..LAST; "
            "a TOKEN under the mask, with several masks POSITION:TOKEN; a text that goes on from TEXT.",
            metavar="predicted|LABEL|…",
        ),
    ] = "predicted",
    output: options.Output = None,
    method: options.Method = "gausslegendre",
    refine: options.Refine = None,
    n_steps: options.Steps = "auto",
    tol: options.Tolerance = 1e-3,
    baseline: options.Baseline = "zero",
    baseline_text: Annotated[
        list[str] | None,
        typer.Option(
            help="Start at the attention of this text instead, which is as long in tokens; given twice for "
            "a pair.",
            metavar="TEXT",
        ),
    ] = None,
    store: Annotated[
        Store,
        typer.Option(
            help="All scores, the strongest edges, or sums of heads only; auto: edges above 512 tokens."
        ),
    ] = "auto",
    top: Annotated[int, typer.Option(min=0, help="So many of the strongest edges.", metavar="N")] = 10,
    json_file: options.Json = None,
    save: Annotated[
        str | None, typer.Option(help="Save the whole result, for attattr.load.", metavar="FILE")
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            "--html", help="Write a page with all views, and what happens without each edge.", metavar="FILE"
        ),
    ] = None,
    no_truncate: Annotated[
        bool, typer.Option("--no-truncate", help="A text longer than the model takes is an error.")
    ] = False,
    batch_size: options.Rows = None,
    memory_budget: options.Budget = None,
) -> None:
    """Which attention edges made the prediction for TEXT, or for the pair TEXT and TEXT2.

    A question and the text with its answer, and two texts of which a model of embeddings says how alike they
    are, are pairs too.

    Example: attattr explain "A man is eating." "Nobody is eating."
    """
    saved = next(filter(texts.is_result, text), None)
    if saved is not None:
        raise InputError(f"explain takes texts: show '{saved}' with attattr tree or attattr figure")
    texts.check_count(text)
    steps = options.steps(method, n_steps)
    options.tolerance(tol)
    if baseline_text:
        options.refuse("is another start than that of --baseline-text", "baseline")
    read = [*texts.files([*text, *(baseline_text or ())]), the_model.model]
    options.check_files({"--json": json_file, "--save": save, "--html": html}, read)
    inputs = texts.inputs(text)
    other = texts.inputs(baseline_text) if baseline_text else None
    attributor = the_model.for_inputs(inputs).attributor()
    if attributor.model.can_generate():
        typer.echo("attattr generate explains what a language model writes, and what it rests on.", err=True)
    with options.progress_bar("", parts=html is not None) as progress:

        def telling(what: str) -> Progress:
            return lambda done, total, _: progress(done, total, what)

        wanted: dict[str, Any] = {
            "target": None if target == "predicted" else target,
            "output": output,
            "method": method,
            "refine": refine,
            "n_steps": steps,
            "tol": tol,
            "baseline": [other] if other else baseline,  # in a list, "zero" is a text
            "store": store,
            "internal_batch_size": batch_size,
            "memory_budget": options.budget(memory_budget),
            "truncate": not no_truncate,
            "progress": telling("attributing"),
        }
        if html is None:
            result = attributor.attribute(inputs, **wanted)
        else:
            from attattr.measure.effects import attribute_and_measure

            measuring = telling("taking out")
            result, effects = attribute_and_measure(attributor, inputs, measuring=measuring, **wanted)
    if save is not None:
        save = options.write(save, result.save)
    if html is not None:
        html = options.write_text(html, result.to_html(effects=effects))
    if json_file is not None:
        json_file = options.write_json(json_file, result.to_json(top))
    if json_file == "-":
        return
    from rich.console import Console

    from attattr.report.terminal import view

    console = Console(highlight=False)
    # in 16 colours a weak orange and a weak blue would be the same grey: there, numbers
    shades = console.color_system in ("256", "truecolor") and not console.no_color
    console.print(view(result, top, colour=shades))
    for kind, path in (("result", save), ("page", html), ("facts", json_file)):
        if path is not None:
            typer.echo(f"Wrote the {kind} to {path}.", err=True)
