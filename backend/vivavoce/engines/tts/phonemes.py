"""Chinese, English and mixed text to Kokoro's phonemes."""

from __future__ import annotations

import logging
import re
import tempfile
import warnings

from vivavoce.engines.tts.english import english_g2p
from vivavoce.text.language import HAN

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # their sources warn when they are first compiled
    import jieba
    from misaki.zh import ZHG2P

_RUN = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9'’.&+ -]*|[\u3007\u3400-\u4dbf\u4e00-\u9fff]+|.", re.DOTALL
)
_BREAK = re.compile(r"(?<=[.!?;:,—…])\s+")


class Phonemizer:
    """Turns text into phonemes: Chinese words by pinyin, Latin ones by the English lexicon."""

    def __init__(self) -> None:
        jieba.setLogLevel(logging.WARNING)
        # jieba unmarshals a cache from the shared temporary folder, where anyone could have put it
        with tempfile.TemporaryDirectory() as private:
            jieba.dt.tmp_dir = private
            jieba.initialize()
        english_g2p()
        self("准备好了 ready。")

    def __call__(self, text: str) -> str:
        """Phonemes of `text`, punctuation kept; the empty string when nothing has a sound."""
        if not HAN.search(text):
            return str(english_g2p()(text)).strip()
        parts = (self._run(run) for run in _RUN.findall(ZHG2P.map_punctuation(text)))
        spaced = re.sub(r"\s+", " ", "".join(parts)).strip()
        return re.sub(r"\s+([,.;:!?])", r"\1", spaced)

    def _run(self, run: str) -> str:
        if HAN.match(run):
            return str(ZHG2P.legacy_call(run))
        if run[0].isascii() and run[0].isalnum():
            words = run.rstrip(" .-")
            return f" {english_g2p()(words)} {run[len(words) :]}"
        return run


def split_phonemes(phonemes: str, limit: int) -> list[str]:
    """`phonemes` in pieces of at most `limit` characters, at punctuation where there is any."""
    pieces: list[str] = []
    for part in _BREAK.split(phonemes):
        if pieces and len(pieces[-1]) + 1 + len(part) <= limit:
            pieces[-1] += " " + part
            continue
        while len(part) > limit:
            space = part.rfind(" ", 1, limit)
            cut = space if space > 0 else limit
            pieces.append(part[:cut])
            part = part[cut:].lstrip()
        pieces.append(part)
    return [piece for piece in pieces if piece.strip()]
