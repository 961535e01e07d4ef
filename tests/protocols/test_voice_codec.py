"""The minimal protocol's codec: every message, both ways."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from support.scripted import speech
from vivavoce.audio.pcm import decode_s16le, encode_s16le
from vivavoce.conversation import events as ev
from vivavoce.conversation.commands import (
    AppendAudio,
    ClearOutput,
    Command,
    CommitInput,
    Configure,
    CreateItem,
    CreateResponse,
    Reject,
    ReportPlayback,
)
from vivavoce.conversation.items import Item
from vivavoce.conversation.options import ResponseOptions, SessionOptions, TurnOptions
from vivavoce.errors import EngineTimeout, InvalidRequest
from vivavoce.protocols.voice import VoiceCodec

RATE = 24_000


def make_codec() -> VoiceCodec:
    options = SessionOptions(turn=TurnOptions(silence_ms=None))
    return VoiceCodec(options, RATE, {"asr": "whisper-base"})


def told(codec: VoiceCodec, **message: Any) -> list[Command]:
    return list(codec.decode(json.dumps(message)))


def configured(codec: VoiceCodec, **message: Any) -> SessionOptions:
    (command,) = told(codec, type="config", **message)
    assert isinstance(command, Configure)
    return command.options


def said(codec: VoiceCodec, event: ev.Event) -> list[Any]:
    """JSON messages as objects, audio as bytes."""
    frames = codec.encode(event)
    return [frame if isinstance(frame, bytes) else json.loads(frame) for frame in frames]


def response(status: ev.ResponseStatus = "completed", **fields: Any) -> ev.ResponseSnapshot:
    return ev.ResponseSnapshot("resp_1", status, True, None, None, ResponseOptions(), **fields)


# ── from the client ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("frame", ["Hello!", "  Hello!\n", '{"type": "text", "text": "Hello!"}'])
def test_text_stops_the_reply_and_is_answered(frame: str) -> None:
    stop, create, respond = make_codec().decode(frame)
    assert stop == ClearOutput()
    assert isinstance(create, CreateItem)
    assert create.item.text == "Hello!"
    assert respond == CreateResponse()


@pytest.mark.parametrize("frame", ["", " \n"])
def test_an_empty_line_is_nothing(frame: str) -> None:
    assert list(make_codec().decode(frame)) == []


def test_the_first_audio_turns_the_voice_on() -> None:
    codec = make_codec()
    configure, append = codec.decode(encode_s16le(speech(20)))
    assert isinstance(configure, Configure)
    assert configure.options.audio_output
    assert isinstance(append, AppendAudio)
    assert (len(append.pcm), append.sample_rate) == (320, 16_000)
    (append,) = codec.decode(encode_s16le(speech(20)))
    assert isinstance(append, AppendAudio)


def test_a_client_that_wants_no_audio_gets_none_however_it_talks() -> None:
    codec = make_codec()
    assert not configured(codec, output="none").audio_output
    (append,) = codec.decode(encode_s16le(speech(20)))
    assert isinstance(append, AppendAudio)


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ({"type": "commit"}, CommitInput(respond=True)),
        ({"type": "cancel"}, ClearOutput()),
        ({"type": "played", "response": "r", "ms": 1200}, ReportPlayback("r", 1200)),
    ],
)
def test_messages_that_are_commands_as_they_stand(
    message: dict[str, Any], command: Command
) -> None:
    assert told(make_codec(), **message) == [command]


def test_configuration_adds_up() -> None:
    codec = make_codec()
    configured(codec, language="zh", instructions="Be brief.", voice="zf_xiaobei")
    options = configured(codec, output="binary", silence_ms=700, tools=[{"name": "f"}])
    assert (options.language, options.voice) == ("zh", "zf_xiaobei")
    assert options.instructions == "Be brief."
    assert options.audio_output
    assert [tool.name for tool in options.tools] == ["f"]
    assert options.turn is not None
    assert options.turn.silence_ms == 700


def test_turns_are_the_clients_or_the_servers() -> None:
    codec = make_codec()
    assert configured(codec, turn="manual").turn is None
    assert configured(codec, voice="x").turn is None
    assert configured(codec, turn="auto").turn == TurnOptions(silence_ms=None)


def test_null_clears() -> None:
    codec = make_codec()
    configured(codec, language="zh", instructions="Be brief.", voice="x")
    options = configured(codec, language=None, instructions=None, voice=None)
    assert (options.language, options.instructions, options.voice) == (None, "", None)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"type": "sing"}, "type"),
        ({"type": 5}, "type"),
        ({}, "type"),
        ({"type": "text"}, "text"),
        ({"type": "text", "text": " "}, "text"),
        ({"type": "config", "turn": "mine"}, "turn"),
        ({"type": "config", "silence_ms": 5}, "silence_ms"),
        ({"type": "config", "silence_ms": "long"}, "silence_ms"),
        ({"type": "config", "sample_rate": 44_100}, "sample_rate"),
        ({"type": "config", "output": "loud"}, "output"),
        ({"type": "config", "voice": 5}, "voice"),
        ({"type": "config", "tools": [{}]}, "tools[0].name"),
        ({"type": "played", "response": "r"}, "ms"),
        ({"type": "played", "ms": 5}, "response"),
        ({"type": "tool_result", "id": "c"}, "output"),
    ],
)
def test_what_is_wrong_is_named(message: dict[str, Any], param: str) -> None:
    codec = make_codec()
    (rejected,) = told(codec, **message)
    assert isinstance(rejected, Reject)
    assert rejected.error.param == param


@pytest.mark.parametrize(
    ("frame", "code"), [("{", "invalid_json"), ('{"x": NaN}', "invalid_json"), (b"123", None)]
)
def test_broken_frames_are_refused(frame: str | bytes, code: str | None) -> None:
    *_, rejected = make_codec().decode(frame)
    assert isinstance(rejected, Reject)
    assert rejected.error.code == (code or "invalid_audio")


# ── functions ─────────────────────────────────────────────────────────────────────────────────


def call(name: str, status: Any = "completed") -> Item:
    return Item(f"item_{name}", "function_call", status=status, name=name, call_id=f"call_{name}")


def test_the_reply_goes_on_after_the_last_result() -> None:
    codec = make_codec()
    said(codec, ev.ResponseStarted(response("in_progress")))
    for name in ("f", "g"):
        assert said(codec, ev.OutputItemStarted("resp_1", 0, call(name))) == []
    for name in ("f", "g"):
        (message,) = said(codec, ev.ArgumentsDone("resp_1", 0, call(name)))
        assert message == {
            "type": "tool_call",
            "id": f"call_{name}",
            "name": name,
            "arguments": "",
        }
    (create,) = told(codec, type="tool_result", id="call_g", output="2")
    assert isinstance(create, CreateItem)
    assert (create.item.kind, create.item.call_id) == ("function_call_output", "call_g")
    _, respond = told(codec, type="tool_result", id="call_f", output="1")
    assert respond == CreateResponse()


def test_a_call_that_was_cut_off_is_not_made() -> None:
    assert said(make_codec(), ev.ArgumentsDone("resp_1", 0, call("f", "incomplete"))) == []


def test_calls_that_were_never_answered_do_not_hold_up_later_ones() -> None:
    codec = make_codec()
    said(codec, ev.OutputItemStarted("resp_1", 0, call("f")))
    said(codec, ev.ResponseStarted(response("in_progress")))
    said(codec, ev.OutputItemStarted("resp_1", 0, call("g")))
    _, respond = told(codec, type="tool_result", id="call_g", output="2")
    assert respond == CreateResponse()


# ── to the client ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("event", "messages"),
    [
        (
            ev.SessionStarted("sess_1", "conv_1", SessionOptions()),
            [
                {
                    "type": "ready",
                    "session": "sess_1",
                    "sample_rate": 24_000,
                    "models": {"asr": "whisper-base"},
                }
            ],
        ),
        (ev.SpeechStarted("i", 320), [{"type": "speech", "state": "started", "at_ms": 320}]),
        (ev.SpeechStopped("i", 900), [{"type": "speech", "state": "stopped", "at_ms": 900}]),
        (
            ev.TranscriptPartial("i", "Hello", "Hello the"),
            [{"type": "transcript", "text": "Hello the", "final": False}],
        ),
        (
            ev.TranscriptFinal("i", "Hello there.", "en", 900),
            [{"type": "transcript", "text": "Hello there.", "final": True}],
        ),
        (
            ev.ResponseStarted(response("in_progress")),
            [{"type": "response", "id": "resp_1", "state": "started"}],
        ),
        (
            ev.TextDelta("resp_1", 0, "i", True, "Hi!"),
            [{"type": "text", "response": "resp_1", "text": "Hi!"}],
        ),
        (
            ev.ResponseDone(response("incomplete", reason="max_output_tokens")),
            [{"type": "response", "id": "resp_1", "state": "completed"}],
        ),
        (
            ev.ResponseDone(response("cancelled", reason="turn_detected")),
            [{"type": "response", "id": "resp_1", "state": "cancelled"}],
        ),
        (
            ev.ResponseDone(response("failed", error=EngineTimeout("Too slow."))),
            [
                {"type": "response", "id": "resp_1", "state": "failed"},
                {"type": "error", "code": "engine_timeout", "message": "Too slow."},
            ],
        ),
        (
            ev.ReplyHeard("resp_1", "i", "Hi", 240),
            [{"type": "heard", "response": "resp_1", "text": "Hi", "ms": 240}],
        ),
        (
            ev.TurnReceipt("resp_1", {"endpoint": 500}),
            [{"type": "receipt", "response": "resp_1", "stages": {"endpoint": 500}}],
        ),
        (
            ev.TranscriptFailed("i", EngineTimeout("Too slow.")),
            [{"type": "error", "code": "engine_timeout", "message": "Too slow."}],
        ),
        (
            ev.Failure(InvalidRequest("No.", code="wrong")),
            [{"type": "error", "code": "wrong", "message": "No."}],
        ),
        (ev.Configured(SessionOptions()), []),
        (ev.ItemAdded(Item("i"), None), []),
        (ev.InputCommitted("i", None), []),
        (ev.OutputCleared("resp_1"), []),
        (ev.SessionEnded(1012, "Restarting."), []),
    ],
)
def test_what_each_event_becomes(event: ev.Event, messages: list[dict[str, Any]]) -> None:
    assert said(make_codec(), event) == messages


def test_audio_is_binary_until_base64_is_asked_for() -> None:
    codec = make_codec()
    delta = ev.AudioDelta("resp_1", 0, "i", speech(100, RATE))
    (frame,) = said(codec, delta)
    assert frame == encode_s16le(speech(100, RATE))
    configured(codec, output="base64")
    (message,) = said(codec, delta)
    assert (message["type"], message["response"]) == ("audio", "resp_1")
    assert base64.b64decode(message["audio"]) == frame


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
@pytest.mark.parametrize("output", ["binary", "base64"])
def test_audio_at_the_rate_asked_for_is_whole(rate: int, output: str) -> None:
    codec = make_codec()
    configured(codec, output=output, sample_rate=rate)
    messages = []
    for _ in range(10):
        messages += said(codec, ev.AudioDelta("resp_1", 0, "i", speech(100, RATE)))
    messages += said(codec, ev.ContentDone("resp_1", 0, "i", True, "Hi", cut=False))
    pcm = decode_s16le(
        b"".join(m if isinstance(m, bytes) else base64.b64decode(m["audio"]) for m in messages)
    )
    assert len(pcm) == pytest.approx(rate, abs=rate // 1000)
    np.testing.assert_allclose(pcm[rate // 50 : -rate // 50], 0.5, atol=1e-3)


def test_a_reply_that_was_cut_has_no_more_audio() -> None:
    codec = make_codec()
    configured(codec, sample_rate=16_000)
    said(codec, ev.AudioDelta("resp_1", 0, "i", speech(100, RATE)))
    assert said(codec, ev.ContentDone("resp_1", 0, "i", True, "Hi", cut=True)) == []
