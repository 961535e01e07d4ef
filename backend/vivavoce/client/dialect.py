"""What the two protocols have in common, seen from the client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from vivavoce.audio.pcm import Pcm
from vivavoce.client.events import ServerEvent

OUTPUT_RATE = 24_000
"""Hz of the replies' audio that both dialects ask for."""

Frame: TypeAlias = str | bytes


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client asks for at the start; None leaves it to the server.

    language: ISO 639-1, of the user's speech. silence_ms: ends a turn; None leaves the end of a
    turn to the server's own judgement.
    """

    language: str | None = None
    voice: str | None = None
    instructions: str | None = None
    silence_ms: int | None = None


class Dialect(Protocol):
    """Frames of one protocol, without I/O.

    path: of the WebSocket, with its query. input_rate: Hz of the audio that it sends.
    """

    path: str
    input_rate: int

    def opening(self, wishes: Wishes) -> Iterator[Frame]:
        """The first frames to send."""
        ...

    def audio(self, pcm: Pcm) -> Frame:
        """More of what the microphone hears: float32 [n] at `input_rate`."""
        ...

    def heard(self, reply_id: str, item_id: str, played_ms: int, *, stopped: bool) -> Frame | None:
        """Tells how much of a reply has been played; stopped: and that no more of it will be.

        None where the dialect has no words for that.
        """
        ...

    def decode(self, frame: Frame) -> Iterator[ServerEvent]:
        """What a frame of the server's means; unknown ones mean nothing."""
        ...
