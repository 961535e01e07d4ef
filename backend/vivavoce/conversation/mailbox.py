"""The two bounded queues of a session: messages to its writer, events to its client."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Container
from typing import Generic, TypeVar

from vivavoce.conversation.events import AudioDelta, Event, TextDelta

M = TypeVar("M")


class Inbox(Generic[M]):
    """Many tasks post, one takes. A full inbox makes its posters wait.

    limit: messages in it. max_bytes: that they carry, as `size` counts them; one message may be
    larger, but then waits until it is alone.
    """

    def __init__(self, limit: int, max_bytes: int, size: Callable[[M], int]) -> None:
        self._queue: deque[M] = deque()
        self._limit = limit
        self._max_bytes = max_bytes
        self._size = size
        self._bytes = 0
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    async def post(self, message: M) -> None:
        size = self._size(message)
        while len(self._queue) >= self._limit or self._bytes > max(0, self._max_bytes - size):
            self._taken.clear()
            await self._taken.wait()
        self.post_now(message)

    def post_now(self, message: M) -> None:
        """Post past the limits: only for what cannot pile up, such as timers."""
        self._bytes += self._size(message)
        self._queue.append(message)
        self._filled.set()

    async def take(self) -> M:
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        message = self._queue.popleft()
        self._bytes -= self._size(message)
        self._taken.set()
        return message


class OutboxFull(Exception):
    """The client has not read for so long that its events no longer fit."""


class Outbox:
    """Events on their way to a client that may read slowly.

    limit: of events. sample_rate: Hz of the audio in them. on_audio: told as audio is taken.
    """

    def __init__(
        self, limit: int, sample_rate: int, on_audio: Callable[[AudioDelta], None]
    ) -> None:
        self._queue: deque[Event] = deque()
        self._limit = limit
        self._rate = sample_rate
        self._on_audio = on_audio
        self._unread_samples = 0
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def unread_ms(self) -> float:
        """Audio in it, in milliseconds."""
        return self._unread_samples * 1000 / self._rate

    def put(self, event: Event) -> None:
        """Raises OutboxFull when there is no room."""
        if len(self._queue) >= self._limit:
            raise OutboxFull
        if isinstance(event, AudioDelta):
            self._unread_samples += len(event.pcm)
        self._queue.append(event)
        self._filled.set()

    def end(self, event: Event) -> None:
        """`event` is the last: what is unread before it is thrown away if it does not fit."""
        if len(self._queue) >= self._limit:
            self._queue.clear()
            self._unread_samples = 0
        self._queue.append(event)
        self._filled.set()

    async def take(self) -> Event:
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        event = self._queue.popleft()
        if isinstance(event, AudioDelta):
            self._unread_samples -= len(event.pcm)
            self._on_audio(event)
        return event

    def drop_stale(self, response_ids: Container[str]) -> Counter[str]:
        """Throw away unread audio and text of responses; returns the characters, by response."""
        kept: deque[Event] = deque()
        chars: Counter[str] = Counter()
        for event in self._queue:
            if isinstance(event, AudioDelta) and event.response_id in response_ids:
                self._unread_samples -= len(event.pcm)
            elif isinstance(event, TextDelta) and event.response_id in response_ids:
                chars[event.response_id] += len(event.text)
            else:
                kept.append(event)
        self._queue = kept
        return chars
