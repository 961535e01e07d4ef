from __future__ import annotations

from vivavoce.conversation.playback import MAX_EXTRAPOLATION_MS, MAX_TRACKED_ITEMS, Playback


def test_audio_is_played_as_it_comes_and_one_piece_after_the_other() -> None:
    playback = Playback()
    playback.send("a", 500, now=1000)
    playback.send("a", 500, now=1100)
    assert playback.heard_ms("a", 1000) == 0
    assert playback.heard_ms("a", 1700) == 700
    assert playback.lead_ms(1700) == 300
    assert playback.heard_ms("a", 9999) == 1000
    assert playback.lead_ms(9999) == 0


def test_audio_that_comes_late_leaves_a_gap_that_is_not_heard() -> None:
    playback = Playback()
    playback.send("a", 100, now=0)
    playback.send("a", 100, now=300)
    playback.send("a", 100, now=310)
    assert playback.heard_ms("a", 299) == 100
    assert playback.heard_ms("a", 350) == 150
    assert playback.heard_ms("a", 500) == 300


def test_a_second_reply_plays_after_the_first() -> None:
    playback = Playback()
    playback.send("a", 1000, now=0)
    playback.send("b", 1000, now=500)
    assert (playback.heard_ms("a", 800), playback.heard_ms("b", 800)) == (800, 0)
    assert (playback.heard_ms("a", 1600), playback.heard_ms("b", 1600)) == (1000, 600)


def test_a_report_is_believed_more_than_the_clock() -> None:
    playback = Playback()
    playback.send("a", 3000, now=0)
    playback.report("a", 200, now=1000)
    assert playback.heard_ms("a", 1000) == 200
    assert playback.heard_ms("a", 1500) == 700
    assert playback.lead_ms(1000) == 2800


def test_after_a_report_playback_is_believed_to_go_on_only_for_a_while() -> None:
    playback = Playback()
    playback.send("a", 10_000, now=0)
    playback.report("a", 500, now=500)
    assert playback.heard_ms("a", 5000) == 500 + MAX_EXTRAPOLATION_MS


def test_once_its_end_is_due_a_reported_item_counts_as_heard_whole() -> None:
    playback = Playback()
    playback.send("a", 5000, now=0)
    playback.report("a", 500, now=500)
    assert playback.heard_ms("a", 5000) == 5000
    playback.stop(60_000)
    assert playback.heard_ms("a", 60_000) == 5000


def test_a_report_beyond_what_was_sent_is_taken_for_the_end() -> None:
    playback = Playback()
    playback.send("a", 1000, now=0)
    playback.report("a", 99_999, now=100)
    assert playback.heard_ms("a", 100) == 1000
    assert playback.lead_ms(100) == 0


def test_what_follows_a_report_plays_after_it() -> None:
    playback = Playback()
    playback.send("a", 1000, now=0)
    playback.report("a", 0, now=500)
    playback.send("a", 1000, now=500)
    assert playback.lead_ms(500) == 2000


def test_stopped_is_stopped() -> None:
    playback = Playback()
    playback.send("a", 1000, now=0)
    playback.stop(300)
    assert playback.heard_ms("a", 300) == playback.heard_ms("a", 5000) == 300
    assert playback.lead_ms(300) == 0


def test_after_a_stop_the_next_reply_plays_at_once() -> None:
    playback = Playback()
    playback.send("a", 10_000, now=0)
    playback.stop(300)
    playback.send("b", 1000, now=400)
    assert playback.heard_ms("b", 500) == 100
    assert playback.heard_ms("a", 500) == 300


def test_sums_of_uneven_chunks_lose_nothing() -> None:
    playback = Playback()
    for _ in range(1000):
        playback.send("a", 1000 / 24, now=0)
    assert playback.heard_ms("a", 10**6) == 41_666


def test_items_without_audio_were_not_heard() -> None:
    playback = Playback()
    playback.report("a", 500, now=0)
    playback.stop(0)
    assert playback.heard_ms("a", 100) == 0
    assert playback.sent_ms("a") == 0


def test_only_the_latest_items_are_tracked() -> None:
    playback = Playback()
    for index in range(MAX_TRACKED_ITEMS + 1):
        playback.send(str(index), 10, now=0)
    assert playback.sent_ms("0") == 0
    assert playback.sent_ms("1") == 10
