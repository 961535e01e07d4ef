"""The timers of a session, which come to its writer as messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vivavoce.conversation.clock import Clock
from vivavoce.conversation.messages import Timer, TimerFired


class Timers:
    """At most one timer of each kind. post: takes the message of a timer that fires."""

    def __init__(self, clock: Clock, post: Callable[[TimerFired], None]) -> None:
        self._clock = clock
        self._post = post
        self._armed: dict[Timer, tuple[TimerFired, asyncio.TimerHandle]] = {}

    def __contains__(self, timer: Timer) -> bool:
        return timer in self._armed

    def arm(self, timer: Timer, at_ms: float | None) -> None:
        """Fire at `at_ms` on the clock instead of any other time; None: not any more."""
        _, handle = self._armed.pop(timer, (None, None))
        if handle is not None:
            handle.cancel()
        if at_ms is not None:
            fired = TimerFired(timer)
            delay = max(0.0, at_ms - self._clock.now_ms()) / 1000
            handle = asyncio.get_running_loop().call_later(delay, self._post, fired)
            self._armed[timer] = fired, handle

    def accept(self, fired: TimerFired) -> bool:
        """Whether a timer that has fired is still meant: it may have been set anew since."""
        if fired.timer not in self._armed or self._armed[fired.timer][0] is not fired:
            return False
        del self._armed[fired.timer]
        return True

    def stop(self) -> None:
        for timer in list(self._armed):
            self.arm(timer, None)
