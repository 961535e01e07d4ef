"""The stream's own rules, with a decoding that answers how many seconds it was given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pytest

from vivavoce.engines.asr.decoding import Decoding
from vivavoce.engines.asr.whisper_model import Hypothesis
from vivavoce.engines.asr.whisper_stream import WhisperStream
from vivavoce.engines.interfaces import SAMPLE_RATE, Pcm, RecognitionOptions
from vivavoce.errors import InvalidRequest


@dataclass
class CountingDecoding:
    """Hears one word a second, `w0 w1 …`; the numbers start anew with every piece of audio."""

    heard_language: str = "en"
    partials: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    languages: list[str | None] = field(default_factory=list)

    def partial(self, pcm: Pcm, options: RecognitionOptions, language: str | None) -> Hypothesis:
        self.partials.append(len(pcm) / SAMPLE_RATE)
        return self._hypothesis(pcm, language)

    def final(self, pcm: Pcm, options: RecognitionOptions, language: str | None) -> Hypothesis:
        self.finals.append(len(pcm) / SAMPLE_RATE)
        return self._hypothesis(pcm, language)

    def _hypothesis(self, pcm: Pcm, language: str | None) -> Hypothesis:
        self.languages.append(language)
        words = " ".join(f"w{second}" for second in range(len(pcm) // SAMPLE_RATE))
        return Hypothesis(words, language or self.heard_language, -0.1, 0.0, capped=False)


def _open(decoding: CountingDecoding, language: str | None = "en") -> WhisperStream:
    return WhisperStream(cast(Decoding, decoding), RecognitionOptions(language=language))


def _speech(seconds: float) -> Pcm:
    noise = np.random.default_rng(5).standard_normal(round(seconds * SAMPLE_RATE))
    return (0.1 * noise).astype(np.float32)


def _silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def test_nothing_is_decoded_before_400_ms_are_new() -> None:
    decoding = CountingDecoding()
    stream = _open(decoding)
    for _ in range(8):
        stream.feed(_speech(0.1))
    assert decoding.partials == pytest.approx([0.4, 0.8])


def test_two_hypotheses_make_a_stable_prefix() -> None:
    stream = _open(CountingDecoding())
    first = stream.feed(_speech(2))
    second = stream.feed(_speech(1))
    assert first is not None
    assert second is not None
    assert (first.text, first.stable) == ("w0 w1", "")
    assert (second.text, second.stable) == ("w0 w1 w2", "w0 w1")


def test_a_final_is_reused_when_only_silence_follows() -> None:
    decoding = CountingDecoding()
    stream = _open(decoding)
    stream.feed(_speech(2))
    first = stream.finish(_silence(0.2))
    stream.feed(_silence(0.3))
    assert stream.finish(_silence(0)) is first
    assert stream.finish(_silence(0.3)) is first
    assert len(decoding.finals) == 1


def test_a_final_is_made_anew_when_the_speaker_went_on() -> None:
    decoding = CountingDecoding()
    stream = _open(decoding)
    assert stream.finish(_speech(2)).text == "w0 w1"
    stream.feed(_silence(0.5))
    stream.feed(_speech(0.5))
    assert stream.finish(_silence(0)).text == "w0 w1 w2"
    assert len(decoding.finals) == 2


def test_silence_after_confirmed_words_is_not_decoded() -> None:
    decoding = CountingDecoding()
    stream = _open(decoding)
    stream.feed(_speech(2))
    stream.feed(_speech(0.5))  # agrees with the hypothesis before
    n_partials = len(decoding.partials)
    assert stream.feed(_silence(0.5)) is None
    assert len(decoding.partials) == n_partials


def test_a_monologue_needs_bounded_audio_and_keeps_every_word() -> None:
    decoding = CountingDecoding()
    stream = _open(decoding)
    for _ in range(60):
        stream.feed(_speech(2.8))
        stream.feed(_silence(0.2))
    transcript = stream.finish(_silence(0))
    assert max(decoding.partials + decoding.finals) <= 16
    assert sum(decoding.finals) == pytest.approx(180)
    assert len(transcript.text.split()) >= 180 - len(decoding.finals)


def test_a_piece_longer_than_the_limit_is_settled_at_once() -> None:
    decoding = CountingDecoding()
    stream = _open(decoding)
    stream.finish(_speech(90))
    assert sum(decoding.finals) == pytest.approx(90)
    assert max(decoding.finals) <= 16


def test_settled_words_stay_in_partials_as_stable() -> None:
    decoding = CountingDecoding()
    stream = _open(decoding)
    partials = [heard for _ in range(20) if (heard := stream.feed(_speech(1)))]
    settled = " ".join(f"w{second}" for second in range(int(decoding.finals[0])))
    last = partials[-1]
    assert len(settled) > len("w0 w1 w2")
    assert last.stable.startswith(settled)
    assert last.text.startswith(last.stable)


def test_partials_settle_on_a_language_and_the_final_listens_again() -> None:
    decoding = CountingDecoding(heard_language="zh")
    stream = _open(decoding, language=None)
    for _ in range(5):
        stream.feed(_speech(1))
    stream.finish(_silence(0))
    assert decoding.languages == [None, None, None, "zh", "zh", None]


def test_what_is_no_number_is_refused_and_forgotten() -> None:
    stream = _open(CountingDecoding())
    stream.feed(_speech(2))
    with pytest.raises(InvalidRequest, match="nan"):
        stream.feed(np.full(1600, np.nan, np.float32))
    assert stream.finish(_silence(0)).text == "w0 w1"
