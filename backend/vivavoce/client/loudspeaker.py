"""Loudspeakers without a sound card: they know what a listener would have heard by now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from vivavoce.audio.pcm import Pcm
from vivavoce.client.dialect import OUTPUT_RATE


class Loudspeaker(Protocol):
    """Plays replies at 24 kHz, one chunk after the other."""

    @property
    def ends_at(self) -> float:
        """When the last sample given to it will have been played, on the loop's clock."""
        ...

    def play(self, reply_id: str, pcm: Pcm) -> float:
        """Play `pcm` after what is there; returns when its first sample sounds."""
        ...

    def stop(self) -> int:
        """Throw away what has not been heard; returns the number of its samples."""
        ...

    def heard_ms(self, reply_id: str) -> int:
        """How much of a reply has been heard; 0 for any but the latest."""
        ...


class VirtualLoudspeaker:
    """Plays each chunk when the one before it has ended, and at once when there is none.

    now: the clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._reply_id = ""
        self._runs: list[tuple[float, float]] = []
        """Start and end of the stretches of the latest reply that are played without a gap."""
        self._ends_at = now()

    @property
    def ends_at(self) -> float:
        return self._ends_at

    def play(self, reply_id: str, pcm: Pcm) -> float:
        if reply_id != self._reply_id:
            self._reply_id = reply_id
            self._runs.clear()
        starts_at = max(self._ends_at, self._now())
        gapless = bool(self._runs) and self._runs[-1][1] == starts_at
        self._ends_at = starts_at + len(pcm) / OUTPUT_RATE
        run_start = self._runs.pop()[0] if gapless else starts_at
        self._runs.append((run_start, self._ends_at))
        return starts_at

    def stop(self) -> int:
        now = self._now()
        unheard_s = sum(max(0.0, end - max(start, now)) for start, end in self._runs)
        self._runs = [(start, min(end, now)) for start, end in self._runs if start < now]
        self._ends_at = min(self._ends_at, now)
        return round(unheard_s * OUTPUT_RATE)

    def heard_ms(self, reply_id: str) -> int:
        if reply_id != self._reply_id:
            return 0
        now = self._now()
        return round(1000 * sum(min(end, now) - start for start, end in self._runs if start < now))


class Tape:
    """Records what is heard from another loudspeaker."""

    def __init__(self, loudspeaker: Loudspeaker) -> None:
        self._loudspeaker = loudspeaker
        self._chunks: list[Pcm] = []

    @property
    def ends_at(self) -> float:
        return self._loudspeaker.ends_at

    def recording(self) -> Pcm:
        """float32 [n] at 24 kHz: the replies without the pauses between them."""
        return np.concatenate([np.zeros(0, np.float32), *self._chunks])

    def play(self, reply_id: str, pcm: Pcm) -> float:
        self._chunks.append(pcm)
        return self._loudspeaker.play(reply_id, pcm)

    def stop(self) -> int:
        unheard = self._loudspeaker.stop()
        left = unheard
        while left and self._chunks:
            chunk = self._chunks.pop()
            if len(chunk) > left:
                self._chunks.append(chunk[: len(chunk) - left])
            left = max(0, left - len(chunk))
        return unheard

    def heard_ms(self, reply_id: str) -> int:
        return self._loudspeaker.heard_ms(reply_id)
