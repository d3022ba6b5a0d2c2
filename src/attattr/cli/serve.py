"""attattr serve: the local page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from attattr.cli import options

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class MoreModels(options.TheModel):
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help="Folder or hub id to offer besides the embedded models; repeatable."
        ),
    ] = None  # type: ignore[assignment]


def serve(
    the_model: MoreModels,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen at. Beyond 127.0.0.1, others can use it too.")
    ] = "127.0.0.1",
) -> None:
    """A page in your browser: type a text, see why, take edges out, compare. Local unless --host is given.

    Example: attattr serve --port 8000
    """
    if not the_model.model:
        options.refuse("is for the models of --model", *options.OPENING[:3], *options.OPENING[5:])
    with options.working("starting"):
        from attattr.page.server import run

    def ready(address: str) -> None:
        if host not in LOOPBACK:
            typer.echo("Warning: whoever reaches this machine can use the server.", err=True)
        typer.echo(f"Serving at {address} (Ctrl-C ends it)")

    run(the_model.model or [], host, port, ready=ready, **the_model.opening)
