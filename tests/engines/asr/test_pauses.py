from __future__ import annotations

import numpy as np
import pytest

from vivavoce.engines.asr.pauses import is_quiet, quiet_level, quietest_pause, split_at_pauses
from vivavoce.engines.interfaces import SAMPLE_RATE, Pcm


def _speech(seconds: float, level: float = 0.1) -> Pcm:
    noise = np.random.default_rng(1).standard_normal(int(seconds * SAMPLE_RATE))
    return (level * noise).astype(np.float32)


def _silence(seconds: float) -> Pcm:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def test_the_cut_falls_into_the_pause() -> None:
    pcm = np.concatenate([_speech(5), _silence(0.3), _speech(5)])
    cut = quietest_pause(pcm, 2 * SAMPLE_RATE, 8 * SAMPLE_RATE) / SAMPLE_RATE
    assert 5.05 < cut < 5.25


def test_pieces_keep_to_their_lengths_and_lose_nothing() -> None:
    pcm = _speech(100)
    pieces = list(split_at_pauses(pcm, 14 * SAMPLE_RATE, 28 * SAMPLE_RATE))
    assert np.array_equal(np.concatenate(pieces), pcm)
    assert all(14 <= len(piece) / SAMPLE_RATE <= 28 for piece in pieces[:-1])
    assert len(pieces[-1]) <= 28 * SAMPLE_RATE


def test_what_is_short_stays_whole() -> None:
    pcm = _speech(3)
    assert [len(piece) for piece in split_at_pauses(pcm, 100, len(pcm))] == [len(pcm)]


@pytest.mark.parametrize("background", [0.0, 0.002, 0.004])
def test_background_is_quiet_and_soft_speech_is_not(background: float) -> None:
    utterance = np.concatenate([_speech(2), _speech(0.5, background)])
    level = quiet_level(utterance)
    assert is_quiet(_speech(0.3, background), level)
    assert not is_quiet(_speech(0.3, 0.02), level)


def test_a_word_at_the_very_end_is_heard() -> None:
    assert not is_quiet(np.concatenate([_silence(0.105), _speech(0.015)]), 0.003)


def test_nothing_is_quiet() -> None:
    assert is_quiet(_silence(0), quiet_level(_silence(0)))
