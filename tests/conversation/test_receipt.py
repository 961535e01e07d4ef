from __future__ import annotations

from vivavoce.conversation.receipt import Receipt, Stage


def test_a_stage_is_reached_once() -> None:
    receipt = Receipt("resp")
    receipt.mark(Stage.FIRST_AUDIO, 100)
    receipt.mark(Stage.FIRST_AUDIO, 200)
    assert receipt.reached == {Stage.FIRST_AUDIO: 100}


def test_times_count_from_the_end_of_speech_in_the_order_of_stages() -> None:
    receipt = Receipt("resp", {Stage.ENDPOINT: 1500, Stage.SPEECH_END: 1000})
    receipt.mark(Stage.FIRST_AUDIO, 1600)
    receipt.mark(Stage.PROVISIONAL, 1200)
    assert list(receipt.since_speech_end().items()) == [
        ("speech_end", 0),
        ("provisional", 200),
        ("endpoint", 500),
        ("first_audio", 600),
    ]


def test_where_nobody_spoke_times_count_from_the_first_stage() -> None:
    receipt = Receipt("resp")
    receipt.mark(Stage.FIRST_AUDIO, 1600)
    receipt.mark(Stage.FIRST_TOKEN, 1500)
    assert receipt.since_speech_end() == {"first_token": 0, "first_audio": 100}


def test_nothing_reached_is_nothing_told() -> None:
    assert Receipt("resp").since_speech_end() == {}
