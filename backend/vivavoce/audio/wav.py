"""Small WAV files in and out, for command-line tools and tests."""

from __future__ import annotations

import struct
import warnings
import wave
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import scipy.io.wavfile
from numpy.typing import NDArray

from vivavoce.audio.pcm import Pcm, encode_s16le
from vivavoce.audio.resample import resample
from vivavoce.errors import InvalidRequest

File: TypeAlias = Path | BinaryIO


def read_wav(source: File, sample_rate: int | None = None) -> tuple[Pcm, int]:
    """Read a WAV file of integers (8–64 bit) or floats, channels averaged into one.

    sample_rate: resample to it, None to keep the file's. Returns float32 [n] and the rate.
    Raises InvalidRequest when the file is no WAV that can be read.
    """
    try:
        with warnings.catch_warnings():
            # Chunks of tags and cue points are of no interest here.
            warnings.simplefilter("ignore", scipy.io.wavfile.WavFileWarning)
            rate, samples = scipy.io.wavfile.read(source)
    except (ValueError, EOFError, struct.error) as error:
        raise InvalidRequest(f"not a readable WAV file: {error}", code="invalid_audio") from error
    pcm = _to_float(samples)
    if pcm.ndim == 2:
        pcm = pcm.mean(axis=1).astype(np.float32)
    if sample_rate is None or sample_rate == rate:
        return pcm, rate
    return resample(pcm, rate, sample_rate), sample_rate


def write_wav(target: File, pcm: Pcm, sample_rate: int) -> None:
    """Write mono float32 [n] as 16-bit PCM."""
    with wave.open(str(target) if isinstance(target, Path) else target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(encode_s16le(pcm))


def _to_float(samples: NDArray[Any]) -> Pcm:
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    if samples.dtype == np.uint8:  # 8-bit WAV is unsigned, by the format's own rule
        return (samples.astype(np.float32) - 128) / np.float32(128)
    # 24-bit samples arrive left-aligned in 32 bits, so one scale fits both.
    return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
