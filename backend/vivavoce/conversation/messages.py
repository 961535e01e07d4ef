"""What the tasks of a session post to its inbox, besides the client's commands.

Each carries the id of the utterance or response that it belongs to: one whose id is no longer
current is dropped by the writer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from vivavoce.conversation.items import Item
from vivavoce.engines.interfaces import ChatEnd, Partial, Pcm, ToolCallDelta, Transcript
from vivavoce.errors import VivavoceError


@dataclass(frozen=True, slots=True)
class PartialHeard:
    utterance_id: str
    partial: Partial


@dataclass(frozen=True, slots=True)
class Transcribed:
    """pause: the number of the pause at which the transcript was asked for."""

    utterance_id: str
    pause: int
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class RecognitionFailed:
    utterance_id: str
    error: VivavoceError


@dataclass(frozen=True, slots=True)
class ItemTranscribed:
    """The words of an item that the client created with audio."""

    item: Item
    transcript: Transcript | VivavoceError


@dataclass(frozen=True, slots=True)
class Written:
    """More text of a reply that is not spoken."""

    response_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """More audio of a reply. clause: the words that begin with it. complete: and end with it."""

    response_id: str
    clause: str | None
    pcm: Pcm
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Called:
    response_id: str
    delta: ToolCallDelta


@dataclass(frozen=True, slots=True)
class RunEnded:
    response_id: str
    end: ChatEnd


@dataclass(frozen=True, slots=True)
class RunFailed:
    response_id: str
    error: VivavoceError


class Timer(Enum):
    """What a session waits for by the clock."""

    SESSION = "session"
    STALL = "stall"
    PLAYBACK = "playback"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class TimerFired:
    timer: Timer


@dataclass(frozen=True, slots=True)
class Leave:
    """The server is about to stop: end the session as soon as nothing is under way."""


Heard: TypeAlias = PartialHeard | Transcribed | RecognitionFailed
Produced: TypeAlias = Written | Spoken | Called | RunEnded | RunFailed
