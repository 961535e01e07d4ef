"""A client's ear, written independently of the session: what it hears of each reply, and when.

It knows only the events that the client reads, their times, and what the client itself says. The
scripted voice puts the number of its call into the samples, so that audio tells its own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.scripted import MS_PER_CHARACTER
from vivavoce.conversation.events import AudioDelta
from vivavoce.conversation.playback import MAX_EXTRAPOLATION_MS

WORD = re.compile(r"\w+")


@dataclass
class Piece:
    """Audio of one event: `ms` of the voice's call number `call`, played from `start`."""

    call: int
    start: float
    ms: float


@dataclass
class Heard:
    """One spoken item. stopped_ms: heard when it was stopped. cut_ms: so the client said."""

    pieces: list[Piece] = field(default_factory=list)
    reported: tuple[float, float] | None = None
    stopped_ms: float | None = None
    cut_ms: float | None = None

    @property
    def sent_ms(self) -> float:
        return sum(piece.ms for piece in self.pieces)

    def played_ms(self, now: float) -> float:
        if self.stopped_ms is not None:
            return self.stopped_ms
        if self.reported is not None:
            played, at = self.reported
            if now >= at + self.sent_ms - played:
                return self.sent_ms
            return played + min(now - at, MAX_EXTRAPOLATION_MS)
        return sum(min(max(now - piece.start, 0.0), piece.ms) for piece in self.pieces)


class ReferenceEar:
    """texts: what the scripted voice was given to speak, call by call."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._items: dict[str, Heard] = {}
        self._ends_at = 0.0

    def read(self, event: AudioDelta, now: float) -> None:
        """Audio arrives."""
        item = self._items.setdefault(event.item_id, Heard())
        start = max(self._ends_at, now)
        ms = len(event.pcm) / 24
        item.pieces.append(Piece(round(float(event.pcm[0]) * 1000), start, ms))
        self._ends_at = start + ms

    def report(self, item_id: str, played_ms: float, now: float) -> None:
        item = self._items.get(item_id)
        if item is None:
            return
        played_ms = min(max(played_ms, 0.0), item.sent_ms)
        if item.stopped_ms is not None:
            item.cut_ms = played_ms
            return
        item.reported = played_ms, now
        if item_id == list(self._items)[-1]:
            self._ends_at = now + item.sent_ms - played_ms

    def truncate(self, item_id: str, audio_ms: float) -> None:
        if item_id in self._items:
            item = self._items[item_id]
            item.cut_ms = min(max(audio_ms, 0.0), item.sent_ms)

    def stop(self, now: float) -> None:
        """Playback ends here."""
        for item in self._items.values():
            item.stopped_ms = item.played_ms(now)
        self._ends_at = min(self._ends_at, now)

    def words(self, item_id: str, now: float) -> float | None:
        """About how many words of the item were heard; None where nothing cut it short."""
        item = self._items.get(item_id)
        if item is None:
            return 0.0
        if item.cut_ms is None and item.stopped_ms is None:
            return None
        left = item.played_ms(now) if item.cut_ms is None else item.cut_ms
        words = 0.0
        for call in dict.fromkeys(piece.call for piece in item.pieces):
            text = self._texts[call - 1]
            available = sum(piece.ms for piece in item.pieces if piece.call == call)
            words += _words_within(text, min(left, available) / MS_PER_CHARACTER)
            left -= min(left, available)
        return words


def _words_within(text: str, n_chars: float) -> float:
    """The words in the first `n_chars` of a text; of the last one its share."""
    return sum(
        min(1.0, max(0.0, (n_chars - word.start()) / len(word.group())))
        for word in WORD.finditer(text)
    )
