"""The real server with scripted engines, in the test's event loop or as a program of its own.

    async with serving(Script(...), api_keys="secret") as server:
        async with connect(server.url("/v1/realtime")) as websocket: ...

As a program, for clients that must not share its event loop, it prints its port:
    python -m support.server --settings '{"limit": {"sessions": 200}}'
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.scripted import Script, ScriptedChat, ScriptedRecognizer, ScriptedSynthesizer
from vivavoce.app import create_app
from vivavoce.config import Settings
from vivavoce.conversation.registry import SessionRegistry
from vivavoce.conversation.session import Engines
from vivavoce.logs import configure_logs
from vivavoce.server import Server, listen

TESTS = Path(__file__).parents[1]


class GivenEngines:
    """An EngineSet whose engines are ready before it starts."""

    models: Mapping[str, str] = {
        "vad": "scripted-vad",
        "asr": "scripted-asr",
        "tts": "scripted-tts",
        "llm": "scripted-llm",
    }

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def engines(self) -> Engines:
        return self._engines

    def states(self) -> Mapping[str, str]:
        return {"scripted": "ready"}

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass


class RunningServer:
    """A server that listens on 127.0.0.1. registry: its sessions."""

    def __init__(self, server: Server, registry: SessionRegistry, port: int) -> None:
        self.server = server
        self.registry = registry
        self.port = port

    def url(self, path: str = "", scheme: str = "ws") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def stop(self) -> None:
        """Begin the graceful stop, as SIGTERM does."""
        self.server.should_exit = True


def make_settings(**values: Any) -> Settings:
    """Settings of a test: whatever the environment says does not count."""
    return Settings(_env_file=None, port=0, **values)


@asynccontextmanager
async def serving(
    script: Script | None = None, *, engines: Engines | None = None, **settings: Any
) -> AsyncIterator[RunningServer]:
    """Run the server in this event loop; settings: as in `Settings`, e.g. `limit={...}`."""
    chosen = make_settings(**settings)
    app = create_app(chosen, GivenEngines(engines or (script or Script()).engines()))
    with listen(chosen) as listener:
        server = Server(app, chosen)
        running = asyncio.create_task(server.serve([listener]))
        await server.listening.wait()
        try:
            yield RunningServer(server, app.state.registry, listener.getsockname()[1])
        finally:
            server.should_exit = True
            await running


class ServerProcess:
    """A server in a process of its own. pid: to watch its memory."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.pid = process.pid
        self.port = port

    def url(self, path: str = "", scheme: str = "ws") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def serving_elsewhere(*options: str, **settings: Any) -> AsyncIterator[ServerProcess]:
    """Run this module as a program. options: of its command line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "support.server", "--settings", json.dumps(settings), *options),
        cwd=TESTS,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield ServerProcess(process, int(await process.stdout.readline()))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Serve scripted engines.")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, as in Settings")
    parser.add_argument("--reply", default="Hi! How are you today?")
    parser.add_argument("--instant", action="store_true", help="engines answer without delay")
    arguments = parser.parse_args()
    script = Script(chat=ScriptedChat(replies=(arguments.reply,)))
    if arguments.instant:
        script = Script(
            ScriptedRecognizer(delay_ms=0),
            ScriptedChat((arguments.reply,), first_token_ms=0, token_ms=0),
            ScriptedSynthesizer(delay_ms=0, chunk_delay_ms=0),
        )
    settings = make_settings(**arguments.settings)
    configure_logs("error", as_json=False)
    with listen(settings) as listener:
        _say_port(listener)
        app = create_app(settings, GivenEngines(script.engines()))
        await Server(app, settings).serve([listener])


def _say_port(listener: socket.socket) -> None:
    print(listener.getsockname()[1], flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
