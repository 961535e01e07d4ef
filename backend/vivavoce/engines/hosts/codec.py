"""Values and errors that cross between a host and its child: JSON beside raw arrays.

Nothing that a child says is ever unpickled. What may cross is named here: None, numbers, text,
lists, tuples, numeric arrays, and the value classes of `interfaces`.
"""

from __future__ import annotations

import json
from dataclasses import fields
from math import prod
from typing import Any

import numpy as np

from vivavoce import errors
from vivavoce.engines import interfaces

MAX_HEADER_BYTES = 64 * 2**20
MAX_BODY_BYTES = 2**30
"""A gigabyte: more than four hours of audio at 16 kHz."""

_VALUE_CLASSES: dict[str, type[Any]] = {
    value_class.__name__: value_class
    for value_class in (
        interfaces.Partial,
        interfaces.RecognitionOptions,
        interfaces.SpeechOptions,
        interfaces.Transcript,
        interfaces.Voice,
        interfaces.Word,
    )
}
_ERROR_CLASSES: dict[str, type[errors.VivavoceError]] = {
    name: error_class
    for name, error_class in vars(errors).items()
    if isinstance(error_class, type) and issubclass(error_class, errors.VivavoceError)
}


def pack(value: Any) -> tuple[bytes, list[memoryview]]:
    """Return the JSON header of a value, and the arrays it names, in order.

    Raises EngineFailure for a type that cannot cross, TooLarge past the limits.
    """
    arrays: list[memoryview] = []
    header = json.dumps(_encode(value, arrays), separators=(",", ":")).encode()
    size = sum(array.nbytes for array in arrays)
    if len(header) > MAX_HEADER_BYTES or size > MAX_BODY_BYTES:
        raise errors.TooLarge(
            f"a message of {len(header)} bytes of text and {size} of audio is too large for an "
            f"engine's process; the limits are {MAX_HEADER_BYTES} and {MAX_BODY_BYTES}"
        )
    return header, arrays


def unpack(header: bytes | bytearray, body: bytearray) -> Any:
    """Rebuild a value; its arrays share the memory of `body`."""
    return _Decoder(body).decode(json.loads(header))


def error_to_value(error: BaseException) -> list[Any]:
    """Write an error as a value that crosses; foreign ones become EngineFailure."""
    if isinstance(error, errors.VivavoceError):
        return [type(error).__name__, error.message, error.code, error.param]
    return ["EngineFailure", f"{type(error).__name__}: {error}", errors.EngineFailure.code, None]


def error_from_value(value: list[Any]) -> errors.VivavoceError:
    name, message, code, param = value
    return _ERROR_CLASSES.get(name, errors.EngineFailure)(message, code=code, param=param)


def _encode(value: Any, arrays: list[memoryview]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        arrays.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        return {"": "array", "dtype": value.dtype.str, "shape": value.shape}
    if isinstance(value, np.generic):
        return _encode(value.item(), arrays)
    if isinstance(value, list):
        return [_encode(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {"": "tuple", "items": [_encode(item, arrays) for item in value]}
    name = type(value).__name__
    if _VALUE_CLASSES.get(name) is type(value):
        members = {f.name: _encode(getattr(value, f.name), arrays) for f in fields(value)}
        return {"": name, **members}
    raise errors.EngineFailure(
        f"a value of type {type(value).__module__}.{name} cannot cross to or from an engine's "
        "process: use numbers, text, lists, tuples, numeric arrays or the interfaces' values"
    )


class _Decoder:
    def __init__(self, body: bytearray) -> None:
        self._body = body
        self._read = 0

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        match value.pop(""):
            case "array":
                return self._array(np.dtype(value["dtype"]), value["shape"])
            case "tuple":
                return tuple(self.decode(item) for item in value["items"])
            case name:
                members = {key: self.decode(item) for key, item in value.items()}
                return _VALUE_CLASSES[name](**members)

    def _array(self, dtype: np.dtype[Any], shape: list[int]) -> Any:
        if dtype.kind not in "biufc":
            raise ValueError(f"an array of {dtype} came from an engine's process")
        count = prod(shape)
        array = np.frombuffer(self._body, dtype, count, self._read) if count else np.empty(0, dtype)
        self._read += array.nbytes
        return array.reshape(shape)
