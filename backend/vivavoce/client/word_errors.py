"""How far a transcript is from what was said: in words, in characters where those are Chinese."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff_]+(?:'[^\W_]+)*")


@dataclass(frozen=True, slots=True)
class WordErrors:
    """errors: insertions, deletions and substitutions. words: of the reference."""

    errors: int
    words: int

    @property
    def rate(self) -> float:
        """0 is perfect; above 1 where more was added than was said."""
        return self.errors / self.words if self.words else float(self.errors > 0)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.errors + other.errors, self.words + other.words)


def word_errors(said: str, understood: str) -> WordErrors:
    """Compare two texts by words, without punctuation and case."""
    reference, hypothesis = _tokens(said), _tokens(understood)
    return WordErrors(_edit_distance(reference, hypothesis), len(reference))


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower().replace("’", "'"))


def _edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Levenshtein's, a row at a time."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, found in enumerate(hypothesis, 1):
            substituted = diagonal + (expected != found)
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, substituted)
    return row[-1]
