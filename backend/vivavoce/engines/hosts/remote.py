"""Runs requests on an engine in a child process, over the socket of one lane."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Any

from vivavoce.engines.hosts.codec import error_from_value
from vivavoce.engines.hosts.frames import BadFrame, Tag, read_frame, write_frame
from vivavoce.engines.hosts.local import Emit, Request
from vivavoce.engines.interfaces import Cancellation


class RemoteEngine:
    """The parent's end of a lane. One request at a time, in the lane's thread.

    The socket's own buffer is the back-pressure: while `emit` blocks, nothing is read here, and
    soon the child blocks too. send_cancel: takes the serial of a request; never blocks.
    """

    def __init__(self, sock: socket.socket, send_cancel: Callable[[int], None]) -> None:
        self._sock = sock
        self._send_cancel = send_cancel
        self._serials = itertools.count(1)

    def run(self, request: Request, cancellation: Cancellation, emit: Emit) -> Any:
        """Do what `request` says in the child.

        Raises the child's error; ChannelClosed, or BadFrame, when the child is of no more use.
        """
        serial = next(self._serials)
        args = list(request.args)
        write_frame(
            self._sock, Tag.REQUEST, [serial, request.kind, request.method, args, request.stream]
        )
        cancellation.on_cancel(lambda: self._send_cancel(serial))
        while True:
            tag, value = read_frame(self._sock)
            match tag:
                case Tag.CHUNK:
                    emit(value)
                case Tag.RESULT:
                    return value
                case Tag.ERROR:
                    raise error_from_value(value)
                case _:
                    raise BadFrame(f"a {tag.name} answered a request")

    def close(self) -> None:
        self._sock.close()
