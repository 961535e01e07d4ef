"""Chinese text: simplified script, and whether words are written apart."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import opencc

UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "km", "bo", "yue"})
"""Languages, in ISO 639, whose words follow each other without spaces."""


@cache
def _traditional_to_simplified() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def to_simplified(text: str) -> str:
    """Rewrite traditional characters as simplified ones; everything else stays."""
    simplified: str = _traditional_to_simplified().convert(text)
    return simplified


def is_spaced(language: str | None) -> bool:
    """Whether the language writes spaces between words; taken as true where unknown."""
    return language not in UNSPACED_LANGUAGES


def join_passages(passages: Iterable[str], language: str | None) -> str:
    """Join passages of one speech as the language writes them, empty ones left out."""
    separator = " " if is_spaced(language) else ""
    return separator.join(passage for passage in passages if passage)
