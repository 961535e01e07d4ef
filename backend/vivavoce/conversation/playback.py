"""Where the client's loudspeaker is, by its own report or else by the clock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MAX_TRACKED_ITEMS = 32
MAX_EXTRAPOLATION_MS = 1000
"""How far playback is believed to have gone on since the client's last report."""
_ROUNDING_MS = 1e-3
"""Rounding error allowed in sums of milliseconds."""


@dataclass(slots=True)
class _Track:
    """Audio of one item: `played_ms` that is over, then a gapless run from `run_start`."""

    played_ms: float = 0.0
    run_start: float = 0.0
    run_ms: float = 0.0
    reported: tuple[float, float] | None = None
    stopped_ms: float | None = None

    @property
    def sent_ms(self) -> float:
        return self.played_ms + self.run_ms


class Playback:
    """Models a client that plays each chunk when the one before it has ended.

    Times are milliseconds on the session's clock. The estimate runs from the first chunk sent, so
    it is early by the network's delay; a report replaces it.
    """

    def __init__(self) -> None:
        self._tracks: OrderedDict[str, _Track] = OrderedDict()
        self._ends_at = 0.0

    def lead_ms(self, now: float) -> float:
        """Audio sent but not played yet."""
        return max(0.0, self._ends_at - now)

    def sent_ms(self, item_id: str) -> float:
        """Audio of `item_id` that has gone to the client."""
        track = self._tracks.get(item_id)
        return track.sent_ms if track else 0.0

    def send(self, item_id: str, ms: float, now: float) -> None:
        """Audio of `item_id` goes to the client."""
        track = self._tracks.get(item_id)
        if track is None:
            track = self._tracks[item_id] = _Track()
            if len(self._tracks) > MAX_TRACKED_ITEMS:
                self._tracks.popitem(last=False)
        starts_at = max(self._ends_at, now)
        if abs(track.run_start + track.run_ms - starts_at) >= _ROUNDING_MS:  # silence in between
            track.played_ms += track.run_ms
            track.run_start, track.run_ms = starts_at, 0.0
        track.run_ms += ms
        self._ends_at = starts_at + ms

    def report(self, item_id: str, played_ms: float, now: float) -> None:
        """The client says that it has played `played_ms` of `item_id` and goes on."""
        track = self._tracks.get(item_id)
        if track is None:
            return
        played_ms = min(played_ms, track.sent_ms)
        track.reported = (played_ms, now)
        if item_id == next(reversed(self._tracks)):
            self._ends_at = now + track.sent_ms - played_ms

    def stop(self, now: float) -> None:
        """The client was told to stop."""
        for item_id, track in self._tracks.items():
            if track.stopped_ms is None:
                track.stopped_ms = self.heard_ms(item_id, now)
        self._ends_at = min(self._ends_at, now)

    def heard_ms(self, item_id: str, now: float) -> int:
        """How much of `item_id` has been played, 0 for an item without audio.

        After a report, playback is believed to go on for a while, or to the end of what was sent
        once that is due.
        """
        track = self._tracks.get(item_id)
        if track is None:
            return 0
        if track.stopped_ms is not None:
            heard_ms = track.stopped_ms
        elif track.reported is not None:
            played_ms, at = track.reported
            due = now - at >= track.sent_ms - played_ms
            heard_ms = track.sent_ms if due else played_ms + min(now - at, MAX_EXTRAPOLATION_MS)
        else:
            heard_ms = track.played_ms + min(max(now - track.run_start, 0.0), track.run_ms)
        return int(heard_ms + _ROUNDING_MS)
