"""Processes of their own, each forked from one that has imported what the command needs.

Importing it anew takes ten times as long as what is tested. How a fresh process starts is tested in cli/.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attattr.cli

IMPORTED = [
    "pytest", "pandas", "pyarrow.dataset", "pyarrow.parquet", "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert", "attattr.cli.verbs", "attattr.engine.attributor",
    "attattr.runs.run", "attattr.runs.shard",
]  # fmt: skip


class Forked:
    """A call in another process, as `subprocess.Popen`; no file it writes may grow beyond `limit` bytes."""

    def __init__(self, call: Callable[[], object], limit: int | None = None):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self._said = tempfile.TemporaryDirectory()
        for name in ("out", "err"):
            (Path(self._said.name) / name).touch()
        self._process = context.Process(target=_called, args=(call, self._said.name, limit))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended: as a Popen takes it
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it said, when it has ended: output and errors."""
        self._process.join(timeout)
        assert self.returncode is not None, f"still running after {timeout} s"
        with self._said as said:
            return (Path(said) / "out").read_text(), (Path(said) / "err").read_text()


def command(*arguments: str, limit: int | None = None) -> Forked:
    """`attattr …`"""
    return Forked(partial(_main, arguments), limit)


def _main(arguments: tuple[str, ...]) -> None:
    sys.argv = ["attattr", *arguments]
    attattr.cli.main()


def _called(call: Callable[[], object], said: str, limit: int | None) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{said}/{name}", os.O_WRONLY), number)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    call()
