"""Clients that flood the server or stop reading: others do not notice, and memory stays flat."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import vivavoce.server
from protocols.clients import RealtimeClient, realtime
from support.server import RunningServer, serving, serving_elsewhere
from vivavoce.protocols import connection
from vivavoce.protocols.connection import Connection

PATH = "/v1/realtime?model=vivavoce"
BIG_ITEM = json.dumps(
    {
        "type": "conversation.item.create",
        "item": {
            "id": "big",
            "role": "user",
            "content": [{"type": "input_text", "text": "x" * 100_000}],
        },
    }
)
RETRIEVE = json.dumps({"type": "conversation.item.retrieve", "item_id": "big"})

TINY_TEXT = b"\x81\x81\0\0\0\0x"
TINY_AUDIO = b"\x82\x82\0\0\0\0ab"
PING = b"\x89\x81\0\0\0\0x"


async def ask_for_much(websocket: ClientConnection, times: int) -> None:
    """Have 100 kB sent back each time, and read none of it."""
    await websocket.send(BIG_ITEM)
    for _ in range(times):
        await websocket.send(RETRIEVE)


# ── clients that stop reading ─────────────────────────────────────────────────────────────────


async def test_a_client_that_stops_reading_is_told_so_when_it_reads_again() -> None:
    async with (
        serving(limit={"slow_reader_ms": 300}) as server,
        realtime(server.url(PATH)) as other,
        connect(server.url(PATH), compression=None, max_queue=1) as websocket,
    ):
        await ask_for_much(websocket, 200)
        while len(server.registry) == 2:
            await other.still_works()
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await websocket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1013


async def test_a_client_that_never_reads_again_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = asyncio.Event()

    class WatchedConnection(Connection):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    monkeypatch.setattr(connection, "HANG_UP_S", 0.2)
    monkeypatch.setattr(vivavoce.server, "Connection", WatchedConnection)
    async with serving(limit={"slow_reader_ms": 200}) as server, deaf_client(server):
        async with asyncio.timeout(10):
            await lost.wait()
        assert len(server.registry) == 0


@asynccontextmanager
async def deaf_client(server: RunningServer) -> AsyncIterator[None]:
    """A socket that asks for much and never reads a byte."""
    reader, writer = await handshake(server.port)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    for text in (BIG_ITEM, *[RETRIEVE] * 200):
        data = text.encode()
        writer.write(b"\x81\xff" + len(data).to_bytes(8, "big") + bytes(4) + data)
    yield
    writer.transport.abort()


async def handshake(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    writer.write(request.encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_what_a_client_does_not_read_is_not_kept_in_memory() -> None:
    async with serving_elsewhere() as server:
        process = psutil.Process(server.pid)
        async with (
            realtime(server.url(PATH)) as other,
            connect(server.url(PATH), compression=None, max_queue=1) as websocket,
        ):
            await other.still_works()
            before = process.memory_info().rss
            await ask_for_much(websocket, 2000)
            for _ in range(5):
                await other.still_works()
            grown_mb = (process.memory_info().rss - before) / 1e6
            websocket.transport.abort()
    assert grown_mb < 30


# ── clients that flood ────────────────────────────────────────────────────────────────────────


async def flood(port: int, frame: bytes, n_frames: int) -> None:
    """Send the same small frame again and again as fast as it is taken, and read the answers."""
    reader, writer = await handshake(port)

    async def discard() -> None:
        while await reader.read(2**20):
            pass

    discarding = asyncio.create_task(discard())
    for _ in range(n_frames // 500):
        writer.write(frame * 500)
        await writer.drain()
    writer.write(b"\x88\x82\0\0\0\0\x03\xe8")
    await discarding
    writer.close()


async def response_time_ms(client: RealtimeClient, n_errors: int) -> float:
    start = time.perf_counter()
    await client.send("conversation.item.delete", item_id="unknown")
    await client.refused("item_retrieve_invalid_item_id", n_errors)
    return (time.perf_counter() - start) * 1000


@pytest.mark.parametrize(
    ("frame", "n_frames"),
    [(TINY_TEXT, 30_000), (TINY_AUDIO, 30_000), (PING, 200_000)],
    ids=["text", "audio", "ping"],
)
async def test_a_flood_of_tiny_frames_leaves_the_others_their_turn(
    frame: bytes, n_frames: int
) -> None:
    async with serving_elsewhere() as server, realtime(server.url(PATH)) as other:
        flooding = asyncio.create_task(flood(server.port, frame, n_frames))
        times: list[float] = []
        while not flooding.done():
            times.append(await response_time_ms(other, len(times) + 1))
            await asyncio.sleep(0.01)
        await flooding
        await other.still_works()
    times.sort()
    assert len(times) > 20
    assert times[int(len(times) * 0.9)] < 250


async def test_small_events_do_not_wait_for_each_other() -> None:
    """Without TCP_NODELAY every second one would come 40 ms late."""
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.until("conversation.created")
        (connected,) = server.server.server_state.connections
        sock = connected.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_messages_in_many_frames_and_frames_in_many_reads_are_put_together() -> None:
    """However the bytes arrive, what they say is the same."""
    async with serving() as server:
        reader, writer = await handshake(server.port)
        text = b'{"type": "nonsense", "event_id": "' + b"x" * 20_000 + b'"}'
        half = len(text) // 2
        sent = b""
        for opcode, part in ((b"\x01", text[:half]), (b"\x80", text[half:])):
            sent += opcode + b"\xfe" + len(part).to_bytes(2, "big") + bytes(4) + part
        for start in range(0, len(sent), 777):
            writer.write(sent[start : start + 777])
            await writer.drain()
        assert b"invalid_event_type" in await reader.readuntil(b"invalid_event_type")
        writer.close()
