"""Both dialects against the real server: one and the same conversation, in the same words."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from client.scripted_link import VOICE_RATE, sound
from support.scripted import Script
from support.server import serving
from vivavoce.client.call import Call, accompanied, open_call
from vivavoce.client.dialect import Dialect, Wishes
from vivavoce.client.events import ServerEvent, Words
from vivavoce.client.loudspeaker import VirtualLoudspeaker
from vivavoce.client.microphone import Lag, Microphone, prepare_clip, silence_for
from vivavoce.client.realtime_dialect import RealtimeDialect
from vivavoce.client.turn_log import TurnLog
from vivavoce.client.voice_dialect import VoiceDialect
from vivavoce.errors import EngineFailure

DIALECTS = pytest.mark.parametrize("dialect", [RealtimeDialect(), VoiceDialect()], ids=type)
WISHES = Wishes(language="en", voice="scripted", instructions="Be brief.", silence_ms=200)


async def _ask(script: Script, dialect: Dialect) -> tuple[TurnLog, list[ServerEvent]]:
    """Say something for 500 ms and wait for all that follows."""
    clip = prepare_clip("q", sound(500, 0.5, VOICE_RATE), VOICE_RATE, dialect)
    loudspeaker = VirtualLoudspeaker(asyncio.get_running_loop().time)
    events: list[ServerEvent] = []

    async def ask(call: Call, microphone: Microphone) -> None:
        await microphone.say(clip)
        assert await call.until(lambda: call.turn.is_settled, 5)
        assert await call.until(lambda: bool(call.turn.replies[-1].stages), 5)

    async with (
        serving(script) as server,
        open_call(server.url(), dialect, loudspeaker, on_event=events.append) as call,
    ):
        microphone = Microphone(call.link.send, silence_for(dialect), Lag())

        async def conversation() -> None:
            await call.open(WISHES)
            await accompanied(ask(call, microphone), microphone.run())

        await accompanied(conversation(), call.listen())
    return call.turn, events


@DIALECTS
async def test_a_turn(dialect: Dialect) -> None:
    script = Script()
    script.chat.replies = ("Hi! All is well.",)
    script.recognizer.partials = True
    turn, events = await _ask(script, dialect)
    assert turn.transcript == "Hello there."
    assert not turn.is_split
    (reply,) = turn.replies
    assert reply.text.split() == ["Hi!", "All", "is", "well."]
    assert reply.state == "completed"
    assert reply.audio_ms == pytest.approx(sum(map(len, script.voice.texts)) * 50, abs=1)
    assert reply.stages["endpoint"] == pytest.approx(200, abs=60)
    assert next(iter(reply.stages)) == "speech_end"
    assert any(isinstance(event, Words) and not event.final for event in events)
    assert turn.errors == []


@DIALECTS
async def test_wishes_reach_the_session(dialect: Dialect) -> None:
    script = Script()
    await _ask(script, dialect)
    assert script.recognizer.languages == ["en"]
    assert script.chat.requests[-1].messages[0].content.startswith("Be brief.")


@DIALECTS
async def test_a_reply_that_fails_says_why(dialect: Dialect) -> None:
    script = Script()
    script.chat.replies = ([EngineFailure("The model is gone.")],)
    turn, _ = await _ask(script, dialect)
    assert turn.replies[-1].state == "failed"
    assert "The model is gone." in [*turn.errors, turn.replies[-1].error]


def test_no_wishes_leave_everything_to_the_server() -> None:
    (opening,) = VoiceDialect().opening(Wishes())
    assert json.loads(opening) == {"type": "config", "output": "binary", "sample_rate": 24_000}
    (opening,) = RealtimeDialect().opening(Wishes())
    session = json.loads(opening)["session"]
    assert session["audio"]["input"]["turn_detection"] == {"type": "semantic_vad"}
    assert "voice" not in session["audio"]["output"]
    assert "instructions" not in session


def test_a_realtime_client_truncates_and_does_not_report() -> None:
    dialect = RealtimeDialect()
    assert dialect.heard("resp_1", "item_1", 1200, stopped=False) is None
    frame = dialect.heard("resp_1", "item_1", 1200, stopped=True)
    assert frame is not None
    assert json.loads(frame) == {
        "type": "conversation.item.truncate",
        "item_id": "item_1",
        "content_index": 0,
        "audio_end_ms": 1200,
    }


@DIALECTS
def test_events_that_nobody_knows_mean_nothing(dialect: Dialect) -> None:
    assert list(dialect.decode('{"type": "rate_limits.updated"}')) == []
    assert list(dialect.decode("{}")) == []


def test_binary_audio_belongs_to_the_reply_that_started_last() -> None:
    dialect = VoiceDialect()
    for reply_id in ("a", "b"):
        list(dialect.decode(json.dumps({"type": "response", "id": reply_id, "state": "started"})))
    list(dialect.decode(json.dumps({"type": "response", "id": "b", "state": "completed"})))
    (event,) = dialect.decode(np.array([16384], "<i2").tobytes())
    assert getattr(event, "reply_id", None) == "b"
