"""Samples as bytes and as numbers: s16le ↔ float32, milliseconds ↔ samples."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vivavoce.errors import InvalidRequest

Pcm: TypeAlias = NDArray[np.float32]
"""float32 [n], mono, in [-1, 1]."""

BYTES_PER_SAMPLE = 2


def decode_s16le(data: bytes | bytearray | memoryview) -> Pcm:
    """Turn signed 16-bit little-endian bytes into float32 [n] in [-1, 1).

    Raises InvalidRequest for an odd number of bytes: half a sample was cut off.
    """
    n_bytes = memoryview(data).nbytes
    if n_bytes % BYTES_PER_SAMPLE:
        raise InvalidRequest(
            f"16-bit audio has an even number of bytes, got {n_bytes}", code="invalid_audio"
        )
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / np.float32(32768)


def to_int16(pcm: Pcm) -> NDArray[np.int16]:
    """Round float32 [n] to int16 [n]; what lies outside [-1, 1] is clipped.

    Raises InvalidRequest for NaN or infinity.
    """
    scaled = np.rint(require_finite(pcm) * np.float32(32768))
    rounded: NDArray[np.int16] = np.clip(scaled, -32768, 32767).astype(np.int16)
    return rounded


def encode_s16le(pcm: Pcm) -> bytes:
    """Turn float32 [n] into signed 16-bit little-endian bytes, the inverse of `decode_s16le`."""
    return to_int16(pcm).astype("<i2").tobytes()


def require_finite(pcm: Pcm) -> Pcm:
    """Return mono audio as float32 [n]; raise InvalidRequest for NaN, infinity or another shape.

    One NaN in a recurrent detector or a resampler would spoil everything after it.
    """
    samples = np.asarray(pcm, dtype=np.float32)
    if samples.ndim != 1:
        raise InvalidRequest(
            f"audio must be mono, an array of shape [n], got {list(samples.shape)}",
            code="invalid_audio",
        )
    if not np.isfinite(samples).all():
        position = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise InvalidRequest(
            f"audio must be finite numbers, got {samples[position]} at sample {position}",
            code="invalid_audio",
        )
    return samples


def ms_to_samples(ms: float, sample_rate: int) -> int:
    """Number of whole samples in `ms` milliseconds."""
    return int(ms * sample_rate // 1000)


def samples_to_ms(n_samples: int, sample_rate: int) -> int:
    """Number of whole milliseconds that `n_samples` last."""
    return n_samples * 1000 // sample_rate
