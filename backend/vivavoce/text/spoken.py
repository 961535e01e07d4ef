"""The spoken form of written text: what a voice should read aloud of what a chat model wrote."""

from __future__ import annotations

import html
import logging
import re
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import emoji

from vivavoce.text.language import Language

if TYPE_CHECKING:
    from wetext import Normalizer

MAX_CHARS = 4_000
"""Longest text that is taken at once; far over a clause, and over the limit of the speech API."""

_log = logging.getLogger(__name__)
_normalizing = threading.Lock()

_FENCED = re.compile(r"(```|~~~).*?(?:\1|\Z)", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_IMAGE = re.compile(r"!\[([^\]\n]*)\]\([^()\s]*(?:\s+\"[^\"\n]*\")?\)")
_LINK = re.compile(r"\[([^\]\n]*)\]\([^()\s]*(?:\s+\"[^\"\n]*\")?\)")
_URL = re.compile(
    r"(?:https?://|www\.)(?:www\.)?(?P<domain>[A-Za-z0-9.-]*[A-Za-z0-9])"
    r"(?:[^\s<>，。；！？、）】」』”]*[^\s<>，。；！？、）】」』”.,;:!?)\]\"'])?"
)
_TABLE_RULE = re.compile(r"^[ \t|:-]*-{2,}[ \t|:-]*$", re.MULTILINE)
_LINE_MARK = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]+|(?:>[ \t]?)+|[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?|[*_]{3,}[ \t]*$)",
    re.MULTILINE,
)
_EMPHASIS = re.compile(r"(?<!\d)\*+|\*+(?!\d)|~~|`+|(?<!\w)_+|_+(?!\w)")
_ESCAPED = re.compile(r"\\([^\w\s])")
_CELL = re.compile(r"[ \t]*\|[ \t]*")
_LONE_MARKS = re.compile(r"^(?:[\s,.;:!?，。；：！？、…—”’」』》】）)\]]|-(?!\d))+")
_SPEAKABLE = re.compile(r"[^\W_]")
_DIGIT = re.compile(r"\d|[%$€£¥￥℃°]")


def spoken_form(text: str, language: Language) -> str:
    """What of `text` is to be read aloud in `language`; "" when nothing is.

    Markdown loses its marks, code blocks and emoji go, links keep their text and addresses their
    domain, tables become commas. Numbers, dates, money and telephone numbers are written out in
    Chinese; English voices read digits themselves. Only the first MAX_CHARS characters count.
    """
    plain = _without_markup(text[:MAX_CHARS])
    if not _SPEAKABLE.search(plain):
        return ""
    return _chinese_numbers(plain) if language == "zh" and _DIGIT.search(plain) else plain


def warm() -> None:
    """Load what the first Chinese number would otherwise wait for: 0.6 s, 40 MB."""
    spoken_form("3月5日", "zh")


def _without_markup(text: str) -> str:
    text = _FENCED.sub(" ", html.unescape(text))
    text = _IMAGE.sub(r"\1", text)
    text = _LINK.sub(r"\1", text)
    text = _URL.sub(r"\g<domain>", text)
    text = _TAG.sub(" ", text)
    text = _TABLE_RULE.sub("", text)
    text = "\n".join(_row(line) for line in text.splitlines())
    text = _LINE_MARK.sub("", text)
    text = _EMPHASIS.sub("", text)
    text = _ESCAPED.sub(r"\1", text)
    text = emoji.replace_emoji(text, " ")
    text = re.sub(r"\s+", " ", text)
    return _LONE_MARKS.sub("", text).strip()


def _row(line: str) -> str:
    """A line of a table as a list with commas; any other line as it is."""
    if line.count("|") < 2:
        return line
    comma = "，" if re.search(r"[\u4e00-\u9fff]", line) else ", "
    return comma.join(cell for cell in _CELL.split(line.strip()) if cell) + "."


def _chinese_numbers(text: str) -> str:
    try:
        with _normalizing:  # its transducers do not say that threads may share them
            return str(_normalizer().normalize(text))
    except (AssertionError, RuntimeError, ValueError, IndexError, KeyError) as error:
        _log.warning("number normalisation failed on %d characters: %r", len(text), type(error))
        return text


@lru_cache(maxsize=1)
def _normalizer() -> Normalizer:
    from wetext import Normalizer  # here, because importing it loads its transducers

    return Normalizer(lang="zh", operator="tn")
