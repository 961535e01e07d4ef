"""A client's audio of any length, as appends of about a second.

A session takes one command at a time, so a long one would hold up everything behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vivavoce.conversation.commands import AppendAudio
from vivavoce.engines.interfaces import Pcm
from vivavoce.protocols.fields import decode_base64

PIECE_BYTES = 48 * 1024
"""A second of PCM at 24 kHz. Whole samples, and 65,536 characters of base64, no padding."""

Decode = Callable[[bytes], Pcm]


def appends(data: bytes, decode: Decode, rate: int) -> Iterator[AppendAudio]:
    """decode: bytes to samples at `rate` Hz. Raises what it raises, for the piece at fault."""
    for start in range(0, len(data), PIECE_BYTES):
        yield AppendAudio(decode(data[start : start + PIECE_BYTES]), rate)


def base64_appends(
    text: str, param: str, decode: Decode, rate: int, cause: str | None
) -> Iterator[AppendAudio]:
    """The same for base64; raises InvalidRequest for what is none."""
    piece = PIECE_BYTES * 4 // 3
    for start in range(0, len(text), piece):
        data = decode_base64(text[start : start + piece], param)
        yield AppendAudio(decode(data), rate, cause)
