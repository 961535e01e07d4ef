"""The engine in threads of this process, for libraries that release the GIL."""

from __future__ import annotations

import asyncio
from collections import deque

from vivavoce.engines.hosts.base import HostLimits, HostObserver, HostState
from vivavoce.engines.hosts.host import LIVE, Host
from vivavoce.engines.hosts.job import Job
from vivavoce.engines.hosts.lane import Lane
from vivavoce.engines.hosts.local import Kind, LocalEngine, Request
from vivavoce.engines.interfaces import EngineFactory

REPLACEMENTS = 2
REPLACEMENTS_WINDOW_S = 60.0


class ThreadHost(Host):
    """Builds the engine in its first thread; `limits.workers` threads then share it.

    A thread cannot be killed. One that hangs is left behind and replaced, twice a minute at most:
    then the host has failed, and each request is told why. nice: how far its threads stand back
    behind the event loop when the cores are busy.
    """

    def __init__(
        self,
        factory: EngineFactory,
        *,
        name: str,
        limits: HostLimits | None = None,
        observer: HostObserver | None = None,
        nice: int = 0,
    ) -> None:
        super().__init__(name, limits, observer)
        self._nice = nice
        self._engine = LocalEngine(factory, name)
        self._replaced_at: deque[float] = deque(maxlen=REPLACEMENTS)

    async def _launch(self) -> None:
        lane = self._new_lane()
        build = Job(Request(Kind.BUILD, "start"), LIVE, self.limits.start_ms)
        build.set_timer(build.timeout_ms, self._late)
        self._run(lane, build)
        try:
            await build.future
        finally:
            build.stop_timer()
        for _ in range(self.limits.workers - 1):
            self._idle.append(self._new_lane())

    def _new_lane(self) -> Lane:
        lane = Lane(self._engine, f"{self.name}-worker", self._finished, nice=self._nice)
        self._lanes.add(lane)
        return lane

    def _hung(self, lane: Lane, job: Job) -> None:
        self._drop(lane)
        if self.state is not HostState.READY:
            return
        what = f"lost a thread: {job.request.method} did not return"
        self._lose(lambda handle: handle is job.handle, f"the host {what}")
        if job.handle is not None:
            self._unreleased.append(job.handle.number)
        now = asyncio.get_running_loop().time()
        recent = [at for at in self._replaced_at if now - at < REPLACEMENTS_WINDOW_S]
        if len(recent) >= REPLACEMENTS:
            self._become(HostState.FAILED, f"{what}, the third time within a minute")
            self._fail_all()
            return
        self._replaced_at.append(now)
        self._idle.append(self._new_lane())
        self._dispatch()
