from __future__ import annotations

import pytest

from vivavoce.conversation.endpoint import Ending, ending_of, endpoint_after_ms
from vivavoce.conversation.options import Eagerness, TurnOptions


@pytest.mark.parametrize(
    ("transcript", "ending"),
    [
        ("What time is it?", Ending.COMPLETE),
        ("Tell me a story.", Ending.COMPLETE),
        ('He said "no."', Ending.COMPLETE),
        ("今天天气怎么样？", Ending.COMPLETE),
        ("给我讲个故事。", Ending.COMPLETE),
        ("I would like to", Ending.OPEN),
        ("I would like to.", Ending.OPEN),
        ("apples, pears,", Ending.OPEN),
        ("and then...", Ending.OPEN),
        ("我想要一个苹果和", Ending.OPEN),
        ("因为。", Ending.OPEN),
        ("My number is 555 12", Ending.UNCLEAR),
        ("It is 12.", Ending.UNCLEAR),
        ("turn the light on again", Ending.UNCLEAR),
        ("", Ending.UNCLEAR),
        ("   ", Ending.UNCLEAR),
    ],
)
def test_words_say_whether_a_turn_sounds_finished(transcript: str, ending: Ending) -> None:
    assert ending_of(transcript) is ending


def test_a_client_that_sets_the_silence_gets_exactly_that() -> None:
    options = TurnOptions(silence_ms=640)
    assert endpoint_after_ms(options, None) == 640
    assert endpoint_after_ms(options, "I would like to") == 640
    assert endpoint_after_ms(options, "Stop.") == 640


@pytest.mark.parametrize("eagerness", list(Eagerness))
def test_finished_words_are_waited_for_least_and_open_ones_most(eagerness: Eagerness) -> None:
    options = TurnOptions(silence_ms=None, eagerness=eagerness)
    finished = endpoint_after_ms(options, "What time is it?")
    unknown = endpoint_after_ms(options, None)
    unfinished = endpoint_after_ms(options, "I would like to")
    assert finished < unknown < unfinished


def test_eagerness_shortens_every_wait() -> None:
    for words in (None, "What time is it?", "I would like to"):
        low, medium, high = (
            endpoint_after_ms(TurnOptions(silence_ms=None, eagerness=eagerness), words)
            for eagerness in (Eagerness.LOW, Eagerness.MEDIUM, Eagerness.HIGH)
        )
        assert high < medium < low
