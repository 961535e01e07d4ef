"""Which of the two spoken languages a piece of text is in, told by its script."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["zh", "en"]

HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
"""One Chinese character."""

_LETTER = re.compile(r"[^\W\d_]")


def language_of(text: str, default: Language = "en") -> Language:
    """The language that `text` should be spoken in.

    Chinese as soon as there is one Chinese character, since only a Chinese voice can read it;
    English when there are other letters; `default` when there is nothing to go by, as in "3.14".
    """
    if HAN.search(text):
        return "zh"
    return "en" if _LETTER.search(text) else default
