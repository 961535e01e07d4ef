"""From a client's audio to frames at 16 kHz, each with its probability of speech."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vivavoce.audio.resample import Resampler
from vivavoce.engines.interfaces import SAMPLE_RATE, HostedVad, HostedVadStream, Pcm


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
        self._rest: Pcm = np.zeros(0, np.float32)

    async def open(self) -> None:
        self._stream = await self._vad.open()

    @property
    def frame_ms(self) -> float:
        return self._opened.frame_ms

    async def listen(self, pcm: Pcm, sample_rate: int) -> list[Frame]:
        """The frames that `pcm` (at `sample_rate` Hz, a second at most) completes.

        Raises InvalidRequest for a rate or samples that cannot be, and what the detector raises:
        then `pcm` is lost, and the next call goes on after it.
        """
        if sample_rate != self._resampler.from_rate:
            self._resampler = Resampler(sample_rate, SAMPLE_RATE)
        samples = round(self.frame_ms * SAMPLE_RATE / 1000)
        audio = np.concatenate((self._rest, self._resampler.process(pcm)))
        whole = len(audio) // samples * samples
        self._rest = audio[whole:].copy()
        if not whole:
            return []
        probabilities = await self._opened.process(audio[:whole])
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
