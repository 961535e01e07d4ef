"""Prompts that are read ahead of time, one at a time, and dropped when they are in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Prefills:
    """Runs one reading; of those that come meanwhile only the newest waits for it."""

    def __init__(self) -> None:
        self._running: asyncio.Task[None] | None = None
        self._newest: object = None

    async def run(self, read: Callable[[], Awaitable[None]]) -> None:
        """Read as soon as no other reading runs; returns when done, displaced or cancelled."""
        mine = self._newest = object()
        while self._running is not None:
            await asyncio.wait({self._running})
            if self._newest is not mine:
                return
        self._running = asyncio.ensure_future(_awaited(read))
        try:
            await asyncio.wait({self._running})
        finally:
            task, self._running = self._running, None
            task.cancel()
        if not task.cancelled():
            task.result()

    def cancel(self) -> None:
        """Stop the running reading and send the waiting one away: a reply is wanted."""
        self._newest = None
        if self._running is not None:
            self._running.cancel()

    async def close(self) -> None:
        """Cancel, and wait until nothing runs any more."""
        self.cancel()
        if self._running is not None:
            await asyncio.wait({self._running})


async def _awaited(read: Callable[[], Awaitable[None]]) -> None:
    await read()
