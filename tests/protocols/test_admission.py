"""Who gets in, how many, and how the server says goodbye."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from protocols.clients import realtime, voice
from support.scripted import Script, ScriptedChat
from support.server import GivenEngines, serving
from vivavoce.conversation.options import SessionLimits
from vivavoce.conversation.session import Engines
from vivavoce.engines.interfaces import ChatDelta, ChatEnd, TextDelta
from vivavoce.errors import Overloaded, VivavoceError
from vivavoce.protocols import sockets

PATH = "/v1/realtime?model=vivavoce"
KEY = "a-long-random-key"
BOTH = pytest.mark.parametrize("path", [PATH, "/v1/voice"])


# ── keys ──────────────────────────────────────────────────────────────────────────────────────


@BOTH
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"additional_headers": {"Authorization": "Bearer wrong"}},
        {"subprotocols": ["realtime", "openai-insecure-api-key.wrong"]},
    ],
)
async def test_a_wrong_key_is_refused_before_the_upgrade(
    path: str, options: dict[str, object]
) -> None:
    async with serving(api_keys=KEY) as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url(path), **options)  # type: ignore[arg-type]
    response = caught.value.response
    assert response.status_code == 401
    assert response.body is not None
    assert b'"code":"invalid_api_key"' in response.body
    assert b"wrong" not in response.body
    assert KEY.encode() not in response.body


@BOTH
@pytest.mark.parametrize("header", [{"Authorization": f"Bearer {KEY}"}, {"api-key": KEY}])
async def test_a_key_in_a_header_is_taken(path: str, header: dict[str, str]) -> None:
    async with (
        serving(api_keys=f"another,{KEY}") as server,
        connect(server.url(path), additional_headers=header) as websocket,
    ):
        assert await websocket.recv()


async def test_a_key_in_a_subprotocol_is_taken_and_never_echoed() -> None:
    offered = [Subprotocol(p) for p in ("realtime", f"openai-insecure-api-key.{KEY}", "sdk.1")]
    async with (
        serving(api_keys=KEY) as server,
        connect(server.url(PATH), subprotocols=offered) as websocket,
    ):
        assert websocket.subprotocol == "realtime"
        assert websocket.response is not None
        assert KEY not in str(websocket.response.headers)


async def test_a_page_of_another_site_is_refused() -> None:
    async with serving(allowed_origins="https://friend.example") as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url(PATH), origin="https://evil.example")  # type: ignore[arg-type]
        assert caught.value.response.status_code == 403
        for origin in ("https://friend.example", "http://localhost:5173"):
            async with connect(server.url(PATH), origin=origin) as websocket:  # type: ignore[arg-type]
                assert await websocket.recv()


async def test_compression_is_declined() -> None:
    async with serving() as server, connect(server.url(PATH)) as websocket:
        assert websocket.response is not None
        assert "Sec-WebSocket-Extensions" not in websocket.response.headers


# ── number ────────────────────────────────────────────────────────────────────────────────────


async def test_one_session_more_than_the_limit() -> None:
    async with serving(limit={"sessions": 2}) as server:
        async with realtime(server.url(PATH)) as first, voice(server.url("/v1/voice")) as second:
            await first.until("session.created")
            await second.until("ready")
            async with realtime(server.url(PATH)) as third:
                error = await third.refused("server_full")
                assert "2 conversations" in error["message"]
                assert await third.until_closed() == 1013
            async with voice(server.url("/v1/voice")) as fourth:
                assert (await fourth.until("error"))["code"] == "server_full"
                assert await fourth.until_closed() == 1013
            await first.still_works()
        async with asyncio.timeout(5):
            await server.registry._empty.wait()
        async with realtime(server.url(PATH)) as fifth:
            await fifth.still_works()


async def test_engines_that_are_still_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_yet(engines: GivenEngines) -> Engines:
        raise Overloaded("The engines are still starting.", code="server_starting")

    monkeypatch.setattr(GivenEngines, "engines", not_yet)
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.refused("server_starting")
        assert await client.until_closed() == 1013


async def test_a_session_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(**limits: int) -> SessionLimits:
        return SessionLimits(**{**limits, "session_ms": 200})

    monkeypatch.setattr(sockets, "SessionLimits", short)
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.refused("session_expired")
        assert await client.until_closed() == 1000


# ── the graceful stop ─────────────────────────────────────────────────────────────────────────


async def test_a_stop_lets_the_reply_finish_and_takes_nobody_new() -> None:
    reply: list[ChatDelta | VivavoceError | int] = [
        TextDelta("Well, that is a long story. "),
        600,
        TextDelta("The end."),
        ChatEnd("stop"),
    ]
    script = Script(chat=ScriptedChat(replies=(reply,)))
    async with (
        serving(script) as server,
        realtime(server.url(PATH)) as talking,
        realtime(server.url(PATH)) as idle,
    ):
        await talking.write("Tell me")
        await talking.send("response.create", response={"output_modalities": ["text"]})
        await talking.until("response.output_text.delta")
        await idle.until("session.created")
        server.stop()
        assert await idle.until_closed() == 1012
        assert talking.close_code is None
        with pytest.raises(OSError):
            await connect(server.url(PATH))
        done = await talking.until("response.done")
        assert done["response"]["status"] == "completed"
        assert await talking.until_closed() == 1012


async def test_a_stop_does_not_wait_for_ever() -> None:
    script = Script(chat=ScriptedChat(replies=([TextDelta("Well. "), 60_000],)))
    async with (
        serving(script, limit={"drain_ms": 300}) as server,
        voice(server.url("/v1/voice")) as client,
    ):
        await client.websocket.send("Tell me")
        await client.until("response", state="started")
        server.stop()
        assert await client.until_closed() == 1012
