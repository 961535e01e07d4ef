"""G.711, the 8 kHz companding of telephones: µ-law and A-law bytes ↔ float32.

Every conversion is one look-up in a table that is computed once, from the arithmetic of ITU-T
G.711. µ-law knows 14 bits of magnitude and sign, A-law 13; both are scaled to 16 here.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from vivavoce.audio.pcm import Pcm, to_int16

_ULAW_BIAS = 132
_ULAW_CLIP = 32767 - _ULAW_BIAS
_ALAW_TOGGLE = 0x55
"""A-law inverts every other bit, so that silence keeps the line's clock alive."""


def decode_ulaw(data: bytes) -> Pcm:
    """Turn µ-law bytes into float32 [n] in (-1, 1), a byte a sample."""
    return _ulaw_levels()[np.frombuffer(data, dtype=np.uint8)]


def encode_ulaw(pcm: Pcm) -> bytes:
    """Turn float32 [n] into µ-law bytes; raises InvalidRequest for NaN or infinity."""
    return _ulaw_codes()[to_int16(pcm).view(np.uint16)].tobytes()


def decode_alaw(data: bytes) -> Pcm:
    """Turn A-law bytes into float32 [n] in (-1, 1), a byte a sample."""
    return _alaw_levels()[np.frombuffer(data, dtype=np.uint8)]


def encode_alaw(pcm: Pcm) -> bytes:
    """Turn float32 [n] into A-law bytes; raises InvalidRequest for NaN or infinity."""
    return _alaw_codes()[to_int16(pcm).view(np.uint16)].tobytes()


@cache
def _ulaw_levels() -> Pcm:
    """The level of each of the 256 µ-law bytes."""
    negative, segment, step = _fields(~np.arange(256, dtype=np.uint8))
    magnitude = (((step << 3) + _ULAW_BIAS) << segment) - _ULAW_BIAS
    return _signed(magnitude, negative)


@cache
def _alaw_levels() -> Pcm:
    """The level of each of the 256 A-law bytes."""
    positive, segment, step = _fields(np.arange(256, dtype=np.uint8) ^ np.uint8(_ALAW_TOGGLE))
    linear = (step << 4) + 8
    magnitude = np.where(segment == 0, linear, (linear + 256) << np.maximum(segment - 1, 0))
    return _signed(magnitude, ~positive)


@cache
def _ulaw_codes() -> NDArray[np.uint8]:
    """The µ-law byte of each 16-bit sample, indexed by the sample's unsigned reading."""
    samples = _all_samples()
    magnitude = np.minimum(_magnitude(samples), _ULAW_CLIP) + _ULAW_BIAS
    segment = _exponent(magnitude) - 7
    code = (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F)
    # All bits are sent inverted, since quiet samples would otherwise be runs of zeros.
    signed = code | np.where(samples < 0, 0x80, 0)
    return np.asarray(0xFF - signed, np.uint8)


@cache
def _alaw_codes() -> NDArray[np.uint8]:
    """The A-law byte of each 16-bit sample, indexed by the sample's unsigned reading."""
    samples = _all_samples()
    magnitude = _magnitude(samples)
    # The lowest two segments share one step size.
    segment = np.maximum(_exponent(np.maximum(magnitude, 1)) - 7, 0)
    code = (segment << 4) | ((magnitude >> np.maximum(segment + 3, 4)) & 0x0F)
    signed = code | np.where(samples >= 0, 0x80, 0)
    return np.asarray(signed ^ _ALAW_TOGGLE, np.uint8)


def _fields(
    codes: NDArray[np.uint8],
) -> tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.int32]]:
    """The sign bit, the segment (3 bits) and the step within it (4 bits) of each byte."""
    bits = codes.astype(np.int32)
    return (bits & 0x80).astype(bool), (bits >> 4) & 0x07, bits & 0x0F


def _signed(magnitude: NDArray[np.int32], negative: NDArray[np.bool_]) -> Pcm:
    levels = np.where(negative, -magnitude, magnitude)
    return levels.astype(np.float32) / np.float32(32768)


def _all_samples() -> NDArray[np.int32]:
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _magnitude(samples: NDArray[np.int32]) -> NDArray[np.int32]:
    """Magnitude by one's complement, which keeps both signs' decision levels alike."""
    return np.where(samples < 0, ~samples, samples)


def _exponent(magnitude: NDArray[np.int32]) -> NDArray[np.int32]:
    """The position of the highest bit set; exact, since a float64 holds every 16-bit integer."""
    return np.frexp(magnitude.astype(np.float64))[1].astype(np.int32) - 1
