"""Voice activity on the event loop itself, where handing it to a thread would cost more.

A frame takes 0.2 ms, and each session has 31 of them a second. A thread has to be woken for each,
which on a machine whose cores are all busy took 25 ms at the median and 100 ms at worst: longer
than the frame lasts, so that sessions fell behind the voices they listened to.
"""

from __future__ import annotations

import asyncio
from typing import Self

from vivavoce.engines.interfaces import (
    SAMPLE_RATE,
    EngineFactory,
    Pcm,
    VadStream,
    VoiceActivityDetector,
)
from vivavoce.errors import EngineFailure, VivavoceError

BLOCK_FRAMES = 8
"""Frames after which a long piece of audio lets the loop do something else."""


class InlineVad:
    """A VoiceActivityDetector without a thread of its own; `start` builds it."""

    def __init__(self, detector: VoiceActivityDetector) -> None:
        self._detector = detector

    @classmethod
    async def start(cls, factory: EngineFactory) -> Self:
        return cls(await asyncio.to_thread(factory))

    async def open(self) -> InlineVadStream:
        return InlineVadStream(self._detector.open(), self._detector.frame_samples)


class InlineVadStream:
    """Voice activity of one stream."""

    def __init__(self, stream: VadStream, frame_samples: int) -> None:
        self.frame_ms = frame_samples * 1000 / SAMPLE_RATE
        self._stream = stream
        self._block_samples = BLOCK_FRAMES * frame_samples

    async def process(self, pcm: Pcm) -> list[float]:
        """Speech probabilities of the frames that `pcm` (16 kHz) completes; EngineFailure."""
        probabilities: list[float] = []
        for start in range(0, len(pcm), self._block_samples):
            if start:
                await asyncio.sleep(0)
            try:
                probabilities += self._stream.process(pcm[start : start + self._block_samples])
            except VivavoceError:
                raise
            except Exception as error:  # an engine's defect must not end the session
                message = f"voice activity detection failed: {type(error).__name__}: {error}"
                raise EngineFailure(message) from error
        return probabilities

    def close(self) -> None:
        pass
