"""What is measured, on timelines that are known exactly (virtual time).

The person pauses 0.59 s, so the frame due at 0.6 s is the first of the clip and holds what was said
from 0.58 s on; the voice lasts from 0.88 to 1.88 s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from client.scripted_link import Scene, ScriptedLink, at, clip, sound
from support.virtual_time import run
from vivavoce.client.call import Call
from vivavoce.client.figures import (
    Summary,
    TurnReport,
    figures_of,
    report_turn,
    summaries,
    total_word_errors,
)
from vivavoce.client.person import Habits
from vivavoce.client.turn_log import TurnLog
from vivavoce.client.word_errors import WordErrors

PAUSE = 0.59
ONSET, END = 0.88, 1.88
QUESTION = clip("question.wav", before_ms=300, voice_ms=1000, after_ms=100)

Server = Callable[[ScriptedLink, Call], Awaitable[None]]


def _turns(server: Server, n_clips: int = 1, habits: Habits | None = None) -> list[TurnLog]:
    return run(Scene([QUESTION] * n_clips, server, habits or Habits(PAUSE)).play())


async def _hear(link: ScriptedLink, words: str = "Hello?") -> None:
    """The server notices the voice 0.2 s after its onset and its end 0.5 s after that."""
    await at(ONSET + 0.2)
    link.say(type="speech", state="started", at_ms=0)
    await at(END + 0.5)
    link.say(type="speech", state="stopped", at_ms=0)
    link.say(type="transcript", text=words, final=True)
    link.say(type="response", id="a", state="started")


async def _answer_nothing(link: ScriptedLink, call: Call) -> None:
    pass


def test_latency_is_from_the_end_of_the_voice_to_the_first_audible_sample() -> None:
    async def server(link: ScriptedLink, call: Call) -> None:
        await _hear(link)
        await at(END + 0.8)
        link.play(np.concatenate([sound(120, 0.005), sound(400)]))
        link.say(type="response", id="a", state="completed")
        link.say(type="receipt", response="a", stages={"speech_end": 0, "endpoint": 480})

    (turn,) = _turns(server)
    assert figures_of(turn) == {
        "turn ended": pytest.approx(500),
        "transcript": pytest.approx(500),
        "first byte": pytest.approx(800),
        "first audible": pytest.approx(920),
        "receipt: endpoint": 480,
    }


def test_silence_that_came_first_is_played_first() -> None:
    async def server(link: ScriptedLink, call: Call) -> None:
        await _hear(link)
        await at(END + 0.7)
        link.play(sound(300, 0.0))
        link.play(sound(100, 0.009))
        await at(END + 0.75)
        link.play(np.concatenate([sound(10, 0.0), sound(400)]))
        link.say(type="response", id="a", state="completed")

    (turn,) = _turns(server)
    figures = figures_of(turn)
    assert figures["first byte"] == pytest.approx(700)
    assert figures["first audible"] == pytest.approx(700 + 300 + 100 + 10)


def test_the_next_question_waits_until_the_reply_has_been_heard() -> None:
    async def server(link: ScriptedLink, call: Call) -> None:
        await _hear(link)
        link.play(sound(3000))  # at once, much faster than real time
        link.say(type="response", id="a", state="completed")

    first, second = _turns(server, 2, Habits(PAUSE, patience_s=2.0))
    assert first.spoken is not None
    assert second.spoken is not None
    assert second.spoken.onset_at == pytest.approx(END + 0.5 + 3.0 + PAUSE + 0.3, abs=0.021)
    assert first.answer is not None
    assert first.answer.stop_at is None
    assert second.answer is None


def test_interruption_is_measured_from_the_onset_of_the_voice() -> None:
    reply_at, onset_at = END + 0.5, END + 0.5 + 1.0

    async def server(link: ScriptedLink, call: Call) -> None:
        await _hear(link)
        link.play(sound(1200))
        link.say(type="text", response="a", text="On and on.")
        await at(onset_at + 0.1)
        link.play(sound(2000))
        await at(onset_at + 0.25)
        link.say(type="speech", state="started", at_ms=0)
        link.say(type="response", id="a", state="cancelled")
        await at(onset_at + 0.30)
        link.play(sound(80))  # a defect: nothing of it may come any more
        await at(onset_at + 1.5)
        link.say(type="speech", state="stopped", at_ms=0)
        link.say(type="transcript", text="Wait!", final=True)
        link.say(type="response", id="b", state="started")
        link.play(sound(200))
        link.say(type="response", id="b", state="completed")

    scene = Scene([QUESTION] * 2, server, Habits(PAUSE, interrupt_after_s=1.0))
    first, second = run(scene.play())
    assert first.spoken is not None
    assert second.spoken is not None
    assert first.answer is not None
    assert second.spoken.onset_at == pytest.approx(onset_at, abs=0.021)
    late_ms = (second.spoken.onset_at - onset_at) * 1000
    figures = figures_of(second)
    assert figures["told to stop"] == pytest.approx(250 - late_ms, abs=0.2)
    assert figures["last byte after onset"] == pytest.approx(300 - late_ms, abs=0.2)
    assert first.answer.stale_ms == 80
    assert first.answer.audio_ms == 3200
    assert "told to stop" not in figures_of(first)
    ((told_at, told),) = scene.link.sent_messages("played")
    assert told_at == pytest.approx(onset_at + 0.25)
    assert told == {
        "type": "played",
        "response": "a",
        "ms": pytest.approx((onset_at + 0.25 - reply_at) * 1000, abs=1),
    }


def test_a_reply_that_came_before_the_interruption_sent_nothing_after_it() -> None:
    async def server(link: ScriptedLink, call: Call) -> None:
        await _hear(link)
        link.play(sound(3000))
        link.say(type="response", id="a", state="completed")
        await at(END + 0.5 + 1.0 + 0.25)
        link.say(type="speech", state="started", at_ms=0)
        link.say(type="speech", state="stopped", at_ms=0)
        link.say(type="transcript", text="", final=True)

    _, second = _turns(server, 2, Habits(PAUSE, interrupt_after_s=1.0))
    assert figures_of(second)["last byte after onset"] == 0.0
    assert figures_of(second)["told to stop"] == pytest.approx(260, abs=10.1)


def test_a_short_reply_is_not_interrupted() -> None:
    async def server(link: ScriptedLink, call: Call) -> None:
        await _hear(link)
        link.play(sound(400))
        link.say(type="response", id="a", state="completed")

    _, second = _turns(server, 2, Habits(PAUSE, interrupt_after_s=1.0, patience_s=1.0))
    assert second.interrupts is None
    assert "told to stop" not in figures_of(second)


def test_a_split_turn_is_measured_by_its_last_reply() -> None:
    async def server(link: ScriptedLink, call: Call) -> None:
        await at(ONSET + 0.1)
        link.say(type="speech", state="started", at_ms=0)
        await at(ONSET + 0.4)
        link.say(type="speech", state="stopped", at_ms=0)
        link.say(type="transcript", text="Hello", final=True)
        link.say(type="response", id="early", state="started")
        link.play(sound(900))
        await at(ONSET + 0.6)
        link.say(type="speech", state="started", at_ms=0)
        link.say(type="response", id="early", state="cancelled")
        await at(END + 0.5)
        link.say(type="speech", state="stopped", at_ms=0)
        link.say(type="transcript", text="there.", final=True)
        link.say(type="response", id="late", state="started")
        await at(END + 0.9)
        link.play(sound(100))
        link.say(type="response", id="late", state="completed")

    (turn,) = _turns(server)
    report = report_turn(0, 0, turn, "Hello there!")
    assert report.is_split
    assert report.transcript == "Hello there."
    assert report.word_errors == WordErrors(0, 2)
    assert figures_of(turn)["first audible"] == pytest.approx(900)


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_a_reply_without_sound_is_missing(state: str) -> None:
    async def server(link: ScriptedLink, call: Call) -> None:
        await _hear(link)
        link.say(type="response", id="a", state=state)
        link.say(type="error", code="engine_failure", message="The voice is gone.")

    (turn,) = _turns(server)
    report = report_turn(0, 0, turn, None)
    assert report.is_missing
    assert report.errors == ("The voice is gone.",)
    assert report.word_errors is None


def test_a_server_that_says_nothing_is_given_up() -> None:
    turns = _turns(_answer_nothing, 2, Habits(PAUSE, patience_s=3.0))
    reports = [report_turn(0, number, turn, "Hello?") for number, turn in enumerate(turns)]
    assert all(report.is_missing and report.figures == {} for report in reports)
    assert total_word_errors(reports) == WordErrors(2, 2)


def test_summaries_put_our_own_figures_first() -> None:
    def report(**figures: float) -> TurnReport:
        named = {name.replace("_", " "): ms for name, ms in figures.items()}
        return TurnReport(0, 0, "q", "", None, "", 100, "completed", 1, 0, (), named)

    found = summaries(
        [
            report(late=500.0, early=100.0, first_audible=1000.0),
            report(late=500.0, early=300.0, first_audible=3000.0, turn_ended=1.0),
        ]
    )
    assert list(found) == ["turn ended", "first audible", "early", "late"]
    assert found["first audible"] == Summary(2, 2000.0, 2900.0, 3000.0)


def test_what_was_not_said_cannot_be_reported() -> None:
    with pytest.raises(ValueError, match="not been said"):
        report_turn(0, 0, TurnLog(), None)
