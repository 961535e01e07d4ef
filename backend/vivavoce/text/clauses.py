"""Cuts a reply into clauses while the chat model is still writing it.

The first clause goes out as early as it makes sense to start speaking: at a comma once there are a
few words, or at a sentence end of any length. Later ones are whole sentences, or end at a comma
when they have grown long. All clauses together are exactly the text that was pushed, because the
ledger maps audio back to text. Where the cuts fall does not depend on how the text was chopped up
into deltas.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import sentencex

from vivavoce.text.language import HAN, language_of

_ENDS = frozenset(".!?。！？")
_PAUSES = frozenset(",;:，、；：…—")
_FULL_WIDTH = frozenset("。，；：")
"""Marks that end their clause at once; after 、！？… more of the same often follows."""
_CLOSERS = frozenset("\"'”’」』》】）)]}*_`")
_OPENERS = {"(": ")", "[": "]", "（": "）", "【": "】"}
_QUOTES = {"“": "”", "「": "」", "『": "』", "《": "》"}
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_LIST_MARK = re.compile(r"(?:^|\n)[ \t]*(?:\d{1,3}|[A-Za-z])\.\s*$")
_PHRASE = re.compile(
    r"(?<=\s)(?:and|but|because|which|that|who|so|or|when|while|if|although|though|since|where|how"
    r"|is|are|was|were|can|will|would|should|has|have|to|of|for|with|about|from|by|in|on|at|as|like"
    r"|into|such|than)(?=\s)"
    r"|但是|不过|因为|所以|而且|然后|如果|虽然|并且|或者|同时|另外|以及|比如|例如|因此|还有|可以|应该"
    r"|需要|能够|通过|关于|为了|这样",
    re.IGNORECASE,
)
_FENCE = "```"
_MAX_FENCE_CHARS = 16_000
_MAX_LOOK_BACK = 400
"""Characters that sentencex gets to see: more than any clause has."""


@dataclass(frozen=True, slots=True)
class ClauseLimits:
    """How long a clause should be. Words are of alphabetic scripts, chars are Chinese ones.

    first_min: what must precede a comma that ends the first clause. first_open: after this much
    without any mark the first clause may end before the beginning of a phrase. later_min: the same
    as first_min for the clauses that follow. max: hard caps, of Chinese and of other characters.
    """

    first_min_words: int = 3
    first_min_chars: int = 2
    first_open_words: int = 4
    first_open_chars: int = 8
    later_min_words: int = 20
    later_min_chars: int = 12
    max_chars: int = 200
    max_han: int = 40


class ClauseSplitter:
    """Splits one reply; make a new one for the next."""

    def __init__(self, limits: ClauseLimits | None = None) -> None:
        self._limits = limits or ClauseLimits()
        self._held = ""
        self._first = True

    def push(self, delta: str) -> list[str]:
        """Take more text; return the clauses that it completed, in order."""
        clauses = []
        for char in delta:
            self._held += char
            cut = self._cut()
            if cut:
                clauses.append(self._held[:cut])
                self._held = self._held[cut:]
                self._first = False
        return clauses

    def flush(self) -> list[str]:
        """The text is complete: return what is left, if anything."""
        rest, self._held = self._held, ""
        return [rest] if rest else []

    def _cut(self) -> int:
        """Where to cut what is held, 0 for nowhere yet; called after every character."""
        held = self._held
        if held.count(_FENCE) % 2 and len(held) < _MAX_FENCE_CHARS:
            return 0  # a code block is dropped as a whole, so it has to stay whole
        cut = self._cut_at_mark() or self._cut_at_phrase()
        if cut and _WORD.search(held, 0, cut):  # marks alone join the clause that follows
            return cut
        return self._cut_at_cap()

    # ── at punctuation ────────────────────────────────────────────────────────────────────────

    def _cut_at_mark(self) -> int:
        """A mark counts once the next visible character shows what it meant: "3." or "3.14"."""
        held = self._held
        if held[-1] in _FULL_WIDTH and not held[-2:-1].isdigit() and not _is_open(held, _QUOTES):
            cut = len(held)  # nothing that follows could change its meaning
        elif held[-1].isspace() or held[-1] in _CLOSERS or held[-1] in _ENDS | _PAUSES:
            return 0
        else:
            cut = len(held) - 1
        before = held[:cut]
        said = before.rstrip()
        gap = before[len(said) :]
        if "\n" in gap:
            return cut
        said = said.rstrip("".join(_CLOSERS))
        mark = said[-1:]
        if mark not in _ENDS | _PAUSES or not mark or _is_open(before, _OPENERS):
            return 0
        if mark.isascii() and not gap and not HAN.match(said[-2:-1]):
            return 0  # 3.14, 1,234, 9:30, example.com
        if mark in _PAUSES or said.endswith(".."):
            return cut if self._enough(said) else 0
        return cut if mark != "." or _ends_sentence(held, cut) else 0

    def _enough(self, text: str) -> bool:
        limits = self._limits
        if self._first:
            return _measure(text, limits.first_min_words, limits.first_min_chars) >= 1
        return _measure(text, limits.later_min_words, limits.later_min_chars) >= 1

    # ── without punctuation ───────────────────────────────────────────────────────────────────

    def _cut_at_phrase(self) -> int:
        held, limits = self._held, self._limits
        if not self._first or _is_open(held, _OPENERS):
            return 0
        if _measure(held, limits.first_open_words, limits.first_open_chars) < 1:
            return 0
        starts = [m.start() for m in _PHRASE.finditer(held)]
        return max((start for start in starts if self._enough(held[:start])), default=0)

    def _cut_at_cap(self) -> int:
        """Over the cap, cut at the best place there is: a comma, a space, any Chinese character.

        A single word as long as two clauses, such as an address, is cut anywhere.
        """
        held, limits = self._held, self._limits
        n_han = len(HAN.findall(held))
        fill = n_han / limits.max_han + (len(held) - n_han) / limits.max_chars
        if fill <= 1:
            return 0
        backwards = range(len(held) - 1, 0, -1)
        for places in (
            (i for i in backwards if i > len(held) // 3 and _is_free_comma(held, i)),
            (i for i in backwards if held[i - 1].isspace()),
            (i for i in backwards if HAN.search(held, i - 1, i + 1)),
        ):
            cut = next((i for i in places if not held[i].isspace()), 0)
            if cut:
                return cut
        last = len(held) - 1
        return last if fill >= 2 and not _continues(held, last) else 0


def _measure(text: str, words: int, han: int) -> float:
    """Length of `text`, 1.0 for so many words, or so many Chinese characters, or any mixture."""
    without_han = HAN.sub(" ", text)
    return len(_WORD.findall(without_han)) / words + len(HAN.findall(text)) / han


def _is_open(text: str, pairs: dict[str, str]) -> bool:
    return any(text.count(opener) > text.count(closer) for opener, closer in pairs.items())


def _ends_sentence(held: str, cut: int) -> bool:
    """Whether the full stop before `cut` ends a sentence, not an abbreviation or a list's "1."."""
    if _LIST_MARK.search(held, 0, cut):
        return False
    start = max(held.rfind("\n", 0, cut) + 1, cut - _MAX_LOOK_BACK)
    text = held[start:]
    position = start
    for sentence in sentencex.segment(language_of(text), text):
        position += len(sentence)
        if cut - 2 <= position <= cut:  # it puts emphasis that closes a sentence with the next
            return True
    return False


def _is_free_comma(text: str, i: int) -> bool:
    """Whether a pause ends before `i` that is not part of a number or a time."""
    mark = text[i - 1]
    if mark.isspace():
        return text[:i].rstrip()[-1:] in _ENDS | _PAUSES
    return mark in _ENDS | _PAUSES and not mark.isascii() and not text[i].isdigit()


def _continues(text: str, i: int) -> bool:
    """Whether the character at `i` belongs to the one before it, as in composed emoji."""
    joined = "\u200d" in text[i - 1 : i + 1] or "\ufe00" <= text[i] <= "\ufe0f"
    return joined or unicodedata.combining(text[i]) > 0 or "\U0001f3fb" <= text[i] <= "\U0001f3ff"
