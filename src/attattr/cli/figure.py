"""attattr figure: one result as a picture for print."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from attattr.cli import options, texts
from attattr.cli.explain import ModelOrDefault
from attattr.cli.tree import Threshold, check_threshold, check_words, saved_or_made
from attattr.errors import InputError


def figure(
    text: Annotated[
        list[str],
        typer.Argument(
            help="A saved result; or one text, or two for a model of pairs; as for `explain`.",
            metavar="RESULT|TEXT",
        ),
    ],
    the_model: ModelOrDefault,
    out: Annotated[str, typer.Option(help="The picture: .svg, .pdf or .png.", metavar="FILE")],
    kind: Annotated[
        Literal["flow", "tree", "heads", "matrix", "tokens"],
        typer.Option(
            help="The strongest edges of all layers; the paper's tree; layers × heads; one head's matrices; "
            "contributions of tokens."
        ),
    ] = "flow",
    edges: Annotated[
        int | None,
        typer.Option(min=0, help="So many in the flow. [default: half of each layer, 30 at most]"),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(min=0, help="Of a matrix. [default: where the largest score is]")
    ] = None,
    head: Annotated[int | None, typer.Option(min=0, help="Of a matrix, in that layer.")] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Heads by attention weight instead of attribution.")
    ] = False,
    words: Annotated[bool, typer.Option("--words", help="Words instead of tokens.")] = False,
    threshold: Threshold = 0.4,
) -> None:
    """Draw a saved RESULT (of explain --save), or what the model says of TEXT, for print.

    Example: attattr figure "A man is eating." "Nobody is eating." --out flow.pdf
    """
    if kind != "matrix" and (layer is not None or head is not None):
        raise InputError("--layer and --head choose a matrix: they go with --kind matrix")
    if kind == "matrix" and head is not None and layer is None:
        raise InputError(f"head {head} of which layer? Give --layer too")
    if attention and kind != "heads":
        raise InputError("--attention goes with --kind heads")
    if words and kind == "heads":
        raise InputError("--words goes with flow, tree, matrix and tokens: heads have none")
    if kind != "tree":
        options.refuse("goes with --kind tree", "threshold")
    if kind != "flow":
        options.refuse("goes with --kind flow", "edges")
    check_threshold(threshold)
    options.check_files({"--out": out}, [*texts.files(text), the_model.model], figures=("--out",))

    def check_place(config: Any) -> None:
        """Where one kind of layer has as many heads as the config says; elsewhere the drawing tells."""
        if getattr(config, "is_encoder_decoder", False):
            return
        for what, number, name in (
            ("layer", layer, "num_hidden_layers"),
            ("head", head, "num_attention_heads"),
        ):
            most = getattr(config, name, None)
            if number is not None and isinstance(most, int) and number >= most:
                raise InputError(f"there is no {what} {number}: the model has 0 to {most - 1}")

    result = saved_or_made(text, the_model, check_place)
    check_words(result, words)
    from attattr.report import figures
    from attattr.report.flow import draw_flow

    def draw(place: str) -> None:
        if kind == "flow":
            draw_flow(result, place, edges=edges, words=words)
        elif kind == "tree":
            figures.draw_tree(result, place, threshold=threshold, words=words)
        elif kind == "heads":
            figures.draw_heads(result, place, value="attention" if attention else "attribution")
        elif kind == "matrix":
            figures.draw_matrix(result, place, site=layer, head=head, words=words)
        else:
            figures.draw_tokens(result, place, words=words)

    with options.working(f"drawing {out}"):
        drawn = options.write(out, draw)
    if drawn is not None:
        typer.echo(f"Wrote the figure to {drawn}.", err=True)
