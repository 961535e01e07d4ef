from __future__ import annotations

from functools import partial
from pathlib import Path
from pickle import dumps, loads

import numpy as np
import pytest

from vivavoce.audio.pcm import Pcm
from vivavoce.audio.wav import read_wav
from vivavoce.engines.interfaces import SAMPLE_RATE
from vivavoce.engines.vad.silero import SileroVad
from vivavoce.errors import InvalidRequest, WeightsUnavailable


@pytest.fixture(scope="module")
def vad(models_dir: Path) -> SileroVad:
    # As a host builds it: from a factory that went through pickle.
    built = loads(dumps(partial(SileroVad, models_dir / "silero-vad" / "silero_vad.onnx")))()
    assert isinstance(built, SileroVad)
    return built


def _minute_of_noise(colour: str, level: float) -> Pcm:
    white = np.random.default_rng(3).standard_normal(60 * SAMPLE_RATE)
    if colour == "white":
        return (level * white).astype(np.float32)
    spectrum = np.fft.rfft(white)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    pink = np.fft.irfft(spectrum)
    return np.clip(level * pink / pink.std(), -1, 1).astype(np.float32)


@pytest.mark.models
@pytest.mark.parametrize("clip", ["en_librivox_0880", "en_lj001_0013", "zh_funasr_example"])
def test_speech_is_found(vad: SileroVad, audio_dir: Path, clip: str) -> None:
    pcm, _ = read_wav(audio_dir / f"{clip}.wav", SAMPLE_RATE)
    silence = np.zeros(SAMPLE_RATE, np.float32)
    stream = vad.open()
    speech = np.array(stream.process(pcm))
    after = np.array(stream.process(silence))
    assert len(speech) == len(pcm) // vad.frame_samples
    assert np.mean(speech > 0.5) > 0.7
    assert np.all(after[10:] < 0.5)


@pytest.mark.models
@pytest.mark.parametrize("level", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("colour", ["white", "pink"])
def test_a_minute_of_noise_is_no_speech(vad: SileroVad, colour: str, level: float) -> None:
    probabilities = vad.open().process(_minute_of_noise(colour, level))
    assert len(probabilities) == 1875
    assert sum(probability > 0.5 for probability in probabilities) <= 2


@pytest.mark.models
def test_a_minute_of_silence_is_no_speech(vad: SileroVad) -> None:
    assert max(vad.open().process(np.zeros(60 * SAMPLE_RATE, np.float32))) < 0.2


@pytest.mark.models
def test_chunks_of_any_size_give_the_same_probabilities(vad: SileroVad, audio_dir: Path) -> None:
    pcm, _ = read_wav(audio_dir / "en_librivox_0930.wav", SAMPLE_RATE)
    stream, other = vad.open(), vad.open()
    probabilities = []
    for start in range(0, len(pcm), 321):
        probabilities += stream.process(pcm[start : start + 321])
        other.process(np.ones(200, np.float32))  # another stream must not disturb this one
    assert probabilities == vad.open().process(pcm)


@pytest.mark.models
def test_what_is_no_number_is_refused_and_leaves_the_stream_sound(vad: SileroVad) -> None:
    stream = vad.open()
    with pytest.raises(InvalidRequest, match="nan"):
        stream.process(np.full(512, np.nan, np.float32))
    assert np.isfinite(stream.process(np.zeros(512, np.float32))).all()


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"none\.onnx"):
        SileroVad(tmp_path / "none.onnx")
