"""Builds the FastAPI app from the settings; its lifespan starts and stops the engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import structlog
from fastapi import FastAPI

from vivavoce import __version__
from vivavoce.api.health import health_routes
from vivavoce.config import Settings
from vivavoce.conversation.receipt import Receipt
from vivavoce.conversation.registry import SessionRegistry
from vivavoce.conversation.session import Engines
from vivavoce.errors import VivavoceError
from vivavoce.protocols.sockets import Switchboard, websocket_routes

log = structlog.get_logger()


class EngineSet(Protocol):
    """What the app needs of an Assembly; tests bring their own."""

    @property
    def models(self) -> Mapping[str, str]: ...

    def engines(self) -> Engines: ...

    def states(self) -> Mapping[str, str]: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


def create_app(settings: Settings, engines: EngineSet) -> FastAPI:
    """The whole server. `app.state.registry` holds its sessions, `app.state.started` a future
    that is done once the engines are ready, or holds what stopped them."""
    registry = SessionRegistry(settings.limit.sessions)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(engines.start())
        app.state.started = starting
        starting.add_done_callback(_log_failure)
        try:
            yield
        finally:
            starting.cancel()
            await asyncio.wait((starting,))
            await engines.close()

    app = FastAPI(
        title="Vivavoce",
        version=__version__,
        description="Live spoken conversation on your own machine.",
        lifespan=lifespan,
    )
    app.state.registry = registry
    switchboard = Switchboard(settings, engines.engines, registry, _log_turn, engines.models)
    app.include_router(websocket_routes(switchboard))
    app.include_router(health_routes(engines.states))
    return app


def _log_turn(session_id: str, receipt: Receipt) -> None:
    stages = receipt.since_speech_end()
    log.info("turn", session_id=session_id, response_id=receipt.response_id, **stages)


def _log_failure(starting: asyncio.Task[None]) -> None:
    if starting.cancelled():
        return
    error = starting.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, VivavoceError):
        log.error("engines.failed", code=error.code, message=error.message)
    elif error is not None:
        log.error("engines.failed", exc_info=error)
