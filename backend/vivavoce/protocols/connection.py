"""uvicorn's WebSocket, hardened against clients that flood it or stop reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

SLICE_BYTES = 4096
"""Parsed at a time: some 600 of the smallest frames, or a usual append."""

HANG_UP_S = 5.0
"""How long a closing connection may last."""


class Connection(WebSocketsSansIOProtocol):
    """Differs from its base in three ways.

    A read of many small frames is parsed a slice at a time, as the app takes them, so that other
    connections get their turn. A close frame does not wait behind a client that has stopped
    reading. And a connection that does not close by itself is cut.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unparsed = memoryview(b"")
        self._paused = False
        self.read_paused = True  # so that the base leaves pausing to us

    # ── receiving ─────────────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)
        if self._app_is_behind:
            self._pause()
        else:
            self._parse()

    def _parse(self) -> None:
        piece, self._unparsed = self._unparsed[:SLICE_BYTES], self._unparsed[SLICE_BYTES:]
        if piece:
            super().data_received(piece)  # type: ignore[arg-type]
        self._go_on()

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        self._go_on()
        return message

    def _go_on(self) -> None:
        """Once the app has taken all messages, parse more; once all is parsed, read more."""
        if self._app_is_behind or self.transport.is_closing():
            return
        if self._unparsed:
            self._pause()
            self.loop.call_soon(self._parse)
        elif self._paused:
            self._paused = False
            self.transport.resume_reading()

    @property
    def _app_is_behind(self) -> bool:
        """Messages wait for the app; once it has closed, none is for it any more."""
        return not self.queue.empty() and not self.close_sent

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = memoryview(b"")
        super().connection_lost(exc)

    # ── closing ───────────────────────────────────────────────────────────────────────────────

    async def send(self, message: ASGISendEvent) -> None:
        if self.close_sent or (self.handshake_complete and self.transport.is_closing()):
            raise ClientDisconnected
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)
        if self.close_timer is not None:
            self._hang_up_soon()
            self._go_on()  # for the client's answer

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def handle_parser_exception(self) -> None:
        self._unparsed = memoryview(b"")
        super().handle_parser_exception()
        self._hang_up_soon()

    def _hang_up_soon(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(HANG_UP_S, self.transport.abort)
