from __future__ import annotations

import pytest

from vivavoce.engines.asr.loops import is_looped


@pytest.mark.parametrize(
    "text",
    [
        "Then in the same operations with ugly ones. Then in the same operations with ugly ones.",
        "Had he married a woman, he might have been. Had he married a",
        "no no no no no no",
        "Hey guys, hey guys, hey guys, hey guys",
        "我们去北京吧我们去北京吧",
        "呃呃呃呃呃呃",
        "ha " * 40,
    ],
)
def test_repetition_is_seen(text: str) -> None:
    assert is_looped(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No, no, no.",
        "Ask not what your country can do for you, ask what you can do for your country.",
        "It was the first great sorrow of his life. It was not so much the loss of the cotton.",
        "Bye bye.",
        "谢谢谢谢。",
        "对不起对不起",
        "欢迎大家来体验达摩院推出的语音识别模型",
        "一二三四五六七八九十",
    ],
)
def test_speech_is_not(text: str) -> None:
    assert not is_looped(text)
