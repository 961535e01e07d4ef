"""The child process that runs llama.cpp's server, started again whenever it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

from structlog import get_logger

from vivavoce.errors import ConfigurationError, EngineCrashed, EngineFailure, EngineTimeout

KEY_VARIABLE = "VIVAVOCE_LLAMA_SERVER_KEY"
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
HEALTHY_AFTER_S = 60.0
"""A child that lived this long was well: the next pause is the first one again."""

log = get_logger(__name__)


class ServerState(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"


class LlamaProcess:
    """Keeps one `llama_server` running.

    arguments: of that program, without the key. on_start: called with address and key of each new
    child before it counts as ready, to connect and warm it.
    """

    def __init__(
        self, arguments: Sequence[str], *, on_start: Callable[[str, str], Awaitable[None]]
    ) -> None:
        self._arguments = list(arguments)
        self._on_start = on_start
        self._state = ServerState.STOPPED
        self._ready = asyncio.Event()
        self._down = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def state(self) -> ServerState:
        return self._state

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the child; EngineCrashed when it cannot serve at all."""
        self._state = ServerState.STARTING
        try:
            process = await self._launch()
        except BaseException:
            self._state = ServerState.STOPPED
            raise
        self._keeper = asyncio.create_task(self._keep(process))

    async def close(self) -> None:
        """Stop the child and stay stopped."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        process = self._process
        self._set_down(ServerState.STOPPED)
        if process is not None:
            await _stop(process)

    async def ready(self, deadline: float) -> None:
        """Wait until the child can serve; EngineTimeout past `deadline` (loop time, seconds)."""
        if self._state is ServerState.STOPPED:
            raise EngineFailure("the language model is not started")
        try:
            async with asyncio.timeout_at(deadline):
                await self._ready.wait()
        except TimeoutError:
            raise EngineTimeout("the language model is still being restarted") from None

    async def went_down(self, within_s: float) -> bool:
        """Whether the child is down, or is seen to die within the time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._down.wait()
        return self._down.is_set()

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            started = loop.time()
            status = await process.wait()
            self._set_down(ServerState.RESTARTING)
            if loop.time() - started > HEALTHY_AFTER_S:
                pause_s = FIRST_PAUSE_S
            log.error("language_model_stopped", exit_status=status, restart_in_s=pause_s)
            process, pause_s = await self._launch_again(pause_s)

    async def _launch_again(self, pause_s: float) -> tuple[asyncio.subprocess.Process, float]:
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                return await self._launch(), pause_s
            except EngineFailure as error:
                log.error("language_model_not_restarted", error=error.message, again_in_s=pause_s)

    async def _launch(self) -> asyncio.subprocess.Process:
        key = secrets.token_hex(16)
        program = [sys.executable, "-m", "vivavoce.engines.llm.llama_server", *self._arguments]
        process = await asyncio.create_subprocess_exec(
            *program,
            "--api-key-env",
            KEY_VARIABLE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, KEY_VARIABLE: key},
        )
        try:
            address = await _announced_address(process)
            await self._on_start(address, key)
        except BaseException:
            await _stop(process)
            raise
        self._process = process
        self._state = ServerState.READY
        self._down.clear()
        self._ready.set()
        log.info("language_model_ready", pid=process.pid)
        return process

    def _set_down(self, state: ServerState) -> None:
        self._state = state
        self._process = None
        self._ready.clear()
        self._down.set()


async def _announced_address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
    except TimeoutError:
        raise EngineTimeout(f"the language model did not start in {START_TIMEOUT_S} s") from None
    if not line:
        status = await process.wait()
        raise EngineCrashed(f"the language model's server ended at its start with status {status}")
    announced = json.loads(line)
    if "error" in announced:
        raise EngineCrashed(f"the language model does not start: {announced['error']}")
    address: str = announced["address"]
    return address


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the child: by closing its standard input, by force when that does not help."""
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def arguments_of(
    model: str, *, threads: int, slots: int, context_tokens: int, nice: int = 0
) -> list[str]:
    """The command line of `llama_server`; ConfigurationError for numbers that cannot work."""
    for name, value in (("threads", threads), ("slots", slots), ("context_tokens", context_tokens)):
        if value < 1:
            raise ConfigurationError(f"{name} of the language model is {value}, must be 1 or more")
    return [
        *("--model", model, "--threads", str(threads)),
        *("--slots", str(slots), "--context", str(context_tokens)),
        *("--nice", str(nice)),
    ]
