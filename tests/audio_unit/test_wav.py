from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
from numpy.typing import NDArray

from vivavoce.audio.wav import read_wav, write_wav
from vivavoce.errors import InvalidRequest

RAMP = np.linspace(-0.9, 0.9, 400, dtype=np.float32)


@pytest.mark.parametrize(
    ("samples", "tolerance"),
    [
        ((RAMP * 128 + 128).astype(np.uint8), 1 / 100),
        ((RAMP * 32768).astype(np.int16), 1 / 30_000),
        ((RAMP.astype(np.float64) * 2**31).astype(np.int32), 1e-6),
        (RAMP, 0.0),
        (RAMP.astype(np.float64), 0.0),
    ],
    ids=["8 bit", "16 bit", "32 bit", "float", "double"],
)
def test_sample_formats(tmp_path: Path, samples: NDArray[Any], tolerance: float) -> None:
    path = tmp_path / "ramp.wav"
    scipy.io.wavfile.write(path, 8_000, samples)
    pcm, rate = read_wav(path)
    assert rate == 8_000
    assert pcm.dtype == np.float32
    assert np.abs(pcm - RAMP).max() <= tolerance


def test_24_bit(tmp_path: Path) -> None:
    import wave

    path = tmp_path / "ramp.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(16_000)
        file.writeframes(b"".join(int(x * 2**23).to_bytes(3, "little", signed=True) for x in RAMP))
    assert np.abs(read_wav(path)[0] - RAMP).max() < 1e-6


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    scipy.io.wavfile.write(path, 16_000, np.stack([RAMP, np.zeros_like(RAMP)], axis=1))
    assert np.allclose(read_wav(path)[0], RAMP / 2)


def test_another_rate_is_resampled_to(tmp_path: Path) -> None:
    path = tmp_path / "ramp.wav"
    write_wav(path, np.zeros(8_000, np.float32), 8_000)
    pcm, rate = read_wav(path, 16_000)
    assert (len(pcm), rate) == (16_000, 16_000)


def test_written_to_memory_and_read_back() -> None:
    memory = io.BytesIO()
    write_wav(memory, RAMP, 24_000)
    memory.seek(0)
    pcm, rate = read_wav(memory)
    assert rate == 24_000
    assert np.abs(pcm - RAMP).max() <= 1 / 32768


@pytest.mark.parametrize("data", [b"", b"RIFF", b"OggS" * 20, b"RIFF\x24\x00\x00\x00WAVEfmt "])
def test_what_is_no_wav_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="WAV"):
        read_wav(io.BytesIO(data))
