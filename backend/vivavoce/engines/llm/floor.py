"""Who may generate when several replies want one small model: openings first, one at a time.

A listener waits for the first clause of a reply, not for its last: spoken, eight tokens last two
seconds, in which a slow core makes thirty more. So the opening of a reply has the model for
itself, while replies that are past theirs pause and then share what is left.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vivavoce.errors import Overloaded

OPENING_TOKENS = 8
"""About the first clause of a reply."""

OPENING_LIMIT_S = 4.0
"""How long an opening may hold the floor when its reader or the model is slow."""


class Turn:
    """One reply's claim on the model, opening at first."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._tokens = 0

    def must_pause(self) -> bool:
        """Whether this reply is past its opening while another one's is due."""
        return self._floor._holder is not self and self._floor.busy

    def spoke(self) -> None:
        """Count a token; the last one of the opening hands the floor on."""
        self._tokens += 1
        if self._tokens == OPENING_TOKENS:
            self._floor._leave(self)

    async def resume(self) -> None:
        """Wait until no opening is due."""
        await self._floor._quiet.wait()


class Floor:
    """Grants openings in order of arrival; up to max_waiting wait, others get Overloaded."""

    def __init__(self, max_waiting: int = 16) -> None:
        self._max_waiting = max_waiting
        self._holder: Turn | None = None
        self._line: deque[tuple[Turn, asyncio.Event]] = deque()
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def busy(self) -> bool:
        """Whether an opening runs or waits."""
        return not self._quiet.is_set()

    @asynccontextmanager
    async def turn(self, deadline: float) -> AsyncIterator[Turn]:
        """Wait for the floor, until `deadline` (loop time, seconds), and take it."""
        if len(self._line) >= self._max_waiting:
            raise Overloaded(f"{len(self._line)} replies already wait for the language model")
        turn, granted = Turn(self), asyncio.Event()
        self._line.append((turn, granted))
        self._quiet.clear()
        if self._holder is None:
            self._grant_next()
        try:
            async with asyncio.timeout_at(deadline):
                await granted.wait()
        except TimeoutError:
            self._leave(turn)
            raise Overloaded("the language model is busy with other replies") from None
        except asyncio.CancelledError:
            self._leave(turn)
            raise
        limit = asyncio.get_running_loop().call_later(OPENING_LIMIT_S, self._leave, turn)
        try:
            yield turn
        finally:
            limit.cancel()
            self._leave(turn)

    def _leave(self, turn: Turn) -> None:
        """Give up the floor, or the place in the line; nothing for one that has neither."""
        self._line = deque(entry for entry in self._line if entry[0] is not turn)
        if self._holder is turn:
            self._holder = None
        if self._holder is None:
            self._grant_next()

    def _grant_next(self) -> None:
        if self._line:
            self._holder, granted = self._line.popleft()
            granted.set()
        else:
            self._quiet.set()
