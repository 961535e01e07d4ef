"""A turn of the user while it is heard, and the audio from just before it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from vivavoce.conversation.ear import Frame
from vivavoce.conversation.items import Item
from vivavoce.conversation.receipt import Stage
from vivavoce.conversation.recognition import Recognition
from vivavoce.engines.interfaces import Transcript
from vivavoce.errors import Overloaded, VivavoceError

VOICED = 0.5
"""Probability from which a frame counts as speech where no client has set a threshold."""


@dataclass(slots=True)
class Utterance:
    """A turn of the user.

    start_ms: of the audio of this session. ms: of audio that the recognizer was given. pauses:
    counts them, so that a transcript asked for in an earlier one is known as stale. trailing:
    frames of the present pause, needed only if speech resumes. voiced: speech was found in it.
    full: it holds as much as it may. answered: it is to be replied to once its words are known.
    """

    item_id: str
    recognition: Recognition
    task: asyncio.Task[None]
    start_ms: float
    ms: float = 0.0
    pauses: int = 0
    trailing: list[Frame] = field(default_factory=list)
    voiced: bool = False
    full: bool = False
    item: Item | None = None
    answered: bool = False
    transcript: Transcript | None = None
    error: VivavoceError | None = None
    stages: dict[Stage, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What was understood, "" while nothing is."""
        return self.transcript.text if self.transcript is not None else ""

    @property
    def held_ms(self) -> float:
        """Its audio, the present pause included."""
        return self.ms + sum(frame.ms for frame in self.trailing)

    def push(self, frame: Frame) -> None:
        """More of it for the recognizer, which may turn out to be too far behind."""
        self.ms += frame.ms
        if self.error is None:
            try:
                self.recognition.push(frame.pcm, voiced=frame.probability >= VOICED)
            except Overloaded as error:
                self.error = error
                self.task.cancel()


class LeadIn:
    """The latest audio in which no turn was found yet: the next one begins somewhere in it."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._ms = 0.0

    @property
    def ms(self) -> float:
        return self._ms

    def add(self, frames: Iterable[Frame], keep_ms: float) -> None:
        """Add frames and forget all but the last `keep_ms`, rounded up to whole frames."""
        for frame in frames:
            self._frames.append(frame)
            self._ms += frame.ms
        while self._frames and self._ms - self._frames[0].ms >= keep_ms:
            self._ms -= self._frames.popleft().ms

    def take(self, ms: float) -> list[Frame]:
        """The frames of the last `ms`, the first of them whole; nothing is left."""
        frames: list[Frame] = []
        while self._frames and ms > 0:
            frames.append(self._frames.pop())
            ms -= frames[-1].ms
        self.clear()
        return frames[::-1]

    def clear(self) -> None:
        self._frames.clear()
        self._ms = 0.0
