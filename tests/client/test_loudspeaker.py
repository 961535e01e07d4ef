"""When a listener hears what, by a clock that the test sets."""

from __future__ import annotations

import numpy as np
import pytest

from client.scripted_link import sound
from vivavoce.client.loudspeaker import Tape, VirtualLoudspeaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loudspeaker(clock: Clock) -> VirtualLoudspeaker:
    return VirtualLoudspeaker(clock)


def test_a_chunk_sounds_when_it_arrives_or_after_the_one_before(
    loudspeaker: VirtualLoudspeaker, clock: Clock
) -> None:
    clock.now = 5.0
    assert loudspeaker.play("a", sound(200)) == 5.0
    clock.now = 5.1
    assert loudspeaker.play("a", sound(200)) == pytest.approx(5.2)
    clock.now = 6.0  # the queue ran dry at 5.4
    assert loudspeaker.play("a", sound(100)) == 6.0
    assert loudspeaker.ends_at == pytest.approx(6.1)


def test_what_was_heard_leaves_gaps_out(loudspeaker: VirtualLoudspeaker, clock: Clock) -> None:
    loudspeaker.play("a", sound(200))
    clock.now = 1.0
    loudspeaker.play("a", sound(200))
    clock.now = 1.15
    assert loudspeaker.heard_ms("a") == 350
    assert loudspeaker.heard_ms("b") == 0


def test_stopping_keeps_what_was_heard(loudspeaker: VirtualLoudspeaker, clock: Clock) -> None:
    loudspeaker.play("a", sound(200))
    loudspeaker.play("a", sound(800))
    clock.now = 0.25
    assert loudspeaker.stop() == 750 * 24
    clock.now = 9.0
    assert loudspeaker.heard_ms("a") == 250
    assert loudspeaker.stop() == 0
    assert loudspeaker.play("b", sound(100)) == 9.0


def test_stopping_forgets_the_future_of_late_chunks_too(
    loudspeaker: VirtualLoudspeaker, clock: Clock
) -> None:
    loudspeaker.play("a", sound(100))
    clock.now = 0.5
    loudspeaker.play("a", sound(100))
    clock.now = 0.5
    assert loudspeaker.stop() == 100 * 24
    assert loudspeaker.heard_ms("a") == 100
    assert loudspeaker.ends_at == 0.5


def test_a_tape_holds_only_what_was_heard(loudspeaker: VirtualLoudspeaker, clock: Clock) -> None:
    tape = Tape(loudspeaker)
    tape.play("a", sound(200, 0.1))
    tape.play("a", sound(200, 0.2))
    tape.play("a", sound(200, 0.3))
    clock.now = 0.3
    tape.stop()
    tape.play("b", sound(100, 0.4))
    heard = [sound(200, 0.1), sound(100, 0.2), sound(100, 0.4)]
    np.testing.assert_array_equal(tape.recording(), np.concatenate(heard))


def test_an_empty_tape_has_no_samples(loudspeaker: VirtualLoudspeaker) -> None:
    assert len(Tape(loudspeaker).recording()) == 0
