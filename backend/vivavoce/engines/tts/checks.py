"""What every synthesizer asks of a request before it speaks."""

from __future__ import annotations

from collections.abc import Sequence

from vivavoce.engines.interfaces import SpeechOptions, Voice
from vivavoce.errors import InvalidRequest, NotFound, TooLarge

MAX_TEXT_CHARS = 4_096
_SLOWEST, _FASTEST = 0.25, 4.0


def require_speakable(text: str, options: SpeechOptions, voices: Sequence[Voice]) -> None:
    """Raises TooLarge, InvalidRequest (speed) or NotFound (voice) for what cannot be spoken."""
    if len(text) > MAX_TEXT_CHARS:
        raise TooLarge(
            f"text has {len(text)} characters; at most {MAX_TEXT_CHARS} at once", param="input"
        )
    if not _SLOWEST <= options.speed <= _FASTEST:
        raise InvalidRequest(
            f"speed is {options.speed}; it must be from {_SLOWEST} to {_FASTEST}", param="speed"
        )
    known = [voice.id for voice in voices]
    if options.voice is not None and options.voice not in known:
        raise NotFound(f"no voice {options.voice!r}; there are {', '.join(known)}", param="voice")
