"""Which samples of a reply carry which of its words."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HAN = "\u3400-\u9fff\uf900-\ufaff"
_UNIT = re.compile(rf"[{_HAN}]|[^\s{_HAN}]+")
"""What is heard as a whole: a Chinese character, or a run without spaces."""

_CHARACTER_MS = 60
"""How long a voice takes for a character, until this voice has spoken a whole clause."""
_HAN_CHARACTER = re.compile(rf"[{_HAN}]")
_HAN_WEIGHT = 4
"""Other characters that take as long to speak as one Chinese character."""


@dataclass(slots=True)
class Span:
    """A clause and the samples that speak it; `end` moves until it is complete."""

    text: str
    start: int
    end: int
    complete: bool = False


class Ledger:
    """Maps the audio of one item to its text: exact at clause bounds, proportional inside.

    sample_rate: Hz of the audio that is counted.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._spans: list[Span] = []

    @property
    def n_samples(self) -> int:
        return self._spans[-1].end if self._spans else 0

    @property
    def duration_ms(self) -> int:
        return self.n_samples * 1000 // self._rate

    @property
    def complete(self) -> bool:
        """Whether all its clauses have all of their audio."""
        return not self._spans or self._spans[-1].complete

    @property
    def text(self) -> str:
        return "".join(span.text for span in self._spans)

    def add(self, n_samples: int, clause: str | None = None, *, complete: bool = False) -> None:
        """More audio: of the clause begun last, or the first of a new `clause`.

        All clauses together are the reply's text. One that nothing speaks (an emoji, say) has no
        samples, and counts as heard with what comes before it. complete: the clause ends here.
        """
        if clause is not None:
            self._spans.append(Span(clause, self.n_samples, self.n_samples))
        span = self._spans[-1]
        span.end += n_samples
        span.complete = complete

    def heard(self, audio_ms: int) -> str:
        """The words that were heard when playback stopped after `audio_ms` of this item."""
        position = audio_ms * self._rate // 1000
        text = ""
        for span in self._spans:
            end = self._expected_end(span)
            if position < end:
                if position <= span.start:
                    return text
                return text + _prefix(span.text, (position - span.start) / (end - span.start))
            text += span.text
        return text

    def _expected_end(self, span: Span) -> int:
        """Where a clause will end of which only the first audio is here."""
        if span.complete:
            return span.end
        known = [other for other in self._spans if other.complete and other.end > other.start]
        n_samples = sum(other.end - other.start for other in known)
        weight = sum(_weight(other.text) for other in known)
        pace = n_samples / weight if weight else self._rate * _CHARACTER_MS / 1000
        return max(span.end, span.start + round(pace * _weight(span.text)))


def _weight(text: str) -> int:
    """How long `text` takes to speak, in characters that are not Chinese."""
    return len(text) + (_HAN_WEIGHT - 1) * len(_HAN_CHARACTER.findall(text))


def _prefix(text: str, share: float) -> str:
    """The units of `text` of which at least half lies within its first `share` of characters."""
    limit = len(text) * share
    end = 0
    for unit in _UNIT.finditer(text):
        if (unit.start() + unit.end()) / 2 > limit:
            break
        end = unit.end()
    return text[:end]
