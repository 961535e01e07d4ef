"""How long to wait in silence before a turn counts as ended, judged by its words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from vivavoce.conversation.options import Eagerness, TurnOptions


class Ending(Enum):
    """What the words so far say about whether the speaker has finished."""

    COMPLETE = "complete"
    UNCLEAR = "unclear"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class _Waits:
    complete_ms: int
    unclear_ms: int
    open_ms: int


_WAITS = {
    Eagerness.HIGH: _Waits(280, 500, 1000),
    Eagerness.MEDIUM: _Waits(360, 700, 1600),
    Eagerness.LOW: _Waits(700, 1500, 3000),
}

_FINAL = re.compile(r"[.!?。！？][\"'”’」』)）]*\s*$")
_TRAILING_OFF = re.compile(r"(\.\.\.|…|[,，、;；:：—–-])\s*$")
_OPEN_ENGLISH = re.compile(
    r"\b(a|an|the|and|or|but|so|because|if|when|while|that|which|who|to|of|in|on|at|for|with|from"
    r"|by|as|than|my|your|his|her|our|their|is|are|was|were|am|um|uh|er|erm|hmm|well|like|i|we)"
    r"\W*$",
    re.IGNORECASE,
)
_OPEN_CHINESE = re.compile(
    r"(和|跟|与|或者|还是|但是|可是|不过|因为|所以|如果|要是|而且|然后|还有|就是|那个|这个|嗯|呃|的话|把|被|在|从|对|给|让)"
    r"[\W_]*$"
)
_OPEN_NUMBER = re.compile(r"\d[\d\s-]*[.。]?\s*$")


def ending_of(transcript: str) -> Ending:
    """Whether `transcript` ends like a finished turn; English and Chinese."""
    text = transcript.strip()
    if not text:
        return Ending.UNCLEAR
    if _TRAILING_OFF.search(text) or _OPEN_ENGLISH.search(text) or _OPEN_CHINESE.search(text):
        return Ending.OPEN
    if _OPEN_NUMBER.search(text):
        return Ending.UNCLEAR
    return Ending.COMPLETE if _FINAL.search(text) else Ending.UNCLEAR


def endpoint_after_ms(options: TurnOptions, transcript: str | None) -> int:
    """Silence that ends the turn; transcript: of the turn so far, None while it is unknown."""
    if options.silence_ms is not None:
        return options.silence_ms
    waits = _WAITS[options.eagerness]
    ending = Ending.UNCLEAR if transcript is None else ending_of(transcript)
    return {
        Ending.COMPLETE: waits.complete_ms,
        Ending.UNCLEAR: waits.unclear_ms,
        Ending.OPEN: waits.open_ms,
    }[ending]
