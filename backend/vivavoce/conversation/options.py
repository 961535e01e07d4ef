"""What a client may set about its session, and the limits that the server sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from vivavoce.engines.interfaces import Tool


class Eagerness(Enum):
    """How soon a turn counts as ended when its words leave that open."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """How turns are found in the audio.

    threshold: speech probability that counts as speech. silence_ms: the endpoint comes after
    this much silence; None lets the words decide (`eagerness`). idle_timeout_ms: of silence after
    a reply, until the assistant speaks again by itself; None for never.
    """

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_ms: int | None = 500
    eagerness: Eagerness = Eagerness.MEDIUM
    idle_timeout_ms: int | None = None
    create_response: bool = True
    interrupt_response: bool = True


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Everything about a session that its client may change while it lasts.

    turn: None where the client itself says when a turn ends (push to talk). language: of the
    user's speech, ISO 639-1; None to detect. respond: False for transcription only.
    """

    instructions: str = ""
    turn: TurnOptions | None = TurnOptions()
    language: str | None = None
    transcription_prompt: str = ""
    audio_output: bool = True
    voice: str | None = None
    speed: float = 1.0
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    max_output_tokens: int | None = None
    respond: bool = True


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """What one request for a response says; None takes the session's value.

    in_conversation: False runs the response beside the conversation, without a trace in it.
    """

    instructions: str | None = None
    audio_output: bool | None = None
    voice: str | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: str | None = None
    max_output_tokens: int | None = None
    in_conversation: bool = True
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class TurnTiming:
    """The server's own settings of turn-taking, in milliseconds.

    min_speech: what counts as the start of a turn. interrupt_min_speech: the same while the
    assistant is heard. speculate_after: silence after which a reply is begun provisionally.
    resume_speech: speech that ends a pause. stall: without any audio, ends a turn.
    """

    min_speech_ms: int = 96
    interrupt_min_speech_ms: int = 192
    speculate_after_ms: int = 128
    resume_speech_ms: int = 64
    stall_ms: int = 2000


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of one session; what happens at each is said where it is enforced.

    session_ms: length of a session. utterance_ms: of one turn of the user. lead_ms: audio made
    ahead of the listener. unread_ms: audio that waits for a slow reader. reply_chars: text of one
    reply. history_items, history_chars: items kept, and their text. context_chars: of that, what
    the chat model is given. inbox_messages, inbox_bytes: what waits for the session's writer.
    outbox_events: what waits for the client. side_responses: responses beside the conversation,
    transcriptions: items with audio that wait for their words, at a time.
    """

    session_ms: int = 3_600_000
    utterance_ms: int = 300_000
    lead_ms: int = 30_000
    unread_ms: int = 30_000
    reply_chars: int = 100_000
    history_items: int = 512
    history_chars: int = 1_000_000
    context_chars: int = 6000
    inbox_messages: int = 256
    inbox_bytes: int = 16 * 2**20
    outbox_events: int = 4096
    side_responses: int = 4
    transcriptions: int = 8
