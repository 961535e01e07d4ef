"""Runs requests on an engine in this process; the last step under every host."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from vivavoce.engines.interfaces import Cancellation, EngineFactory
from vivavoce.errors import EngineFailure, VivavoceError

MAX_ERROR_CHARS = 2_000


class Kind(StrEnum):
    """What a request asks of an engine."""

    BUILD = "build"
    READ = "read"
    CALL = "call"
    OPEN = "open"
    STREAM = "stream"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Request:
    """method: name of a method, or of the attribute to READ. stream: number of the open stream
    that a CALL goes to (0 = the engine itself) or under which OPEN keeps what it opens; RELEASE
    has the numbers in `args`."""

    kind: Kind
    method: str
    args: tuple[Any, ...] = ()
    stream: int = 0


Emit = Callable[[Any], None]
"""Takes a chunk of a STREAM; may block until its reader has room."""


class Target(Protocol):
    """What a lane runs its requests on: an engine here, or the way to one elsewhere."""

    def run(self, request: Request, cancellation: Cancellation, emit: Emit) -> Any: ...

    def close(self) -> None:
        """A lane that ran on it has ended."""


class LocalEngine:
    """An engine with its open streams.

    Lanes share it: streams are entered and removed by single dictionary operations, and the host
    never runs two requests on one stream at once.
    """

    def __init__(self, factory: EngineFactory, name: str) -> None:
        self._factory = factory
        self._name = name
        self._engine: Any = None
        self._streams: dict[int, Any] = {}
        self._cancellable: dict[Any, bool] = {}

    def run(self, request: Request, cancellation: Cancellation, emit: Emit) -> Any:
        """Do what `request` says and return its result (None for STREAM, which emits).

        Raises the engine's own VivavoceErrors unchanged and anything else as EngineFailure.
        """
        try:
            return self._run(request, cancellation, emit)
        except VivavoceError:
            raise
        except BaseException as error:  # an engine that calls sys.exit() must not end its lane
            text = f"{self._name}.{request.method}: {type(error).__name__}: {error}"
            raise EngineFailure(text[:MAX_ERROR_CHARS]) from error

    def close(self) -> None:
        """Nothing: other lanes may still run on this engine."""

    def _run(self, request: Request, cancellation: Cancellation, emit: Emit) -> Any:
        match request.kind:
            case Kind.BUILD:
                self._engine = self._factory()
            case Kind.READ:
                return getattr(self._engine, request.method)
            case Kind.RELEASE:
                for number in request.args:
                    self._streams.pop(number, None)
            case Kind.CALL:
                return self._invoke(request, cancellation)
            case Kind.OPEN:
                self._streams[request.stream] = self._invoke(request, cancellation)
            case Kind.STREAM:
                chunks = self._invoke(request, cancellation)
                with closing(chunks) if hasattr(chunks, "close") else nullcontext():
                    for chunk in chunks:
                        if cancellation.cancelled:
                            break
                        emit(chunk)
        return None

    def _invoke(self, request: Request, cancellation: Cancellation) -> Any:
        on_stream = request.kind is Kind.CALL and request.stream
        target = self._streams[request.stream] if on_stream else self._engine
        method = getattr(target, request.method)
        if self._takes_cancellation(method):
            return method(*request.args, cancellation=cancellation)
        return method(*request.args)

    def _takes_cancellation(self, method: Any) -> bool:
        """Whether a method wants to know of its cancellation; asked once for each function."""
        function = getattr(method, "__func__", method)
        known = self._cancellable.get(function)
        if known is None:
            try:
                known = "cancellation" in inspect.signature(method).parameters
            except (TypeError, ValueError):  # a compiled function that does not tell
                known = False
            self._cancellable[function] = known
        return known
