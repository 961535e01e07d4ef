"""From a client's audio to frames at 16 kHz, each with its probability of speech."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vivavoce.audio.resample import Resampler
from vivavoce.engines.interfaces import SAMPLE_RATE, HostedVad, HostedVadStream, Pcm

MAX_BLOCK_SAMPLES = SAMPLE_RATE
"""Longer input is taken in pieces, so that one append never holds a detector for long."""


@dataclass(frozen=True, slots=True)
class Frame:
    """pcm: float32 [n] at 16 kHz. probability: that someone speaks in it, in [0, 1]."""

    pcm: Pcm
    probability: float

    @property
    def ms(self) -> float:
        return len(self.pcm) * 1000 / SAMPLE_RATE


class Ear:
    """Resamples, cuts into frames and detects voice, in order, for one session."""

    def __init__(self, vad: HostedVad) -> None:
        self._vad = vad
        self._stream: HostedVadStream | None = None
        self._resampler = Resampler(SAMPLE_RATE, SAMPLE_RATE)
        self._rate = SAMPLE_RATE
        self._rest: Pcm = np.zeros(0, np.float32)

    async def open(self) -> None:
        self._stream = await self._vad.open()

    @property
    def frame_ms(self) -> float:
        return self._opened.frame_ms

    async def listen(self, pcm: Pcm, sample_rate: int) -> list[Frame]:
        """The frames that `pcm` (at `sample_rate` Hz) completes."""
        if sample_rate != self._rate:
            self._resampler = Resampler(sample_rate, SAMPLE_RATE)
            self._rate = sample_rate
        audio = self._resampler.process(pcm)
        frames: list[Frame] = []
        for start in range(0, len(audio), MAX_BLOCK_SAMPLES):
            frames += await self._detect(audio[start : start + MAX_BLOCK_SAMPLES])
        return frames

    async def _detect(self, block: Pcm) -> list[Frame]:
        probabilities = await self._opened.process(block)
        samples = round(self.frame_ms * SAMPLE_RATE / 1000)
        audio = np.concatenate((self._rest, block)) if len(self._rest) else block
        used = samples * len(probabilities)
        self._rest = audio[used:]
        return [
            Frame(audio[i * samples : (i + 1) * samples], probability)
            for i, probability in enumerate(probabilities)
        ]

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    @property
    def _opened(self) -> HostedVadStream:
        if self._stream is None:
            raise RuntimeError("Ear.open() comes before everything else")
        return self._stream
