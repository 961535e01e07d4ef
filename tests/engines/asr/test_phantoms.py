from __future__ import annotations

import pytest

from vivavoce.engines.asr.phantoms import is_phantom


@pytest.mark.parametrize(
    ("text", "no_speech", "avg_logprob"),
    [
        ("you", 0.92, -1.27),
        ("I'm going to put the oil in the pan.", 0.69, -1.1),
        ("Thank you.", 0.6, -0.7),
        ("字幕由志愿者提供", 0.1, -0.2),
        ("以下是普通话的句子。", 0.3, -0.3),
        ("...", 0.1, -0.5),
    ],
)
def test_answers_to_noise(text: str, no_speech: float, avg_logprob: float) -> None:
    assert is_phantom(text, no_speech, avg_logprob)


@pytest.mark.parametrize(
    ("text", "no_speech", "avg_logprob"),
    [
        ("Thank you.", 0.1, -0.3),
        ("Thank you.", 0.72, -0.3),
        ("谢谢。", 0.2, -0.9),
        ("Book a table for two.", 0.72, -0.4),
        ("Yes.", 0.4, -1.2),
    ],
)
def test_things_people_say(text: str, no_speech: float, avg_logprob: float) -> None:
    assert not is_phantom(text, no_speech, avg_logprob)
