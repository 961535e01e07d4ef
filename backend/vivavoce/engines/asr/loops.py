"""Recognising that a model has started to repeat itself."""

from __future__ import annotations

import re
import zlib

_COMPRESSES_BY = 2.2
"""Speech compresses less; the same phrase over and over compresses more."""

_WORTH_COMPRESSING = 48
"""Bytes below which the ratio says nothing."""

_UNIT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")


def is_looped(text: str) -> bool:
    """Whether the text repeats itself in a way that nobody speaks.

    True for a very compressible text, for a phrase of four words said twice at the end or
    one word five times, and for a sentence that begins anew after itself.
    """
    raw = text.encode()
    if len(raw) >= _WORTH_COMPRESSING and len(raw) / len(zlib.compress(raw)) > _COMPRESSES_BY:
        return True
    units = _units(text)
    return _ends_in_repetition(units) or _begins_anew(units)


def _units(text: str) -> list[str]:
    """Words, or single characters where a script has no spaces, without case or punctuation."""
    return _UNIT.findall(text.lower())


def _ends_in_repetition(units: list[str]) -> bool:
    for length in range(1, len(units) // 2 + 1):
        phrase = units[-length:]
        copies = max(2, 6 - length)
        if len(units) >= copies * length and units[-copies * length :] == phrase * copies:
            return True
    return False


def _begins_anew(units: list[str], length: int = 4) -> bool:
    beginning = units[:length]
    return any(
        units[start : start + length] == beginning
        for start in range(length, len(units) - length + 1)
    )
