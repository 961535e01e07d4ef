"""What a session tells its client, in no dialect's words.

Events hold what was true when they were emitted: items and responses in them are copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vivavoce.conversation.items import Item
from vivavoce.conversation.options import ResponseOptions, SessionOptions
from vivavoce.engines.interfaces import Pcm
from vivavoce.errors import VivavoceError

ResponseStatus = Literal["in_progress", "completed", "cancelled", "failed", "incomplete"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the chat model counted them, 0 where it did not say; audio in milliseconds."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    audio_ms: int = 0


@dataclass(frozen=True, slots=True)
class ResponseSnapshot:
    """reason: of a cancelled or incomplete response ("turn_detected", "client_cancelled",
    "max_output_tokens", "content_filter"). audio_output, voice, max_output_tokens: in force."""

    id: str
    status: ResponseStatus
    audio_output: bool
    voice: str | None
    max_output_tokens: int | None
    options: ResponseOptions
    output: tuple[Item, ...] = ()
    reason: str | None = None
    error: VivavoceError | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class SessionStarted:
    session_id: str
    conversation_id: str
    options: SessionOptions


@dataclass(frozen=True, slots=True)
class Configured:
    options: SessionOptions


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """at_ms: of the audio sent in this session, lead-in included."""

    item_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    item_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class InputCommitted:
    item_id: str
    previous_id: str | None


@dataclass(frozen=True, slots=True)
class InputCleared:
    pass


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    item_id: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class TranscriptPartial:
    """text: all that is stable so far; it only grows. guess: all that was understood, and may
    still change."""

    item_id: str
    text: str
    guess: str


@dataclass(frozen=True, slots=True)
class TranscriptFinal:
    item_id: str
    text: str
    language: str | None
    audio_ms: int


@dataclass(frozen=True, slots=True)
class TranscriptFailed:
    item_id: str
    error: VivavoceError


@dataclass(frozen=True, slots=True)
class ItemAdded:
    item: Item
    previous_id: str | None


@dataclass(frozen=True, slots=True)
class ItemDone:
    item: Item
    previous_id: str | None


@dataclass(frozen=True, slots=True)
class ItemRetrieved:
    item: Item


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    item_id: str
    audio_ms: int


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    item_id: str


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    response: ResponseSnapshot


@dataclass(frozen=True, slots=True)
class OutputItemStarted:
    response_id: str
    index: int
    item: Item


@dataclass(frozen=True, slots=True)
class ContentStarted:
    """The content of a message begins; audio: it is speech."""

    response_id: str
    index: int
    item_id: str
    audio: bool


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of a message's text; of a spoken one, the words of the audio that follows."""

    response_id: str
    index: int
    item_id: str
    audio: bool
    text: str


@dataclass(frozen=True, slots=True)
class AudioDelta:
    """pcm: float32 [n] at the synthesizer's rate."""

    response_id: str
    index: int
    item_id: str
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class ContentDone:
    """text: the whole text that was sent. cut: the content was broken off."""

    response_id: str
    index: int
    item_id: str
    audio: bool
    text: str
    cut: bool


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    response_id: str
    index: int
    item_id: str
    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ArgumentsDone:
    response_id: str
    index: int
    item: Item


@dataclass(frozen=True, slots=True)
class OutputItemDone:
    response_id: str
    index: int
    item: Item


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """The one terminal event of a response."""

    response: ResponseSnapshot


@dataclass(frozen=True, slots=True)
class ReplyHeard:
    """After an interruption: what of the reply the user has heard, as far as is known."""

    response_id: str
    item_id: str
    text: str
    audio_ms: int


@dataclass(frozen=True, slots=True)
class OutputCleared:
    response_id: str | None


@dataclass(frozen=True, slots=True)
class TurnReceipt:
    """stages: ms from the end of speech, in the order of `receipt.Stage`."""

    response_id: str
    stages: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Failure:
    """Something went wrong that no other event tells; the session goes on."""

    error: VivavoceError
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The last event: why the session ends. code: of the WebSocket's close frame."""

    code: int
    reason: str


Event: TypeAlias = (
    SessionStarted
    | Configured
    | SpeechStarted
    | SpeechStopped
    | InputCommitted
    | InputCleared
    | IdleTimeout
    | TranscriptPartial
    | TranscriptFinal
    | TranscriptFailed
    | ItemAdded
    | ItemDone
    | ItemRetrieved
    | ItemTruncated
    | ItemDeleted
    | ResponseStarted
    | OutputItemStarted
    | ContentStarted
    | TextDelta
    | AudioDelta
    | ContentDone
    | ArgumentsDelta
    | ArgumentsDone
    | OutputItemDone
    | ResponseDone
    | ReplyHeard
    | OutputCleared
    | TurnReceipt
    | Failure
    | SessionEnded
)
