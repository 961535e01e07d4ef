"""A host without its workers: who waits, who runs, until when, and what the caller is told."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import Any

import structlog

from vivavoce.engines.hosts.base import (
    TRANSITIONS,
    Handle,
    HostLimits,
    HostObserver,
    HostState,
    Outcome,
)
from vivavoce.engines.hosts.job import Job, Phase, StreamJob
from vivavoce.engines.hosts.lane import Lane
from vivavoce.engines.hosts.local import Kind, Request
from vivavoce.engines.hosts.queue import JobQueue
from vivavoce.engines.interfaces import Priority, ServiceClass
from vivavoce.errors import EngineCrashed, EngineFailure, EngineTimeout, Overloaded

log = structlog.get_logger(__name__)

LIVE = Priority(ServiceClass.FINAL)
HOUSEKEEPING = frozenset({Kind.BUILD, Kind.RELEASE})
"""Requests of the host itself, of which observers hear nothing."""


class Host(ABC):
    """Runs an engine for many callers at once. Everything here happens on the event loop.

    A job waits in the queue until a lane is idle and no other job runs on its stream. Its deadline
    counts from the call, whether it waits or runs. At the deadline the caller gets EngineTimeout
    and the engine is cancelled; a worker that then goes on past the job's own time and the grace
    counts as hung (`_hung`).
    """

    def __init__(
        self, name: str, limits: HostLimits | None = None, observer: HostObserver | None = None
    ) -> None:
        self.name = name
        self.limits = limits or HostLimits()
        self.state = HostState.NEW
        self._observer = observer or HostObserver()
        self._reason = ""
        self._queue: JobQueue[Job] = JobQueue(self.limits.queue)
        self._lanes: set[Lane] = set()
        self._idle: list[Lane] = []
        self._handles: dict[int, Handle] = {}
        self._numbers = itertools.count(1)
        self._unreleased: list[int] = []
        self._batch_running = 0

    # ── what a kind of host adds ──────────────────────────────────────────────────────────────

    @abstractmethod
    async def _launch(self) -> None:
        """Build the engine and add the lanes; raise what stopped it."""

    @abstractmethod
    def _hung(self, lane: Lane, job: Job) -> None:
        """`job` goes on past its time on `lane`."""

    async def _shut_down(self) -> None:  # noqa: B027 - most hosts have nothing but lanes
        """End what is there besides the lanes."""

    def _is_lost(self, lane: Lane, job: Job, error: Exception | None) -> bool:
        """Whether the lane, and not only its job, came to an end."""
        return False

    def _between_jobs(self) -> None:  # noqa: B027
        """A job has ended and its lane is idle."""

    # ── life ──────────────────────────────────────────────────────────────────────────────────

    @property
    def healthy(self) -> bool:
        return self.state is HostState.READY

    async def start(self) -> None:
        """Build the engine, weights loaded and warm; a host that is ready stays as it is.

        Raises the engine's own VivavoceError (WeightsUnavailable, …), EngineFailure for any other
        error of its factory, EngineTimeout past `start_ms`.
        """
        if self.state is HostState.READY:
            return
        self._become(HostState.STARTING)
        try:
            await self._launch()
        except BaseException as error:
            if self.state is HostState.STARTING:
                self._become(HostState.FAILED, str(error) or "its start was cancelled")
            await self._stop()
            raise
        self._become(HostState.READY)
        self._dispatch()

    async def close(self) -> None:
        """Fail whatever waits or runs with EngineCrashed, and end every thread and process."""
        if self.state is HostState.CLOSED:
            return
        self._become(HostState.CLOSED, "is shutting down")
        self._fail_all()
        await self._stop()

    async def _stop(self) -> None:
        lanes = tuple(self._lanes)
        for lane in lanes:
            self._drop(lane)
        await self._shut_down()
        try:
            async with asyncio.timeout(self.limits.close_ms / 1000):
                for lane in lanes:
                    await lane.ended()
        except TimeoutError:  # daemons: they end with the program at the latest
            log.warning("engine_thread_left_behind", host=self.name, waited=self.limits.close_ms)

    def now_ms(self) -> int:
        """The clock of `Priority.deadline_ms`."""
        return int(asyncio.get_running_loop().time() * 1000)

    def _become(self, state: HostState, reason: str = "") -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"the host {self.name} cannot go from {self.state} to {state}")
        self.state, self._reason = state, reason
        log.info("host_state", host=self.name, state=state.value, reason=reason or None)
        self._observer.state_changed(self.name, state)

    # ── requests ──────────────────────────────────────────────────────────────────────────────

    async def read(self, attribute: str, *, timeout_ms: int = 5_000) -> Any:
        """An attribute of the engine."""
        return await self._ask(Job(Request(Kind.READ, attribute), LIVE, timeout_ms))

    async def open(
        self, method: str, *args: Any, priority: Priority = LIVE, timeout_ms: int
    ) -> Handle:
        """Call a method that opens a stream, and keep the stream with the engine.

        Raises as `call` does. Calls on one handle never overlap and keep their order.
        """
        if len(self._handles) >= self.limits.streams:
            raise Overloaded(
                f"{self.name} has {len(self._handles)} open streams, which is its limit"
            )
        handle = Handle(next(self._numbers))
        self._handles[handle.number] = handle
        request = Request(Kind.OPEN, method, args, handle.number)
        try:
            await self._ask(Job(request, priority, timeout_ms, handle=handle))
        except BaseException:
            self.release(handle)
            raise
        return handle

    async def call(
        self,
        method: str,
        *args: Any,
        handle: Handle | None = None,
        priority: Priority = LIVE,
        timeout_ms: int,
        prepare: Callable[[], tuple[Any, ...]] | None = None,
    ) -> Any:
        """Call a method of the engine, or of one of its streams, and return its result.

        prepare: gives the arguments at the moment when the job begins; what it raises is raised
        here. Cancel the awaiting task to cancel the job.
        Raises Overloaded (no room in the queue), EngineTimeout (no result within `timeout_ms`),
        EngineCrashed (the worker died, the stream is lost, the host is closing), EngineFailure.
        """
        request = Request(Kind.CALL, method, args, handle.number if handle else 0)
        return await self._ask(Job(request, priority, timeout_ms, handle=handle, prepare=prepare))

    async def stream(
        self,
        method: str,
        *args: Any,
        priority: Priority = LIVE,
        first_timeout_ms: int,
        next_timeout_ms: int,
    ) -> AsyncGenerator[Any, None]:
        """Call a method that yields chunks; the job is queued when iteration begins.

        Close the iterator, or cancel the task that reads it, to cancel the job. Time in which the
        reader leaves the buffer full does not count towards a deadline. Raises as `call` does,
        and Overloaded for a reader that has stalled.
        """
        job = StreamJob(
            Request(Kind.STREAM, method, args),
            priority,
            first_timeout_ms,
            next_timeout_ms,
            limit=self.limits.chunks,
            arrived=self._await_next,
            taken=self._await_next,
        )
        try:
            self._submit(job)
            while True:
                try:
                    chunk = await job.next()
                except StopAsyncIteration:
                    return
                yield chunk
        finally:
            self._leave(job, Outcome.CANCELLED)

    def release(self, handle: Handle) -> None:
        """Let go of a stream; calls that still wait for it fail. Returns at once."""
        if handle.released:
            return
        handle.released = True
        self._fail_waiting(lambda job: job.handle is handle, self._stream_gone)
        if not handle.busy:
            self._forget(handle)

    async def _ask(self, job: Job) -> Any:
        try:
            self._submit(job)
            return await job.future
        finally:
            self._leave(job, Outcome.CANCELLED)

    # ── the queue ─────────────────────────────────────────────────────────────────────────────

    def _submit(self, job: Job) -> None:
        handle = job.handle
        if self.state in (HostState.NEW, HostState.FAILED, HostState.CLOSED):
            self._give_up(job, self._crashed(job), Outcome.FAILED)
            return
        if handle is not None and (handle.lost or handle.released):
            self._give_up(job, self._stream_gone(job), Outcome.FAILED)
            return
        if handle is not None and len(self._queue):
            # the stream's earlier calls come first: they inherit the hurry
            self._queue.promote(job.priority, lambda other: other.handle is handle)
        evicted = self._queue.push(job, job.priority)
        job.set_timer(job.timeout_ms, self._late)
        self._observer.queued(self.name, job.priority.service_class, len(self._queue))
        if evicted is not None:
            message = (
                f"{self.name} is overloaded: {self.limits.queue} jobs wait already, "
                f"none less urgent than this {evicted.priority.service_class.name}"
            )
            self._give_up(evicted, Overloaded(message), Outcome.REFUSED)
        self._dispatch()

    def _dispatch(self) -> None:
        while self._idle and self.state is HostState.READY:
            if self._unreleased:
                numbers, self._unreleased = tuple(self._unreleased), []
                job = Job(Request(Kind.RELEASE, "release", numbers), LIVE, self.limits.start_ms)
                job.left = True
                job.set_timer(job.timeout_ms, self._outstayed)
            elif (waiting := self._queue.pop(self._may_begin)) is not None:
                job = waiting
            else:
                return
            self._begin(job)

    def _may_begin(self, job: Job) -> bool:
        if job.handle is not None and job.handle.busy:
            return False
        is_batch = job.priority.service_class is ServiceClass.BATCH
        return not is_batch or self._batch_running < self.limits.batch_at_once

    def _begin(self, job: Job) -> None:
        if job.prepare is not None:
            try:
                args = job.prepare()
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                self._give_up(job, error, Outcome.CANCELLED)
                return
            job.request = Request(job.request.kind, job.request.method, args, job.request.stream)
        self._run(self._idle.pop(), job)

    def _run(self, lane: Lane, job: Job) -> None:
        job.phase = Phase.RUNNING
        job.started_at = job.progress_at = job.loop.time()
        if job.handle is not None:
            job.handle.busy = job.handle.known = True
        service_class = job.priority.service_class
        self._batch_running += service_class is ServiceClass.BATCH
        if job.request.kind not in HOUSEKEEPING:
            wait_ms = (job.started_at - job.submitted_at) * 1000
            self._observer.started(self.name, service_class, wait_ms)
        lane.begin(job)

    def _finished(self, lane: Lane, job: Job, result: Any, error: Exception | None) -> None:
        """A lane reports; one that was dropped is not heard any more."""
        if lane not in self._lanes or self._is_lost(lane, job, error):
            return
        self._end(job)
        if error is not None:
            self._give_up(job, error, Outcome.FAILED)
        elif not job.left:
            self._leave(job, Outcome.OK)
            job.answer(result)
        self._idle.append(lane)
        self._between_jobs()
        self._dispatch()

    def _end(self, job: Job) -> None:
        """A job runs no more, whatever became of it."""
        job.phase = Phase.ENDED
        job.stop_timer()
        self._batch_running -= job.priority.service_class is ServiceClass.BATCH
        if job.handle is not None:
            job.handle.busy = False
            if job.handle.released:
                self._forget(job.handle)

    def _drop(self, lane: Lane) -> None:
        """Give up a lane: its thread ends after the job that it may still run, unheard."""
        self._lanes.discard(lane)
        if lane in self._idle:
            self._idle.remove(lane)
        if lane.job is not None:
            self._end(lane.job)
        lane.retire()

    def _lose(self, affected: Callable[[Handle], bool], reason: str) -> None:
        """Streams that the engine no longer has, or that a hung call still holds."""
        for handle in [handle for handle in self._handles.values() if affected(handle)]:
            del self._handles[handle.number]
            handle.lost = reason
        self._fail_waiting(
            lambda job: job.handle is not None and bool(job.handle.lost), self._stream_gone
        )

    def _forget(self, handle: Handle) -> None:
        if self._handles.pop(handle.number, None) is not None and handle.known:
            self._unreleased.append(handle.number)
            self._dispatch()

    # ── the caller ────────────────────────────────────────────────────────────────────────────

    def _leave(self, job: Job, outcome: Outcome) -> None:
        """Nobody waits for `job` any more: drop it if it waits, cancel it if it runs."""
        if job.left:
            return
        job.left = True
        now = job.loop.time()
        run_ms = 0.0 if job.started_at is None else (now - job.started_at) * 1000
        if job.request.kind not in HOUSEKEEPING:
            self._observer.ended(self.name, job.priority.service_class, outcome, run_ms)
        if job.phase is Phase.WAITING:
            job.stop_timer()
            job.phase = Phase.ENDED
            self._queue.remove(lambda other: other is job)
        elif job.phase is Phase.RUNNING:
            allowed_ms = job.allowed_ms - (now - job.progress_at) * 1000
            job.set_timer(max(allowed_ms, self.limits.grace_ms), self._outstayed)
            try:
                job.cancellation.cancel()
            except Exception:
                log.exception("engine_cancel_failed", host=self.name, method=job.request.method)

    def _give_up(self, job: Job, error: Exception, outcome: Outcome) -> None:
        """Tell the caller why there is no result."""
        if not job.left:
            self._leave(job, outcome)
            job.fail(error)

    def _fail_waiting(
        self, affected: Callable[[Job], bool], error: Callable[[Job], Exception]
    ) -> None:
        for job in self._queue.remove(affected):
            self._give_up(job, error(job), Outcome.FAILED)

    def _fail_all(self) -> None:
        self._fail_waiting(lambda job: True, self._crashed)
        for lane in self._lanes:
            if lane.job is not None:
                self._give_up(lane.job, self._crashed(lane.job), Outcome.FAILED)

    # ── deadlines ─────────────────────────────────────────────────────────────────────────────

    def _await_next(self, job: StreamJob) -> None:
        """A chunk has come or was taken: from now on the engine, or the reader, has its time."""
        if job.phase is Phase.RUNNING and not job.left:
            job.progress_at = job.loop.time()
            if job.full:
                job.set_timer(self.limits.stall_ms, self._stalled)
            else:
                job.set_timer(job.next_timeout_ms, self._late)

    def _late(self, job: Job) -> None:
        message = f"{self._label(job)}: no {job.awaited} within {job.allowed_ms} ms"
        if job.phase is Phase.WAITING:
            cause = f"the host {self._reason}" if self._reason else f"{len(self._queue)} jobs wait"
            message = f"{message}: it could not begin, {cause}"
        self._give_up(job, EngineTimeout(message), Outcome.TIMEOUT)

    def _stalled(self, job: Job) -> None:
        message = f"{self._label(job)}: nobody took a chunk for {self.limits.stall_ms} ms"
        self._give_up(job, Overloaded(message), Outcome.TIMEOUT)

    def _outstayed(self, job: Job) -> None:
        lane = next((lane for lane in self._lanes if lane.job is job), None)
        if lane is not None:
            log.warning("engine_hung", host=self.name, method=job.request.method)
            self._hung(lane, job)

    def _label(self, job: Job) -> str:
        return f"{self.name}.{job.request.method}"

    def _crashed(self, job: Job) -> EngineCrashed:
        reason = self._reason or "has not been started"
        return EngineCrashed(f"{self._label(job)}: the host {self.name} {reason}")

    def _stream_gone(self, job: Job) -> EngineFailure:
        if job.handle is not None and job.handle.lost:
            return EngineCrashed(f"{self._label(job)}: its stream is lost, {job.handle.lost}")
        return EngineFailure(f"{self._label(job)}: its stream was closed")
