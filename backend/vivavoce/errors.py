"""Every error that Vivavoce raises on purpose, and the one place that maps them to wires.

VivavoceError
├── InvalidRequest            the caller sent something wrong; the session goes on
│   ├── NotFound              names something that does not exist
│   └── Conflict              is right in itself, but not now
├── AuthenticationFailed      no key, or a wrong one
├── TooLarge                  over a limit of size
├── Overloaded                over a limit of number: sessions, queues, waits
├── EngineFailure             an engine failed; the next request may succeed
│   ├── EngineTimeout         it missed a deadline
│   └── EngineCrashed         its thread or process died
├── WeightsUnavailable        a model's files are missing or corrupt
└── ConfigurationError        settings that cannot work; raised before anything starts
"""

from __future__ import annotations


class VivavoceError(Exception):
    """Base of all errors raised on purpose.

    message: what was wrong, with the value, and what would be right.
    code: short stable name that programs compare.
    param: dotted path of the field at fault, where there is one.
    """

    code = "server_error"
    kind = "server_error"
    http_status = 500
    close_code = 1011

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param


class InvalidRequest(VivavoceError):
    code = "invalid_value"
    kind = "invalid_request_error"
    http_status = 400
    close_code = 1008


class NotFound(InvalidRequest):
    code = "not_found"
    http_status = 404


class Conflict(InvalidRequest):
    code = "conflict"
    http_status = 409


class AuthenticationFailed(VivavoceError):
    code = "invalid_api_key"
    kind = "invalid_request_error"
    http_status = 401
    close_code = 1008


class TooLarge(VivavoceError):
    code = "too_large"
    kind = "invalid_request_error"
    http_status = 413
    close_code = 1009


class Overloaded(VivavoceError):
    code = "server_overloaded"
    kind = "server_error"
    http_status = 503
    close_code = 1013


class EngineFailure(VivavoceError):
    code = "engine_failure"
    http_status = 502


class EngineTimeout(EngineFailure):
    code = "engine_timeout"
    http_status = 504


class EngineCrashed(EngineFailure):
    code = "engine_crashed"


class WeightsUnavailable(VivavoceError):
    code = "weights_unavailable"
    http_status = 503


class ConfigurationError(VivavoceError):
    code = "configuration_error"


def openai_error(error: VivavoceError, event_id: str | None = None) -> dict[str, object]:
    """The body of OpenAI's error envelope and of a Realtime `error` event."""
    body: dict[str, object] = {
        "type": error.kind,
        "code": error.code,
        "message": error.message,
        "param": error.param,
    }
    if event_id is not None:
        body["event_id"] = event_id
    return body
