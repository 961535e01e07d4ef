import logging

import pytest

from vivavoce.text import spoken
from vivavoce.text.language import Language
from vivavoce.text.spoken import MAX_CHARS, spoken_form, warm


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Title", "Title"),
        ("- **bold** and `code` _x_", "bold and code x"),
        ("snake_case and 3*4", "snake_case and 3*4"),
        ("See [the docs](https://a.b/c).", "See the docs."),
        ("Go to https://www.example.com/x?y=1. Then stop.", "Go to example.com. Then stop."),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a, b. 1, 2."),
        ("Use this:\n```py\nprint(1)\n```\nDone.", "Use this: Done."),
        ("Good 👍🏽 work 😀.", "Good work ."),
        ("AT&amp;T <b>ok</b> 3 < 4", "AT&T ok 3 < 4"),
        ("-5 degrees", "-5 degrees"),
        (") and so on", "and so on"),
        ("It costs $19.99 at 9:30.", "It costs $19.99 at 9:30."),
    ],
)
def test_english(text: str, expected: str) -> None:
    assert spoken_form(text, "en") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("价格是19.9元。", "价格是十九点九元。"),
        ("电话13800138000", "电话幺三八零零幺三八零零零"),
        ("2024年3月5日9:30", "二零二四年三月五日九点三十分"),
        ("涨了25%，今天-3℃", "涨了百分之二十五，今天负三摄氏度"),
        ("请看https://example.com/路径。好", "请看example.com。好"),
        ("！！真的吗？", "真的吗？"),
        ("我用 **iPhone** 拍了3张照片", "我用 iPhone 拍了三张照片"),
    ],
)
def test_chinese(text: str, expected: str) -> None:
    assert spoken_form(text, "zh") == expected


@pytest.mark.parametrize("text", ["", "  \n", "😀👍🏽", "```py\nx = 1\n```", "***", "---", "！！"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_speakable(text: str, language: Language) -> None:
    assert spoken_form(text, language) == ""


def test_input_is_bounded() -> None:
    assert len(spoken_form("word " * MAX_CHARS, "en")) <= MAX_CHARS


def test_failed_normalisation_keeps_the_text_and_logs_none_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def normalize(self, text: str) -> str:
            raise AssertionError(text)

    monkeypatch.setattr(spoken, "_normalizer", Failing)
    with caplog.at_level(logging.WARNING):
        assert spoken_form("秘密3号", "zh") == "秘密3号"
    assert "normalisation failed" in caplog.text
    assert "秘密" not in caplog.text


def test_warm_loads_the_normalizer() -> None:
    warm()
    assert spoken._normalizer.cache_info().currsize == 1
