from __future__ import annotations

import socket
import threading
from typing import Any

import numpy as np
import pytest

from vivavoce.engines.hosts import codec, frames
from vivavoce.engines.hosts.codec import error_from_value, error_to_value, pack, unpack
from vivavoce.engines.hosts.frames import BadFrame, ChannelClosed, Tag, read_frame, write_frame
from vivavoce.errors import EngineFailure, NotFound, TooLarge


def test_a_foreign_type_cannot_cross() -> None:
    with pytest.raises(EngineFailure, match=r"builtins\.set cannot cross"):
        pack([{1}])


def test_an_array_of_objects_cannot_cross() -> None:
    with pytest.raises(EngineFailure, match=r"numpy\.ndarray cannot cross"):
        pack(np.array([object()]))
    with pytest.raises(ValueError, match="an array of object"):
        unpack(b'{"":"array","dtype":"O","shape":[1]}', bytearray(8))


def test_a_message_past_the_limit_is_refused_before_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "MAX_BODY_BYTES", 15)
    with pytest.raises(TooLarge, match="16 of audio"):
        pack(np.zeros(4, np.float32))


def test_an_error_keeps_its_class_code_and_param() -> None:
    error = error_from_value(error_to_value(NotFound("no voice 'x'", param="voice")))
    assert type(error) is NotFound
    assert (error.message, error.code, error.param) == ("no voice 'x'", "not_found", "voice")


def test_a_foreign_error_becomes_a_failure_of_the_engine() -> None:
    error = error_from_value(error_to_value(OSError("disk full")))
    assert type(error) is EngineFailure
    assert error.message == "OSError: disk full"


@pytest.fixture
def pair() -> Any:
    one, two = socket.socketpair()
    yield one, two
    one.close()
    two.close()


def test_frames_arrive_in_order_whatever_their_size(pair: Any) -> None:
    sent = [np.arange(n, dtype=np.float32) for n in (0, 1, 20_000, 1_000_000)]

    def send() -> None:
        for array in sent:
            write_frame(pair[0], Tag.CHUNK, [array, len(array)])

    sender = threading.Thread(target=send)
    sender.start()
    for array in sent:
        tag, (received, n) = read_frame(pair[1])
        assert tag is Tag.CHUNK and n == len(array)
        np.testing.assert_array_equal(received, array)
    sender.join()


def test_the_end_of_the_connection_is_told_from_a_frame(pair: Any) -> None:
    pair[0].sendall(b"\x05\x00")
    pair[0].close()
    with pytest.raises(ChannelClosed, match="has ended"):
        read_frame(pair[1])
    with pytest.raises(ChannelClosed):
        write_frame(pair[1], Tag.RESULT, None)


@pytest.mark.parametrize(
    "data",
    [
        b"\x63" + b"\0\0\0\2" + b"\0" * 8 + b"{}",
        b"\x05" + b"\0\0\0\2" + b"\0" * 8 + b"{]",
        b"\x05" + b"\0\0\0\2" + b"\0" * 8 + b"{}",
        b"\x05" + b"\xff" * 12,
        b"\x05" + b"\0\0\0\x0d" + b"\0" * 8 + b'{"":"Secret"}',
    ],
    ids=["unknown tag", "not JSON", "no type", "too large", "unknown type"],
)
def test_nonsense_is_not_a_frame(pair: Any, data: bytes) -> None:
    pair[0].sendall(data)
    with pytest.raises(BadFrame):
        read_frame(pair[1])


def test_a_cancellation_has_room_for_any_lane_and_serial() -> None:
    data = frames.CANCELLATION.pack(65_535, 2**64 - 1)
    assert frames.CANCELLATION.unpack(data) == (65_535, 2**64 - 1)
