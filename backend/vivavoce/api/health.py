"""`/health` and `/ready`: whether the process lives, and whether it can serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter, Response

from vivavoce import __version__


def health_routes(engine_states: Callable[[], Mapping[str, str]]) -> APIRouter:
    """engine_states: by engine, "ready" or what it is doing instead."""
    router = APIRouter(tags=["service"])

    @router.get("/health")
    async def health() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok", "version": __version__}

    @router.get("/ready", responses={503: {"description": "an engine is not ready; which one"}})
    async def ready(response: Response) -> dict[str, object]:
        """Every engine is warmed up."""
        states = engine_states()
        all_ready = bool(states) and all(state == "ready" for state in states.values())
        if not all_ready:
            response.status_code = 503
        return {"ready": all_ready, "engines": dict(states)}

    return router
