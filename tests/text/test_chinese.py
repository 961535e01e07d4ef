from __future__ import annotations

import pytest

from vivavoce.text.chinese import is_spaced, join_passages, to_simplified


@pytest.mark.parametrize(
    ("text", "simplified"),
    [
        ("廣州市房地產", "广州市房地产"),
        ("语音識別 model 2.0!", "语音识别 model 2.0!"),
        ("头发发现", "头发发现"),
        ("", ""),
    ],
)
def test_traditional_characters_become_simplified(text: str, simplified: str) -> None:
    assert to_simplified(text) == simplified


def test_passages_are_joined_as_the_language_writes() -> None:
    assert join_passages(["One.", "", "Two."], "en") == "One. Two."
    assert join_passages(["你好。", "", "再见。"], "zh") == "你好。再见。"
    assert join_passages(["Eins.", "Zwei."], None) == "Eins. Zwei."
    assert join_passages([], "zh") == ""


def test_which_languages_write_spaces() -> None:
    assert is_spaced("en")
    assert is_spaced(None)
    assert not is_spaced("zh")
    assert not is_spaced("ja")
