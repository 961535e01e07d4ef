from __future__ import annotations

import numpy as np

from vivavoce.conversation.ear import Frame
from vivavoce.conversation.utterance import LeadIn


def frames(n: int, start: int = 0) -> list[Frame]:
    """Frames of 32 ms whose samples hold their number."""
    return [Frame(np.full(512, start + i, np.float32), 0.0) for i in range(n)]


def numbers(taken: list[Frame]) -> list[int]:
    return [int(frame.pcm[0]) for frame in taken]


def test_only_the_latest_audio_is_kept() -> None:
    lead_in = LeadIn()
    for frame in frames(100):
        lead_in.add([frame], keep_ms=96)
    assert lead_in.ms == 96
    assert numbers(lead_in.take(1000)) == [97, 98, 99]


def test_a_part_of_a_frame_is_kept_whole() -> None:
    lead_in = LeadIn()
    lead_in.add(frames(10), keep_ms=100)
    assert lead_in.ms == 128
    assert numbers(lead_in.take(33)) == [8, 9]


def test_what_is_taken_is_gone_and_so_is_the_rest() -> None:
    lead_in = LeadIn()
    lead_in.add(frames(10), keep_ms=1000)
    lead_in.take(32)
    assert lead_in.ms == 0
    assert lead_in.take(1000) == []


def test_nothing_wanted_is_nothing_taken() -> None:
    lead_in = LeadIn()
    lead_in.add(frames(3), keep_ms=1000)
    assert lead_in.take(0) == []
