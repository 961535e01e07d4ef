"""A thread that runs one job at a time on a target, and reports to the event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from vivavoce.engines.hosts.job import Job
from vivavoce.engines.hosts.local import Target

Report = Callable[["Lane", Job, Any, Exception | None], None]


class Lane:
    """One worker of a host.

    report: called on the event loop with the job and its result or error. The thread is a daemon:
    one that hangs for good must not keep the program from ending. nice: added to the niceness of
    the thread and of those that its engine starts, where the system keeps one for each thread.
    """

    def __init__(self, target: Target, name: str, report: Report, *, nice: int = 0) -> None:
        self.job: Job | None = None
        self._target = target
        self._report = report
        self._nice = nice
        self._loop = asyncio.get_running_loop()
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def begin(self, job: Job) -> None:
        """Run a job; the lane must be idle."""
        if self.job is not None:
            raise RuntimeError(f"{self._thread.name} still runs {self.job.request.method}")
        self.job = job
        self._inbox.put(job)

    def retire(self) -> None:
        """End the thread after the job that it runs."""
        self._inbox.put(None)

    async def ended(self) -> None:
        """Wait until a retired lane's thread is gone."""
        await self._ended.wait()
        self._thread.join()  # it has nothing left to do but to return

    def _serve(self) -> None:
        if self._nice and sys.platform == "linux":
            thread_id = threading.get_native_id()
            niceness = os.getpriority(os.PRIO_PROCESS, thread_id) + self._nice
            os.setpriority(os.PRIO_PROCESS, thread_id, min(niceness, 19))
        try:
            while (job := self._inbox.get()) is not None:
                self._run(job)
                del job  # an idle lane keeps no audio alive
            self._target.close()
            self._loop.call_soon_threadsafe(self._ended.set)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            # the loop ended without closing its hosts: nobody is left to report to

    def _run(self, job: Job) -> None:
        try:
            result = self._target.run(job.request, job.cancellation, job.emit)
        except Exception as error:  # noqa: BLE001 - it belongs to the caller
            self._loop.call_soon_threadsafe(self._done, job, None, error)
        else:
            self._loop.call_soon_threadsafe(self._done, job, result, None)

    def _done(self, job: Job, result: Any, error: Exception | None) -> None:
        self.job = None
        self._report(self, job, result, error)
