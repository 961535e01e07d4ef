"""The silence around speech: models emit up to a second of it, and it is heard as slowness."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vivavoce.engines.interfaces import Cancellation, Pcm

LEADING_MS = 30
OPEN_PAUSE_MS = 30
PAUSE_MS = 120
SENTENCE_PAUSE_MS = 240
_AUDIBLE = 0.01
_PEAK = 0.95
_FADE_MS = 5
_CHUNK_MS = 160
_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", "…")


def pause_after(text: str) -> int:
    """Milliseconds of silence to leave after `text`: most after a sentence, least inside one."""
    said = text.rstrip(" \"'”’」』）)")
    if said.endswith(_SENTENCE_ENDS):
        return SENTENCE_PAUSE_MS
    return OPEN_PAUSE_MS if said[-1:].isalnum() else PAUSE_MS


def trimmed(pcm: Pcm, sample_rate: int, pause_ms: int) -> Pcm:
    """`pcm` with LEADING_MS before the first audible sample and at most `pause_ms` after the last.

    Both ends fade, so that clauses join without a click. Empty when nothing is audible.
    """
    audible = np.flatnonzero(np.abs(pcm) > _AUDIBLE)
    if not audible.size:
        return np.zeros(0, np.float32)
    start = max(0, int(audible[0]) - LEADING_MS * sample_rate // 1000)
    end = int(audible[-1]) + 1 + pause_ms * sample_rate // 1000
    speech = np.array(pcm[start:end], np.float32)
    ramp = np.linspace(0, 1, min(_FADE_MS * sample_rate // 1000, speech.size), dtype=np.float32)
    speech[: ramp.size] *= ramp
    speech[speech.size - ramp.size :] *= ramp[::-1]
    speech *= min(1.0, _PEAK / float(np.abs(speech).max()))  # louder turns down whole: no clipping
    return speech


def chunks(pcm: Pcm, sample_rate: int, cancellation: Cancellation) -> Iterator[Pcm]:
    """`pcm` in pieces of 160 ms, until cancelled."""
    step = _CHUNK_MS * sample_rate // 1000
    for start in range(0, pcm.size, step):
        if cancellation.cancelled:
            return
        yield pcm[start : start + step]
