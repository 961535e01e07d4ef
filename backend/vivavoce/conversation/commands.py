"""What a client can ask of a session, in no dialect's words.

`cause` is the id that the client gave to its message, so that an error can name it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from vivavoce.conversation.items import Item
from vivavoce.conversation.options import ResponseOptions, SessionOptions
from vivavoce.engines.interfaces import Pcm
from vivavoce.errors import VivavoceError


@dataclass(frozen=True, slots=True)
class AppendAudio:
    """pcm: float32 [n] at `sample_rate` Hz."""

    pcm: Pcm
    sample_rate: int
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class CommitInput:
    """The turn ends here; respond: and is to be answered."""

    respond: bool = False
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class ClearInput:
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Configure:
    options: SessionOptions
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class CreateItem:
    """after: as in `History.add`. audio: of a spoken message, to be transcribed, at 16 kHz."""

    item: Item
    after: str | None = None
    audio: Pcm | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class RetrieveItem:
    item_id: str
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """The user heard only the first `audio_ms` of the item."""

    item_id: str
    audio_ms: int
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteItem:
    item_id: str
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """input_items: the prompt in place of the history, as items or ids of items in it."""

    options: ResponseOptions = ResponseOptions()
    input_items: tuple[Item | str, ...] | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """response_id: None for the active one."""

    response_id: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class ClearOutput:
    """The client throws away the audio that it has not played yet."""

    cause: str | None = None


@dataclass(frozen=True, slots=True)
class ReportPlayback:
    """The client has played `played_ms` of the audio of `response_id`."""

    response_id: str
    played_ms: int
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """The client sent something that is no command; the error takes its turn among the events."""

    error: VivavoceError
    cause: str | None = None


Command: TypeAlias = (
    AppendAudio
    | CommitInput
    | ClearInput
    | Configure
    | CreateItem
    | RetrieveItem
    | TruncateItem
    | DeleteItem
    | CreateResponse
    | CancelResponse
    | ClearOutput
    | ReportPlayback
    | Reject
)


def carried_bytes(message: object) -> int:
    """Memory that a message to a session holds on to, where a client could make that large."""
    match message:
        case AppendAudio(pcm=pcm):
            return pcm.nbytes
        case CreateItem(item=item, audio=audio):
            return 4 * item.chars + (audio.nbytes if audio is not None else 0)
        case CreateResponse(input_items=items):
            return 4 * sum(item.chars for item in items or () if isinstance(item, Item))
        case Configure(options=options):
            return 4 * len(options.instructions)
        case _:
            return 0
