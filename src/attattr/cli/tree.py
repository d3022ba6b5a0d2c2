"""attattr tree: along which edges information flowed to the prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from attattr.cli import options, texts
from attattr.cli.explain import ModelOrDefault
from attattr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.tree import Tree

    from attattr.result.attribution import Attribution
    from attattr.result.tree import AttributionTree

SHOWN_HEADS = 3
Threshold = Annotated[
    float, typer.Option(help="Edges above this share of their layer's largest score are kept.", metavar="X")
]


def tree(
    text: Annotated[
        list[str],
        typer.Argument(
            help="One text, two for a model of pairs, or a saved result; as for `explain`.",
            metavar="TEXT|RESULT",
        ),
    ],
    the_model: ModelOrDefault,
    threshold: Threshold = 0.4,
    words: Annotated[bool, typer.Option("--words", help="Words instead of tokens.")] = False,
    json_file: options.Json = None,
    figure: options.Figure = None,
) -> None:
    """How information flowed to the prediction for TEXT, for TEXT and TEXT2, or in a saved RESULT.

    Example: attattr tree "A man is eating." "Nobody is eating."
    """
    check_threshold(threshold)
    options.check_files({"--json": json_file, "--figure": figure}, [*texts.files(text), the_model.model])
    result = saved_or_made(text, the_model)
    check_words(result, words)
    from attattr.result.tree import build_tree, merge_words

    found = build_tree(merge_words(result) if words else result, threshold=threshold)
    if json_file is not None:
        facts = {
            **found.to_json(),
            "words": words,
            "model": result.model,
            "target": {"label": result.target.label, "value": result.target.value},
        }
        json_file = options.write_json(json_file, facts)
    if figure is not None:
        from attattr.report.figures import draw_tree

        figure = options.write(
            figure, lambda place: draw_tree(result, place, threshold=threshold, words=words)
        )
    if json_file == "-":
        return
    from rich.console import Console

    console = Console(highlight=False)
    for part in _view(found, result):
        console.print(part)
    for what, path in (("tree", json_file), ("figure", figure)):
        if path is not None:
            typer.echo(f"Wrote the {what} to {path}.", err=True)


def check_threshold(threshold: float) -> None:
    """Found out before anything is computed."""
    if not 0 <= threshold < 1:
        raise InputError(f"--threshold must be from 0 to below 1, not {threshold:g}")


def check_words(result: Attribution, words: bool) -> None:
    """Are there any to draw by?"""
    if words and all(word is None for axis in result.axes.values() for word in axis.words):
        raise InputError("it is not known which words these tokens are pieces of: leave --words out")


def saved_or_made(
    given: list[str], the_model: ModelOrDefault, check: Callable[[Any], None] | None = None
) -> Attribution:
    """The saved result that a single argument names, or what the model says of the texts.

    check: is asked about the model's config before anything is attributed.
    """
    saved = next(filter(texts.is_result, given), None)
    if saved is not None and len(given) > 1:
        raise InputError(f"'{saved}' is a saved result: give it alone")
    if saved is not None:
        if the_model.model is not None:
            raise InputError(f"'{saved}' is a saved result: it takes no --model")
        options.refuse("is of a model, and a saved result needs none", *options.OPENING)
        from attattr.result.file import load
        from attattr.result.generation import Generation

        result = load(saved)
        if isinstance(result, Generation):
            raise InputError(f"'{saved}' is a saved generation: show it with attattr generate")
        return result
    inputs = texts.inputs(given)
    attributor = the_model.for_inputs(inputs).attributor()
    if check is not None:
        check(attributor.model.config)
    with options.progress_bar("attributing") as progress:
        return attributor.attribute(inputs, progress=progress)


def _view(tree: AttributionTree, result: Attribution) -> list[Tree | str]:
    """A line on what is shown, then the tree: each token with score, layer and heads of the edge to it."""
    from rich.markup import escape
    from rich.tree import Tree

    from attattr.report.headline import headline

    def named(position: int) -> str:
        token = tree.tokens[position]
        shown = token if token.isprintable() and token.strip() else repr(token)
        return escape(f"{shown}:{position}" if tree.tokens.count(token) > 1 else shown)

    said = f"{result.model.get('name') or 'model'}: {headline(result)}"
    head = f"[bold]{escape(said)}[/bold], edges above {tree.threshold:g}"
    if tree.top is None:
        return [head, "There is no token but the one that the prediction is read at."]
    root = Tree(f"[bold]{named(tree.top)}[/bold]")
    branches = {tree.top: root}
    form = "+.4f" if max((edge.score for edge in tree.edges), default=1) >= 0.01 else "+.2e"
    for edge in tree.edges:
        heads = ", ".join(str(head) for head, _ in edge.heads[:SHOWN_HEADS])
        heads += " …" if len(edge.heads) > SHOWN_HEADS else ""
        facts = f"[dim]{edge.score:{form}}  layer {edge.layer}  heads {heads}[/dim]"
        branches[edge.child] = branches[edge.parent].add(f"{named(edge.child)}  {facts}")
    below = [] if tree.edges else ["No edge that is kept leads on from there."]
    if tree.terminal is not None:
        whole = Tree(
            f"{named(tree.terminal)}  [dim]reads the tree's tokens: the prediction is made here[/dim]"
        )
        whole.children.append(root)
        root = whole
    return [head, root, *below]
