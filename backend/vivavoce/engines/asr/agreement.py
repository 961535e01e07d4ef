"""Which part of a growing hypothesis will not change any more (LocalAgreement-2)."""

from __future__ import annotations

import re
from itertools import takewhile

_UNITS = re.compile(r"\s*(?:[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+)")
"""A word with the space before it, or one Chinese or Japanese character."""


def agreed_prefix(previous: str, current: str) -> str:
    """Return the prefix of `current` on which it agrees with the hypothesis before.

    Words are compared without case and punctuation, characters of unspaced scripts one by one.
    Punctuation at the end is left out: it belongs to what follows.
    """
    before, now = _UNITS.findall(previous), _UNITS.findall(current)
    pairs = zip(before, now, strict=False)
    n_agreed = sum(1 for _ in takewhile(lambda pair: _core(pair[0]) == _core(pair[1]), pairs))
    return re.sub(r"[\W_]+$", "", "".join(now[:n_agreed]))


def _core(unit: str) -> str:
    return re.sub(r"[\W_]", "", unit).lower()
