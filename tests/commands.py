"""The command, in the tests' own process."""

from __future__ import annotations

import warnings

from typer.testing import CliRunner, Result

from attattr.cli import verbs


def run(*arguments: object, stdin: str | bytes | None = None) -> Result:
    """As `main` sets it up. An exception that gets out is a failed test."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = verbs._show_warning  # put back by catch_warnings
        outcome = CliRunner().invoke(verbs.app, [str(each) for each in arguments], input=stdin)
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome
