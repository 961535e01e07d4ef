"""Reads fields out of a client's JSON, with errors that name the field and what would be right."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

from vivavoce.errors import InvalidRequest

JsonObject = dict[str, Any]

MAX_DEPTH = 64
"""Levels of nesting in a message."""

_SHOWN = 40
"""Characters of a wrong value that an error repeats."""


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:_SHOWN]} is not a finite number")
    return value


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def parse_object(frame: str) -> JsonObject:
    """The JSON object in a text frame; raises InvalidRequest.

    What could not be written out again as JSON in UTF-8 is refused: NaN, infinity, half a
    surrogate pair. So is nesting beyond MAX_DEPTH.
    """
    try:
        value = _DECODER.decode(frame)
        if "\\u" in frame:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"The message is not valid JSON: {error}.", code="invalid_json"
        ) from None
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"A message must be a JSON object, not {_kind(value)}.", code="invalid_json"
        )
    if frame.count("[") + frame.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise InvalidRequest(
            f"The message is nested more than {MAX_DEPTH} levels deep.", code="invalid_json"
        )
    return value


def _is_deeper(value: object, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    children = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(child, depth - 1) for child in children)


def decode_base64(text: str, param: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(
            f"{param} is not valid base64: {error}.", code="invalid_base64", param=param
        ) from None


class Fields:
    """The fields of one JSON object. path: of the object, for error messages."""

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self.values = values
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def is_null(self, name: str) -> bool:
        return name in self.values and self.values[name] is None

    def text(self, name: str) -> str:
        """A required string."""
        value = self.optional_text(name)
        if value is None:
            raise InvalidRequest(
                f"{self.path(name)} is missing; it must be a string.",
                code="missing_required_parameter",
                param=self.path(name),
            )
        return value

    def optional_text(self, name: str) -> str | None:
        value: str | None = self._typed(name, str, "a string")
        return value

    def optional_bool(self, name: str) -> bool | None:
        value: bool | None = self._typed(name, bool, "true or false")
        return value

    def integer(self, name: str, minimum: int = 0) -> int:
        """A required whole number; numbers like 12.0 are taken as well."""
        value = self.optional_number(name)
        if value is None:
            raise InvalidRequest(
                f"{self.path(name)} is missing; it must be a whole number.",
                code="missing_required_parameter",
                param=self.path(name),
            )
        if value != int(value) or value < minimum:
            raise self.wrong(name, f"a whole number of at least {minimum}")
        return int(value)

    def optional_number(self, name: str) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._mistyped(name, "a number")
        if abs(value) > 1e15:
            raise self.wrong(name, "a number of a sensible size")
        return value

    def optional_object(self, name: str) -> Fields | None:
        value = self._typed(name, dict, "an object")
        return None if value is None else Fields(value, self.path(name))

    def optional_list(self, name: str) -> list[Any] | None:
        value: list[Any] | None = self._typed(name, list, "a list")
        return value

    def objects(self, name: str) -> list[Fields]:
        """A list of objects; absent counts as empty."""
        found = []
        for index, value in enumerate(self.optional_list(name) or ()):
            path = f"{self.path(name)}[{index}]"
            if not isinstance(value, dict):
                raise InvalidRequest(
                    f"{path} must be an object, not {_kind(value)}.",
                    code="invalid_type",
                    param=path,
                )
            found.append(Fields(value, path))
        return found

    def wrong(self, name: str, expected: str) -> InvalidRequest:
        shown = json.dumps(self.values.get(name), ensure_ascii=False)[:_SHOWN]
        path = self.path(name)
        return InvalidRequest(
            f"{path} must be {expected}, not {shown}.", code="invalid_value", param=path
        )

    def _typed(self, name: str, kind: type, expected: str) -> Any:
        value = self.values.get(name)
        if value is not None and not isinstance(value, kind):
            raise self._mistyped(name, expected)
        return value

    def _mistyped(self, name: str, expected: str) -> InvalidRequest:
        path, found = self.path(name), _kind(self.values[name])
        return InvalidRequest(
            f"{path} must be {expected}, not {found}.", code="invalid_type", param=path
        )


def _kind(value: object) -> str:
    names = {str: "a string", bool: "a boolean", list: "a list", dict: "an object"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")
