"""What happened in one turn, as the client saw it. Times are the loop's, in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vivavoce.audio.pcm import Pcm
from vivavoce.audio.silence import first_audible_sample
from vivavoce.client.dialect import OUTPUT_RATE
from vivavoce.client.microphone import Spoken


@dataclass(slots=True)
class ReplyLog:
    """One reply.

    first_audible_at: when its first sample above -40 dB sounded. stop_at: when the client was told
    that the reply is over before its end. stale_ms: audio of it that came nevertheless.
    state: how it ended, None while it goes on. stages: its receipt.
    """

    id: str
    started_at: float
    item_id: str = ""
    text: str = ""
    first_byte_at: float | None = None
    first_audible_at: float | None = None
    last_byte_at: float | None = None
    audio_ms: float = 0.0
    stop_at: float | None = None
    stale_ms: float = 0.0
    state: str | None = None
    error: str | None = None
    stages: Mapping[str, int] = field(default_factory=dict)

    def take_audio(self, pcm: Pcm, arrived_at: float, sounds_at: float | None) -> None:
        """sounds_at: when its first sample is played, None when it came after the stop."""
        duration_ms = len(pcm) * 1000 / OUTPUT_RATE
        self.last_byte_at = arrived_at
        if sounds_at is None:
            self.stale_ms += duration_ms
            return
        self.audio_ms += duration_ms
        if self.first_byte_at is None:
            self.first_byte_at = arrived_at
        if self.first_audible_at is None:
            position = first_audible_sample(pcm)
            if position is not None:
                self.first_audible_at = sounds_at + position / OUTPUT_RATE


@dataclass(slots=True)
class TurnLog:
    """One thing that the user says, and what the server makes of it.

    spoken: None until it has been said. interrupts: the reply that it talks over.
    """

    interrupts: ReplyLog | None = None
    spoken: Spoken | None = None
    started_at: list[float] = field(default_factory=list)
    stopped_at: list[float] = field(default_factory=list)
    transcripts: list[str] = field(default_factory=list)
    transcribed_at: list[float] = field(default_factory=list)
    replies: list[ReplyLog] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def transcript(self) -> str:
        return " ".join(text for text in self.transcripts if text)

    @property
    def is_split(self) -> bool:
        """Whether the server took one thing said for several turns."""
        return len(self.stopped_at) > 1

    @property
    def answer(self) -> ReplyLog | None:
        """The reply that counts: the last one that can be heard."""
        heard = [reply for reply in self.replies if reply.first_audible_at is not None]
        return heard[-1] if heard else None

    @property
    def is_settled(self) -> bool:
        """Whether the server has said all that it has to say about what it has heard so far."""
        if not self.stopped_at or len(self.started_at) > len(self.stopped_at):
            return False
        if any(reply.state is None for reply in self.replies):
            return False
        if len(self.transcripts) >= len(self.stopped_at) and not self.transcripts[-1]:
            return True  # nothing was understood, so nothing is answered
        return bool(self.replies) and self.replies[-1].started_at >= self.stopped_at[-1]
