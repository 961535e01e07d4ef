from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.audio.pcm import (
    decode_s16le,
    encode_s16le,
    ms_to_samples,
    require_finite,
    samples_to_ms,
)
from vivavoce.errors import InvalidRequest


def test_bytes_become_samples_little_endian() -> None:
    assert decode_s16le(b"\x00\x40\x00\x80\x00\x00").tolist() == [0.5, -1.0, 0.0]


@given(st.binary(max_size=64).filter(lambda data: len(data) % 2 == 0))
def test_bytes_survive_the_way_there_and_back(data: bytes) -> None:
    assert encode_s16le(decode_s16le(data)) == data


def test_an_odd_number_of_bytes_is_named() -> None:
    with pytest.raises(InvalidRequest, match="even number of bytes, got 3"):
        decode_s16le(b"abc")


def test_too_loud_samples_are_clipped_not_wrapped() -> None:
    assert encode_s16le(np.array([1.5, -1.5], np.float32)) == b"\xff\x7f\x00\x80"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_with_its_place(bad: float) -> None:
    with pytest.raises(InvalidRequest, match="at sample 1"):
        encode_s16le(np.array([0.0, bad], np.float32))


def test_stereo_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"\[4, 2\]"):
        require_finite(np.zeros((4, 2), np.float32))


def test_milliseconds_and_samples() -> None:
    assert ms_to_samples(20, 24_000) == 480
    assert samples_to_ms(480, 24_000) == 20
