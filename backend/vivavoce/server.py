"""Runs the app under uvicorn, with a stop that lets conversations finish."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI

from vivavoce.config import Settings
from vivavoce.errors import ConfigurationError
from vivavoce.protocols.connection import Connection

FRAME_MARGIN = 25 * 2**20
"""Bytes by which a message may exceed the limit and still be answered with a named error; a
larger one closes the connection with 1009."""

BACKLOG = 2048
"""Connections that may wait to be accepted."""


class Server(uvicorn.Server):
    """uvicorn's server; before it closes connections, running replies get time to finish."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self.listening = asyncio.Event()
        super().__init__(_config(app, settings))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self.servers:
            listener.close()
        await self._app.state.registry.drain(self._settings.limit.drain_ms)
        await super().shutdown(sockets)


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    tls: dict[str, Any] = {}
    if settings.ssl_certfile is not None:
        tls = {"ssl_certfile": settings.ssl_certfile, "ssl_keyfile": settings.ssl_keyfile}
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws=Connection,
        ws_max_size=settings.limit.event_bytes + FRAME_MARGIN,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=5,
        **tls,
    )


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where it exists: it halves the tail of the time that an event takes."""
    try:
        import uvloop
    except ImportError:  # on Windows
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def listen(settings: Settings) -> socket.socket:
    """Take the port before anything slow happens; raises ConfigurationError where that fails."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG
        )
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Choose another "
            "port with --port, or stop the program that uses this one."
        ) from None
    # Connections inherit this; asyncio sets it only on sockets that it has made itself. Without it
    # the second of two small events waits 40 ms for the client to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
