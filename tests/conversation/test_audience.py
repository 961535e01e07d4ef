from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from vivavoce.conversation.audience import Audience
from vivavoce.conversation.events import AudioDelta, ReplyHeard
from vivavoce.conversation.items import Item
from vivavoce.conversation.ledger import Ledger
from vivavoce.conversation.playback import MAX_TRACKED_ITEMS
from vivavoce.errors import NotFound

RATE = 1000


@dataclass
class Watch:
    ms: int = 0

    def now_ms(self) -> int:
        return self.ms


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def audience(watch: Watch) -> Audience:
    return Audience(watch, RATE)


def told(audience: Audience, name: str, text: str, ms: int, *, sent_ms: int | None = None) -> Item:
    """A reply of `ms`, of which `sent_ms` have left for the client."""
    item = Item(f"item_{name}", role="assistant", text=text, spoken=True)
    ledger = Ledger(RATE)
    ledger.add(ms, text, complete=True)
    audience.expect(f"resp_{name}", item, ledger)
    pcm = np.zeros(ms if sent_ms is None else sent_ms, np.float32)
    if len(pcm):
        audience.receive(AudioDelta(f"resp_{name}", 0, item.id, pcm))
    return item


def test_by_the_clock_history_keeps_what_was_played(audience: Audience, watch: Watch) -> None:
    item = told(audience, "a", "one two three four", 1800)
    watch.ms = 700
    assert audience.stop() == [ReplyHeard("resp_a", "item_a", "one two", 700)]
    assert item.text == "one two"


def test_what_was_heard_to_its_end_stays_whole(audience: Audience, watch: Watch) -> None:
    item = told(audience, "a", "one two", 700)
    watch.ms = 700
    assert audience.stop() == []
    assert item.text == "one two"


def test_a_stop_is_told_once(audience: Audience, watch: Watch) -> None:
    told(audience, "a", "one two", 700)
    watch.ms = 100
    assert len(audience.stop()) == 1
    watch.ms = 9000
    assert audience.stop() == []


def test_audio_that_never_left_was_not_heard(audience: Audience, watch: Watch) -> None:
    item = told(audience, "a", "one two", 700, sent_ms=0)
    watch.ms = 700
    assert audience.stop() == [ReplyHeard("resp_a", "item_a", "", 0)]
    assert item.text == ""
    assert audience.stop() == []


def test_a_slow_reader_hears_no_more_than_it_has_read(audience: Audience, watch: Watch) -> None:
    item = told(audience, "a", "one two three four", 1800, sent_ms=300)
    watch.ms = 1700
    audience.stop()
    assert item.text == "one"


def test_stopped_where_the_voice_has_got_to_only_its_share_of_the_clause_was_heard(
    audience: Audience, watch: Watch
) -> None:
    """All audio that there is has been played, but the clause goes on."""
    item = Item("item_a", role="assistant", text="one two three four", spoken=True)
    ledger = Ledger(RATE)
    ledger.add(200, "one two three four")
    audience.expect("resp_a", item, ledger)
    audience.receive(AudioDelta("resp_a", 0, "item_a", np.zeros(200, np.float32)))
    watch.ms = 200
    assert [heard.text for heard in audience.stop()] == ["one"]
    assert item.text == "one"


def test_two_replies_in_a_row_are_both_cut(audience: Audience, watch: Watch) -> None:
    first = told(audience, "a", "one two", 700)
    second = told(audience, "b", "three four", 1000)
    watch.ms = 350
    assert [heard.item_id for heard in audience.stop()] == [first.id, second.id]
    assert (first.text, second.text) == ("one", "")


def test_a_clients_cut_holds_against_the_clock(audience: Audience, watch: Watch) -> None:
    item = told(audience, "a", "one two three four", 1800)
    watch.ms = 1500
    assert audience.truncate("item_a", 320) == 320
    assert item.text == "one"
    watch.ms = 1700
    audience.stop()
    assert item.text == "one"


def test_a_cut_is_clamped_to_what_was_sent(audience: Audience) -> None:
    item = told(audience, "a", "one two three four", 1800, sent_ms=700)
    assert audience.truncate("item_a", 99_999) == 700
    assert item.text == "one two"
    assert audience.truncate("item_a", -5) == 0
    assert item.text == ""


def test_a_cut_reply_that_goes_on_stays_cut(audience: Audience) -> None:
    item = Item("item_a", role="assistant", text="one", spoken=True)
    ledger = Ledger(RATE)
    ledger.add(300, "one", complete=True)
    audience.expect("resp_a", item, ledger)
    audience.receive(AudioDelta("resp_a", 0, "item_a", np.zeros(300, np.float32)))
    audience.truncate("item_a", 300)
    ledger.add(400, " two", complete=True)
    item.text = "one two"
    audience.expect("resp_a", item, ledger)
    assert item.text == "one"


def test_the_clients_last_word_counts(audience: Audience, watch: Watch) -> None:
    item = told(audience, "a", "one two three four", 1800)
    watch.ms = 320
    audience.stop()
    assert item.text == "one"
    audience.truncate("item_a", 700)
    assert item.text == "one two"
    audience.report("resp_a", 1400)
    assert item.text == "one two three"


def test_a_late_report_corrects_the_estimate(audience: Audience, watch: Watch) -> None:
    item = told(audience, "a", "one two three four", 1800)
    watch.ms = 700
    audience.stop()
    audience.report("resp_a", 320)
    assert item.text == "one"
    audience.report("resp_a", 1400)
    assert item.text == "one two three"


def test_a_report_of_a_reply_that_still_plays_cuts_nothing(
    audience: Audience, watch: Watch
) -> None:
    item = told(audience, "a", "one two three four", 1800)
    watch.ms = 700
    audience.report("resp_a", 320)
    assert item.text == "one two three four"
    assert audience.lead_ms == 1800 - 320


def test_a_report_of_an_unknown_response_is_an_error(audience: Audience) -> None:
    with pytest.raises(NotFound, match="'resp_x' has no audio"):
        audience.report("resp_x", 100)


def test_audio_beside_the_conversation_does_not_count(audience: Audience) -> None:
    audience.receive(AudioDelta("resp_x", 0, "item_x", np.zeros(5000, np.float32)))
    assert audience.lead_ms == 0


def test_only_the_latest_replies_are_remembered(audience: Audience) -> None:
    for number in range(MAX_TRACKED_ITEMS + 1):
        told(audience, str(number), "hm", 10)
    assert "item_0" not in audience
    assert len(audience.response_ids) == MAX_TRACKED_ITEMS
