"""Runs the app under uvicorn, with a stop that lets conversations finish."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from vivavoce.config import Settings

FRAME_MARGIN = 25 * 2**20
"""Bytes by which a message may exceed the limit and still be answered with a named error; a
larger one closes the connection with 1009."""


class Server(uvicorn.Server):
    """uvicorn's server; before it closes connections, running replies get time to finish."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        super().__init__(_config(app, settings))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self.servers:
            listener.close()
        await self._app.state.registry.drain(self._settings.limit.drain_ms)
        await super().shutdown(sockets)


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    tls: dict[str, Any] = {}
    if settings.ssl_certfile is not None:
        tls = {"ssl_certfile": _path(settings.ssl_certfile), "ssl_keyfile": settings.ssl_keyfile}
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws="websockets-sansio",
        ws_max_size=settings.limit.event_bytes + FRAME_MARGIN,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=5,
        **tls,
    )


def _path(path: Path) -> str:
    return str(path)
