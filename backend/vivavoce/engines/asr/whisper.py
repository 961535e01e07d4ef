"""Whisper as a recognizer, through CTranslate2 on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vivavoce.audio.pcm import require_finite
from vivavoce.engines.asr.decoding import Decoding, as_transcript
from vivavoce.engines.asr.pauses import split_at_pauses
from vivavoce.engines.asr.whisper_model import Hypothesis, WhisperModel
from vivavoce.engines.asr.whisper_stream import WhisperStream
from vivavoce.engines.interfaces import SAMPLE_RATE, Pcm, RecognitionOptions, Transcript

RECORDING_PIECE = (14 * SAMPLE_RATE, 28 * SAMPLE_RATE)
"""Shortest and longest piece that a long recording is cut into."""


class Whisper:
    """Recognition by a Whisper model in CTranslate2 form; one object serves many threads.

    model_path: folder of the weights. threads: per decoding; inter_threads: decodings at a time.
    languages: ISO 639-1 codes to choose among when a language has to be detected, empty for all.
    Raises WeightsUnavailable when files are missing, InvalidRequest for an unknown language.
    """

    partial_interval_ms = 500

    def __init__(
        self,
        model_path: Path,
        *,
        threads: int = 1,
        inter_threads: int = 1,
        compute_type: str = "int8",
        languages: Sequence[str] = (),
    ) -> None:
        self._model = WhisperModel(
            model_path, threads=threads, inter_threads=inter_threads, compute_type=compute_type
        )
        for language in languages:
            self._model.require_language(language)
        self._decoding = Decoding(self._model, languages)
        self._warm_up()

    def open(self, options: RecognitionOptions) -> WhisperStream:
        """Begin an utterance; raises InvalidRequest for a language that the model lacks."""
        self._require_known(options)
        return WhisperStream(self._decoding, options)

    def transcribe(self, pcm: Pcm, options: RecognitionOptions) -> Transcript:
        """Transcribe a recording of any length, cut at pauses into pieces of up to 28 s.

        The language is detected once, in the first piece in which somebody speaks. Raises
        InvalidRequest for NaN or infinity, or for a language that the model lacks.
        """
        self._require_known(options)
        language = options.language
        spoken: list[Hypothesis] = []
        for piece in split_at_pauses(require_finite(pcm), *RECORDING_PIECE):
            hypothesis = self._decoding.final(piece, options, language)
            if hypothesis is not None:
                spoken.append(hypothesis)
                language = hypothesis.language
        return as_transcript(spoken)

    def _require_known(self, options: RecognitionOptions) -> None:
        if options.language is not None:
            self._model.require_language(options.language)

    def _warm_up(self) -> None:
        tone = 0.1 * np.sin(0.1 * np.arange(SAMPLE_RATE, dtype=np.float32))
        self._decoding.partial(tone, RecognitionOptions(language="zh"), "zh")
