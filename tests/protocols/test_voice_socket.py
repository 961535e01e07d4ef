"""Whole conversations over `/v1/voice`, as a script or a person in `wscat` has them."""

from __future__ import annotations

import base64

import pytest

from protocols.clients import voice
from support.scripted import Script, ScriptedChat, ScriptedRecognizer
from support.server import serving
from vivavoce.engines.interfaces import ChatDelta, ChatEnd, TextDelta, ToolCallDelta
from vivavoce.errors import VivavoceError

LONG = "One two three four five six seven eight nine ten eleven twelve. " * 4


async def test_typing_gets_a_written_answer() -> None:
    async with serving() as server, voice(server.url("/v1/voice")) as client:
        ready = await client.until("ready")
        await client.websocket.send("Hello")
        done = await client.until("response", state="completed")
        assert "".join(e["text"] for e in client.of("text")) == "Hi! How are you today?"
        assert not client.audio
    assert ready["session"].startswith("sess_")
    assert ready["models"]["asr"] == "scripted-asr"
    assert done["id"] == client.of("response")[0]["id"]


async def test_speaking_gets_a_spoken_answer() -> None:
    script = Script(ScriptedRecognizer(texts=("Hello there my friend.",), partials=True))
    async with serving(script) as server, voice(server.url("/v1/voice")) as client:
        await client.say(1000, 1000)
        await client.until("receipt")
        await client.until("response", state="completed")
    assert client.types[:2] == ["ready", "speech"]
    assert [e["state"] for e in client.of("speech")] == ["started", "stopped"]
    assert client.of("transcript")[-1] == {
        "type": "transcript",
        "text": "Hello there my friend.",
        "final": True,
    }
    assert len(client.audio) == 21 * 50 * 48


@pytest.mark.parametrize("rate", [16_000, 48_000])
async def test_audio_in_base64_at_another_rate(rate: int) -> None:
    async with serving() as server, voice(server.url("/v1/voice")) as client:
        await client.send("config", output="base64", sample_rate=rate, turn="manual")
        await client.say(500)
        await client.send("commit")
        await client.until("response", state="completed")
        audio = b"".join(base64.b64decode(e["audio"]) for e in client.of("audio"))
    assert not client.audio
    assert len(audio) / 2 == pytest.approx(21 * 50 * rate / 1000, abs=rate / 100)
    assert not client.of("speech")


async def test_talking_over_the_reply_tells_what_was_heard() -> None:
    script = Script(chat=ScriptedChat(replies=([TextDelta(LONG), 5000], "Yes.")))
    script.voice.chunk_delay_ms = 0
    async with serving(script) as server, voice(server.url("/v1/voice")) as client:
        await client.say(600, 1000)
        await client.until("binary", 40)
        reply = client.of("response")[0]["id"]
        await client.send("played", response=reply, ms=700)
        await client.say(400)
        heard = await client.until("heard")
        assert client.of("response")[1] == {"type": "response", "id": reply, "state": "cancelled"}
        assert (heard["response"], heard["text"]) == (reply, "One two three")
        assert 700 <= heard["ms"] <= 900


async def test_cancel_is_quiet_when_there_is_nothing_to_stop() -> None:
    script = Script(chat=ScriptedChat(replies=([TextDelta(LONG), 5000], "Yes.")))
    async with serving(script) as server, voice(server.url("/v1/voice")) as client:
        await client.send("cancel")
        await client.send("config", output="binary")
        await client.websocket.send("Talk")
        await client.until("binary")
        await client.send("cancel")
        await client.until("response", state="cancelled")
        await client.websocket.send("And again")
        await client.until("response", state="completed")
    assert not client.of("error")


async def test_typing_over_the_reply_replaces_it() -> None:
    script = Script(chat=ScriptedChat(replies=([TextDelta(LONG), 5000], "Yes.")))
    async with serving(script) as server, voice(server.url("/v1/voice")) as client:
        await client.websocket.send("Talk")
        await client.until("text")
        await client.websocket.send("Stop, please")
        await client.until("response", state="completed")
    assert [e["state"] for e in client.of("response")] == [
        "started",
        "cancelled",
        "started",
        "completed",
    ]
    assert not client.of("error")


async def test_functions_are_called_and_answered() -> None:
    calls: list[ChatDelta | VivavoceError | int] = [
        ToolCallDelta(0, '{"city": "Oslo"}', id="a", name="weather"),
        ToolCallDelta(1, "{}", id="b", name="clock"),
        ChatEnd("tool_calls"),
    ]
    script = Script(chat=ScriptedChat(replies=(calls, "Rain at noon.")))
    tools = [{"name": "weather"}, {"name": "clock", "description": "What time it is."}]
    async with serving(script) as server, voice(server.url("/v1/voice")) as client:
        await client.send("config", tools=tools)
        await client.websocket.send("Weather and time?")
        await client.until("tool_call", 2)
        await client.send("tool_result", id="a", output="rain")
        await client.send("tool_result", id="b", output="noon")
        await client.until("response", count=2, state="completed")
    assert client.of("tool_call")[0]["arguments"] == '{"city": "Oslo"}'
    results = [m.content for m in script.chat.requests[1].messages if m.role == "tool"]
    assert results == ["rain", "noon"]
    assert not client.of("error")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"type": "sing"}', "unknown_type"),
        ('{"type": "text"', "invalid_json"),
        (b"123", "invalid_audio"),
        ('{"type": "commit"}', "input_audio_buffer_commit_empty"),
        ('{"type": "played", "response": "r", "ms": 5}', "unknown_response"),
        ('{"type": "config", "sample_rate": 1}', "invalid_value"),
    ],
)
async def test_a_wrong_frame_is_answered_and_the_session_goes_on(
    frame: str | bytes, code: str
) -> None:
    async with serving() as server, voice(server.url("/v1/voice")) as client:
        await client.websocket.send(frame)
        error = await client.until("error")
        assert error["code"] == code
        assert error["message"]
        await client.websocket.send("Are you still there?")
        await client.until("response", state="completed")
