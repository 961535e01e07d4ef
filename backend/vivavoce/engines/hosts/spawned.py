"""One child process: its sockets, its output, and how it ended."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import structlog

from vivavoce.engines.hosts.codec import error_from_value
from vivavoce.engines.hosts.frames import (
    CANCELLATION,
    ChannelClosed,
    Tag,
    read_frame,
    write_frame,
)
from vivavoce.errors import VivavoceError

log = structlog.get_logger(__name__)

MAX_LINE_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """name: of the host, in logs and errors. factory: the engine's, pickled. workers: how many
    requests run at once. python: the interpreter. env: variables over those of this process.
    nice: added to the process's niceness."""

    name: str
    factory: bytes
    workers: int
    python: str = sys.executable
    env: Mapping[str, str] = field(default_factory=dict)
    nice: int = 0


class ChildProcess:
    """Starts a child and minds it from a thread of its own, for neither may block the loop.

    on_ready, on_exit: called on the event loop; on_exit last, always, and once.
    """

    def __init__(
        self,
        settings: ChildSettings,
        on_ready: Callable[[ChildProcess], None],
        on_exit: Callable[[ChildProcess], None],
    ) -> None:
        self.failure: VivavoceError | None = None
        """Why the engine could not be built."""
        self.end = "was lost sight of"
        """How the process ended, in words."""
        self.pid = 0
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._on_ready = on_ready
        self._on_exit = on_exit
        self._ended = asyncio.Event()
        self._lock = threading.Lock()
        self._running = False
        self._doomed = False
        self._killed_because = ""
        self._control: socket.socket | None = None
        self._lanes: list[socket.socket] = []
        self._thread = threading.Thread(
            target=self._mind, name=f"{settings.name}-minder", daemon=True
        )
        self._thread.start()

    def take_lanes(self) -> list[socket.socket]:
        """The sockets of the lanes; from now on the taker closes them."""
        lanes, self._lanes = self._lanes, []
        return lanes

    def cancel(self, lane: int, serial: int) -> None:
        """Tell the child that nobody wants a result any more; never blocks."""
        assert self._control is not None
        try:
            self._control.send(CANCELLATION.pack(lane, serial), socket.MSG_DONTWAIT)
        except OSError as error:  # it is dead, or deaf: then its deadline will end it
            log.debug("engine_cancel_unsent", host=self._settings.name, error=str(error))

    def kill(self, reason: str = "") -> None:
        """End the process and its own children at once; only the first reason counts."""
        with self._lock:
            self._killed_because = self._killed_because or reason
            self._doomed = True
            self._kill_group()

    async def ended(self) -> None:
        """Wait until the process and its minder are gone."""
        await self._ended.wait()
        self._thread.join()  # it has nothing left to do but to return

    # ── the minder's thread ───────────────────────────────────────────────────────────────────

    def _mind(self) -> None:
        try:
            process = self._spawn()
        except OSError as error:
            self.end = f"could not be started: {error}"
        else:
            self.end = self._describe(self._see_through(process))
        finally:
            self._post(self._finish)

    def _see_through(self, process: subprocess.Popen[bytes]) -> int:
        """Attend to the process until its end; return its status."""
        assert process.stdout is not None
        with process.stdout as output:
            try:
                self._attend(output.fileno())
            except ChannelClosed:
                log.debug("engine_process_left", host=self._settings.name)
            finally:  # it is dead or as good as dead: make sure
                with self._lock:  # after this nobody signals an id that may be another's
                    self._kill_group()
                    self._running = False
                status = process.wait()
                self._log_output(output.fileno(), b"")
        return status

    def _kill_group(self) -> None:
        if self._running:
            with suppress(ProcessLookupError, PermissionError):  # it is dead already
                os.killpg(self.pid, signal.SIGKILL)

    def _describe(self, status: int) -> str:
        if self._killed_because and status == -signal.SIGKILL:
            return f"was killed: {self._killed_because}"
        if status < 0:
            return f"died of {signal.Signals(-status).name}"
        return f"exited with code {status}"

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = self._settings
        theirs: list[socket.socket] = []
        try:
            self._control, end = socket.socketpair()
            theirs.append(end)
            for _ in range(settings.workers):
                lane, end = socket.socketpair()
                self._lanes.append(lane)
                theirs.append(end)
            return self._exec([end.fileno() for end in theirs])
        finally:
            for end in theirs:
                end.close()

    def _exec(self, fds: list[int]) -> subprocess.Popen[bytes]:
        settings = self._settings
        module = "vivavoce.engines.hosts.child"
        process = subprocess.Popen(
            [settings.python, "-P", "-m", module, *map(str, fds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **settings.env},
            pass_fds=fds,
            start_new_session=True,
            bufsize=0,
        )
        with self._lock:
            self.pid = process.pid
            self._running = True
            if self._doomed:
                self._kill_group()
        return process

    def _attend(self, output: int) -> None:
        """Start the engine, then log what the child prints until its control socket ends."""
        assert self._control is not None
        settings = self._settings
        os.set_blocking(output, False)
        factory = np.frombuffer(settings.factory, np.uint8)
        write_frame(self._control, Tag.START, [settings.name, settings.nice, factory])
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(output, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._control:
                        self._listen(self._control)
                    else:
                        line, ended = self._log_output(output, line)
                        if ended:
                            selector.unregister(output)

    def _listen(self, control: socket.socket) -> None:
        tag, value = read_frame(control)
        if tag is Tag.READY:
            self._post(self._on_ready, self)
        elif tag is Tag.ERROR:
            self.failure = error_from_value(value)

    def _log_output(self, output: int, unfinished: bytes) -> tuple[bytes, bool]:
        """Log the lines that can be read now; return the unfinished one and whether all ended."""
        try:
            data = os.read(output, 65_536)
        except BlockingIOError:
            return unfinished, False
        *lines, rest = (unfinished + data).split(b"\n")
        if not data or len(rest) > MAX_LINE_BYTES:
            lines, rest = [*lines, rest], b""
        for line in lines:
            if text := line[:MAX_LINE_BYTES].decode(errors="replace").rstrip():
                log.debug("engine_output", host=self._settings.name, line=text)
        return rest, not data

    def _finish(self) -> None:
        for sock in (self._control, *self._lanes):
            if sock is not None:
                sock.close()
        self._ended.set()
        self._on_exit(self)

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
