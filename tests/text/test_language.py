import pytest

from vivavoce.text.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello there.", "en"),
        ("你好。", "zh"),
        ("我用 iPhone 拍照。", "zh"),
        ("The word 好 means good.", "zh"),
        ("𠮷野家", "zh"),
    ],
)
def test_script_decides(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["3.14", "", "！？", "😀"])
def test_default_where_there_is_no_letter(text: str) -> None:
    assert language_of(text, "zh") == "zh"
    assert language_of(text, "en") == "en"
