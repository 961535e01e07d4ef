"""Whisper in CTranslate2: spectrogram in, one hypothesis out."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
import numpy as np
import tokenizers
from numpy.typing import NDArray

from vivavoce.errors import InvalidRequest, WeightsUnavailable

_MOST_PROMPT_TOKENS = 160
"""Of 448 positions; half are the model's limit for a transcript."""

_TOKENS_PER_SECOND = 8
_TOKENS_PER_SECOND_UNSPACED = 11
_LEAST_TOKENS = 12
_MOST_TOKENS = 224


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What one decoding found.

    avg_logprob: mean log probability of its tokens. no_speech: probability in [0, 1].
    capped: it was cut off at the number of tokens that speech of this length can have.
    """

    text: str
    language: str
    avg_logprob: float
    no_speech: float
    capped: bool

    @property
    def confidence(self) -> float:
        return min(1.0, math.exp(self.avg_logprob))


class WhisperModel:
    """Weights and tokenizer; keeps nothing between calls, so threads may share it.

    model_path: folder with `model.bin` as CTranslate2 writes it, and `tokenizer.json`.
    """

    def __init__(
        self, model_path: Path, *, threads: int, inter_threads: int, compute_type: str
    ) -> None:
        for name in ("model.bin", "config.json", "tokenizer.json"):
            if not (model_path / name).is_file():
                raise WeightsUnavailable(f"the Whisper model has no {name} in {model_path}")
        self._model = ctranslate2.models.Whisper(
            str(model_path),
            device="cpu",
            compute_type=compute_type,
            intra_threads=threads,
            inter_threads=inter_threads,
        )
        self._tokenizer = tokenizers.Tokenizer.from_file(str(model_path / "tokenizer.json"))
        self._end_of_text = self._token("endoftext")
        self._languages = self._known_languages()
        self.n_mels: int = self._model.n_mels
        self.multilingual: bool = self._model.is_multilingual

    def encode(self, window: NDArray[np.float32]) -> ctranslate2.StorageView:
        """Encode a spectrogram, float32 [n_mels, frames], for the methods below."""
        features = np.ascontiguousarray(window[None])
        return self._model.encode(ctranslate2.StorageView.from_array(features))

    def detect_language(self, encoded: ctranslate2.StorageView, among: Sequence[str]) -> str:
        """Return the most probable language, of `among` unless that is empty."""
        if not self.multilingual:
            return "en"
        ranking = self._model.detect_language(encoded)[0]
        ranked: list[str] = [token.strip("<|>") for token, _ in ranking]
        return next((code for code in ranked if not among or code in among), ranked[0])

    def require_language(self, language: str) -> None:
        """Raise InvalidRequest when the model does not know the language (ISO 639-1)."""
        if language not in self._languages:
            raise InvalidRequest(
                f"this model does not recognise the language {language!r};"
                " a language is given by its ISO 639-1 code, such as 'en' or 'zh'",
                code="invalid_language",
                param="language",
            )

    def decode(
        self,
        encoded: ctranslate2.StorageView,
        language: str,
        prompt: str,
        seconds: float,
        *,
        spaced: bool,
    ) -> Hypothesis:
        """Find the most probable text, greedily.

        prompt: text that precedes the audio. seconds: how long the audio itself is; with
        `spaced` (whether words are written apart) it bounds the number of tokens.
        """
        tokens = [*self._prompt_tokens(prompt), *self._start_tokens(language)]
        rate = _TOKENS_PER_SECOND if spaced else _TOKENS_PER_SECOND_UNSPACED
        limit = min(_MOST_TOKENS, _LEAST_TOKENS + int(seconds * rate))
        result = self._model.generate(
            encoded,
            [tokens],
            beam_size=1,
            # CTranslate2 stops at half of this number, or at this number with the prompt.
            max_length=max(2 * limit, limit + len(tokens)),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        ids = [token for token in result.sequences_ids[0] if token < self._end_of_text]
        return Hypothesis(
            text=self._tokenizer.decode(ids).strip(),
            language=language,
            avg_logprob=result.scores[0],
            no_speech=result.no_speech_prob,
            capped=len(result.sequences_ids[0]) >= limit,
        )

    def _prompt_tokens(self, prompt: str) -> list[int]:
        if not prompt:
            return []
        ids = self._tokenizer.encode(" " + prompt, add_special_tokens=False).ids
        return [self._token("startofprev"), *ids[-_MOST_PROMPT_TOKENS:]]

    def _start_tokens(self, language: str) -> list[int]:
        names = ["startoftranscript"]
        if self.multilingual:
            names += [language, "transcribe"]
        return [self._token(name) for name in [*names, "notimestamps"]]

    def _known_languages(self) -> frozenset[str]:
        """The codes that the tokenizer writes as `<|en|>`, of two letters (or `haw`, `yue`)."""
        if not self._model.is_multilingual:
            return frozenset({"en"})
        tokens = self._tokenizer.get_vocab(with_added_tokens=True)
        return frozenset(
            match[1] for match in map(re.compile(r"<\|([a-z]{2,3})\|>").fullmatch, tokens) if match
        )

    def _token(self, name: str) -> int:
        token: int | None = self._tokenizer.token_to_id(f"<|{name}|>")
        if token is None:
            raise WeightsUnavailable(f"the Whisper tokenizer has no token <|{name}|>")
        return token
