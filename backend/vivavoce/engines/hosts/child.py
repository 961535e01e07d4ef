"""The program of a child process: builds one engine and serves its host until the host is gone.

    python -m vivavoce.engines.hosts.child CONTROL_FD LANE_FD...

Nothing but sockets connects it to its host, so the engine may print what it likes.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from typing import Any, Never

from vivavoce.engines.hosts.codec import error_to_value
from vivavoce.engines.hosts.frames import (
    CANCELLATION,
    ChannelClosed,
    Tag,
    read_exactly,
    read_frame,
    write_frame,
)
from vivavoce.engines.hosts.local import Kind, LocalEngine, Request
from vivavoce.engines.interfaces import Cancellation
from vivavoce.errors import VivavoceError


class ChildLane:
    """Serves one socket, one request at a time; cancelled from the control thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._serial = 0
        self._cancelled_serial = 0
        self._cancellation = Cancellation()

    def serve(self, engine: LocalEngine) -> None:
        try:
            while True:
                _, value = read_frame(self._sock)
                self._answer(engine, *value)
        except ChannelClosed:
            self._sock.close()

    def cancel(self, serial: int) -> None:
        """Cancel a request; one that has not arrived yet is cancelled when it does."""
        with self._lock:
            self._cancelled_serial = serial
            cancellation = self._cancellation if serial == self._serial else None
        if cancellation is not None:
            cancellation.cancel()

    def _answer(
        self, engine: LocalEngine, serial: int, kind: str, method: str, args: list[Any], stream: int
    ) -> None:
        cancellation = self._begin(serial)
        request = Request(Kind(kind), method, tuple(args), stream)
        try:
            result = engine.run(request, cancellation, self._emit)
            write_frame(self._sock, Tag.RESULT, result)
        except VivavoceError as error:
            traceback.print_exception(error.__cause__ or error)
            write_frame(self._sock, Tag.ERROR, error_to_value(error))

    def _begin(self, serial: int) -> Cancellation:
        cancellation = Cancellation()
        with self._lock:
            self._serial, self._cancellation = serial, cancellation
            came_too_late = self._cancelled_serial == serial
        if came_too_late:
            cancellation.cancel()
        return cancellation

    def _emit(self, chunk: Any) -> None:
        write_frame(self._sock, Tag.CHUNK, chunk)


def main(control_fd: int, lane_fds: list[int]) -> None:
    """Serve until the host closes the control socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the host decides when to stop
    faulthandler.enable()
    control = _adopt(control_fd)
    lanes = [ChildLane(_adopt(fd)) for fd in lane_fds]
    _, (name, nice, pickled) = read_frame(control)
    if nice:
        os.nice(nice)
    threading.Thread(target=_obey, args=(control, lanes, name), daemon=True).start()
    try:
        engine = LocalEngine(lambda: pickle.loads(pickled)(), name)
        engine.run(Request(Kind.BUILD, "start"), Cancellation(), lambda chunk: None)
    except VivavoceError as error:
        traceback.print_exception(error.__cause__ or error)
        write_frame(control, Tag.ERROR, error_to_value(error))
        os._exit(1)
    threads = [threading.Thread(target=lane.serve, args=(engine,)) for lane in lanes]
    for thread in threads:
        thread.start()
    write_frame(control, Tag.READY, None)
    for thread in threads:
        thread.join()


def _adopt(fd: int) -> socket.socket:
    """Take over an inherited socket, and keep it from the engine's own children."""
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    return sock


def _obey(control: socket.socket, lanes: list[ChildLane], name: str) -> Never:
    """Pass cancellations on; end everything when the host is gone, whatever the engine does."""
    try:
        while True:
            lane, serial = CANCELLATION.unpack(read_exactly(control, CANCELLATION.size))
            try:
                lanes[lane].cancel(serial)
            except Exception:  # noqa: BLE001 - a callback of the engine; its host reads stderr
                print(f"{name}: a cancellation failed", file=sys.stderr)
                traceback.print_exc()
    except ChannelClosed:
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # the engine's own children too
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(fd) for fd in sys.argv[2:]])
