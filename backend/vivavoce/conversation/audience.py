"""What the client has heard of the assistant's replies, and the history that follows from it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from vivavoce.conversation.clock import Clock
from vivavoce.conversation.events import AudioDelta, ReplyHeard
from vivavoce.conversation.items import Item
from vivavoce.conversation.ledger import Ledger
from vivavoce.conversation.playback import MAX_TRACKED_ITEMS, Playback
from vivavoce.errors import NotFound


@dataclass(slots=True)
class _Speech:
    """One spoken message. cut_ms: what the client says that was heard of it, and no more.
    stopped: the client was told to play no more of it."""

    response_id: str
    item: Item
    ledger: Ledger
    cut_ms: int | None = None
    stopped: bool = False


class Audience:
    """Follows the replies of the conversation to the client's ear; remembers the latest 32.

    sample_rate: Hz of the replies' audio.
    """

    def __init__(self, clock: Clock, sample_rate: int) -> None:
        self._clock = clock
        self._rate = sample_rate
        self._playback = Playback()
        self._speeches: OrderedDict[str, _Speech] = OrderedDict()

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._speeches

    @property
    def lead_ms(self) -> float:
        """Audio that the client has but has not played yet, as far as is known."""
        return self._playback.lead_ms(self._clock.now_ms())

    @property
    def response_ids(self) -> set[str]:
        return {speech.response_id for speech in self._speeches.values()}

    def has_heard(self, item_id: str) -> bool:
        """Whether any of the item has been played."""
        return self._playback.heard_ms(item_id, self._clock.now_ms()) > 0

    def expect(self, response_id: str, item: Item, ledger: Ledger) -> None:
        """More of a reply is on its way to the client."""
        speech = self._speeches.get(item.id)
        if speech is None:
            self._speeches[item.id] = _Speech(response_id, item, ledger)
            if len(self._speeches) > MAX_TRACKED_ITEMS:
                self._speeches.popitem(last=False)
        elif speech.cut_ms is not None:
            item.text = ledger.heard(speech.cut_ms)

    def receive(self, event: AudioDelta) -> None:
        """Audio leaves for the client."""
        if event.item_id in self._speeches:
            ms = len(event.pcm) * 1000 / self._rate
            self._playback.send(event.item_id, ms, self._clock.now_ms())

    def truncate(self, item_id: str, audio_ms: int) -> int:
        """Only the first `audio_ms` of the item were heard; returns the time as clamped."""
        speech = self._speeches[item_id]
        length_ms = min(speech.ledger.duration_ms, round(self._playback.sent_ms(item_id)))
        speech.cut_ms = max(0, min(audio_ms, length_ms))
        self._cut_to_heard(speech)
        return speech.cut_ms

    def report(self, response_id: str, played_ms: int) -> None:
        """The client has played `played_ms` of a response; of an interrupted one, all it will.

        Raises NotFound for a response that has no audio, or is long over.
        """
        found = [each for each in self._speeches.values() if each.response_id == response_id]
        if not found:
            raise NotFound(
                f"Response {response_id!r} has no audio here.",
                code="unknown_response",
                param="response",
            )
        for speech in found:
            if speech.stopped:
                self.truncate(speech.item.id, played_ms)
            else:
                self._playback.report(speech.item.id, max(0, played_ms), self._clock.now_ms())

    def stop(self) -> list[ReplyHeard]:
        """The client was told to stop: cut history to what was heard; returns what was cut."""
        now = self._clock.now_ms()
        self._playback.stop(now)
        cut = []
        for speech in self._speeches.values():
            heard_ms = self._playback.heard_ms(speech.item.id, now)
            whole = heard_ms >= speech.ledger.duration_ms and speech.ledger.complete
            if not speech.stopped and not whole:
                cut.append(self._cut_to_heard(speech))
            speech.stopped = True
        return cut

    def _cut_to_heard(self, speech: _Speech) -> ReplyHeard:
        heard_ms = speech.cut_ms
        if heard_ms is None:
            heard_ms = self._playback.heard_ms(speech.item.id, self._clock.now_ms())
        speech.item.text = speech.ledger.heard(heard_ms)
        return ReplyHeard(speech.response_id, speech.item.id, speech.item.text, heard_ms)
