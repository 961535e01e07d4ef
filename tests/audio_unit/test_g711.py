from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vivavoce.audio.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from vivavoce.audio.pcm import Pcm
from vivavoce.errors import InvalidRequest

Encode = Callable[[Pcm], bytes]
Decode = Callable[[bytes], Pcm]

# ITU-T G.711, tables 1 and 2: the quantised value of a character signal, scaled to 16 bits
# (µ-law has 14 bits there, A-law 13).
ULAW_LEVELS = {
    0x80: 8031 * 4,
    0x8F: 4191 * 4,
    0x9F: 2079 * 4,
    0xAF: 1023 * 4,
    0xBF: 495 * 4,
    0xCF: 231 * 4,
    0xDF: 99 * 4,
    0xEF: 33 * 4,
    0xFE: 2 * 4,
    0xFF: 0,
    0x00: -8031 * 4,
}
ALAW_LEVELS = {
    0xAA: 4032 * 8,
    0xA5: 2112 * 8,
    0xB5: 1056 * 8,
    0x85: 528 * 8,
    0x95: 264 * 8,
    0xE5: 132 * 8,
    0xF5: 66 * 8,
    0xD5: 1 * 8,
    0x55: -1 * 8,
    0x2A: -4032 * 8,
}


@pytest.mark.parametrize(("code", "level"), ULAW_LEVELS.items())
def test_ulaw_levels_of_the_standard(code: int, level: int) -> None:
    assert decode_ulaw(bytes([code]))[0] * 32768 == level
    assert encode_ulaw(np.array([level / 32768], np.float32)) == bytes([code])


@pytest.mark.parametrize(("code", "level"), ALAW_LEVELS.items())
def test_alaw_levels_of_the_standard(code: int, level: int) -> None:
    assert decode_alaw(bytes([code]))[0] * 32768 == level
    assert encode_alaw(np.array([level / 32768], np.float32)) == bytes([code])


@pytest.mark.parametrize(
    ("encode", "decode"), [(encode_ulaw, decode_ulaw), (encode_alaw, decode_alaw)]
)
def test_every_byte_keeps_its_meaning(encode: Encode, decode: Decode) -> None:
    levels = decode(bytes(range(256)))
    assert np.array_equal(decode(encode(levels)), levels)


@pytest.mark.parametrize(
    ("encode", "decode"), [(encode_ulaw, decode_ulaw), (encode_alaw, decode_alaw)]
)
def test_the_error_is_a_small_share_of_the_sample(encode: Encode, decode: Decode) -> None:
    samples = np.linspace(-0.98, 0.98, 9973, dtype=np.float32)
    error = np.abs(decode(encode(samples)) - samples)
    assert np.all(error <= 0.033 * np.abs(samples) + 0.0003)


@pytest.mark.parametrize("encode", [encode_ulaw, encode_alaw])
def test_full_scale_does_not_wrap(encode: Encode) -> None:
    codes = encode(np.array([1.0, 2.0, -1.0, -2.0], np.float32))
    assert codes[0] == codes[1]
    assert codes[2] == codes[3] == codes[0] ^ 0x80


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="nan"):
        encode_ulaw(np.array([np.nan], np.float32))
