from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.conversation.ledger import Ledger

RATE = 1000  # one sample is one millisecond


def ledger(*clauses: tuple[str, int]) -> Ledger:
    """Clauses, each spoken for so many milliseconds and complete."""
    result = Ledger(RATE)
    for text, ms in clauses:
        result.add(ms, text, complete=True)
    return result


def test_clause_bounds_are_exact() -> None:
    reply = ledger(("Hello. ", 1000), ("How are you? ", 2000), ("Fine?", 500))
    assert reply.heard(0) == ""
    assert reply.heard(1000) == "Hello. "
    assert reply.heard(3000) == "Hello. How are you? "
    assert reply.heard(3500) == "Hello. How are you? Fine?"
    assert reply.heard(99_999) == reply.text == "Hello. How are you? Fine?"
    assert reply.duration_ms == 3500


def test_inside_a_clause_words_are_proportional_and_whole() -> None:
    reply = ledger(("one two three four", 1800))  # 100 ms a character
    assert reply.heard(100) == ""
    assert reply.heard(150) == "one"
    assert reply.heard(540) == "one"
    assert reply.heard(550) == "one two"
    assert reply.heard(1590) == "one two three"
    assert reply.heard(1600) == "one two three four"


def test_chinese_counts_by_the_character() -> None:
    reply = ledger(("今天天气很好。", 1400))
    assert reply.heard(690) == "今天天"
    assert reply.heard(700) == "今天天气"
    assert reply.heard(1300) == "今天天气很好。"


def test_a_clause_that_nothing_speaks_is_heard_with_what_comes_before_it() -> None:
    reply = ledger(("Well done! ", 1000), ("🎉 ", 0), ("Bye.", 400))
    assert reply.heard(999) == "Well done!"
    assert reply.heard(1000) == "Well done! 🎉 "


def test_nothing_said_is_nothing_heard() -> None:
    assert Ledger(RATE).heard(1000) == ""
    assert Ledger(RATE).duration_ms == 0


def test_of_a_clause_still_being_spoken_only_its_share_was_heard() -> None:
    """Where the voice is hardly ahead of the listener, its first chunk is not the whole clause."""
    reply = Ledger(RATE)
    reply.add(200, "one two three four five six seven eight nine ten")
    assert reply.heard(200) == "one"
    reply.add(2800, complete=True)
    assert reply.heard(1500) == "one two three four five"


def test_the_pace_of_the_clauses_before_tells_how_long_the_next_will_be() -> None:
    reply = ledger(("a" * 10, 2000))
    reply.add(100, "bbbb bbbb bbbb bbbb ")  # 20 characters at 200 ms: 4000 ms
    assert reply.heard(2000 + 100) == "a" * 10
    assert reply.heard(2000 + 1900) == "a" * 10 + "bbbb bbbb"


def test_an_open_clause_longer_than_expected_does_not_end_early() -> None:
    reply = Ledger(RATE)
    reply.add(60_000, "one two")
    assert reply.heard(29_000) == "one"
    assert reply.heard(60_000) == "one two"


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 44_100])
def test_milliseconds_are_counted_at_any_rate(rate: int) -> None:
    reply = Ledger(rate)
    reply.add(rate, "one ", complete=True)
    reply.add(rate, "two", complete=True)
    assert reply.duration_ms == 2000
    assert reply.heard(1000) == "one "


@given(
    st.lists(st.tuples(st.text("ab 好。🎉", min_size=1, max_size=30), st.integers(0, 3000))),
    st.lists(st.integers(0, 20_000), min_size=2, max_size=2),
)
def test_what_was_heard_only_grows_and_is_always_a_beginning(
    clauses: list[tuple[str, int]], times: list[int]
) -> None:
    reply = ledger(*clauses)
    sooner, later = (reply.heard(ms) for ms in sorted(times))
    assert later.startswith(sooner)
    assert reply.text.startswith(later)
