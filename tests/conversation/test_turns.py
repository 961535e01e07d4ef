from __future__ import annotations

from collections.abc import Iterable

import pytest

from vivavoce.conversation.options import TurnOptions, TurnTiming
from vivavoce.conversation.turns import Signal, TurnDetector

FRAME_MS = 32
TIMING = TurnTiming(
    min_speech_ms=96, interrupt_min_speech_ms=224, speculate_after_ms=192, resume_speech_ms=64
)


def detector(silence_ms: int | None = 512, threshold: float = 0.5) -> TurnDetector:
    return TurnDetector(FRAME_MS, TurnOptions(threshold=threshold, silence_ms=silence_ms), TIMING)


def play(
    turns: TurnDetector, probabilities: Iterable[float], *, interrupting: bool = False
) -> list[tuple[float, Signal]]:
    """The signals with the time of audio at which they came."""
    signals = []
    for probability in probabilities:
        signal = turns.advance(probability, interrupting=interrupting)
        if signal is not None:
            signals.append((turns.now_ms, signal))
    return signals


def speech(ms: int, probability: float = 0.9) -> list[float]:
    return [probability] * (ms // FRAME_MS)


def silence(ms: int) -> list[float]:
    return [0.0] * (ms // FRAME_MS)


def test_a_turn_begins_after_the_least_speech_and_ends_after_the_silence() -> None:
    signals = play(detector(), silence(320) + speech(640) + silence(640))
    assert signals == [
        (320 + 96, Signal.ONSET),
        (960 + 192, Signal.PAUSE),
        (960 + 512, Signal.ENDPOINT),
    ]


def test_the_times_of_a_turn_are_those_of_its_speech() -> None:
    turns = detector()
    play(turns, silence(320) + speech(640))
    assert turns.speech_start_ms == 320
    play(turns, silence(192))
    assert turns.speech_end_ms == 960
    assert turns.silence_ms == 192


@pytest.mark.parametrize("ms", [32, 64])
def test_a_click_starts_no_turn(ms: int) -> None:
    assert play(detector(), speech(ms) + silence(1000)) == []


def test_a_short_dip_does_not_restart_the_count_to_the_onset() -> None:
    assert play(detector(), speech(64) + silence(64) + speech(32)) == [(160, Signal.ONSET)]


def test_a_longer_dip_does() -> None:
    assert play(detector(), speech(64) + silence(96) + speech(64)) == []


def test_over_the_assistant_more_speech_is_needed() -> None:
    assert play(detector(), speech(192), interrupting=True) == []
    assert play(detector(), speech(256), interrupting=True) == [(224, Signal.ONSET)]


def test_speech_may_fade_without_ending() -> None:
    fading = speech(320) + speech(960, probability=0.4)
    assert play(detector(), fading) == [(96, Signal.ONSET)]


def test_faint_sound_alone_starts_nothing() -> None:
    assert play(detector(), speech(960, probability=0.4)) == []


def test_faint_sound_does_not_resume_a_pause() -> None:
    signals = play(detector(), speech(320) + silence(192) + speech(640, probability=0.4))
    assert [signal for _, signal in signals] == [Signal.ONSET, Signal.PAUSE, Signal.ENDPOINT]


def test_the_threshold_can_be_set() -> None:
    assert play(detector(threshold=0.95), speech(640, probability=0.9)) == []
    assert play(detector(threshold=0.3), speech(96, probability=0.35)) == [(96, Signal.ONSET)]


def test_speech_resumes_a_pause_and_the_silence_counts_anew() -> None:
    signals = play(detector(), speech(320) + silence(384) + speech(96) + silence(512))
    assert signals == [
        (96, Signal.ONSET),
        (320 + 192, Signal.PAUSE),
        (704 + 64, Signal.RESUME),
        (800 + 192, Signal.PAUSE),
        (800 + 512, Signal.ENDPOINT),
    ]


def test_a_click_in_a_pause_neither_resumes_nor_delays_the_endpoint() -> None:
    signals = play(detector(), speech(320) + silence(256) + speech(32) + silence(256))
    assert signals == [
        (96, Signal.ONSET),
        (320 + 192, Signal.PAUSE),
        (320 + 512, Signal.ENDPOINT),
    ]


def test_speech_in_the_very_frame_of_the_endpoint_keeps_the_turn_open() -> None:
    before = speech(320) + silence(480)
    assert play(detector(), before + silence(32))[-1][1] is Signal.ENDPOINT
    signals = play(detector(), before + speech(64))
    assert signals[-1] == (320 + 480 + 64, Signal.RESUME)


def test_where_the_endpoint_comes_before_the_pause_there_is_no_pause() -> None:
    signals = play(detector(silence_ms=128), speech(320) + silence(640))
    assert signals == [(96, Signal.ONSET), (320 + 128, Signal.ENDPOINT)]


def test_the_wait_may_change_in_the_middle_of_a_pause() -> None:
    turns = detector(silence_ms=512)
    play(turns, speech(320) + silence(320))
    turns.endpoint_after_ms = 330
    assert play(turns, silence(32)) == [(320 + 352, Signal.ENDPOINT)]


def test_a_turn_can_follow_at_once() -> None:
    signals = play(detector(), speech(320) + silence(512) + speech(96))
    assert [signal for _, signal in signals] == [
        Signal.ONSET,
        Signal.PAUSE,
        Signal.ENDPOINT,
        Signal.ONSET,
    ]


def test_reset_forgets_the_turn_but_not_the_time() -> None:
    turns = detector()
    play(turns, speech(320))
    turns.reset()
    assert turns.now_ms == 320
    assert play(turns, speech(96)) == [(416, Signal.ONSET)]
    assert turns.speech_start_ms == 320
