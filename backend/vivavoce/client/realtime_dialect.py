"""`/v1/realtime` from the client's side: as much of OpenAI's protocol as a conversation needs."""

from __future__ import annotations

import base64
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


class RealtimeDialect:
    """A stock client's way of talking: 24 kHz in base64, the server finds the turns.

    It also asks for receipts, which other servers than ours ignore.
    """

    path = "/v1/realtime?model=vivavoce"
    input_rate = OUTPUT_RATE

    def opening(self, wishes: Wishes) -> Iterator[Frame]:
        pcm = {"type": "audio/pcm", "rate": OUTPUT_RATE}
        transcription = {"model": "whisper-1"}
        if wishes.language is not None:
            transcription["language"] = wishes.language
        detection: dict[str, object] = {"type": "semantic_vad"}
        if wishes.silence_ms is not None:
            detection = {"type": "server_vad", "silence_duration_ms": wishes.silence_ms}
        output: dict[str, object] = {"format": pcm}
        if wishes.voice is not None:
            output["voice"] = wishes.voice
        session: dict[str, object] = {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": pcm,
                    "transcription": transcription,
                    "turn_detection": detection,
                },
                "output": output,
            },
            "vivavoce": {"events": True},
        }
        if wishes.instructions is not None:
            session["instructions"] = wishes.instructions
        yield json.dumps({"type": "session.update", "session": session})

    def audio(self, pcm: Pcm) -> Frame:
        data = base64.b64encode(encode_s16le(pcm)).decode("ascii")
        return f'{{"type":"input_audio_buffer.append","audio":"{data}"}}'

    def heard(self, reply_id: str, item_id: str, played_ms: int, *, stopped: bool) -> Frame | None:
        if not stopped:
            return None
        return json.dumps(
            {
                "type": "conversation.item.truncate",
                "item_id": item_id,
                "content_index": 0,
                "audio_end_ms": played_ms,
            }
        )

    def decode(self, frame: Frame) -> Iterator[ServerEvent]:
        message = json.loads(frame)
        read = _READERS.get(message.get("type"))
        if read is not None:
            yield read(message)


def _audio(message: Message) -> ServerEvent:
    pcm = decode_s16le(base64.b64decode(message["delta"]))
    return ReplyAudio(message["response_id"], pcm, message["item_id"])


def _ended(message: Message) -> ServerEvent:
    response = message["response"]
    details = response.get("status_details") or {}
    error = details.get("error") or {}
    return ReplyEnded(response["id"], response["status"], error.get("message"))


def _transcript_failed(message: Message) -> ServerEvent:
    return ServerError(message["error"]["code"], message["error"]["message"])


_READERS: Mapping[str, Callable[[Message], ServerEvent]] = {
    "session.updated": lambda _: Ready(),
    "input_audio_buffer.speech_started": lambda _: SpeechStarted(),
    "input_audio_buffer.speech_stopped": lambda _: SpeechStopped(),
    "vivavoce.partial": lambda message: Words(message["text"], final=False),
    "conversation.item.input_audio_transcription.completed": lambda message: Words(
        message["transcript"], final=True
    ),
    "conversation.item.input_audio_transcription.failed": _transcript_failed,
    "response.created": lambda message: ReplyStarted(message["response"]["id"]),
    "response.output_audio_transcript.delta": lambda message: ReplyText(
        message["response_id"], message["delta"]
    ),
    "response.output_audio.delta": _audio,
    "response.done": _ended,
    "vivavoce.receipt": lambda message: Receipt(message["response_id"], message["stages"]),
    "error": lambda message: ServerError(
        message["error"].get("code") or "error", message["error"]["message"]
    ),
}
