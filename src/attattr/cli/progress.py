"""How far the work is, on standard error: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attattr.asked import Progress

EVERY = 30  # seconds between two lines where there is no terminal; shorter work has none


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


@contextlib.contextmanager
def progress_bar(
    what: str, *, parts: bool = False, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """Who is told how far the work is, and shows it on standard error.

    parts: whether it is counted anew for each part of the work, so that no one knows when all of it ends.
    """
    with _shown_on_terminal() if sys.stderr.isatty() else _told_in_lines(clock) as show:
        history: list[tuple[float, int]] = []
        before = [0]

        def tell(done: int, total: int, now: str) -> None:
            if history and (done < history[-1][1] or (parts and total != before[0])):  # another part
                history.clear()
            history.append((clock(), done))
            del history[1:-1]  # the first and the last: what was done since the work began
            before[0] = total
            left = " of this part" if parts else ""
            show(", ".join(filter(None, (what, now))), done, total, said(history, total, left))

        yield tell


def said(history: Sequence[tuple[float, int]], total: int, part: str = "") -> str:
    """How much is done, how fast, and about how long it will take: only what is known.

    >>> said([(100.0, 0), (140.0, 120)], 400)
    '120 of 400, 3.0/s, about 2 min left'
    >>> said([(100.0, 0)], 400), said([], 0)
    ('0 of 400', '')

    history: (seconds, done), oldest first, from when the work had begun: what was done before the first is
        no work of ours. total: 0 where it is not known.
    """
    if not history or total <= 0:
        return ""
    (began, before), (now, done) = history[0], history[-1]
    facts = [f"{done:,} of {total:,}"]
    if now > began and done > before:
        rate = (done - before) / (now - began)
        facts.append(_rate(rate))
        if done < total:
            facts.append(f"about {_span((total - done) / rate)} left{part}")
    return ", ".join(facts)


def _rate(rate: float) -> str:
    if rate >= 0.1:
        return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
    return f"{60 * rate:.2g}/min"


def _span(seconds: float) -> str:
    """Rounded, and never to nothing."""
    if seconds < 55:
        return f"{max(1, math.ceil(seconds))} s"
    return f"{max(1, round(seconds / 60))} min" if seconds < 5400 else f"{round(seconds / 3600)} h"


Show = Callable[[str, int, int, str], None]


@contextlib.contextmanager
def _shown_on_terminal() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[said]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, said="")

        def show(what: str, done: int, total: int, facts: str) -> None:
            bar.update(task, completed=done, total=total or None, description=what, said=facts)

        yield show


@contextlib.contextmanager
def _told_in_lines(clock: Callable[[], float]) -> Iterator[Show]:
    last = [clock()]

    def show(what: str, done: int, total: int, facts: str) -> None:
        if clock() - last[0] >= EVERY:
            last[0] = clock()
            sys.stderr.write(": ".join(filter(None, (what, facts))) + "\n")
            sys.stderr.flush()

    yield show
