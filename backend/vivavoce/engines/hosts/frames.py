"""Length-prefixed frames over a blocking socket, the same at both ends.

    tag, 1 byte · header length, uint32 · body length, uint64 · header (JSON) · body (arrays)

A host and its child share one control socket (START down, READY or ERROR up, then bare
CANCELLATIONs down, until one of the two is gone) and one socket for each lane (a REQUEST down,
then CHUNKs and a RESULT or ERROR up), so that a large file on one lane delays no other.
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum
from typing import Any

from vivavoce.engines.hosts.codec import MAX_BODY_BYTES, MAX_HEADER_BYTES, pack, unpack

_PREFIX = struct.Struct("!BIQ")
_JOIN_BELOW_BYTES = 65_536


class Tag(IntEnum):
    """What a frame carries.

    START: [name, nice, factory]. READY: None. REQUEST: [serial, kind, method, args, stream].
    CHUNK, RESULT: a value. ERROR: see `codec.error_to_value`.
    """

    START = 1
    READY = 2
    REQUEST = 3
    CHUNK = 4
    RESULT = 5
    ERROR = 6


CANCELLATION = struct.Struct("!HQ")
"""On the control socket: number of the lane, serial of its request."""


class ChannelClosed(Exception):
    """The other end is gone."""


class BadFrame(ChannelClosed):
    """The other end speaks something else, and nothing after it can be understood."""


def write_frame(sock: socket.socket, tag: Tag, value: Any) -> None:
    """Send one frame, blocking while the other end is slow.

    Raises TooLarge or EngineFailure before anything was sent, ChannelClosed when it cannot be.
    """
    header, arrays = pack(value)
    size = sum(array.nbytes for array in arrays)
    start = _PREFIX.pack(tag, len(header), size) + header
    try:
        if size < _JOIN_BELOW_BYTES:
            sock.sendall(b"".join([start, *arrays]))
            return
        sock.sendall(start)
        for array in arrays:
            sock.sendall(array)
    except OSError as error:
        raise ChannelClosed(str(error)) from error


def read_frame(sock: socket.socket) -> tuple[Tag, Any]:
    """Wait for one frame. Raises ChannelClosed at the end of the connection, BadFrame."""
    prefix = read_exactly(sock, _PREFIX.size)
    tag, header_size, body_size = _PREFIX.unpack(prefix)
    if header_size > MAX_HEADER_BYTES or body_size > MAX_BODY_BYTES:
        raise BadFrame(f"a frame claims {header_size} + {body_size} bytes")
    header = read_exactly(sock, header_size)
    body = read_exactly(sock, body_size) if body_size else bytearray()
    try:
        return Tag(tag), unpack(header, body)
    except (ValueError, KeyError, TypeError) as error:
        raise BadFrame(f"a frame cannot be read: {error}") from error


def read_exactly(sock: socket.socket, size: int) -> bytearray:
    """Wait for `size` bytes. Raises ChannelClosed at the end of the connection."""
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        try:
            received = sock.recv_into(rest)
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        if not received:
            raise ChannelClosed("the connection has ended")
        rest = rest[received:]
    return data
