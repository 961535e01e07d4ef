"""Where the client's loudspeaker is, by its own report or else by the clock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

MAX_TRACKED_ITEMS = 32
MAX_EXTRAPOLATION_MS = 1000
"""How far playback is believed to have gone on since the client's last report."""
_GAPLESS_MS = 1e-3
"""Rounding error allowed between the end of one chunk and the start of the next."""


@dataclass(slots=True)
class _Track:
    """Audio of one item: runs of [start of play, milliseconds], gapless inside."""

    runs: list[list[float]] = field(default_factory=list)
    sent_ms: float = 0.0
    reported: tuple[float, float] | None = None
    stopped_ms: float | None = None


class Playback:
    """Models a client that plays each chunk when the one before it has ended.

    Times are milliseconds on the session's clock. The estimate runs from the first chunk sent, so
    it is early by the network's delay; a report replaces it.
    """

    def __init__(self) -> None:
        self._tracks: OrderedDict[str, _Track] = OrderedDict()
        self._ends_at = 0.0

    @property
    def ends_at(self) -> float:
        """When the audio sent so far will have been played."""
        return self._ends_at

    def is_playing(self, now: float) -> bool:
        return now < self._ends_at

    def lead_ms(self, now: float) -> float:
        """Audio sent but not played yet."""
        return max(0.0, self._ends_at - now)

    def send(self, item_id: str, ms: float, now: float) -> None:
        """Audio of `item_id` went to the client."""
        track = self._tracks.get(item_id)
        if track is None:
            track = self._tracks[item_id] = _Track()
            if len(self._tracks) > MAX_TRACKED_ITEMS:
                self._tracks.popitem(last=False)
        starts_at = max(self._ends_at, now)
        if track.runs and abs(sum(track.runs[-1]) - starts_at) < _GAPLESS_MS:
            track.runs[-1][1] += ms
        else:
            track.runs.append([starts_at, ms])
        self._ends_at = starts_at + ms
        track.sent_ms += ms

    def report(self, item_id: str, played_ms: float, now: float) -> None:
        """The client says that it has played `played_ms` of `item_id`."""
        track = self._tracks.get(item_id)
        if track is None:
            return
        played_ms = min(played_ms, track.sent_ms)
        if track.stopped_ms is not None:
            track.stopped_ms = played_ms
            return
        track.reported = (played_ms, now)
        if item_id == next(reversed(self._tracks)):
            self._ends_at = now + track.sent_ms - played_ms

    def unsend(self, item_id: str, ms: float) -> None:
        """Audio counted as sent was thrown away before it left."""
        track = self._tracks[item_id]
        track.sent_ms -= ms
        while track.runs and ms > 0:
            cut = min(ms, track.runs[-1][1])
            track.runs[-1][1] -= cut
            ms -= cut
            if track.runs[-1][1] <= 0:
                track.runs.pop()

    def was_stopped(self, item_id: str) -> bool:
        track = self._tracks.get(item_id)
        return track is not None and track.stopped_ms is not None

    def stop(self, now: float) -> list[str]:
        """The client was told to stop; returns the items that were not heard to their end."""
        unheard = []
        for item_id, track in self._tracks.items():
            if track.stopped_ms is None:
                track.stopped_ms = self.heard_ms(item_id, now)
                if track.stopped_ms < int(track.sent_ms):
                    unheard.append(item_id)
        self._ends_at = min(self._ends_at, now)
        return unheard

    def heard_ms(self, item_id: str, now: float) -> int:
        """How much of `item_id` has been played, 0 for an item without audio."""
        track = self._tracks.get(item_id)
        if track is None:
            return 0
        if track.stopped_ms is not None:
            return int(track.stopped_ms)
        if track.reported is not None:
            played_ms, at = track.reported
            return int(min(track.sent_ms, played_ms + min(now - at, MAX_EXTRAPOLATION_MS)))
        return int(sum(min(max(now - start, 0.0), ms) for start, ms in track.runs))
