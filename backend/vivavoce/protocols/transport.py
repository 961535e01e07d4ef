"""Carries one session over one WebSocket: two loops around a codec."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

import structlog
from fastapi import WebSocket, WebSocketDisconnect

from vivavoce.conversation.commands import Command, Reject
from vivavoce.conversation.events import Event, SessionEnded
from vivavoce.conversation.session import Session
from vivavoce.errors import TooLarge

log = structlog.get_logger()


class Codec(Protocol):
    """A dialect: frames to commands, events to frames; no I/O.

    Wrong frames become `Reject`, so that the error keeps its place among the events.
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
    frame takes longer than this to leave, the connection is closed with 1013.
    """
    running = asyncio.create_task(session.run())
    reading = asyncio.create_task(_read(websocket, session, codec, max_event_bytes))
    writing = asyncio.create_task(_write(websocket, session, codec, slow_reader_ms))
    try:
        await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (reading, writing, running):
            task.cancel()
        results = await asyncio.gather(reading, writing, running, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            log.error("transport.defect", session_id=session.id, exc_info=result)


async def _read(websocket: WebSocket, session: Session, codec: Codec, max_event_bytes: int) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        frame: str | bytes = message.get("text") or message.get("bytes") or ""
        if len(frame) > max_event_bytes:
            error = TooLarge(
                f"A message of {len(frame):,} bytes is over the limit of {max_event_bytes:,}; "
                "send audio in smaller pieces.",
                code="event_too_large",
            )
            await session.submit(Reject(error))
            continue
        for command in codec.decode(frame):
            await session.submit(command)


async def _write(websocket: WebSocket, session: Session, codec: Codec, slow_reader_ms: int) -> None:
    try:
        while True:
            event = await session.next_event()
            for frame in codec.encode(event):
                async with asyncio.timeout(slow_reader_ms / 1000):
                    if isinstance(frame, str):
                        await websocket.send_text(frame)
                    else:
                        await websocket.send_bytes(frame)
            if isinstance(event, SessionEnded):
                await websocket.close(event.code, event.reason)
                return
    except TimeoutError:
        log.warning("transport.slow_reader", session_id=session.id)
        await websocket.close(1013, "The client reads too slowly.")
