from __future__ import annotations

import numpy as np
import pytest

from vivavoce.audio.pcm import Pcm
from vivavoce.audio.resample import Resampler, resample
from vivavoce.errors import InvalidRequest

RATES = [(48_000, 16_000), (24_000, 16_000), (44_100, 16_000), (8_000, 16_000), (24_000, 8_000)]


def _tone(hz: float, rate: int) -> Pcm:
    return np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32)


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_a_tone_stays_itself(from_rate: int, to_rate: int) -> None:
    resampled = resample(_tone(1000, from_rate), from_rate, to_rate)
    assert len(resampled) == to_rate
    inner = slice(to_rate // 10, -to_rate // 10)
    turning = np.exp(2j * np.pi * 1000 * np.arange(to_rate)[inner] / to_rate)
    phasor = 2j * np.mean(resampled[inner] / turning)
    assert abs(phasor) == pytest.approx(1, abs=2e-3)
    assert abs(np.angle(phasor)) / (2 * np.pi) < 0.25  # of a period of 1 ms
    assert np.abs(resampled[inner] - (phasor * turning).imag).max() < 2e-3


def test_what_the_lower_rate_cannot_hold_is_removed() -> None:
    resampled = resample(_tone(9_000, 48_000), 48_000, 16_000)
    assert np.abs(resampled[500:-500]).max() < 1e-3


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_chunks_of_any_size_give_the_same_samples(from_rate: int, to_rate: int) -> None:
    random = np.random.default_rng(7)
    pcm = (0.1 * random.standard_normal(from_rate)).astype(np.float32)
    stream = Resampler(from_rate, to_rate)
    pieces = np.split(pcm, np.sort(random.integers(0, len(pcm), 40)))
    chunks = [stream.process(piece) for piece in pieces]
    chunks.append(stream.process(np.zeros(0, np.float32), last=True))
    assert np.array_equal(np.concatenate(chunks), resample(pcm, from_rate, to_rate))


@pytest.mark.parametrize(
    ("from_rate", "to_rate", "most_ms"),
    [(48_000, 16_000, 13), (24_000, 16_000, 11), (8_000, 16_000, 31), (24_000, 48_000, 11)],
)
def test_the_delay_is_short_and_never_grows(from_rate: int, to_rate: int, most_ms: int) -> None:
    stream = Resampler(from_rate, to_rate)
    returned = 0
    for fed_ms in range(20, 2020, 20):
        returned += len(stream.process(np.zeros(from_rate // 50, np.float32)))
        assert fed_ms - 1000 * returned / to_rate <= most_ms


def test_equal_rates_pass_through() -> None:
    pcm = _tone(440, 16_000)
    assert Resampler(16_000, 16_000).process(pcm) is pcm


def test_a_stream_begins_afresh_after_its_last_chunk() -> None:
    stream = Resampler(24_000, 16_000)
    first = stream.process(_tone(440, 24_000), last=True)
    assert np.array_equal(stream.process(_tone(440, 24_000), last=True), first)


@pytest.mark.parametrize("rate", [0, -8000, 3_999, 200_000])
def test_an_impossible_rate_is_named(rate: int) -> None:
    with pytest.raises(InvalidRequest, match=f"got {rate}"):
        Resampler(rate, 16_000)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="nan"):
        Resampler(24_000, 16_000).process(np.array([np.nan], np.float32))


def test_silence_after_sound_becomes_exactly_silent() -> None:
    resampler = Resampler(24_000, 16_000)
    rng = np.random.default_rng(1)
    resampler.process(rng.uniform(-0.3, 0.3, 24_000).astype(np.float32))
    resampler.process(np.zeros(12_000, np.float32))
    tail = resampler.process(np.zeros(24_000, np.float32))
    assert len(tail) > 15_000
    assert not tail.any()
