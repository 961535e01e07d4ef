"""What a server tells its client, in no dialect's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from vivavoce.audio.pcm import Pcm


@dataclass(frozen=True, slots=True)
class Ready:
    """The server listens, with the options that were asked for. models: names by kind."""

    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The server hears the user; what it was saying is over."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """A turn of the user has ended."""


@dataclass(frozen=True, slots=True)
class Words:
    """What the user said. final: it will not change any more."""

    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    reply_id: str


@dataclass(frozen=True, slots=True)
class ReplyText:
    reply_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """pcm: float32 [n] at 24 kHz. item_id: of the message, where the dialect has one."""

    reply_id: str
    pcm: Pcm
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """state: "completed", "cancelled", "failed" or "incomplete". error: why it failed."""

    reply_id: str
    state: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """When the server reached each stage of a turn, in ms from the end of speech."""

    reply_id: str
    stages: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ServerError:
    code: str
    message: str


ServerEvent: TypeAlias = (
    Ready
    | SpeechStarted
    | SpeechStopped
    | Words
    | ReplyStarted
    | ReplyText
    | ReplyAudio
    | ReplyEnded
    | Receipt
    | ServerError
)
