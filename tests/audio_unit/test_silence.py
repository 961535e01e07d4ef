from __future__ import annotations

import numpy as np
import pytest

from vivavoce.audio.pcm import Pcm
from vivavoce.audio.silence import first_audible_sample, sound_end_sample, trim_leading_silence

RATE = 24_000
KEPT = 720


def _speech_after(silence: int) -> Pcm:
    return np.concatenate([np.zeros(silence), np.full(2_000, 0.5)]).astype(np.float32)


@pytest.mark.parametrize("chunk_samples", [1, 100, 480, 5_000, 50_000])
@pytest.mark.parametrize("silence", [0, 300, 720, 721, 9_600])
def test_30_ms_are_kept_however_the_stream_is_cut(silence: int, chunk_samples: int) -> None:
    pcm = _speech_after(silence)
    chunks = [pcm[i : i + chunk_samples] for i in range(0, len(pcm), chunk_samples)]
    trimmed = np.concatenate(list(trim_leading_silence(chunks, RATE)))
    assert np.array_equal(trimmed, pcm[max(0, silence - KEPT) :])


def test_silence_throughout_yields_nothing() -> None:
    assert list(trim_leading_silence([np.zeros(RATE, np.float32)] * 3, RATE)) == []


def test_silence_inside_stays() -> None:
    chunks = [_speech_after(0), np.zeros(RATE, np.float32), _speech_after(0)]
    assert sum(len(chunk) for chunk in trim_leading_silence(chunks, RATE)) == 4_000 + RATE


def test_the_first_chunk_is_not_awaited_longer_than_it_must() -> None:
    taken = []

    def chunks():  # type: ignore[no-untyped-def]
        for number in range(3):
            taken.append(number)
            yield _speech_after(0)

    next(trim_leading_silence(chunks(), RATE))
    assert taken == [0]


def test_first_audible_sample() -> None:
    assert first_audible_sample(_speech_after(123)) == 123
    assert first_audible_sample(np.full(100, 0.009, np.float32)) is None
    assert first_audible_sample(np.zeros(0, np.float32)) is None


def test_end_of_sound_ignores_a_faint_tail() -> None:
    tail = np.full(RATE, 0.5 * 10 ** (-40 / 20), np.float32)
    assert sound_end_sample(np.concatenate([_speech_after(400), tail]), RATE) == 2_400
    assert sound_end_sample(tail[:0], RATE) == 0
    assert sound_end_sample(np.zeros(RATE, np.float32), RATE) == 0
