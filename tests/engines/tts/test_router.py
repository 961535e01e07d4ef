from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from vivavoce.engines.interfaces import Pcm, Priority, ServiceClass, SpeechOptions, Voice
from vivavoce.engines.tts.router import VoiceRouter
from vivavoce.errors import ConfigurationError

NOW = Priority(ServiceClass.CLAUSE)


class Scripted:
    """A hosted synthesizer that writes down what it was asked for."""

    def __init__(self, *voices: Voice, sample_rate: int = 24_000) -> None:
        self.sample_rate = sample_rate
        self.spoken: list[tuple[str, str | None]] = []
        self._voices = voices

    def voices(self) -> Sequence[Voice]:
        return self._voices

    async def synthesize(
        self, text: str, options: SpeechOptions, priority: Priority
    ) -> AsyncIterator[Pcm]:
        self.spoken.append((text, options.voice))
        yield np.zeros(1, np.float32)


@pytest.mark.parametrize(
    ("text", "voice", "language", "by", "with_voice"),
    [
        ("Hello.", None, None, "en", None),
        ("你好。", None, None, "zh", None),
        ("我用 iPhone。", None, "en", "zh", None),
        ("Hello.", "alloy", None, "en", None),
        ("你好。", "marin", None, "zh", None),
        ("Hello.", "hibari", None, "en", "hibari"),
        ("Hello.", "zf", None, "zh", "zf"),
        ("你好。", "hibari", None, "zh", None),
        ("2024", None, "zh-CN", "zh", None),
        ("2024", None, None, "en", None),
    ],
)
async def test_who_speaks(
    text: str, voice: str | None, language: str | None, by: str, with_voice: str | None
) -> None:
    english, chinese = Scripted(Voice("hibari", ("en",))), Scripted(Voice("zf", ("zh", "en")))
    router = VoiceRouter(english, chinese)
    options = SpeechOptions(voice=voice, language=language)
    assert [chunk.size async for chunk in router.synthesize(text, options, NOW)] == [1]
    expected = [(text, with_voice)]
    assert (english.spoken, chinese.spoken) == ((expected, []) if by == "en" else ([], expected))


def test_offers_all_voices_at_their_rate() -> None:
    router = VoiceRouter(Scripted(Voice("a", ("en",))), Scripted(Voice("b", ("zh",))))
    assert [voice.id for voice in router.voices()] == ["a", "b"]
    assert router.sample_rate == 24_000


def test_rates_must_agree() -> None:
    with pytest.raises(ConfigurationError, match="22050"):
        VoiceRouter(Scripted(), Scripted(sample_rate=22_050))
