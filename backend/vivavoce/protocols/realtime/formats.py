"""The audio formats of the Realtime protocol, from bytes to samples and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vivavoce.audio import g711
from vivavoce.audio.pcm import decode_s16le, encode_s16le
from vivavoce.engines.interfaces import Pcm

Encoding = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]

MIN_RATE, MAX_RATE = 8000, 48_000


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """encoding: s16le PCM, G.711 µ-law or A-law. sample_rate: Hz, 8000 for G.711."""

    encoding: Encoding = "audio/pcm"
    sample_rate: int = 24_000

    def decode(self, data: bytes) -> Pcm:
        """Raises InvalidRequest for an odd number of bytes of 16-bit PCM."""
        if self.encoding == "audio/pcmu":
            return g711.decode_ulaw(data)
        if self.encoding == "audio/pcma":
            return g711.decode_alaw(data)
        return decode_s16le(data)

    def encode(self, pcm: Pcm) -> bytes:
        if self.encoding == "audio/pcmu":
            return g711.encode_ulaw(pcm)
        if self.encoding == "audio/pcma":
            return g711.encode_alaw(pcm)
        return encode_s16le(pcm)

    def to_wire(self) -> dict[str, object]:
        if self.encoding == "audio/pcm":
            return {"type": self.encoding, "rate": self.sample_rate}
        return {"type": self.encoding}
