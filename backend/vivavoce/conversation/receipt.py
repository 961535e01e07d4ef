"""When each stage of a turn was reached, for metrics, the log and clients that ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """The stages of a turn in the order in which they are reached, most of the time."""

    SPEECH_END = "speech_end"
    PROVISIONAL = "provisional"
    TRANSCRIPT = "transcript"
    ENDPOINT = "endpoint"
    FIRST_TOKEN = "first_token"
    FIRST_CLAUSE = "first_clause"
    FIRST_AUDIO = "first_audio"
    FIRST_AUDIBLE = "first_audible"
    PLAYBACK_START = "playback_start"
    END = "end"
    INTERRUPTED = "interrupted"


@dataclass(slots=True)
class Receipt:
    """Times on the session's clock in ms; `since_speech_end` makes them a waterfall.

    FIRST_AUDIO is when the voice delivered its first chunk, FIRST_AUDIBLE when that chunk left
    for the client: a provisional reply waits in between.
    """

    response_id: str
    reached: dict[Stage, int] = field(default_factory=dict)

    def mark(self, stage: Stage, at_ms: int) -> None:
        """Record the first time that `stage` was reached."""
        self.reached.setdefault(stage, at_ms)

    def since_speech_end(self) -> dict[str, int]:
        """Milliseconds from the end of speech, or from the first stage where nobody spoke."""
        if not self.reached:
            return {}
        start = self.reached.get(Stage.SPEECH_END, min(self.reached.values()))
        return {
            stage.value: self.reached[stage] - start for stage in Stage if stage in self.reached
        }
