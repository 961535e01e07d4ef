"""Chooses who speaks a clause: by the voice that was asked for, else by the text's language."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from vivavoce.engines.interfaces import HostedSynthesizer, Pcm, Priority, SpeechOptions, Voice
from vivavoce.errors import ConfigurationError
from vivavoce.text.language import HAN, Language, language_of


class VoiceRouter:
    """Several hosted synthesizers as one; itself a HostedSynthesizer.

    A voice that nobody has, such as another service's "alloy", means the default voice of the
    language. A voice that cannot speak the clause's language gives way for that clause.
    Raises ConfigurationError when the synthesizers differ in sample rate.
    """

    def __init__(self, english: HostedSynthesizer, chinese: HostedSynthesizer) -> None:
        if english.sample_rate != chinese.sample_rate:
            raise ConfigurationError(
                f"the English voice has {english.sample_rate} Hz and the Chinese one "
                f"{chinese.sample_rate} Hz; they must be equal"
            )
        self.sample_rate = english.sample_rate
        self._by_language: dict[Language, HostedSynthesizer] = {"en": english, "zh": chinese}

    def voices(self) -> Sequence[Voice]:
        """All voices; the default ones of each language come first among their synthesizer's."""
        voices = {v.id: v for s in self._by_language.values() for v in s.voices()}
        return tuple(voices.values())

    def synthesize(
        self, text: str, options: SpeechOptions, priority: Priority
    ) -> AsyncGenerator[Pcm, None]:
        language = self._language(text, options)
        for synthesizer in self._by_language.values():
            for voice in synthesizer.voices():
                if voice.id == options.voice and language in voice.languages:
                    return synthesizer.synthesize(text, options, priority)
        chosen = self._by_language[language]
        return chosen.synthesize(text, replace(options, voice=None), priority)

    @staticmethod
    def _language(text: str, options: SpeechOptions) -> Language:
        if HAN.search(text):
            return "zh"  # whatever was said about it: no other voice can read these
        return language_of(text, "zh" if (options.language or "").startswith("zh") else "en")
