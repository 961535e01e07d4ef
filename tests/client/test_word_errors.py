from __future__ import annotations

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.client.word_errors import WordErrors, word_errors

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("said", "understood", "errors", "words"),
    [
        ("What's the time?", "what's the time", 0, 3),
        ("It’s late.", "It's late!", 0, 2),
        ("one two three", "one three", 1, 3),
        ("one two three", "one two two three", 1, 3),
        ("one two three", "one too three", 1, 3),
        ("你好，世界。", "你好世间", 1, 4),
        ("播放 Hello World", "播放 hello word", 1, 4),
        ("nothing", "", 1, 1),
        ("", "something", 1, 0),
    ],
)
def test_examples(said: str, understood: str, errors: int, words: int) -> None:
    assert word_errors(said, understood) == WordErrors(errors, words)


@given(WORDS, WORDS)
def test_agrees_with_jiwer(said: str, understood: str) -> None:
    assert word_errors(said, understood).rate == pytest.approx(jiwer.wer(said, understood))


def test_rates_are_weighted_by_length() -> None:
    assert (WordErrors(1, 2) + WordErrors(0, 8)).rate == 0.1
    assert WordErrors(0, 0).rate == 0.0
    assert WordErrors(2, 0).rate == 1.0
