"""Every verb of the command line, and what is said when one fails: one sentence, and an exit code."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer

from attattr import __version__
from attattr.cli import heads, options, prune, triggers
from attattr.cli.check import check
from attattr.cli.evaluate import evaluate
from attattr.cli.explain import explain
from attattr.cli.faithfulness import faithfulness
from attattr.cli.figure import figure
from attattr.cli.generate import generate
from attattr.cli.models import models
from attattr.cli.run import run
from attattr.cli.serve import serve
from attattr.cli.stop import stop
from attattr.cli.tree import tree
from attattr.cli.wording import worded
from attattr.disk import files
from attattr.errors import AttAttrError, InputError

# plain help: rich is not imported for it
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog='Example: attattr explain "A man is eating." "Nobody is eating."',
)


def _guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """Errors as one sentence on standard error, and an exit code."""

    @functools.wraps(verb)
    def run(*args: Any, **options: Any) -> None:
        ours = signal.getsignal(signal.SIGINT) is stop
        if ours:  # from here on there may be something to clean up
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            verb(*args, **options)
            sys.stdout.flush()  # what cannot be written is told here, not when Python ends
        except KeyboardInterrupt as error:
            raise _failed(": ".join(filter(None, ["interrupted", str(error)])), 130) from None
        except InputError as error:
            raise _failed(error, 2) from None
        except AttAttrError as error:
            raise _failed(error, 1) from None
        except BrokenPipeError:
            # the reader of our output went away, as `head` does: nothing to say, and nobody to say it to
            _forget_output()
            raise typer.Exit(1) from None
        except OSError as error:
            if error.errno not in files.FULL:
                raise _unexpected(error) from None
            _forget_output()
            raise _failed(f"cannot write: {error.strerror}; make room, then try again", 1) from None
        except Exception as error:
            if isinstance(error, typer.Exit):
                raise
            raise _unexpected(error) from None
        finally:
            if ours:
                signal.signal(signal.SIGINT, stop)

    return run


def _forget_output() -> None:
    """What is left of it goes nowhere: Python would try once more when it ends, and fail aloud."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unexpected(error: Exception) -> typer.Exit:
    if os.environ.get("ATTATTR_TRACEBACK"):
        raise error
    about = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _failed(f"{about} (ATTATTR_TRACEBACK=1 shows where)", 1)


def _failed(error: object, code: int) -> typer.Exit:
    typer.echo(f"Error: {worded(str(error))}", err=True)
    return typer.Exit(code)


VERBS = (explain, generate, run, evaluate, check, models, tree, faithfulness, figure, serve)
# verbs of two words: the first, what its help says, and the functions
GROUPS: dict[str, tuple[str, tuple[Callable[..., None], ...]]] = {
    "heads": (
        "Which attention heads matter, and which tasks share them.",
        (heads.rank, heads.effectiveness, heads.compare),
    ),
    "prune": ("A smaller model without the heads that matter least.", (prune.model, prune.curve)),
    "triggers": (
        "Adversarial triggers: the few words that the model falls for.",
        (triggers.mine, triggers.attack, triggers.report),
    ),
}

for _verb in VERBS:
    app.command()(_guarded(options.flattened(_verb)))
for _name, (_help, _verbs) in GROUPS.items():
    _group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_help)
    for _verb in _verbs:
        _group.command()(_guarded(options.flattened(_verb)))
    app.add_typer(_group, name=_name)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"attattr {__version__}")
        raise typer.Exit


@app.callback()
def _attattr(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Which attention edges inside a transformer made this prediction?"""


def main() -> None:
    """The command, from its arguments to its exit code."""
    # our own sentences say what matters; set before transformers is imported
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without "→" is no reason to fail
    app(prog_name="attattr")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: Any = None,
) -> None:
    """Only what is said to users: deprecations are the developers' business."""
    if issubclass(category, UserWarning):
        typer.echo(f"Warning: {worded(str(message))}", err=True)
