"""`/v1/voice`: the minimal protocol, small enough for `wscat`, scripts and microcontrollers.

In: binary frames are 16 kHz s16le mono PCM; text frames are JSON objects with a `type`, or bare
text, which is said to the assistant. Out: JSON text frames, and audio as binary frames.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Literal, cast

import numpy as np

from vivavoce.audio.pcm import decode_s16le, encode_s16le
from vivavoce.audio.resample import Resampler
from vivavoce.conversation import events as ev
from vivavoce.conversation.commands import (
    ClearOutput,
    Command,
    CommitInput,
    Configure,
    CreateItem,
    CreateResponse,
    Reject,
    ReportPlayback,
)
from vivavoce.conversation.items import Item, new_id
from vivavoce.conversation.options import SessionOptions, TurnOptions
from vivavoce.engines.interfaces import SAMPLE_RATE, Pcm
from vivavoce.errors import InvalidRequest, VivavoceError
from vivavoce.protocols.audio_input import appends
from vivavoce.protocols.fields import Fields, JsonObject, parse_object
from vivavoce.protocols.tools import tools_of

Output = Literal["binary", "base64", "none"]
SAMPLE_RATES = (16_000, 24_000, 48_000)
MAX_TEXT = 100_000


class VoiceCodec:
    """One client's dialect. Until `config` says otherwise replies are spoken to clients that have
    sent audio themselves, and only written to those that type.

    sample_rate: Hz of the audio in AudioDelta. models: shown in `ready`.
    """

    def __init__(
        self, options: SessionOptions, sample_rate: int, models: Mapping[str, str]
    ) -> None:
        self._options = replace(options, audio_output=False)
        self._rate = sample_rate
        self._models = models
        self._output: Output = "binary"
        self._output_rate = 24_000
        self._output_chosen = False
        self._resamplers: dict[str, Resampler] = {}
        self._calls: set[str] = set()

    @property
    def options(self) -> SessionOptions:
        """What the session starts with."""
        return self._options

    # ── from the client ───────────────────────────────────────────────────────────────────────

    def decode(self, frame: str | bytes) -> Iterator[Command]:
        try:
            if isinstance(frame, bytes):
                yield from self._hear(frame)
            elif frame.lstrip().startswith("{"):
                message = Fields(parse_object(frame))
                yield from self._decoder(message)(self, message)
            elif frame.strip():
                yield from self._say(frame.strip())
        except VivavoceError as error:
            yield Reject(error)

    def _decoder(self, message: Fields) -> Callable[[VoiceCodec, Fields], Iterator[Command]]:
        kind = message.text("type")
        if kind not in _DECODERS:
            raise InvalidRequest(
                f"Unknown type {kind[:40]!r}; it must be one of {', '.join(_DECODERS)}.",
                code="unknown_type",
                param="type",
            )
        return _DECODERS[kind]

    def _hear(self, data: bytes) -> Iterator[Command]:
        if not self._output_chosen:
            self._output_chosen = True
            self._options = replace(self._options, audio_output=True)
            yield Configure(self._options)
        yield from appends(data, decode_s16le, SAMPLE_RATE)

    def _say(self, text: str) -> Iterator[Command]:
        yield ClearOutput()
        yield CreateItem(Item(new_id("item"), role="user", text=text[:MAX_TEXT]))
        yield CreateResponse()

    def _config(self, message: Fields) -> Iterator[Command]:
        options = self._options
        turn = options.turn or TurnOptions(silence_ms=None)
        kind = message.optional_text("turn")
        if kind not in (None, "auto", "manual"):
            raise message.wrong("turn", '"auto" or "manual"')
        silence_ms = message.optional_number("silence_ms")
        if silence_ms is not None:
            if not 100 <= silence_ms <= 10_000:
                raise message.wrong("silence_ms", "between 100 and 10000")
            turn = replace(turn, silence_ms=int(silence_ms))
        if kind == "manual":
            options = replace(options, turn=None)
        elif kind == "auto" or options.turn is not None:
            options = replace(options, turn=turn)
        if "language" in message:
            options = replace(options, language=message.optional_text("language"))
        if "voice" in message:
            options = replace(options, voice=message.optional_text("voice"))
        if "instructions" in message:
            instructions = message.optional_text("instructions") or ""
            options = replace(options, instructions=instructions[:MAX_TEXT])
        if "tools" in message:
            options = replace(options, tools=tools_of(message)[1])
        self._options = self._choose_output(message, options)
        yield Configure(self._options)

    def _choose_output(self, message: Fields, options: SessionOptions) -> SessionOptions:
        rate = message.optional_number("sample_rate")
        if rate is not None:
            if rate not in SAMPLE_RATES:
                raise message.wrong("sample_rate", f"one of {', '.join(map(str, SAMPLE_RATES))}")
            self._output_rate = int(rate)
            self._resamplers.clear()
        output = message.optional_text("output")
        if output is None:
            return options
        if output not in ("binary", "base64", "none"):
            raise message.wrong("output", '"binary", "base64" or "none"')
        self._output = cast(Output, output)
        self._output_chosen = True
        return replace(options, audio_output=output != "none")

    def _text(self, message: Fields) -> Iterator[Command]:
        text = message.text("text").strip()
        if not text:
            raise message.wrong("text", "something to say")
        yield from self._say(text)

    def _commit(self, message: Fields) -> Iterator[Command]:
        yield CommitInput(respond=True)

    def _cancel(self, message: Fields) -> Iterator[Command]:
        """Stop talking: the reply under way, and what of it has not been heard yet."""
        yield ClearOutput()

    def _played(self, message: Fields) -> Iterator[Command]:
        yield ReportPlayback(message.text("response"), message.integer("ms"))

    def _tool_result(self, message: Fields) -> Iterator[Command]:
        """The reply goes on once every function that it called has returned."""
        call_id, output = message.text("id"), message.text("output")[:MAX_TEXT]
        yield CreateItem(
            Item(new_id("item"), "function_call_output", call_id=call_id, output=output)
        )
        self._calls.discard(call_id)
        if not self._calls:
            yield CreateResponse()

    # ── to the client ─────────────────────────────────────────────────────────────────────────

    def encode(self, event: ev.Event) -> Iterator[str | bytes]:
        if isinstance(event, ev.AudioDelta):
            yield from self._audio(event)
            return
        if isinstance(event, ev.ContentDone):
            yield from self._last_audio(event)
            return
        for message in self._messages(event):
            yield json.dumps(message, ensure_ascii=False)

    def _messages(self, event: ev.Event) -> Iterator[JsonObject]:
        match event:
            case ev.SessionStarted(session_id=session_id):
                yield {
                    "type": "ready",
                    "session": session_id,
                    "sample_rate": self._output_rate,
                    "models": dict(self._models),
                }
            case ev.SpeechStarted(at_ms=at_ms):
                yield {"type": "speech", "state": "started", "at_ms": at_ms}
            case ev.SpeechStopped(at_ms=at_ms):
                yield {"type": "speech", "state": "stopped", "at_ms": at_ms}
            case ev.TranscriptPartial(guess=guess):
                yield {"type": "transcript", "text": guess, "final": False}
            case ev.TranscriptFinal(text=text):
                yield {"type": "transcript", "text": text, "final": True}
            case ev.ResponseStarted(response=response):
                self._calls.clear()
                yield {"type": "response", "id": response.id, "state": "started"}
            case ev.TextDelta(response_id=response_id, text=text):
                yield {"type": "text", "response": response_id, "text": text}
            case ev.OutputItemStarted(item=item) if item.kind == "function_call":
                self._calls.add(item.call_id)
            case ev.ArgumentsDone(item=item) if item.status == "completed":
                yield {
                    "type": "tool_call",
                    "id": item.call_id,
                    "name": item.name,
                    "arguments": item.arguments,
                }
            case ev.ResponseDone(response=response):
                yield from self._response_done(response)
            case ev.ReplyHeard(response_id=response_id, text=text, audio_ms=audio_ms):
                yield {"type": "heard", "response": response_id, "text": text, "ms": audio_ms}
            case ev.TurnReceipt(response_id=response_id, stages=stages):
                yield {"type": "receipt", "response": response_id, "stages": dict(stages)}
            case ev.TranscriptFailed(error=error) | ev.Failure(error=error):
                yield _error(error)
            case _:
                pass

    def _response_done(self, response: ev.ResponseSnapshot) -> Iterator[JsonObject]:
        state = "completed" if response.status == "incomplete" else response.status
        yield {"type": "response", "id": response.id, "state": state}
        if response.error is not None:
            yield _error(response.error)

    def _audio(self, event: ev.AudioDelta) -> Iterator[str | bytes]:
        pcm: Pcm = event.pcm
        if self._output_rate != self._rate:
            resampler = self._resamplers.get(event.item_id)
            if resampler is None:
                resampler = Resampler(self._rate, self._output_rate)
                self._resamplers[event.item_id] = resampler
            pcm = resampler.process(pcm)
        yield from self._audio_frame(event.response_id, pcm)

    def _last_audio(self, event: ev.ContentDone) -> Iterator[str | bytes]:
        """What the resampler has held back."""
        resampler = self._resamplers.pop(event.item_id, None)
        if resampler is not None and not event.cut:
            rest = resampler.process(np.zeros(0, np.float32), last=True)
            yield from self._audio_frame(event.response_id, rest)

    def _audio_frame(self, response_id: str, pcm: Pcm) -> Iterator[str | bytes]:
        if not len(pcm):
            return
        data = encode_s16le(pcm)
        if self._output == "base64":
            audio = base64.b64encode(data).decode("ascii")
            yield json.dumps({"type": "audio", "response": response_id, "audio": audio})
        else:
            yield data


def _error(error: VivavoceError) -> JsonObject:
    return {"type": "error", "code": error.code, "message": error.message}


_DECODERS: Mapping[str, Callable[[VoiceCodec, Fields], Iterator[Command]]] = {
    "config": VoiceCodec._config,
    "text": VoiceCodec._text,
    "commit": VoiceCodec._commit,
    "cancel": VoiceCodec._cancel,
    "played": VoiceCodec._played,
    "tool_result": VoiceCodec._tool_result,
}
