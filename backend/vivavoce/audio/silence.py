"""Where sound begins and ends, by loudness alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from vivavoce.audio.pcm import Pcm, ms_to_samples

AUDIBLE = 0.01
"""Amplitude (-40 dB) from which a sample counts as heard."""

KEPT_MS = 30
"""Silence left before the first audible sample: soft onsets begin below the threshold."""


def first_audible_sample(pcm: Pcm) -> int | None:
    """Index of the first sample louder than -40 dB, None when there is none."""
    audible = np.abs(pcm) > AUDIBLE
    position = int(audible.argmax()) if len(pcm) else 0
    return position if len(pcm) and audible[position] else None


def trim_leading_silence(chunks: Iterable[Pcm], sample_rate: int) -> Iterator[Pcm]:
    """Yield the chunks without the silence before the first audible sample, less 30 ms of it.

    A stream that is silent throughout yields nothing. At most 30 ms are held back.
    """
    kept = ms_to_samples(KEPT_MS, sample_rate)
    before = np.zeros(0, np.float32)
    remaining = iter(chunks)
    for chunk in remaining:
        joined = np.concatenate([before, chunk])
        onset = first_audible_sample(joined)
        if onset is not None:
            yield joined[max(0, onset - kept) :]
            yield from remaining
        else:
            before = joined[max(0, len(joined) - kept) :]


def frame_levels(pcm: Pcm, frame_samples: int) -> Pcm:
    """Root mean square of each whole frame: float32 [n // frame_samples]."""
    whole = len(pcm) // frame_samples * frame_samples
    frames = pcm[:whole].reshape(-1, frame_samples)
    levels: Pcm = np.sqrt(np.mean(np.square(frames), axis=1))
    return levels


def sound_end_sample(pcm: Pcm, sample_rate: int, *, below_peak_db: float = 35.0) -> int:
    """Index after the last 10 ms that are not `below_peak_db` quieter than the loudest 10 ms.

    0 for silence. This is when a speaker stopped, whatever a detector says about it.
    """
    frame = ms_to_samples(10, sample_rate)
    levels = frame_levels(pcm, frame)
    if not len(levels) or not levels.max():
        return 0
    loud = np.flatnonzero(levels >= levels.max() * 10 ** (-below_peak_db / 20))
    return (int(loud[-1]) + 1) * frame
