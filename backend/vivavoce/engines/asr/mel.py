"""The log-mel spectrogram that Whisper was trained on."""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.fft
import scipy.sparse
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vivavoce.engines.interfaces import SAMPLE_RATE, Pcm

WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES
FULL_WINDOW_FRAMES = 30 * FRAMES_PER_SECOND
"""What the model was trained on; it accepts fewer."""

_SILENCE = -10.0
_DYNAMIC_RANGE = 8.0


def log_mel(pcm: Pcm, n_mels: int, shortest_frames: int, tail_frames: int) -> NDArray[np.float32]:
    """Return the spectrogram with silence after it: float32 [n_mels, frames], about [-1, 1].

    pcm: float32 [n] at 16 kHz, n ≥ 400. shortest_frames: the least number of frames (10 ms
    each); tail_frames: the least silence among them. Cut off at 30 s.
    """
    padded = np.pad(pcm, (WINDOW_SAMPLES // 2, WINDOW_SAMPLES), mode="constant")
    padded[: WINDOW_SAMPLES // 2] = pcm[WINDOW_SAMPLES // 2 : 0 : -1]
    frames = sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES] * _hann()
    spectrum = scipy.fft.rfft(frames, axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    levels = np.log10(np.maximum(_filters(n_mels) @ power.T, np.float32(10**_SILENCE)))

    floor = max(_SILENCE, float(levels.max()) - _DYNAMIC_RANGE)
    n_frames = min(FULL_WINDOW_FRAMES, max(shortest_frames, levels.shape[1] + tail_frames))
    window = np.full((n_mels, n_frames), floor, np.float32)
    np.maximum(levels[:, :n_frames], floor, out=window[:, : levels.shape[1]])
    return (window + np.float32(4)) / np.float32(4)


@cache
def _hann() -> NDArray[np.float32]:
    return np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)


@cache
def _filters(n_mels: int) -> scipy.sparse.csr_array:
    """Slaney's triangular filters of equal area: float32 [n_mels, 201].

    Sparse, because a dense product would wake the threads of BLAS, and waiting for those costs
    ten times the product on a busy machine.
    """
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(SAMPLE_RATE / 2), n_mels + 2))
    bins = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLE_RATE)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    area = 2.0 / (edges[2:] - edges[:-2])
    return scipy.sparse.csr_array((triangles * area[:, None]).astype(np.float32))


# Slaney's scale is linear below 1 kHz, which is 15 mel, and logarithmic above.
_LOG_STEP = np.log(6.4) / 27


def _hz_to_mel(hz: float) -> float:
    return 15 + float(np.log(hz / 1000) / _LOG_STEP)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(_LOG_STEP * (mel - 15)))
