"""The engine in a supervised child process, killed and restarted when it hangs or leaks."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from collections.abc import Mapping
from functools import partial

import psutil
import structlog

from vivavoce.engines.hosts.base import HostLimits, HostObserver, HostState, Outcome
from vivavoce.engines.hosts.frames import BadFrame, ChannelClosed
from vivavoce.engines.hosts.host import Host
from vivavoce.engines.hosts.job import Job
from vivavoce.engines.hosts.lane import Lane
from vivavoce.engines.hosts.remote import RemoteEngine
from vivavoce.engines.hosts.spawned import ChildProcess, ChildSettings
from vivavoce.engines.interfaces import EngineFactory
from vivavoce.errors import ConfigurationError, EngineCrashed, EngineTimeout

log = structlog.get_logger(__name__)

MIB = 2**20


class Backoff:
    """How long to wait before the next start: 0.1 s, doubling to 10 s, afresh after a minute of
    health."""

    FIRST_S = 0.1
    LONGEST_S = 10.0
    HEALTHY_AFTER_S = 60.0

    def __init__(self) -> None:
        self._next_s = self.FIRST_S

    def delay_s(self, lived_s: float) -> float:
        """lived_s: how long the process that has just ended was ready."""
        if lived_s >= self.HEALTHY_AFTER_S:
            self._next_s = self.FIRST_S
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, self.LONGEST_S)
        return delay_s


class ProcessHost(Host):
    """Runs the engine in a child with its own interpreter.

    factory: pickled, so a function or class of an importable module, or a functools.partial of
    one. python, env, nice: see ChildSettings. max_rss_mb: past it the child is replaced as soon as
    nothing runs and no stream is open (past half as much again, streams are not waited for).
    Requests that come while it restarts wait, up to their deadlines.
    """

    def __init__(
        self,
        factory: EngineFactory,
        *,
        name: str,
        limits: HostLimits | None = None,
        observer: HostObserver | None = None,
        python: str = sys.executable,
        env: Mapping[str, str] | None = None,
        nice: int = 0,
        max_rss_mb: int | None = None,
    ) -> None:
        super().__init__(name, limits, observer)
        if os.name != "posix":
            raise ConfigurationError(f"{name}: a process host needs POSIX, use a thread host here")
        try:
            pickled = pickle.dumps(factory)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"{name}: the engine's factory cannot be sent to a process ({error}); it must be "
                "a function or class of an importable module, or a functools.partial of one"
            ) from error
        self._settings = ChildSettings(name, pickled, self.limits.workers, python, env or {}, nice)
        self._max_rss = None if max_rss_mb is None else max_rss_mb * MIB
        self._child: ChildProcess | None = None
        self._started: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ready_at: float | None = None
        self._backoff = Backoff()
        self._lost_jobs: list[Job] = []
        self._recycling = False

    @property
    def pid(self) -> int | None:
        """Of the child; None while there is none."""
        return self._child.pid if self._child else None

    # ── start and stop ────────────────────────────────────────────────────────────────────────

    async def _launch(self) -> None:
        self._started = asyncio.get_running_loop().create_future()
        self._spawn()
        await self._started
        if self._child is None:
            raise EngineCrashed(f"{self.name}.start: the process ended as soon as it was ready")
        if self._rss() > (self._max_rss or sys.maxsize):
            raise ConfigurationError(
                f"{self.name}: the engine takes {self._rss() // MIB} MB before any work, more "
                f"than the max_rss_mb of {(self._max_rss or 0) // MIB}; allow at least twice that",
                param="max_rss_mb",
            )

    async def _shut_down(self) -> None:
        self._stop_timer()
        if self._child is not None:
            self._child.kill("its host is shutting down")
            await self._child.ended()

    def _spawn(self) -> None:
        self._recycling = False
        self._child = ChildProcess(self._settings, self._ready, self._exited)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.limits.start_ms / 1000, self._start_late)

    def _start_late(self) -> None:
        reason = f"it was not ready within {self.limits.start_ms} ms"
        if self._started is not None and not self._started.done():
            self._started.set_exception(EngineTimeout(f"{self.name}.start: {reason}"))
        if self._child is not None:
            self._child.kill(reason)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ready(self, child: ChildProcess) -> None:
        if self.state not in (HostState.STARTING, HostState.RESTARTING):
            return
        self._stop_timer()
        self._ready_at = asyncio.get_running_loop().time()
        for number, sock in enumerate(child.take_lanes()):
            engine = RemoteEngine(sock, partial(child.cancel, number))
            lane = Lane(engine, f"{self.name}-lane", self._finished)
            self._lanes.add(lane)
            self._idle.append(lane)
        if self._started is not None and not self._started.done():
            self._started.set_result(None)
        elif self.state is HostState.RESTARTING:
            self._become(HostState.READY)
            self._dispatch()

    # ── supervision ───────────────────────────────────────────────────────────────────────────

    def _hung(self, lane: Lane, job: Job) -> None:
        self._pause("is restarting: its engine hung")
        if self._child is not None:
            self._child.kill(f"{job.request.method} did not return in time")

    def _pause(self, reason: str) -> None:
        """Begin no more jobs with the present child; those that wait go on waiting."""
        if self.state is HostState.READY:
            self._become(HostState.RESTARTING, reason)

    def _is_lost(self, lane: Lane, job: Job, error: Exception | None) -> bool:
        """The job is answered when the child's end is known, which then cannot be far."""
        if not isinstance(error, ChannelClosed) or self._child is None:
            return False
        self._pause("is restarting: its engine's process is gone")
        self._child.kill(str(error) if isinstance(error, BadFrame) else "")
        self._end(job)
        self._lost_jobs.append(job)
        return True

    def _exited(self, child: ChildProcess) -> None:
        self._stop_timer()
        self._child = None
        end = f"the engine's process {child.end}"
        self._pause(f"is restarting: {end}")
        jobs, self._lost_jobs = self._lost_jobs, []
        for lane in tuple(self._lanes):
            if lane.job is not None:
                jobs.append(lane.job)
            self._drop(lane)
        self._lose(lambda handle: handle.known, end)
        for job in jobs:
            crash = EngineCrashed(f"{self._label(job)}: {end}")
            self._give_up(job, crash, Outcome.FAILED)
        if self.state is HostState.STARTING:
            if self._started is not None and not self._started.done():
                self._started.set_exception(
                    child.failure or EngineCrashed(f"{self.name}.start: {end}")
                )
        elif self.state is HostState.RESTARTING:
            self._restart(str(child.failure or end))

    def _restart(self, cause: str) -> None:
        loop = asyncio.get_running_loop()
        lived_s = 0.0 if self._ready_at is None else loop.time() - self._ready_at
        self._ready_at = None
        delay_s = 0.0 if self._recycling else self._backoff.delay_s(lived_s)
        self._reason = f"is restarting: {cause}"
        log.warning("engine_restart", host=self.name, cause=cause, delay_ms=round(delay_s * 1000))
        self._timer = loop.call_later(delay_s, self._spawn)

    # ── memory ────────────────────────────────────────────────────────────────────────────────

    def _between_jobs(self) -> None:
        if self._max_rss is None or self._child is None:
            return
        if not self._recycling and self.state is HostState.READY:
            rss = self._rss()
            patience = 1.5 if self._handles else 1.0
            if rss > self._max_rss * patience:
                self._recycling = True
                self._pause(f"is replacing a process of {rss // MIB} MB")
        if self._recycling and len(self._idle) == len(self._lanes):
            self._child.kill("it had grown too large")

    def _rss(self) -> int:
        """Bytes of memory that the child holds; 0 when it is gone."""
        try:
            return int(psutil.Process(self._child.pid).memory_info().rss) if self._child else 0
        except psutil.NoSuchProcess:
            return 0
