"""One request on its way through a host, and the one who waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from vivavoce.engines.hosts.base import Handle
from vivavoce.engines.hosts.local import Request
from vivavoce.engines.interfaces import Cancellation, Priority


class Phase(Enum):
    WAITING = auto()
    RUNNING = auto()
    ENDED = auto()


class Job:
    """A request with a single answer.

    The event loop owns every attribute; a lane's thread reads `request` and `cancellation`.
    timeout_ms: from now to the answer. prepare: gives the arguments when the job begins, in place
    of those of `request`.
    """

    def __init__(
        self,
        request: Request,
        priority: Priority,
        timeout_ms: int,
        *,
        handle: Handle | None = None,
        prepare: Callable[[], tuple[Any, ...]] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.request = request
        self.priority = priority
        self.timeout_ms = timeout_ms
        self.handle = handle
        self.prepare = prepare
        self.cancellation = Cancellation()
        self.phase = Phase.WAITING
        self.submitted_at = self.progress_at = self.loop.time()
        self.started_at: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.left = False
        """Nobody waits any more: answered, timed out, or cancelled by the one who asked."""

    def answer(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # the caller may leave before it looks: that is no mistake

    @property
    def allowed_ms(self) -> int:
        """How long the engine may take over what is awaited now."""
        return self.timeout_ms

    @property
    def awaited(self) -> str:
        return "result"

    def emit(self, chunk: Any) -> None:
        raise TypeError(f"{self.request.method} was called for one result, not for chunks")

    def set_timer(self, delay_ms: float, expire: Callable[[Job], None]) -> None:
        """Run `expire` after `delay_ms`; the earlier timer, if any, is replaced."""
        self.stop_timer()
        self.timer = self.loop.call_later(delay_ms / 1000, expire, self)

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class StreamJob(Job):
    """A request answered by chunks, of which at most `limit` are made ahead of their reader.

    timeout_ms: to the first chunk. next_timeout_ms: between chunks, and to the end.
    arrived: called on the loop after each chunk; taken: after the reader took one of a full buffer.
    """

    def __init__(
        self,
        request: Request,
        priority: Priority,
        timeout_ms: int,
        next_timeout_ms: int,
        *,
        limit: int,
        arrived: Callable[[StreamJob], None],
        taken: Callable[[StreamJob], None],
    ) -> None:
        super().__init__(request, priority, timeout_ms)
        self.next_timeout_ms = next_timeout_ms
        self._limit = limit
        self._arrived = arrived
        self._taken = taken
        self._room = threading.Semaphore(limit)
        self._chunks: deque[Any] = deque()
        self._begun = False
        self._news = asyncio.Event()
        self.future.add_done_callback(lambda _: self._news.set())
        self.cancellation.on_cancel(self._room.release)

    @property
    def allowed_ms(self) -> int:
        return self.next_timeout_ms if self._begun else self.timeout_ms

    @property
    def awaited(self) -> str:
        return "further chunk" if self._begun else "first chunk"

    @property
    def full(self) -> bool:
        """The reader is what this stream waits for."""
        return len(self._chunks) >= self._limit

    def emit(self, chunk: Any) -> None:
        """Hand a chunk to the loop; runs in the lane's thread and blocks while there is no room."""
        if self.cancellation.cancelled:
            return
        self._room.acquire()
        if not self.cancellation.cancelled:
            self.loop.call_soon_threadsafe(self._receive, chunk)

    def _receive(self, chunk: Any) -> None:
        if self.left:
            return
        self._begun = True
        self._chunks.append(chunk)
        self._news.set()
        self._arrived(self)

    async def next(self) -> Any:
        """The next chunk; raises StopAsyncIteration after the last, or what ended the stream."""
        while not self._chunks:
            if self.future.done():
                self.future.result()
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        was_full = self.full
        chunk = self._chunks.popleft()
        self._room.release()
        if was_full and not self.left:
            self._taken(self)
        return chunk
