"""The two bounded queues of a session: messages to its writer, events to its client."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from vivavoce.conversation.events import AudioDelta, Event, TextDelta

M = TypeVar("M")


class Inbox(Generic[M]):
    """Many tasks post, one takes. A full inbox makes its posters wait."""

    def __init__(self, limit: int) -> None:
        self._queue: deque[M] = deque()
        self._limit = limit
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def post(self, message: M) -> None:
        while len(self._queue) >= self._limit:
            self._room.clear()
            await self._room.wait()
        self.post_now(message)

    def post_now(self, message: M) -> None:
        """Post past the limit: only for what cannot pile up, such as timers."""
        self._queue.append(message)
        self._filled.set()

    async def take(self) -> M:
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        message = self._queue.popleft()
        if len(self._queue) < self._limit:
            self._room.set()
        return message


class OutboxFull(Exception):
    """The client has not read for so long that its events no longer fit."""


class Outbox:
    """Events on their way to a client that may read slowly.

    unread_ms: audio in it, in milliseconds. Raises OutboxFull beyond `limit` events.
    """

    def __init__(self, limit: int, sample_rate: int) -> None:
        self._queue: deque[Event] = deque()
        self._limit = limit
        self._rate = sample_rate
        self._unread_samples = 0
        self._filled = asyncio.Event()

    @property
    def unread_ms(self) -> float:
        return self._unread_samples * 1000 / self._rate

    def put(self, event: Event) -> None:
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
        self._queue.append(event)
        self._filled.set()

    async def take(self) -> Event:
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        event = self._queue.popleft()
        if isinstance(event, AudioDelta):
            self._unread_samples -= len(event.pcm)
        return event

    def drop_stale(self, response_id: str) -> dict[str, float]:
        """Throw away unread audio and text of a response; returns audio ms dropped, by item."""
        kept: deque[Event] = deque()
        dropped: dict[str, float] = {}
        for event in self._queue:
            if isinstance(event, AudioDelta | TextDelta) and event.response_id == response_id:
                if isinstance(event, AudioDelta):
                    self._unread_samples -= len(event.pcm)
                    ms = len(event.pcm) * 1000 / self._rate
                    dropped[event.item_id] = dropped.get(event.item_id, 0.0) + ms
            else:
                kept.append(event)
        self._queue = kept
        return dropped
