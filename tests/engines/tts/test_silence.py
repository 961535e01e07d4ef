import numpy as np
import pytest

from vivavoce.engines.interfaces import Cancellation
from vivavoce.engines.tts.silence import chunks, pause_after, trimmed

RATE = 24_000


def tone(ms: int) -> np.ndarray:
    return np.full(ms * RATE // 1000, 0.5, np.float32)


def quiet(ms: int) -> np.ndarray:
    return np.full(ms * RATE // 1000, 0.001, np.float32)


def test_leading_and_trailing_silence_is_cut() -> None:
    pcm = trimmed(np.concatenate([quiet(400), tone(200), quiet(900)]), RATE, pause_ms=120)
    assert len(pcm) == (30 + 200 + 120) * RATE // 1000
    assert pcm[0] == pcm[-1] == 0


def test_ends_fade_where_there_was_no_silence() -> None:
    pcm = trimmed(tone(200), RATE, pause_ms=120)
    assert len(pcm) == 200 * RATE // 1000
    assert np.abs(np.diff(pcm)).max() < 0.01


def test_too_loud_is_turned_down_without_clipping() -> None:
    wave = 1.6 * np.sin(np.linspace(0, 90, 9_600, dtype=np.float32))
    pcm = trimmed(wave, RATE, 120)
    assert np.abs(pcm).max() == pytest.approx(0.95)
    assert np.corrcoef(pcm, wave)[0, 1] > 0.99


def test_silence_is_empty() -> None:
    assert trimmed(quiet(300), RATE, 120).size == 0
    assert trimmed(np.zeros(0, np.float32), RATE, 120).size == 0


@pytest.mark.parametrize(("text", "ms"), [("Yes,", 120), ("so", 30), ("Yes.", 240), ("好。”", 240)])
def test_pause_is_longer_after_a_sentence(text: str, ms: int) -> None:
    assert pause_after(text) == ms


def test_chunks_stop_when_cancelled() -> None:
    cancellation = Cancellation()
    pieces = chunks(tone(1000), RATE, cancellation)
    assert len(next(pieces)) == 160 * RATE // 1000
    cancellation.cancel()
    assert list(pieces) == []


def test_chunks_are_the_whole() -> None:
    pcm = np.arange(10_000, dtype=np.float32)
    assert np.array_equal(np.concatenate(list(chunks(pcm, RATE, Cancellation()))), pcm)
