"""`session.update`: a deep merge that brings options to the nearest there is."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.codecs import Bench
from support.scripted import speech
from vivavoce.conversation.commands import Configure
from vivavoce.conversation.events import AudioDelta
from vivavoce.conversation.options import Eagerness
from vivavoce.engines.interfaces import Tool

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Looks out of the window.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def at(session: dict[str, Any], path: str) -> Any:
    value: Any = session
    for name in path.split("."):
        value = value[name]
    return value


def nested(path: str, value: object) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def test_the_first_session_shows_every_default() -> None:
    session = dict(Bench().session)
    assert session.pop("expires_at") > 1_700_000_000
    assert session == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "vivavoce",
        "include": None,
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": "scripted-asr"},
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "voice": "default",
                "speed": 1.0,
            },
        },
    }


def test_absent_fields_keep_their_value_however_deep() -> None:
    bench = Bench()
    bench.update(instructions="Be brief.", audio={"input": {"turn_detection": {"threshold": 0.7}}})
    turn = {"silence_duration_ms": 900, "create_response": False}
    session = bench.update(audio={"input": {"turn_detection": turn}})
    assert session["instructions"] == "Be brief."
    shown = session["audio"]["input"]["turn_detection"]
    assert (shown["threshold"], shown["silence_duration_ms"]) == (0.7, 900)
    assert (shown["create_response"], shown["interrupt_response"]) == (False, True)


@pytest.mark.parametrize(
    ("path", "value", "cleared", "shown"),
    [
        ("instructions", "Be brief.", "", ""),
        ("instructions", "Be brief.", None, ""),
        ("tools", [WEATHER], [], []),
        ("tools", [WEATHER], None, []),
        ("tool_choice", "required", None, "auto"),
        ("max_output_tokens", 50, None, "inf"),
        ("tracing", "auto", None, None),
        ("truncation", "disabled", None, "auto"),
        ("prompt", {"id": "p"}, None, None),
        ("audio.input.transcription", {"model": "w", "language": "zh"}, None, None),
        ("audio.input.noise_reduction", {"type": "far_field"}, None, None),
        ("audio.input.turn_detection", {"type": "semantic_vad"}, None, None),
        ("audio.input.turn_detection", {"type": "server_vad"}, {"type": None}, None),
        ("audio.input.turn_detection.idle_timeout_ms", 5000, None, None),
    ],
)
def test_null_and_empty_clear(path: str, value: object, cleared: object, shown: object) -> None:
    bench = Bench()
    assert at(bench.update(**nested(path, value)), path) != shown
    assert at(bench.update(**nested(path, cleared)), path) == shown


@pytest.mark.parametrize(
    ("flat", "path", "shown"),
    [
        ({"voice": "ash"}, "audio.output.voice", "ash"),
        ({"voice": {"id": "v_1"}}, "audio.output.voice", "v_1"),
        ({"speed": 1.2}, "audio.output.speed", 1.2),
        ({"modalities": ["text"]}, "output_modalities", ["text"]),
        ({"modalities": ["text", "audio"]}, "output_modalities", ["audio"]),
        ({"input_audio_format": "pcm16"}, "audio.input.format.rate", 24_000),
        ({"input_audio_format": "g711_ulaw"}, "audio.input.format.type", "audio/pcmu"),
        ({"output_audio_format": "g711_alaw"}, "audio.output.format.type", "audio/pcma"),
        ({"max_response_output_tokens": 99}, "max_output_tokens", 99),
        (
            {"input_audio_transcription": {"model": "whisper-1"}},
            "audio.input.transcription.model",
            "whisper-1",
        ),
        (
            {"input_audio_noise_reduction": {"type": "near_field"}},
            "audio.input.noise_reduction.type",
            "near_field",
        ),
        (
            {"turn_detection": {"type": "server_vad", "threshold": 0.85}},
            "audio.input.turn_detection.threshold",
            0.85,
        ),
        ({"turn_detection": None}, "audio.input.turn_detection", None),
        ({"temperature": 0.6, "resumption": {"enabled": True}}, "model", "vivavoce"),
        ({"model": "another"}, "model", "vivavoce"),
    ],
)
def test_flat_fields_of_older_dialects_are_understood(
    flat: dict[str, Any], path: str, shown: object
) -> None:
    assert at(Bench().update(**flat), path) == shown


@pytest.mark.parametrize(
    ("path", "asked", "nearest"),
    [
        ("audio.output.speed", 9, 1.5),
        ("audio.output.speed", 0.01, 0.25),
        ("audio.input.format", {"type": "audio/opus"}, {"type": "audio/pcm", "rate": 24_000}),
        ("audio.input.format", {"type": "audio/pcm", "rate": 96_000}, None),
        ("audio.input.turn_detection.threshold", 2, 0.95),
        ("audio.input.turn_detection.silence_duration_ms", 5, 100),
        ("audio.input.turn_detection.prefix_padding_ms", -4, 0),
        ("audio.input.turn_detection.idle_timeout_ms", 1, 1000),
        ("audio.input.turn_detection.type", "psychic_vad", "server_vad"),
        ("audio.input.noise_reduction.type", "no_field", "near_field"),
        ("max_output_tokens", 0, 1),
        ("max_output_tokens", 1_000_000, 4096),
        ("tool_choice", "whatever", "auto"),
        ("tool_choice", {"type": "mcp", "server_label": "x"}, "auto"),
        ("tools", [{"type": "mcp", "server_label": "x"}], []),
    ],
)
def test_unsupported_options_become_the_nearest(path: str, asked: object, nearest: object) -> None:
    if nearest is None:
        nearest = {"type": "audio/pcm", "rate": 48_000}
    assert at(Bench().update(**nested(path, asked)), path) == nearest


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_pcm_rates_from_8_to_48_khz_are_taken_as_they_are(rate: int) -> None:
    wanted = {"type": "audio/pcm", "rate": rate}
    session = Bench().update(audio={"input": {"format": wanted}, "output": {"format": wanted}})
    assert session["audio"]["input"]["format"] == session["audio"]["output"]["format"] == wanted


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("instructions", 5),
        ("tools", {"name": "x"}),
        ("tools", ["x"]),
        ("tools", [{"type": "function"}]),
        ("tools", [{"type": "function", "name": "x", "parameters": "none"}]),
        ("tool_choice", 5),
        ("tracing", 5),
        ("truncation", [1]),
        ("prompt", "p"),
        ("include", "all"),
        ("type", 5),
        ("output_modalities", "audio"),
        ("max_output_tokens", "lots"),
        ("audio", "loud"),
        ("audio.input", []),
        ("audio.input.format", 16),
        ("audio.input.format.rate", "24k"),
        ("audio.input.format.rate", True),
        ("audio.input.transcription", "whisper"),
        ("audio.input.transcription.language", 5),
        ("audio.input.turn_detection", True),
        ("audio.input.turn_detection.threshold", "high"),
        ("audio.input.turn_detection.silence_duration_ms", 1e30),
        ("audio.input.turn_detection.create_response", "yes"),
        ("audio.output.voice", 7),
        ("audio.output.voice", {"name": "x"}),
        ("audio.output.speed", "fast"),
        ("vivavoce", True),
    ],
)
def test_a_wrong_type_is_named_and_nothing_changes(path: str, value: object) -> None:
    bench = Bench()
    before = bench.update(instructions="Before.")
    wrong = {"instructions": "After.", "voice": "ash", **nested(path, value)}
    rejected = bench.refuse("session.update", session=wrong, event_id="mine")
    assert rejected.cause == "mine"
    assert rejected.error.code in ("invalid_type", "invalid_value", "missing_required_parameter")
    assert rejected.error.param is not None
    assert rejected.error.param.startswith(f"session.{path.split('.')[0]}")
    assert bench.update() == before


def test_session_must_be_an_object() -> None:
    bench = Bench()
    assert bench.refuse("session.update").error.param == "session"
    assert bench.refuse("session.update", session=[]).error.param == "session"


def test_the_voice_is_fixed_once_audio_has_been_sent() -> None:
    bench = Bench()
    assert bench.update(voice="ash")["audio"]["output"]["voice"] == "ash"
    bench.encode(AudioDelta("resp_1", 0, "item_1", speech(100, 24_000)))
    session = bench.update(audio={"output": {"voice": "coral", "speed": 1.1}})
    assert session["audio"]["output"]["voice"] == "ash"
    assert session["audio"]["output"]["speed"] == 1.1


def test_updates_in_flight_build_on_each_other() -> None:
    """A client may send several before the first `session.updated` comes back."""
    bench = Bench()
    first = bench.decode("session.update", session={"instructions": "One."})
    second = bench.decode("session.update", session={"voice": "ash"})
    assert isinstance(first, Configure)
    assert isinstance(second, Configure)
    assert second.options.instructions == "One."
    assert second.options.voice == "ash"
    assert first.options.voice is None


# ── what it means for the conversation ────────────────────────────────────────────────────────


def test_semantic_vad_leaves_the_end_of_a_turn_to_its_words() -> None:
    bench = Bench()
    wanted = {"type": "semantic_vad", "eagerness": "low", "interrupt_response": False}
    session = bench.update(audio={"input": {"turn_detection": wanted}})
    assert session["audio"]["input"]["turn_detection"] == {**wanted, "create_response": True}
    turn = bench.options.turn
    assert turn is not None
    assert (turn.silence_ms, turn.eagerness) == (None, Eagerness.LOW)
    back = bench.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})
    assert back["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500


def test_auto_eagerness_is_medium_and_shown_as_asked() -> None:
    bench = Bench()
    wanted = {"type": "semantic_vad", "eagerness": "auto"}
    session = bench.update(turn_detection=wanted)
    assert bench.options.turn is not None
    assert bench.options.turn.eagerness is Eagerness.MEDIUM
    assert session["audio"]["input"]["turn_detection"]["eagerness"] == "auto"


def test_transcription_sets_language_and_prompt() -> None:
    bench = Bench()
    wanted = {"model": "whisper-1", "language": "zh-CN", "prompt": "Vivavoce"}
    bench.update(audio={"input": {"transcription": wanted}})
    assert (bench.options.language, bench.options.transcription_prompt) == ("zh", "Vivavoce")


def test_functions_are_understood_and_shown() -> None:
    bench = Bench()
    bench.update(tools=[WEATHER, {"name": "bare"}])
    assert bench.options.tools == (
        Tool("weather", "Looks out of the window.", WEATHER["parameters"]),  # type: ignore[arg-type]
        Tool("bare"),
    )
    session = bench.update(
        tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "weather"}}
    )
    assert session["tools"] == [WEATHER]
    assert session["tool_choice"] == {"type": "function", "name": "weather"}
    assert bench.options.tool_choice == "weather"


def test_a_transcription_session_shows_no_output() -> None:
    session = Bench(kind="transcription").session
    assert session["object"] == "realtime.transcription_session"
    assert set(session) == {"type", "object", "id", "expires_at", "include", "audio"}
    assert set(session["audio"]) == {"input"}
