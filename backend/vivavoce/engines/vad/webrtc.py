"""The detector of WebRTC: no weights, next to no cost, fooled by noise more easily."""

from __future__ import annotations

from collections import deque

import numpy as np
import webrtcvad

from vivavoce.audio.pcm import ms_to_samples, to_int16
from vivavoce.engines.interfaces import SAMPLE_RATE, Pcm
from vivavoce.errors import ConfigurationError

SMOOTHED_FRAMES = 3
"""A click fills one frame, a syllable several: the mean of three keeps clicks below 0.5."""


class WebrtcVad:
    """Gaussian mixtures over six frequency bands; yes or no, smoothed into a probability.

    aggressiveness: 0 (lets noise pass) to 3 (drops soft speech). frame_ms: 10, 20 or 30.
    """

    def __init__(self, aggressiveness: int = 2, frame_ms: int = 30) -> None:
        if aggressiveness not in range(4):
            raise ConfigurationError(f"aggressiveness is 0, 1, 2 or 3, got {aggressiveness}")
        if frame_ms not in (10, 20, 30):
            raise ConfigurationError(f"frame_ms is 10, 20 or 30, got {frame_ms}")
        self._aggressiveness = aggressiveness
        self.frame_samples = ms_to_samples(frame_ms, SAMPLE_RATE)

    def open(self) -> WebrtcStream:
        return WebrtcStream(self._aggressiveness, self.frame_samples)


class WebrtcStream:
    """State of one stream: the detector's noise model, recent decisions, an incomplete frame."""

    def __init__(self, aggressiveness: int, frame_samples: int) -> None:
        self._vad = webrtcvad.Vad(aggressiveness)
        self._frame_samples = frame_samples
        self._pending = np.zeros(0, np.int16)
        self._decisions: deque[bool] = deque([False] * SMOOTHED_FRAMES, maxlen=SMOOTHED_FRAMES)

    def process(self, pcm: Pcm) -> list[float]:
        """Speech probability (thirds) of each frame that `pcm` completes.

        Raises InvalidRequest for NaN or infinity.
        """
        self._pending = np.concatenate([self._pending, to_int16(pcm)])
        whole = len(self._pending) // self._frame_samples * self._frame_samples
        probabilities = []
        for frame in self._pending[:whole].reshape(-1, self._frame_samples):
            self._decisions.append(self._vad.is_speech(frame.tobytes(), SAMPLE_RATE))
            probabilities.append(sum(self._decisions) / SMOOTHED_FRAMES)
        self._pending = self._pending[whole:]
        return probabilities
