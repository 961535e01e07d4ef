"""Where a long recording can be cut without cutting a word."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vivavoce.audio.silence import frame_levels
from vivavoce.engines.interfaces import SAMPLE_RATE, Pcm

_FRAME_SAMPLES = SAMPLE_RATE // 50
_PAUSE_FRAMES = 10
"""A pause is looked for as the quietest 200 ms: closures inside words are shorter."""

_NEVER_HEARD = 0.003
_NOISE_HEADROOM = 2.0
_FAINTEST_SPEECH = 0.06


def quietest_pause(pcm: Pcm, earliest: int, latest: int) -> int:
    """Return the sample in the middle of the quietest 200 ms between two samples."""
    levels = frame_levels(pcm[earliest:latest], _FRAME_SAMPLES)
    energy = np.convolve(np.square(levels), np.ones(_PAUSE_FRAMES), mode="valid")
    return earliest + (int(energy.argmin()) + _PAUSE_FRAMES // 2) * _FRAME_SAMPLES


def split_at_pauses(pcm: Pcm, shortest: int, longest: int) -> Iterator[Pcm]:
    """Cut at pauses into pieces of `shortest` to `longest` samples; the last may be shorter."""
    while len(pcm) > longest:
        cut = quietest_pause(pcm, shortest, longest)
        yield pcm[:cut]
        pcm = pcm[cut:]
    yield pcm


def quiet_level(pcm: Pcm) -> float:
    """Return the level below which 20 ms of this recording hold no speech.

    Twice the background's level, but far below the speaker's, so that a soft word still counts.
    """
    levels = frame_levels(pcm, _FRAME_SAMPLES)
    if not len(levels):
        return _NEVER_HEARD
    background, speech = np.percentile(levels, [10, 95])
    headroom = min(_NOISE_HEADROOM * float(background), _FAINTEST_SPEECH * float(speech))
    return max(_NEVER_HEARD, headroom)


def is_quiet(pcm: Pcm, level: float) -> bool:
    """Whether no 20 ms of `pcm` are louder than `level`; true for nothing at all."""
    if len(pcm) < _FRAME_SAMPLES:
        return not len(pcm) or float(np.abs(pcm).max()) <= level
    rest = frame_levels(pcm[-_FRAME_SAMPLES:], _FRAME_SAMPLES)
    return float(max(frame_levels(pcm, _FRAME_SAMPLES).max(), rest[0])) <= level
