"""Carries one session over one WebSocket: two loops around a codec."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

import structlog
from fastapi import WebSocket, WebSocketDisconnect

from vivavoce.conversation.commands import Command, Reject
from vivavoce.conversation.events import Event, Failure, SessionEnded
from vivavoce.conversation.session import Session
from vivavoce.errors import TooLarge, VivavoceError

log = structlog.get_logger()

LARGE_FRAME = 256 * 1024
"""Characters or bytes of a message beyond which decoding it would hold up the event loop."""

MAX_REASON_BYTES = 120
"""What fits into a close frame."""


class Codec(Protocol):
    """A dialect: frames to commands, events to frames; no I/O.

    Wrong frames become `Reject`, so that the error keeps its place among the events. `decode` and
    `encode` may run at the same time, in two threads; each alone is never entered twice.
    """

    def decode(self, frame: str | bytes) -> Iterable[Command]: ...

    def encode(self, event: Event) -> Iterable[str | bytes]: ...


async def carry(
    websocket: WebSocket,
    session: Session,
    codec: Codec,
    *,
    max_event_bytes: int,
    slow_reader_ms: int,
) -> None:
    """Until the client leaves or the session ends. The WebSocket is accepted already.

    max_event_bytes: larger messages are refused with an error. slow_reader_ms: when a single
    frame takes longer than this to leave, the connection is closed with 1013. Raises
    VivavoceError when the session cannot begin, and leaves the WebSocket open.
    """
    running = asyncio.create_task(session.run())
    reading = asyncio.create_task(_read(websocket, session, codec, max_event_bytes))
    writing = asyncio.create_task(_write(websocket, session, codec, slow_reader_ms))
    try:
        await asyncio.wait((running, reading, writing), return_when=asyncio.FIRST_COMPLETED)
        if running.done() and running.exception() is None:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (reading, writing, running):
            task.cancel()
        results = await asyncio.gather(reading, writing, running, return_exceptions=True)
    for result in results:
        if isinstance(result, VivavoceError):
            raise result
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            log.error("transport.defect", session_id=session.id, exc_info=result)


async def refuse(websocket: WebSocket, codec: Codec, error: VivavoceError) -> None:
    """Say why there is no session, then close."""
    for frame in codec.encode(Failure(error)):
        await _send(websocket, frame)
    await close(websocket, error.close_code, error.message)


async def close(websocket: WebSocket, code: int, reason: str) -> None:
    cut = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    await websocket.close(code, cut)


async def _read(websocket: WebSocket, session: Session, codec: Codec, max_event_bytes: int) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        frame: str | bytes = message["bytes"] if text is None else text
        if len(frame) > max_event_bytes:
            error = TooLarge(
                f"A message of {len(frame):,} bytes is over the limit of {max_event_bytes:,}; "
                "send audio in smaller pieces.",
                code="event_too_large",
            )
            await session.submit(Reject(error))
            continue
        commands = iter(codec.decode(frame))
        while command := (
            await asyncio.to_thread(next, commands, None)
            if len(frame) > LARGE_FRAME
            else next(commands, None)
        ):
            await session.submit(command)
        await asyncio.sleep(0)  # a client that never pauses leaves the others their turn


async def _write(websocket: WebSocket, session: Session, codec: Codec, slow_reader_ms: int) -> None:
    try:
        while True:
            event = await session.next_event()
            for frame in codec.encode(event):
                async with asyncio.timeout(slow_reader_ms / 1000):
                    await _send(websocket, frame)
            if isinstance(event, SessionEnded):
                await close(websocket, event.code, event.reason)
                return
    except TimeoutError:
        log.warning("transport.slow_reader", session_id=session.id)
        await close(websocket, 1013, "The client reads too slowly.")


async def _send(websocket: WebSocket, frame: str | bytes) -> None:
    if isinstance(frame, str):
        await websocket.send_text(frame)
    else:
        await websocket.send_bytes(frame)
