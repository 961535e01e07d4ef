"""What an engine is, and what a host makes of it. The conversation knows only this module.

An engine is a plain synchronous class: no event loop, no sessions, no words of any wire. A host
(`engines/hosts`) runs it in a thread or a process and offers the asynchronous twin (`Hosted…`).
Audio is mono float32 in [-1, 1]; recognition and voice activity work at 16 kHz, synthesis at the
engine's own `sample_rate`.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Hz of all audio that voice activity detectors and recognizers see."""

Pcm: TypeAlias = NDArray[np.float32]
"""float32 [n], mono, in [-1, 1]."""


# ── values ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word (or Chinese character) with its time from the start of the audio."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a whole utterance.

    text: "" when nothing intelligible was said. language: ISO 639-1, None where unknown.
    confidence: in [0, 1], None where the engine has no estimate.
    """

    text: str
    language: str | None = None
    confidence: float | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Partial:
    """A hypothesis about an utterance that still goes on; `stable` is a prefix of `text`."""

    text: str
    stable: str


@dataclass(frozen=True, slots=True)
class RecognitionOptions:
    """language: ISO 639-1, None to detect. prompt: text that precedes, as context."""

    language: str | None = None
    prompt: str = ""
    hot_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that can be asked for by `id`. languages: ISO 639-1, the best one first."""

    id: str
    languages: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """voice: id, or None for the engine's choice by language. language: of the text, None to
    detect. speed: 1.0 is natural, 0.25–4. style: free-text instruction, where an engine knows
    any."""

    voice: str | None = None
    language: str | None = None
    speed: float = 1.0
    style: str = ""


class Cancellation:
    """A flag that the host sets when nobody wants the result any more; thread-safe.

    An engine looks at `cancelled` between chunks, and may register a callback that aborts the
    computation inside one (it runs in the cancelling thread, at once if already cancelled).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._callbacks: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if not self._cancelled:
                self._callbacks.append(callback)
                return
        callback()


# ── engines: synchronous ──────────────────────────────────────────────────────────────────────


class VadStream(Protocol):
    """Voice activity of one stream; holds its recurrent state and an incomplete frame."""

    def process(self, pcm: Pcm) -> list[float]:
        """Speech probabilities in [0, 1], one for each frame completed by `pcm` (16 kHz)."""
        ...


class VoiceActivityDetector(Protocol):
    frame_samples: int
    """Samples at 16 kHz that one probability covers."""

    def open(self) -> VadStream: ...


class RecognizerStream(Protocol):
    """Recognition of one utterance. Not thread-safe: the host calls one method at a time."""

    def feed(self, pcm: Pcm) -> Partial | None:
        """Take more audio (16 kHz); return a new hypothesis, or None when there is none yet."""
        ...

    def finish(self, pcm: Pcm) -> Transcript:
        """Take the last audio and transcribe the whole utterance.

        The stream stays usable: when the speaker goes on after all, `feed` and `finish` may
        follow, and the later transcript covers everything from the beginning.
        """
        ...


class Recognizer(Protocol):
    partial_interval_ms: int
    """How much new audio makes another `feed` worth its cost."""

    def open(self, options: RecognitionOptions) -> RecognizerStream: ...

    def transcribe(self, pcm: Pcm, options: RecognitionOptions) -> Transcript:
        """Transcribe a finished recording of any length (16 kHz)."""
        ...


class Synthesizer(Protocol):
    sample_rate: int

    def voices(self) -> Sequence[Voice]: ...

    def synthesize(
        self, text: str, options: SpeechOptions, cancellation: Cancellation
    ) -> Iterator[Pcm]:
        """Speak one clause of plain text (spoken form), leading silence trimmed.

        Yields chunks as they are ready; stops early, without an error, once cancelled.
        """
        ...


EngineFactory: TypeAlias = Callable[[], Any]
"""Builds an engine, weights loaded and warm. Picklable, so that any host can run it."""


# ── hosts: asynchronous ───────────────────────────────────────────────────────────────────────


class ServiceClass(IntEnum):
    """Who is served first when an engine is busy; a lower value goes before a higher one."""

    FINAL = 0
    FIRST_CLAUSE = 1
    CLAUSE = 2
    PARTIAL = 3
    BATCH = 4


@dataclass(frozen=True, slots=True, order=True)
class Priority:
    """Order within a host's queue: by class, then by deadline (ms on the host's clock)."""

    service_class: ServiceClass
    deadline_ms: int = 0


class HostedVadStream(Protocol):
    frame_ms: float

    async def process(self, pcm: Pcm) -> list[float]: ...

    def close(self) -> None: ...


class HostedVad(Protocol):
    async def open(self) -> HostedVadStream: ...


class HostedRecognizerStream(Protocol):
    partial_interval_ms: int

    async def feed(self, pcm: Pcm) -> Partial | None: ...

    async def finish(self, pcm: Pcm) -> Transcript: ...

    def close(self) -> None: ...


class HostedRecognizer(Protocol):
    async def open(self, options: RecognitionOptions) -> HostedRecognizerStream: ...

    async def transcribe(self, pcm: Pcm, options: RecognitionOptions) -> Transcript: ...


class HostedSynthesizer(Protocol):
    sample_rate: int

    def voices(self) -> Sequence[Voice]: ...

    def synthesize(
        self, text: str, options: SpeechOptions, priority: Priority
    ) -> AsyncGenerator[Pcm, None]: ...


# ── chat models: an HTTP endpoint, hence asynchronous from the start ──────────────────────────


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A finished call of a function. arguments: JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat. role: system, user, assistant or tool."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. parameters: JSON Schema of its arguments."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """tool_choice: "auto", "none", "required" or the name of a tool. max_tokens: None for the
    model's own limit."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of the call at `index`; `id` and `name` come with its first delta."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ChatEnd:
    """finish_reason: "stop", "length", "tool_calls" or "content_filter"; tokens None = unknown."""

    finish_reason: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None


ChatDelta: TypeAlias = TextDelta | ToolCallDelta | ChatEnd


class ChatModel(Protocol):
    name: str

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """Stream a reply, `ChatEnd` last. Closing the iterator cancels at the server.

        Raises EngineFailure, EngineTimeout, Overloaded or ConfigurationError (key refused).
        """
        ...

    async def prefill(self, request: ChatRequest) -> None:
        """Let the server read the prompt ahead of time; returns at once where that cannot help
        or while real requests need the model. Never raises for a failure of the server."""
        ...
