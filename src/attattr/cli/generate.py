"""attattr generate: what a language model writes, and which parts of the prompt each span of it rests on."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attattr.cli import options, texts
from attattr.errors import InputError

if TYPE_CHECKING:
    from attattr.result.generation import Generation


@dataclass(frozen=True)
class ModelOrSaved(options.TheModel):
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A language model: facts, a folder or a hub id.")
    ] = None  # type: ignore[assignment]


def generate(
    the_model: ModelOrSaved,
    prompt: Annotated[
        str | None,
        typer.Argument(
            help="A text as the model is to read it; a file that is there is read; - is standard input; "
            "a saved generation is shown again.",
            metavar="[PROMPT|-|RESULT]",
            show_default=False,
        ),
    ] = None,
    chat: Annotated[
        str | None,
        typer.Option(
            help='Messages for the model\'s chat template: a JSON list of {"role": …, "content": …}; or '
            '{"messages": that list, "sources": {NAME: TEXT, …}}.',
            metavar="FILE.json|-",
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="What the system says: PROMPT is then the user's turn of a chat.")
    ] = None,
    continuation: Annotated[
        str | None, typer.Option(help="Explain this reply, instead of one that the model writes.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The longest reply.", metavar="N")] = 128,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Draw the reply; without it, the likeliest token each time under the model's "
            "generation config, penalties included."
        ),
    ] = None,
    spans: Annotated[
        str | None,
        typer.Option(
            help="What the reply is cut into; or characters of it, as 0-12,13-40. "
            "[default: sentence; whole with --contrast]",
            metavar="whole|sentence|token|A-B,…",
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="A part of the prompt, by the file that its text is from; repeatable. "
            "[default: the turns of a chat, or paragraphs]",
            metavar="NAME=FILE",
        ),
    ] = None,
    contrast: Annotated[
        str | None, typer.Option(help="Another reply: the difference of the two is explained.")
    ] = None,
    method: options.Method = "gausslegendre",
    n_steps: options.Steps = "auto",
    tol: options.Tolerance = 1e-3,
    baseline: options.Baseline = "zero",
    top: Annotated[int, typer.Option(min=0, help="So many edges of each span in --json.", metavar="N")] = 10,
    json_file: options.Json = None,
    save: Annotated[
        str | None, typer.Option(help="Save the whole result, for attattr.load.", metavar="FILE")
    ] = None,
    html: Annotated[str | None, typer.Option("--html", help="Write it as a page.", metavar="FILE")] = None,
    batch_size: options.Rows = None,
    memory_budget: options.Budget = None,
) -> None:
    """What a language model goes on with after PROMPT, and what it took it from.

    The reply is cut into spans. For each of them: how much its log-probability falls when a source (a
    document, a turn, a paragraph of the prompt) is taken out, and what the attention edges to it add up to.

    Example: attattr generate --chat ask.json --model facts --source atlas=atlas.txt --source diary=diary.txt
    """
    steps = options.steps(method, n_steps)
    options.tolerance(tol)
    files = dict(map(_named, source or []))
    if len(files) < len(source or []):
        raise InputError("two of the sources have one name: give each its own")
    read = [*texts.files([prompt] if prompt else []), chat, *files.values(), the_model.model]
    options.check_files({"--json": json_file, "--save": save, "--html": html}, read)
    if prompt is not None and texts.is_result(prompt):
        made = _saved(prompt, the_model)
    else:
        if continuation is not None:
            options.refuse("is of a reply that the model writes, and --continuation gives one", *WRITING)
        asked, parts = _prompt(prompt, chat, system)
        parts = {name: _text(file) for name, file in files.items()} or parts
        if the_model.model is None:
            raise InputError(
                "which model? Give --model a language model's folder or hub id, or facts, the embedded one"
            )
        attributor = the_model.attributor()
        if isinstance(asked, str) and getattr(attributor.tokenizer, "chat_template", None):
            typer.echo("The prompt is read as it is; --chat or --system uses the chat template.", err=True)
        with options.progress_bar("", parts=True) as progress:
            made = attributor.attribute_generation(
                asked, continuation=continuation, max_new_tokens=max_new_tokens, seed=seed,
                spans=_spans(spans), sources=parts, contrast=contrast, method=method, n_steps=steps, tol=tol,
                baseline=baseline, internal_batch_size=batch_size,
                memory_budget=options.budget(memory_budget), progress=progress,
            )  # fmt: skip
    _show(made, top, json_file, save, html)


WRITING = ("max_new_tokens", "seed")
ASKED = (
    "chat", "system", "continuation", *WRITING, "spans", "source", "contrast", "method", "n_steps", "tol",
    "baseline", "batch_size", "memory_budget",
)  # fmt: skip


def _saved(path: str, the_model: options.TheModel) -> Generation:
    options.refuse("is of a reply to be explained, and this one is saved", *ASKED)
    options.refuse("is of a model, and a saved result needs none", "model", *options.OPENING)
    from attattr.result.file import load
    from attattr.result.generation import Generation

    made = load(path)
    if not isinstance(made, Generation):
        raise InputError(f"'{path}' holds no generation: show it with attattr tree or attattr figure")
    return made


def _prompt(prompt: str | None, chat: str | None, system: str | None) -> tuple[Any, Any]:
    """A text, or the messages of a chat; and the sources that the file of a chat names."""
    if (prompt is None) == (chat is None):
        raise InputError("give either a PROMPT or --chat FILE.json")
    if prompt is not None:
        (text,) = texts.read([prompt])
        if system is None:
            return text, None
        return [{"role": "system", "content": system}, {"role": "user", "content": text}], None
    options.refuse("goes with a PROMPT: the chat has its own messages", "system")
    assert chat is not None
    try:
        found = json.loads(sys.stdin.read() if chat == "-" else _text(chat))
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{chat}' is no JSON: {error}") from error
    sources = found.get("sources") if isinstance(found, dict) else None
    found = found.get("messages") if isinstance(found, dict) else found
    if not isinstance(found, list):
        raise InputError(f"'{chat}' holds no list of messages: a text is given as the PROMPT")
    return found, sources


def _named(given: str) -> tuple[str, str]:
    name, sign, file = given.partition("=")
    if not (name and sign and file):
        raise InputError(f"--source takes NAME=FILE, not '{given}'")
    return name, file


def _text(file: str) -> str:
    """What a file holds, less the line ends behind it."""
    try:
        return Path(file).read_bytes().decode("utf-8-sig").rstrip("\r\n")  # line ends as in the prompt
    except OSError as error:
        raise InputError(f"the file '{file}' cannot be read: {error.strerror or error}") from error
    except ValueError:
        raise InputError(f"the file '{file}' is not UTF-8: save the text in UTF-8") from None


def _spans(given: str | None) -> Any:
    """A way to cut the reply, or ranges of characters."""
    if given is None or not re.fullmatch(r"\s*\d+-\d+\s*(,\s*\d+-\d+\s*)*", given):
        return given
    return [tuple(map(int, each.split("-"))) for each in given.split(",")]


def _show(made: Generation, top: int, json_file: str | None, save: str | None, html: str | None) -> None:
    if save is not None:
        save = options.write(save, made.save)
    if html is not None:
        html = options.write_text(html, made.to_html())
    if json_file is not None:
        json_file = options.write_json(json_file, made.to_json(top))
    if json_file == "-":
        return
    from rich.console import Console

    from attattr.report.generation import view

    Console(highlight=False).print(view(made))
    for kind, path in (("result", save), ("page", html), ("facts", json_file)):
        if path is not None:
            typer.echo(f"Wrote the {kind} to {path}.", err=True)
