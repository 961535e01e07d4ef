from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vivavoce.audio.wav import read_wav
from vivavoce.engines.interfaces import SAMPLE_RATE
from vivavoce.engines.vad.webrtc import WebrtcVad
from vivavoce.errors import ConfigurationError, InvalidRequest


@pytest.mark.parametrize("frame_ms", [10, 20, 30])
def test_speech_is_found(audio_dir: Path, frame_ms: int) -> None:
    pcm, _ = read_wav(audio_dir / "en_librivox_0880.wav", SAMPLE_RATE)
    vad = WebrtcVad(frame_ms=frame_ms)
    probabilities = np.array(vad.open().process(pcm))
    assert len(probabilities) == len(pcm) * 1000 // SAMPLE_RATE // frame_ms
    assert np.mean(probabilities > 0.5) > 0.7


@pytest.mark.parametrize("level", [0.0, 0.001, 0.01])
def test_a_minute_of_faint_noise_is_no_speech(level: float) -> None:
    noise = level * np.random.default_rng(3).standard_normal(60 * SAMPLE_RATE)
    probabilities = WebrtcVad(aggressiveness=3).open().process(noise.astype(np.float32))
    assert sum(probability > 0.5 for probability in probabilities) <= 5


def test_chunks_of_any_size_give_the_same_probabilities(audio_dir: Path) -> None:
    pcm, _ = read_wav(audio_dir / "en_librivox_0930.wav", SAMPLE_RATE)
    stream = WebrtcVad().open()
    probabilities = []
    for start in range(0, len(pcm), 321):
        probabilities += stream.process(pcm[start : start + 321])
    assert probabilities == WebrtcVad().open().process(pcm)


def test_one_loud_frame_alone_is_not_speech(audio_dir: Path) -> None:
    pcm, _ = read_wav(audio_dir / "en_librivox_0930.wav", SAMPLE_RATE)
    vowel = pcm[SAMPLE_RATE : SAMPLE_RATE + 480]
    stream = WebrtcVad().open()
    stream.process(np.zeros(SAMPLE_RATE, np.float32))
    assert stream.process(vowel)[-1] < 0.5


def test_settings_that_cannot_work_are_named() -> None:
    with pytest.raises(ConfigurationError, match="got 4"):
        WebrtcVad(aggressiveness=4)
    with pytest.raises(ConfigurationError, match="got 32"):
        WebrtcVad(frame_ms=32)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="inf"):
        WebrtcVad().open().process(np.array([np.inf], np.float32))
