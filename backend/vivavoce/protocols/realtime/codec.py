"""The Realtime protocol as a codec: client events to commands, events to server events."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np

from vivavoce.audio.resample import Resampler
from vivavoce.conversation import events as ev
from vivavoce.conversation.commands import Command, Configure, Reject
from vivavoce.engines.interfaces import Pcm
from vivavoce.errors import InvalidRequest, VivavoceError, openai_error
from vivavoce.protocols.audio_input import appends
from vivavoce.protocols.fields import Fields, JsonObject, parse_object
from vivavoce.protocols.realtime.decoding import commands_of
from vivavoce.protocols.realtime.session_config import RealtimeSession
from vivavoce.protocols.realtime.wire import item_to_wire, response_to_wire

MAX_EVENT_ID = 512
"""Characters of a client's event id that an error repeats."""


class RealtimeCodec:
    """One client's dialect; keeps the effective session and the state of its output audio.

    sample_rate: Hz of the audio in AudioDelta.
    """

    def __init__(self, session: RealtimeSession, sample_rate: int) -> None:
        self._session = session
        self._wanted = session
        self._rate = sample_rate
        self._conversation_id = ""
        self._sequence = count(1)
        self._audio_sent = False
        self._resamplers: dict[str, Resampler] = {}
        self._configuring: deque[RealtimeSession] = deque()
        self._reported: dict[str, str] = {}

    # ── from the client ───────────────────────────────────────────────────────────────────────

    def decode(self, frame: str | bytes) -> Iterator[Command]:
        """A binary frame is audio in the session's input format."""
        cause: str | None = None
        try:
            if isinstance(frame, bytes):
                audio_format = self._wanted.input_format
                yield from appends(frame, audio_format.decode, audio_format.sample_rate)
                return
            event = Fields(parse_object(frame))
            cause = (event.optional_text("event_id") or "")[:MAX_EVENT_ID] or None
            if event.values.get("type") == "session.update":
                yield self._configure(event, cause)
            else:
                yield from commands_of(event, self._wanted, cause)
        except VivavoceError as error:
            yield Reject(error, cause)

    def _configure(self, event: Fields, cause: str | None) -> Command:
        patch = event.optional_object("session")
        if patch is None:
            raise InvalidRequest(
                "session is missing; it must be an object.",
                code="missing_required_parameter",
                param="session",
            )
        self._wanted = self._wanted.update(patch, voice_fixed=self._audio_sent)
        self._configuring.append(self._wanted)
        return Configure(self._wanted.options, cause)

    # ── to the client ─────────────────────────────────────────────────────────────────────────

    def encode(self, event: ev.Event) -> Iterator[str]:
        for body in self._server_events(event):
            body["event_id"] = f"event_{next(self._sequence)}"
            yield json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    def _server_events(self, event: ev.Event) -> Iterator[JsonObject]:
        match event:
            case ev.AudioDelta():
                yield from self._audio(event)
            case ev.TextDelta():
                kind = "output_audio_transcript" if event.audio else "output_text"
                yield _part(event, f"response.{kind}.delta", delta=event.text)
            case ev.ContentStarted(audio=audio):
                part = (
                    {"type": "audio", "transcript": ""} if audio else {"type": "text", "text": ""}
                )
                yield _part(event, "response.content_part.added", part=part)
            case ev.ContentDone():
                yield from self._content_done(event)
            case (
                ev.SessionStarted()
                | ev.Configured()
                | ev.SpeechStarted()
                | ev.SpeechStopped()
                | ev.InputCommitted()
                | ev.InputCleared()
                | ev.IdleTimeout()
                | ev.OutputCleared()
                | ev.Failure()
            ):
                yield from self._session_events(event)
            case ev.TranscriptPartial() | ev.TranscriptFinal() | ev.TranscriptFailed():
                yield from self._transcript(event)
            case ev.TurnReceipt() | ev.ReplyHeard():
                if self._session.extensions:
                    yield _extension(event)
            case ev.SessionEnded():
                pass
            case _:
                yield self._item_or_response(event)

    def _session_events(self, event: ev.Event) -> Iterator[JsonObject]:
        match event:
            case ev.SessionStarted(session_id=session_id, conversation_id=conversation_id):
                self._session = replace(self._session, id=session_id)
                self._conversation_id = conversation_id
                yield {"type": "session.created", "session": self._session.to_wire()}
                conversation = {"id": conversation_id, "object": "realtime.conversation"}
                yield {"type": "conversation.created", "conversation": conversation}
            case ev.Configured():
                self._session = replace(self._configuring.popleft(), id=self._session.id)
                self._resamplers.clear()
                yield {"type": "session.updated", "session": self._session.to_wire()}
            case ev.SpeechStarted(item_id=item_id, at_ms=at_ms):
                yield {
                    "type": "input_audio_buffer.speech_started",
                    "item_id": item_id,
                    "audio_start_ms": at_ms,
                }
            case ev.SpeechStopped(item_id=item_id, at_ms=at_ms):
                yield {
                    "type": "input_audio_buffer.speech_stopped",
                    "item_id": item_id,
                    "audio_end_ms": at_ms,
                }
            case ev.InputCommitted(item_id=item_id, previous_id=previous_id):
                yield {
                    "type": "input_audio_buffer.committed",
                    "item_id": item_id,
                    "previous_item_id": previous_id,
                }
            case ev.InputCleared():
                self._reported.clear()
                yield {"type": "input_audio_buffer.cleared"}
            case ev.IdleTimeout(item_id=item_id, start_ms=start_ms, end_ms=end_ms):
                yield {
                    "type": "input_audio_buffer.timeout_triggered",
                    "item_id": item_id,
                    "audio_start_ms": start_ms,
                    "audio_end_ms": end_ms,
                }
            case ev.OutputCleared(response_id=response_id) if response_id is not None:
                yield {"type": "output_audio_buffer.cleared", "response_id": response_id}
            case ev.Failure(error=error, cause=cause):
                yield {"type": "error", "error": openai_error(error, cause)}

    def _transcript(
        self, event: ev.TranscriptPartial | ev.TranscriptFinal | ev.TranscriptFailed
    ) -> Iterator[JsonObject]:
        if isinstance(event, ev.TranscriptPartial):
            if self._session.extensions:
                yield {
                    "type": "vivavoce.partial",
                    "item_id": event.item_id,
                    "stable": event.text,
                    "text": event.guess,
                }
            if self._session.kind == "transcription" and self._session.transcription:
                yield from self._transcript_delta(event.item_id, event.text)
            return
        if self._session.transcription is None:
            return
        wire: JsonObject = {
            "type": "conversation.item.input_audio_transcription.failed",
            "item_id": event.item_id,
            "content_index": 0,
        }
        if isinstance(event, ev.TranscriptFailed):
            described = openai_error(event.error)
            yield wire | {"error": {k: v for k, v in described.items() if v is not None}}
        else:
            yield from self._transcript_delta(event.item_id, event.text)
            yield wire | {
                "type": "conversation.item.input_audio_transcription.completed",
                "transcript": event.text,
                "usage": {"type": "duration", "seconds": event.audio_ms / 1000},
            }
        self._reported.pop(event.item_id, None)

    def _transcript_delta(self, item_id: str, text: str) -> Iterator[JsonObject]:
        """What has been added since the last delta; nothing where the beginning has changed."""
        before = self._reported.get(item_id, "")
        if len(text) > len(before) and text.startswith(before):
            self._reported[item_id] = text
            yield {
                "type": "conversation.item.input_audio_transcription.delta",
                "item_id": item_id,
                "content_index": 0,
                "delta": text[len(before) :],
            }

    def _item_or_response(self, event: ev.Event) -> JsonObject:
        match event:
            case ev.ItemAdded(item=item, previous_id=previous_id):
                opened = item.status == "in_progress"
                wire = item_to_wire(item, empty=opened)
                return _item("conversation.item.added", wire, previous_id)
            case ev.ItemDone(item=item, previous_id=previous_id):
                return _item("conversation.item.done", item_to_wire(item), previous_id)
            case ev.ItemRetrieved(item=item):
                return {"type": "conversation.item.retrieved", "item": item_to_wire(item)}
            case ev.ItemTruncated(item_id=item_id, audio_ms=audio_ms):
                return {
                    "type": "conversation.item.truncated",
                    "item_id": item_id,
                    "content_index": 0,
                    "audio_end_ms": audio_ms,
                }
            case ev.ItemDeleted(item_id=item_id):
                return {"type": "conversation.item.deleted", "item_id": item_id}
            case ev.ResponseStarted(response=response):
                return {"type": "response.created", "response": self._response(response)}
            case ev.ResponseDone(response=response):
                return {"type": "response.done", "response": self._response(response)}
            case ev.OutputItemStarted(response_id=response_id, index=index, item=item):
                wire = item_to_wire(item, empty=True)
                return _output("response.output_item.added", response_id, index, wire)
            case ev.OutputItemDone(response_id=response_id, index=index, item=item):
                wire = item_to_wire(item)
                return _output("response.output_item.done", response_id, index, wire)
            case ev.ArgumentsDelta():
                return {
                    "type": "response.function_call_arguments.delta",
                    "response_id": event.response_id,
                    "item_id": event.item_id,
                    "output_index": event.index,
                    "call_id": event.call_id,
                    "delta": event.text,
                }
            case ev.ArgumentsDone(response_id=response_id, index=index, item=item):
                return {
                    "type": "response.function_call_arguments.done",
                    "response_id": response_id,
                    "item_id": item.id,
                    "output_index": index,
                    "call_id": item.call_id,
                    "name": item.name,
                    "arguments": item.arguments,
                }
            case _:
                raise TypeError(f"no server event for {type(event).__name__}")

    def _response(self, response: ev.ResponseSnapshot) -> JsonObject:
        session = self._session
        return response_to_wire(
            response, self._conversation_id, session.output_format, session.voice
        )

    # ── audio ─────────────────────────────────────────────────────────────────────────────────

    def _audio(self, event: ev.AudioDelta) -> Iterator[JsonObject]:
        rate = self._session.output_format.sample_rate
        pcm = event.pcm
        if rate != self._rate:
            resampler = self._resamplers.get(event.item_id)
            if resampler is None:
                resampler = self._resamplers[event.item_id] = Resampler(self._rate, rate)
            pcm = resampler.process(pcm)
        if len(pcm):
            yield self._audio_delta(event, pcm)

    def _content_done(self, event: ev.ContentDone) -> Iterator[JsonObject]:
        if not event.audio:
            yield _part(event, "response.output_text.done", text=event.text)
            part = {"type": "text", "text": event.text}
        else:
            resampler = self._resamplers.pop(event.item_id, None)
            if resampler is not None and not event.cut:
                rest = resampler.process(np.zeros(0, np.float32), last=True)
                if len(rest):
                    yield self._audio_delta(event, rest)
            yield _part(event, "response.output_audio.done")
            yield _part(event, "response.output_audio_transcript.done", transcript=event.text)
            part = {"type": "audio", "transcript": event.text}
        yield _part(event, "response.content_part.done", part=part)

    def _audio_delta(self, event: ev.AudioDelta | ev.ContentDone, pcm: Pcm) -> JsonObject:
        self._audio_sent = True
        data = base64.b64encode(self._session.output_format.encode(pcm)).decode("ascii")
        return _part(event, "response.output_audio.delta", delta=data)


def _part(
    event: ev.AudioDelta | ev.TextDelta | ev.ContentStarted | ev.ContentDone,
    kind: str,
    **values: object,
) -> JsonObject:
    return {
        "type": kind,
        "response_id": event.response_id,
        "item_id": event.item_id,
        "output_index": event.index,
        "content_index": 0,
        **values,
    }


def _item(kind: str, item: JsonObject, previous_id: str | None) -> JsonObject:
    return {"type": kind, "previous_item_id": previous_id, "item": item}


def _output(kind: str, response_id: str, index: int, item: JsonObject) -> JsonObject:
    return {"type": kind, "response_id": response_id, "output_index": index, "item": item}


def _extension(event: ev.TurnReceipt | ev.ReplyHeard) -> JsonObject:
    if isinstance(event, ev.TurnReceipt):
        return {
            "type": "vivavoce.receipt",
            "response_id": event.response_id,
            "stages": dict(event.stages),
        }
    return {
        "type": "vivavoce.heard",
        "response_id": event.response_id,
        "item_id": event.item_id,
        "text": event.text,
        "audio_ms": event.audio_ms,
    }
