"""English speech from hibari, a 6 M parameter student of Kokoro; its weights are in its wheel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import hibari

from vivavoce.engines.interfaces import Cancellation, Pcm, SpeechOptions, Voice
from vivavoce.engines.tts.checks import require_speakable
from vivavoce.engines.tts.english import english_g2p
from vivavoce.engines.tts.silence import chunks, pause_after, trimmed

_OPEN_END = re.compile(r"[A-Za-z0-9]\s*$")
_VOICES = (Voice("hibari", ("en",), "American English, female"),)


class Hibari:
    """Synthesizer of English at 24 kHz: a sentence in 20-100 ms on one core.

    Chinese characters have no sound here and are left out.
    """

    sample_rate: int = hibari.SAMPLE_RATE

    def __init__(self, threads: int = 1) -> None:
        self._model = hibari.Hibari(threads=threads, g2p=english_g2p())
        self._model("Ready.")

    def voices(self) -> Sequence[Voice]:
        return _VOICES

    def synthesize(
        self, text: str, options: SpeechOptions, cancellation: Cancellation
    ) -> Iterator[Pcm]:
        """Speak `text`, a sentence at a time, in chunks of 160 ms.

        Raises TooLarge, InvalidRequest or NotFound for what it cannot speak.
        """
        require_speakable(text, options, _VOICES)
        for sentence in self._model.split_sentences(text):
            if cancellation.cancelled:
                return
            # A clause that goes on would be spoken as the end of a sentence without a comma.
            said = sentence + "," if _OPEN_END.search(sentence) else sentence
            pcm = self._model(said, speed=options.speed, seed=0)
            speech = trimmed(pcm, self.sample_rate, pause_after(sentence))
            yield from chunks(speech, self.sample_rate, cancellation)
