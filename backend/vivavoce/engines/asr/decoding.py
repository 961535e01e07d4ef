"""Whisper's decoding policy: short windows for speed, longer ones where they went wrong.

The encoder is given windows as short as the speech allows instead of 30 s, which cuts its cost by
ten. The price is that Whisper now and then repeats itself; such a hypothesis is recognised and
decoded again in a longer window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vivavoce.engines.asr.loops import is_looped
from vivavoce.engines.asr.mel import FULL_WINDOW_FRAMES, log_mel
from vivavoce.engines.asr.phantoms import is_phantom
from vivavoce.engines.asr.whisper_model import Hypothesis, WhisperModel
from vivavoce.engines.interfaces import SAMPLE_RATE, Pcm, RecognitionOptions, Transcript
from vivavoce.text.chinese import is_spaced, join_passages, to_simplified

FINAL_WINDOWS = (600, 1200, FULL_WINDOW_FRAMES)
"""Shortest windows of a final in frames of 10 ms, each tried when the one before went wrong."""

FINAL_TAIL_FRAMES = 100
PARTIAL_WINDOW = 300
PARTIAL_TAIL_FRAMES = 60

LEAST_SAMPLES = SAMPLE_RATE // 10
"""Nothing is said in less than 100 ms."""

INAUDIBLE = 0.001
"""Peak below which audio is silence (-60 dB)."""

DOUBTFUL_LOGPROB = -0.8

CHINESE_PROMPT = "以下是普通话的句子。"
"""Makes the model write punctuation and, mostly, simplified characters."""


class Decoding:
    """Turns audio of up to 28 s into a hypothesis; keeps nothing, so threads may share it.

    languages: ISO 639-1 codes to choose among when a language has to be detected, empty for all.
    """

    def __init__(self, model: WhisperModel, languages: Sequence[str] = ()) -> None:
        self._model = model
        self._languages = tuple(languages)

    def final(
        self, pcm: Pcm, options: RecognitionOptions, language: str | None
    ) -> Hypothesis | None:
        """Decode up to 28 s as well as possible; None when nothing was said.

        A hypothesis that loops, runs into the limit of length or is doubtful is decoded again in
        a longer window, up to Whisper's own 30 s; the likeliest that does not loop is returned.
        """
        if not _is_audible(pcm):
            return None
        best: tuple[bool, float, Hypothesis] | None = None
        for frames in FINAL_WINDOWS:
            window = log_mel(pcm, self._model.n_mels, frames, FINAL_TAIL_FRAMES)
            hypothesis = self._decode(window, len(pcm), options, language)
            if is_phantom(hypothesis.text, hypothesis.no_speech, hypothesis.avg_logprob):
                return None
            sound = not (hypothesis.capped or is_looped(hypothesis.text))
            candidate = (sound, hypothesis.avg_logprob, hypothesis)
            best = candidate if best is None else max(best, candidate, key=lambda c: c[:2])
            if sound and hypothesis.avg_logprob >= DOUBTFUL_LOGPROB:
                break
        return best[2] if best else None

    def partial(
        self, pcm: Pcm, options: RecognitionOptions, language: str | None
    ) -> Hypothesis | None:
        """Decode at the least cost; None when nothing was said or the hypothesis is no good."""
        if not _is_audible(pcm):
            return None
        window = log_mel(pcm, self._model.n_mels, PARTIAL_WINDOW, PARTIAL_TAIL_FRAMES)
        hypothesis = self._decode(window, len(pcm), options, language)
        doubtful = hypothesis.capped or is_looped(hypothesis.text)
        if doubtful or is_phantom(hypothesis.text, hypothesis.no_speech, hypothesis.avg_logprob):
            return None
        return hypothesis

    def _decode(
        self,
        window: NDArray[np.float32],
        n_samples: int,
        options: RecognitionOptions,
        language: str | None,
    ) -> Hypothesis:
        encoded = self._model.encode(window)
        spoken = language or self._model.detect_language(encoded, self._languages)
        hypothesis = self._model.decode(
            encoded,
            spoken,
            _prompt(options, spoken),
            n_samples / SAMPLE_RATE,
            spaced=is_spaced(spoken),
        )
        if spoken != "zh":
            return hypothesis
        return replace(hypothesis, text=to_simplified(hypothesis.text))


def as_transcript(spoken: Sequence[Hypothesis]) -> Transcript:
    """Join the hypotheses of one speech; confidence is that of the least certain passage."""
    if not spoken:
        return Transcript("")
    language = spoken[0].language
    return Transcript(
        text=join_passages((hypothesis.text for hypothesis in spoken), language),
        language=language,
        confidence=min(hypothesis.confidence for hypothesis in spoken),
    )


def _is_audible(pcm: Pcm) -> bool:
    return len(pcm) >= LEAST_SAMPLES and float(np.abs(pcm).max()) > INAUDIBLE


def _prompt(options: RecognitionOptions, language: str) -> str:
    """What the model is made to believe was said before: context, and the words to expect."""
    hot_words = options.hot_words
    if language == "zh":
        expected = "、".join(hot_words) + "。" if hot_words else ""
        return CHINESE_PROMPT + options.prompt + expected
    return " ".join(filter(None, (options.prompt, ", ".join(hot_words) + "." if hot_words else "")))
