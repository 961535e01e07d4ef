"""The sessions of this process: how many there may be, and how they end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from vivavoce.conversation.session import Session
from vivavoce.errors import Overloaded


class SessionRegistry:
    """Admits sessions up to `limit`, and none any more once it drains."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sessions: set[Session] = set()
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def draining(self) -> bool:
        return self._draining

    def check(self) -> None:
        """Raise Overloaded when no further session is admitted."""
        if self._draining:
            raise Overloaded("The server is restarting; connect again.", code="server_restarting")
        if len(self._sessions) >= self._limit:
            raise Overloaded(
                f"The server is full: {self._limit} conversations are going on. Try again later.",
                code="server_full",
            )

    @contextmanager
    def admit(self, session: Session) -> Iterator[None]:
        """Count `session` as long as the context lasts; raises Overloaded."""
        self.check()
        self._sessions.add(session)
        self._empty.clear()
        try:
            yield
        finally:
            self._sessions.discard(session)
            if not self._sessions:
                self._empty.set()

    async def drain(self, wait_ms: int) -> None:
        """Admit nobody, let running replies finish for `wait_ms`, then end what is left."""
        self._draining = True
        for session in self._sessions:
            session.leave()
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await self._empty.wait()
        except TimeoutError:
            for session in list(self._sessions):
                session.end(1012, "The server is restarting.")
