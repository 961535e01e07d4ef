"""What is wrong gets an error with a name, and the session goes on; so do all others."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from protocols.clients import LOUD, realtime, s16le
from support.scripted import Script, ScriptedChat
from support.server import serving
from vivavoce.engines.interfaces import TextDelta

PATH = "/v1/realtime?model=vivavoce"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("hello", "invalid_json"),
        ('{"type": "response.create"', "invalid_json"),
        ("[]", "invalid_json"),
        ("", "invalid_json"),
        ('{"type": "x", "x": NaN}', "invalid_json"),
        ('{"type": "session.update", "session": {"speed": 1e999}}', "invalid_json"),
        ('{"type": "session.update", "session": {"tracing": {"x": Infinity}}}', "invalid_json"),
        (r'{"type": "session.update", "session": {"instructions": "\ud800"}}', "invalid_json"),
        ('{"type": "session.renew"}', "invalid_event_type"),
        ('{"type": "input_audio_buffer.append", "audio": "!"}', "invalid_base64"),
        ('{"type": "input_audio_buffer.append", "audio": "AAAA"}', "invalid_audio"),
        (b"123", "invalid_audio"),
        ('{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty"),
        ('{"type": "response.cancel"}', "response_cancel_not_active"),
        (
            '{"type": "conversation.item.truncate", "item_id": "x", "audio_end_ms": 5}',
            "item_truncate_invalid_item_id",
        ),
        (
            '{"type": "conversation.item.truncate", "item_id": "x", "audio_end_ms": 1e300}',
            "invalid_value",
        ),
        (
            '{"type": "response.create", "response": '
            '{"input": [{"type": "item_reference", "id": "x"}]}}',
            "item_retrieve_invalid_item_id",
        ),
    ],
)
async def test_a_wrong_frame_is_answered_and_the_session_goes_on(
    frame: str | bytes, code: str
) -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.websocket.send(frame)
        error = await client.refused(code)
        assert error["message"]
        assert len(client.of("error")) == 1
        await client.still_works()


async def test_text_in_place_of_audio_and_back() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.websocket.send("これは音声ではありません")
        await client.refused("invalid_json")
        await client.append(s16le(LOUD, 40, 24_000))
        await client.send("input_audio_buffer.append", audio="これは音声ではありません")
        await client.refused("invalid_base64")
        await client.websocket.send(s16le(LOUD, 40, 24_000))
        await client.say(600, 800)
        await client.until("response.done")


async def test_push_to_talk_with_too_little_audio() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.update(audio={"input": {"turn_detection": None}})
        await client.say(80)
        await client.send("input_audio_buffer.commit", event_id="mine")
        error = await client.refused("input_audio_buffer_commit_empty")
        assert error["event_id"] == "mine"
        assert "at least 100 ms" in error["message"]
        await client.still_works()


async def test_two_responses_at_once() -> None:
    script = Script(chat=ScriptedChat(replies=([TextDelta("Well, " * 5), 300, TextDelta("ok.")],)))
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        await client.write("Hi")
        await client.send("response.create")
        await client.send("response.create", event_id="second")
        error = await client.refused("conversation_already_has_active_response")
        assert error["event_id"] == "second"
        done = await client.until("response.done")
        assert done["response"]["status"] == "completed"
        assert len(client.of("response.created")) == 1
        await client.still_works()


# ── size ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.may_block_loop  # the client, which makes that message in this loop
async def test_an_append_of_20_mb_is_refused_and_one_of_10_mb_taken() -> None:
    async with serving() as server, realtime(server.url(PATH), max_size=None) as client:
        await client.append(b"\0" * 15 * 10**6)
        error = await client.refused("event_too_large")
        assert "20,000," in error["message"]
        assert "15,728,640" in error["message"]
        await client.append(b"\0" * 7_500_000)
        await client.still_works()
        assert len(client.of("error")) == 1


@pytest.mark.may_block_loop  # the client, which makes that message in this loop
async def test_a_frame_of_60_mb_closes_the_connection() -> None:
    async with serving() as server, realtime(server.url(PATH)) as other:
        async with connect(server.url(PATH), compression=None) as websocket:
            with pytest.raises(ConnectionClosed) as caught:
                await websocket.send("x" * 60 * 10**6)
                async for _ in websocket:
                    pass
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1009
        await other.still_works()


async def test_long_audio_in_one_item_is_taken() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        audio = base64.b64encode(s16le(LOUD, 60_000, 24_000)).decode()
        part = {"type": "input_audio", "audio": audio}
        item = {"type": "message", "role": "user", "content": [part]}
        await client.send("conversation.item.create", item=item)
        done = await client.until("conversation.item.input_audio_transcription.completed")
        assert done["usage"]["seconds"] == 60.0


# ── persistence ───────────────────────────────────────────────────────────────────────────────


async def test_a_thousand_updates_later_nothing_has_piled_up() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        for number in range(1000):
            await client.send("session.update", session={"instructions": str(number)})
        last = await client.until("session.updated", 1000)
        assert last["session"]["instructions"] == "999"
        (session,) = server.registry._sessions
        assert not session._inbox._queue


async def test_input_that_is_never_committed_is_bounded() -> None:
    limits: dict[str, Any] = {"utterance_ms": 2000}
    async with serving(limit=limits) as server, realtime(server.url(PATH)) as client:
        await client.update(audio={"input": {"turn_detection": None}})
        await client.say(10_000)
        error = await client.refused("input_audio_buffer_full")
        assert "holds 2 s" in error["message"]
        await client.send("input_audio_buffer.commit")
        done = await client.until("conversation.item.input_audio_transcription.completed")
        assert done["usage"]["seconds"] == pytest.approx(2.0, abs=0.1)
        assert len(client.of("error")) == 1


async def test_a_client_that_vanishes_in_the_middle_of_a_reply_frees_its_session() -> None:
    script = Script(chat=ScriptedChat(replies=([TextDelta("Well. " * 50), 60_000],)))
    async with serving(script) as server, connect(server.url(PATH)) as websocket:
        item = {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
        await websocket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        await websocket.send(json.dumps({"type": "response.create"}))
        while json.loads(await websocket.recv())["type"] != "response.output_audio.delta":
            pass
        assert (len(server.registry), script.chat.running) == (1, 1)
        websocket.transport.abort()
        async with asyncio.timeout(5):
            await server.registry._empty.wait()
        assert (script.chat.running, script.chat.cancelled) == (0, 1)
        async with realtime(server.url(PATH)) as another:
            await another.until("session.created")
