"""`/v1/voice` from the client's side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vivavoce.audio.pcm import Pcm, decode_s16le, encode_s16le
from vivavoce.client.dialect import OUTPUT_RATE, Frame, Wishes
from vivavoce.client.events import (
    Ready,
    Receipt,
    ReplyAudio,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    ServerError,
    ServerEvent,
    SpeechStarted,
    SpeechStopped,
    Words,
)

Message = Mapping[str, Any]


class VoiceDialect:
    """The minimal protocol: binary audio both ways, JSON for the rest."""

    path = "/v1/voice"
    input_rate = 16_000

    def __init__(self) -> None:
        self._reply_id = ""

    def opening(self, wishes: Wishes) -> Iterator[Frame]:
        config: dict[str, object] = {
            "type": "config",
            "output": "binary",
            "sample_rate": OUTPUT_RATE,
            "language": wishes.language,
            "voice": wishes.voice,
            "instructions": wishes.instructions,
            "silence_ms": wishes.silence_ms,
        }
        yield json.dumps({name: value for name, value in config.items() if value is not None})

    def audio(self, pcm: Pcm) -> Frame:
        return encode_s16le(pcm)

    def heard(self, reply_id: str, item_id: str, played_ms: int, *, stopped: bool) -> Frame | None:
        return json.dumps({"type": "played", "response": reply_id, "ms": played_ms})

    def decode(self, frame: Frame) -> Iterator[ServerEvent]:
        if isinstance(frame, bytes):
            yield ReplyAudio(self._reply_id, decode_s16le(frame))
            return
        message = json.loads(frame)
        if message.get("type") == "response" and message["state"] == "started":
            # Binary frames bear no name; they belong to the reply that has started last.
            self._reply_id = message["id"]
        read = _READERS.get(message.get("type"))
        if read is not None:
            yield read(message)


def _speech(message: Message) -> ServerEvent:
    return SpeechStarted() if message["state"] == "started" else SpeechStopped()


def _response(message: Message) -> ServerEvent:
    if message["state"] == "started":
        return ReplyStarted(message["id"])
    return ReplyEnded(message["id"], message["state"])


_READERS: Mapping[str, Callable[[Message], ServerEvent]] = {
    "ready": lambda message: Ready(message.get("models", {})),
    "speech": _speech,
    "transcript": lambda message: Words(message["text"], message["final"]),
    "response": _response,
    "text": lambda message: ReplyText(message["response"], message["text"]),
    "receipt": lambda message: Receipt(message["response"], message["stages"]),
    "error": lambda message: ServerError(message["code"], message["message"]),
}
