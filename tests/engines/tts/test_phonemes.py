import pytest

from vivavoce.engines.tts.phonemes import Phonemizer, split_phonemes


@pytest.fixture(scope="module")
def phonemizer() -> Phonemizer:
    return Phonemizer()


def test_chinese_has_tones_and_punctuation(phonemizer: Phonemizer) -> None:
    assert phonemizer("你好，世界。") == "ni↓xau↓, ʂɨ↘ʨje↘."


def test_latin_words_are_read_in_english(phonemizer: Phonemizer) -> None:
    mixed = phonemizer("我用 Python 写。")
    assert phonemizer("Python") in mixed
    assert mixed.startswith(phonemizer("我用"))
    assert "P" not in mixed


def test_digits_are_not_lost(phonemizer: Phonemizer) -> None:
    assert len(phonemizer("有3个")) > len(phonemizer("有个")) + 2


def test_nothing_for_nothing(phonemizer: Phonemizer) -> None:
    assert phonemizer("") == ""


def test_split_prefers_punctuation_and_keeps_the_limit() -> None:
    pieces = split_phonemes("aaaa bbbb, cccc dddd. eeee", 11)
    assert pieces == ["aaaa bbbb,", "cccc dddd.", "eeee"]
    assert split_phonemes("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert split_phonemes("", 10) == []
