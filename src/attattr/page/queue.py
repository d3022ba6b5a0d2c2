"""One thread for all work with models: jobs wait in a line, tell how far they are, and can be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from attattr.asked import Progress
from attattr.errors import AttAttrError

WAITING = 4  # jobs that may wait
ALIVE = 1.0  # seconds between lines, at most


class CancelledError(Exception):
    """The client has gone, or does not want it any more."""


@dataclass(eq=False)
class Job:
    """Work for the one thread, and what it tells on the way."""

    work: Callable[[Job], dict[str, Any]]
    loop: asyncio.AbstractEventLoop
    news: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    cancelled: bool = False

    def tell(self, **news: Any) -> None:
        if self.cancelled:
            raise CancelledError
        self._send(news)

    def doing(self, what: str) -> Progress:
        """A progress callback, which is also where a cancelled job ends."""
        return lambda done, total, _: self.tell(state="working", what=what, done=done, total=total)

    def run(self) -> None:
        if self.cancelled:
            return
        try:
            self._send({"state": "done", **self.work(self)})
        except CancelledError:
            self._send({"state": "cancelled"})
        except AttAttrError as error:
            self._send({"state": "failed", "error": _sentence(str(error))})
        except Exception as error:
            about = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self._send({"state": "failed", "error": _sentence(f"this did not work ({about})")})

    def _send(self, news: dict[str, Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the server has stopped meanwhile
            self.loop.call_soon_threadsafe(self.news.put_nowait, news)


class Line:
    """One thread, and the jobs that wait for it."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="attattr")
        self.jobs: list[Job] = []

    @property
    def busy(self) -> bool:
        return len(self.jobs) > WAITING

    async def lines(self, work: Callable[[Job], dict[str, Any]]) -> AsyncIterator[str]:
        """What a job tells, as JSON lines. Closing the iterator cancels it."""
        job = Job(work, asyncio.get_running_loop())
        self.jobs.append(job)
        done = self.thread.submit(job.run)
        done.add_done_callback(
            lambda _: job.loop.is_closed() or job.loop.call_soon_threadsafe(self._leave, job)
        )
        try:
            yield self._place(job)
            while True:
                try:
                    news = await asyncio.wait_for(job.news.get(), ALIVE)
                except TimeoutError:
                    yield self._place(job)  # also how a client that went away is noticed
                    continue
                yield json.dumps(news) + "\n"
                if news["state"] in ("done", "failed", "cancelled"):
                    return
        finally:
            job.cancelled = True
            done.cancel()

    def _place(self, job: Job) -> str:
        ahead = self.jobs.index(job) if job in self.jobs else 0
        return json.dumps({"state": "waiting", "ahead": ahead} if ahead else {"state": "alive"}) + "\n"

    def _leave(self, job: Job) -> None:
        with contextlib.suppress(ValueError):
            self.jobs.remove(job)

    def close(self) -> None:
        for job in self.jobs:
            job.cancelled = True
        self.thread.shutdown(wait=False, cancel_futures=True)


def _sentence(text: str) -> str:
    return " ".join(text.split())
