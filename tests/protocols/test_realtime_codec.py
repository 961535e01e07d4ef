"""Each event of a session and the server events that it becomes; the SDKs judge them all."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from protocols.codecs import RATE, Bench
from support.scripted import speech
from vivavoce.audio.g711 import decode_ulaw
from vivavoce.audio.pcm import decode_s16le
from vivavoce.conversation import events as ev
from vivavoce.conversation.items import Item
from vivavoce.conversation.options import ResponseOptions, SessionOptions
from vivavoce.engines.interfaces import Pcm
from vivavoce.errors import EngineTimeout, InvalidRequest

REPLY = Item("item_2", role="assistant", status="in_progress", spoken=True, text="")
CALL = Item("item_3", "function_call", "assistant", name="f", call_id="call_1", arguments="{}")
PART = {"response_id": "resp_1", "item_id": "item_2", "output_index": 0, "content_index": 0}


def snapshot(status: ev.ResponseStatus = "completed", **fields: Any) -> ev.ResponseSnapshot:
    values: dict[str, Any] = {
        "audio_output": True,
        "voice": None,
        "max_output_tokens": None,
        "options": ResponseOptions(),
    }
    return ev.ResponseSnapshot("resp_1", status, **{**values, **fields})


def test_a_session_begins_with_itself_and_its_conversation() -> None:
    created, conversation = Bench().created
    assert created["type"] == "session.created"
    assert created["session"]["id"] == "sess_1"
    assert conversation["type"] == "conversation.created"
    assert conversation["conversation"] == {"id": "conv_1", "object": "realtime.conversation"}


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (
            ev.SpeechStarted("item_1", 320),
            {
                "type": "input_audio_buffer.speech_started",
                "item_id": "item_1",
                "audio_start_ms": 320,
            },
        ),
        (
            ev.SpeechStopped("item_1", 900),
            {
                "type": "input_audio_buffer.speech_stopped",
                "item_id": "item_1",
                "audio_end_ms": 900,
            },
        ),
        (
            ev.InputCommitted("item_1", None),
            {
                "type": "input_audio_buffer.committed",
                "item_id": "item_1",
                "previous_item_id": None,
            },
        ),
        (ev.InputCleared(), {"type": "input_audio_buffer.cleared"}),
        (
            ev.IdleTimeout("item_1", 100, 900),
            {
                "type": "input_audio_buffer.timeout_triggered",
                "item_id": "item_1",
                "audio_start_ms": 100,
                "audio_end_ms": 900,
            },
        ),
        (
            ev.ItemAdded(Item("item_1", text=None, spoken=True), None),
            {
                "type": "conversation.item.added",
                "previous_item_id": None,
                "item": {
                    "id": "item_1",
                    "object": "realtime.item",
                    "type": "message",
                    "status": "completed",
                    "role": "user",
                    "content": [{"type": "input_audio", "transcript": None}],
                },
            },
        ),
        (
            ev.ItemDone(Item("item_2", role="system", text="Hi"), "item_1"),
            {
                "type": "conversation.item.done",
                "previous_item_id": "item_1",
                "item": {
                    "id": "item_2",
                    "object": "realtime.item",
                    "type": "message",
                    "status": "completed",
                    "role": "system",
                    "content": [{"type": "input_text", "text": "Hi"}],
                },
            },
        ),
        (
            ev.ItemRetrieved(Item("item_4", "function_call_output", call_id="c", output="rain")),
            {
                "type": "conversation.item.retrieved",
                "item": {
                    "id": "item_4",
                    "object": "realtime.item",
                    "type": "function_call_output",
                    "status": "completed",
                    "call_id": "c",
                    "output": "rain",
                },
            },
        ),
        (
            ev.ItemTruncated("item_2", 700),
            {
                "type": "conversation.item.truncated",
                "item_id": "item_2",
                "content_index": 0,
                "audio_end_ms": 700,
            },
        ),
        (
            ev.ItemDeleted("item_2"),
            {"type": "conversation.item.deleted", "item_id": "item_2"},
        ),
        (
            ev.OutputItemStarted("resp_1", 0, REPLY),
            {
                "type": "response.output_item.added",
                "response_id": "resp_1",
                "output_index": 0,
                "item": {
                    "id": "item_2",
                    "object": "realtime.item",
                    "type": "message",
                    "status": "in_progress",
                    "role": "assistant",
                    "content": [],
                },
            },
        ),
        (
            ev.ContentStarted("resp_1", 0, "item_2", audio=True),
            {
                "type": "response.content_part.added",
                **PART,
                "part": {"type": "audio", "transcript": ""},
            },
        ),
        (
            ev.ContentStarted("resp_1", 0, "item_2", audio=False),
            {"type": "response.content_part.added", **PART, "part": {"type": "text", "text": ""}},
        ),
        (
            ev.TextDelta("resp_1", 0, "item_2", audio=True, text="Hi"),
            {"type": "response.output_audio_transcript.delta", **PART, "delta": "Hi"},
        ),
        (
            ev.TextDelta("resp_1", 0, "item_2", audio=False, text="Hi"),
            {"type": "response.output_text.delta", **PART, "delta": "Hi"},
        ),
        (
            ev.ArgumentsDelta("resp_1", 1, "item_3", "call_1", "{}"),
            {
                "type": "response.function_call_arguments.delta",
                "response_id": "resp_1",
                "item_id": "item_3",
                "output_index": 1,
                "call_id": "call_1",
                "delta": "{}",
            },
        ),
        (
            ev.ArgumentsDone("resp_1", 1, CALL),
            {
                "type": "response.function_call_arguments.done",
                "response_id": "resp_1",
                "item_id": "item_3",
                "output_index": 1,
                "call_id": "call_1",
                "name": "f",
                "arguments": "{}",
            },
        ),
        (
            ev.OutputItemDone("resp_1", 1, CALL),
            {
                "type": "response.output_item.done",
                "response_id": "resp_1",
                "output_index": 1,
                "item": {
                    "id": "item_3",
                    "object": "realtime.item",
                    "type": "function_call",
                    "status": "completed",
                    "call_id": "call_1",
                    "name": "f",
                    "arguments": "{}",
                },
            },
        ),
        (
            ev.OutputCleared("resp_1"),
            {"type": "output_audio_buffer.cleared", "response_id": "resp_1"},
        ),
        (
            ev.Failure(InvalidRequest("No.", code="wrong", param="x"), "mine"),
            {
                "type": "error",
                "error": {
                    "type": "invalid_request_error",
                    "code": "wrong",
                    "message": "No.",
                    "param": "x",
                    "event_id": "mine",
                },
            },
        ),
    ],
)
def test_events_that_become_one_server_event(event: ev.Event, wire: dict[str, Any]) -> None:
    (body,) = Bench().encode(event)
    assert body.pop("event_id").startswith("event_")
    assert body == wire


@pytest.mark.parametrize(
    "event",
    [
        ev.SessionEnded(1012, "The server is restarting."),
        ev.OutputCleared(None),
        ev.TurnReceipt("resp_1", {"endpoint": 500}),
        ev.ReplyHeard("resp_1", "item_2", "Hi", 100),
        ev.TranscriptPartial("item_1", "Hello", "Hello there"),
    ],
)
def test_events_that_the_protocol_has_no_words_for_are_kept_quiet(event: ev.Event) -> None:
    assert Bench().encode(event) == []


def test_a_client_that_asked_gets_our_own_events() -> None:
    bench = Bench()
    bench.update(vivavoce={"events": True})
    (receipt,) = bench.encode(ev.TurnReceipt("resp_1", {"endpoint": 500}))
    (heard,) = bench.encode(ev.ReplyHeard("resp_1", "item_2", "Hi", 100))
    (partial,) = bench.encode(ev.TranscriptPartial("item_1", "Hello", "Hello there"))
    assert receipt["type"] == "vivavoce.receipt"
    assert receipt["stages"] == {"endpoint": 500}
    assert (heard["type"], heard["text"], heard["audio_ms"]) == ("vivavoce.heard", "Hi", 100)
    assert (partial["stable"], partial["text"]) == ("Hello", "Hello there")


# ── transcripts ───────────────────────────────────────────────────────────────────────────────


def test_a_transcript_is_one_delta_and_its_completion() -> None:
    delta, completed = Bench().encode(ev.TranscriptFinal("item_1", "Hello", "en", 1250))
    assert delta["delta"] == completed["transcript"] == "Hello"
    assert completed["usage"] == {"type": "duration", "seconds": 1.25}


def test_deltas_of_a_transcription_session_add_up() -> None:
    bench = Bench(kind="transcription", options=SessionOptions(respond=False))
    deltas = []
    for text in ("Hello", "Hello there", "Hello there"):
        deltas += bench.encode(ev.TranscriptPartial("item_1", text, text))
    *rest, completed = bench.encode(ev.TranscriptFinal("item_1", "Hello there.", "en", 900))
    assert [event["delta"] for event in [*deltas, *rest]] == ["Hello", " there", "."]
    assert completed["transcript"] == "Hello there."


def test_a_final_transcript_that_revises_the_deltas_is_not_added_to_them() -> None:
    bench = Bench(kind="transcription", options=SessionOptions(respond=False))
    bench.encode(ev.TranscriptPartial("item_1", "Yellow", "Yellow"))
    (completed,) = bench.encode(ev.TranscriptFinal("item_1", "Hello.", "en", 900))
    assert completed["transcript"] == "Hello."


def test_a_failed_transcription_says_why() -> None:
    (failed,) = Bench().encode(ev.TranscriptFailed("item_1", EngineTimeout("Too slow.")))
    assert failed["type"] == "conversation.item.input_audio_transcription.failed"
    assert failed["error"]["code"] == "engine_timeout"


def test_a_client_that_wants_no_transcripts_gets_none() -> None:
    bench = Bench()
    bench.update(audio={"input": {"transcription": None}})
    assert bench.encode(ev.TranscriptFinal("item_1", "Hello", "en", 900)) == []
    assert bench.encode(ev.TranscriptFailed("item_1", EngineTimeout("Too slow."))) == []


# ── responses ─────────────────────────────────────────────────────────────────────────────────


def test_a_response_shows_what_is_in_force() -> None:
    bench = Bench()
    bench.update(voice="ash", output_audio_format="g711_ulaw")
    started = snapshot("in_progress", options=ResponseOptions(metadata={"n": "1"}))
    (event,) = bench.encode(ev.ResponseStarted(started))
    assert event["response"] == {
        "id": "resp_1",
        "object": "realtime.response",
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_1",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": "ash"}},
        "metadata": {"n": "1"},
        "usage": None,
    }


@pytest.mark.parametrize(
    ("response", "details"),
    [
        (snapshot(), None),
        (
            snapshot("cancelled", reason="turn_detected"),
            {"type": "cancelled", "reason": "turn_detected"},
        ),
        (
            snapshot("incomplete", reason="max_output_tokens"),
            {"type": "incomplete", "reason": "max_output_tokens"},
        ),
        (
            snapshot("failed", error=EngineTimeout("Too slow.")),
            {
                "type": "failed",
                "error": {
                    "type": "server_error",
                    "code": "engine_timeout",
                    "message": "Too slow.",
                },
            },
        ),
    ],
)
def test_how_a_response_ended(response: ev.ResponseSnapshot, details: object) -> None:
    (done,) = Bench().encode(ev.ResponseDone(response))
    assert done["response"]["status_details"] == details


def test_usage_is_all_whole_numbers() -> None:
    usage = ev.Usage(input_tokens=10, cached_tokens=4, output_tokens=5, audio_ms=1234)
    (done,) = Bench().encode(ev.ResponseDone(snapshot(usage=usage)))
    shown = done["response"]["usage"]
    assert (shown["total_tokens"], shown["input_tokens"], shown["output_tokens"]) == (15, 10, 5)
    assert shown["input_token_details"]["cached_tokens"] == 4


def test_a_response_beside_the_conversation_belongs_to_none() -> None:
    beside = snapshot(options=ResponseOptions(in_conversation=False), audio_output=False)
    (done,) = Bench().encode(ev.ResponseDone(beside))
    assert done["response"]["conversation_id"] is None
    assert done["response"]["output_modalities"] == ["text"]


# ── audio ─────────────────────────────────────────────────────────────────────────────────────


def spoken(bench: Bench, pcm: Pcm, cut: bool = False) -> tuple[bytes, list[str]]:
    """The audio of an item spoken in pieces of 100 ms, and the kinds of its last events."""
    events = []
    for start in range(0, len(pcm), RATE // 10):
        piece = pcm[start : start + RATE // 10]
        events += bench.encode(ev.AudioDelta("resp_1", 0, "item_2", piece))
    ending = bench.encode(ev.ContentDone("resp_1", 0, "item_2", True, "Hi", cut))
    events += ending
    deltas = [e["delta"] for e in events if e["type"] == "response.output_audio.delta"]
    return b"".join(map(base64.b64decode, deltas)), [event["type"] for event in ending]


ENDING = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
]


def test_audio_at_the_engines_rate_passes_through() -> None:
    pcm = np.linspace(-0.5, 0.5, RATE, dtype=np.float32)
    data, ending = spoken(Bench(), pcm)
    np.testing.assert_allclose(decode_s16le(data), pcm, atol=1e-4)
    assert ending == ENDING


def test_resampled_audio_loses_nothing_at_its_end() -> None:
    bench = Bench()
    bench.update(audio={"output": {"format": {"type": "audio/pcmu"}}})
    data, ending = spoken(bench, speech(1000, RATE))
    assert len(data) == pytest.approx(8000, abs=8)
    assert decode_ulaw(data)[100:-100] == pytest.approx(0.5, abs=0.02)
    assert ending == ["response.output_audio.delta", *ENDING]


def test_a_reply_that_was_cut_has_no_more_audio() -> None:
    bench = Bench()
    bench.update(audio={"output": {"format": {"type": "audio/pcmu"}}})
    _, ending = spoken(bench, speech(1000, RATE), cut=True)
    assert ending == ENDING


def test_the_format_may_change_between_two_replies() -> None:
    bench = Bench()
    for rate in (48_000, 16_000, 24_000):
        bench.update(audio={"output": {"format": {"type": "audio/pcm", "rate": rate}}})
        data, _ = spoken(bench, speech(1000, RATE))
        assert len(data) / 2 == pytest.approx(rate, abs=rate // 1000)
