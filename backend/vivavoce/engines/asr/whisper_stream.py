"""One utterance as it is spoken, re-decoded as it grows, of bounded cost however long it gets."""

from __future__ import annotations

import numpy as np

from vivavoce.audio.pcm import require_finite
from vivavoce.engines.asr.agreement import agreed_prefix
from vivavoce.engines.asr.decoding import Decoding, as_transcript
from vivavoce.engines.asr.pauses import is_quiet, quiet_level, quietest_pause
from vivavoce.engines.asr.whisper_model import Hypothesis
from vivavoce.engines.interfaces import SAMPLE_RATE, Partial, Pcm, RecognitionOptions, Transcript
from vivavoce.text.chinese import join_passages

MOST_PENDING = 16 * SAMPLE_RATE
"""Audio that may be decoded again; what is older is settled for good."""

SETTLED_PIECE = (6 * SAMPLE_RATE, 13 * SAMPLE_RATE)
"""Shortest and longest piece to settle; at least 3 s stay as context of what comes next."""

LEAST_NEW = int(0.4 * SAMPLE_RATE)
"""New audio that makes a decoding worth its cost…"""

LEAST_GROWTH = 0.1
"""…and its share of what is pending, so that long utterances are decoded less often."""

LANGUAGE_SURE = 3 * SAMPLE_RATE
"""Audio after which partials stop detecting the language anew."""


class WhisperStream:
    """Recognition of one utterance: passages settled for good, and audio still pending.

    A partial's stable text is what two decodings in a row agree on. It hardly ever changes
    afterwards, but it may; the final is a decoding of its own.
    """

    def __init__(self, decoding: Decoding, options: RecognitionOptions) -> None:
        self._decoding = decoding
        self._options = options
        self._language = options.language
        self._partial_language = options.language
        self._settled: list[Hypothesis] = []
        self._pending = np.zeros(0, np.float32)
        self._n_decoded = 0
        self._hypothesis = ""
        self._stable = ""
        self._final: Transcript | None = None
        self._n_final = 0

    def feed(self, pcm: Pcm) -> Partial | None:
        """Take more audio; return a hypothesis when enough is new, None otherwise.

        Raises InvalidRequest for NaN or infinity.
        """
        self._append(pcm)
        n_new = len(self._pending) - self._n_decoded
        if n_new < max(LEAST_NEW, LEAST_GROWTH * len(self._pending)) or self._has_nothing_new():
            return None
        self._n_decoded = len(self._pending)
        hypothesis = self._decoding.partial(self._pending, self._options, self._partial_language)
        if hypothesis is None:
            return None
        if len(self._pending) >= LANGUAGE_SURE:
            self._partial_language = hypothesis.language
        self._stable = agreed_prefix(self._hypothesis, hypothesis.text)
        self._hypothesis = hypothesis.text
        settled = [passage.text for passage in self._settled]
        return Partial(
            text=join_passages([*settled, self._hypothesis], hypothesis.language),
            stable=join_passages([*settled, self._stable], hypothesis.language),
        )

    def finish(self, pcm: Pcm) -> Transcript:
        """Take the last audio and transcribe everything from the beginning.

        A transcript made before is returned again when only silence was added to it. Raises
        InvalidRequest for NaN or infinity.
        """
        self._append(pcm)
        if self._final is not None and self._is_quiet_since(self._n_final):
            return self._final
        hypothesis = self._decoding.final(self._pending, self._options, self._language)
        self._n_decoded = self._n_final = len(self._pending)
        passages = self._settled if hypothesis is None else [*self._settled, hypothesis]
        self._hypothesis = self._stable = "" if hypothesis is None else hypothesis.text
        self._final = as_transcript(passages)
        return self._final

    def _append(self, pcm: Pcm) -> None:
        self._pending = np.concatenate([self._pending, require_finite(pcm)])
        while len(self._pending) > MOST_PENDING:
            self._settle(quietest_pause(self._pending, *SETTLED_PIECE))

    def _settle(self, cut: int) -> None:
        """Decode what lies before the sample `cut` for the last time, and let go of its audio."""
        hypothesis = self._decoding.final(self._pending[:cut], self._options, self._language)
        if hypothesis is not None:
            self._settled.append(hypothesis)
            self._language = self._partial_language = hypothesis.language
        self._pending = self._pending[cut:].copy()
        self._n_decoded = 0
        self._hypothesis = self._stable = ""
        self._final = None

    def _has_nothing_new(self) -> bool:
        whole = agreed_prefix(self._hypothesis, self._hypothesis)
        confirmed = whole != "" and self._stable in (whole, self._hypothesis)
        return confirmed and self._is_quiet_since(self._n_decoded)

    def _is_quiet_since(self, n_samples: int) -> bool:
        return is_quiet(self._pending[n_samples:], quiet_level(self._pending[:n_samples]))
