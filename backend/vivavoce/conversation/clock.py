"""Time, as the conversation sees it: whole milliseconds of a clock that can be replaced."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since some fixed moment; never goes back."""
        ...


class LoopClock:
    """The clock of the running event loop, which tests run in virtual time."""

    def now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)
