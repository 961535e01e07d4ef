"""Each client event of the Realtime protocol and the command that it means."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from protocols.codecs import Bench
from support.scripted import speech
from vivavoce.audio.g711 import encode_alaw, encode_ulaw
from vivavoce.audio.pcm import Pcm, encode_s16le
from vivavoce.conversation.commands import (
    AppendAudio,
    CancelResponse,
    ClearInput,
    ClearOutput,
    Command,
    CommitInput,
    CreateItem,
    CreateResponse,
    DeleteItem,
    Reject,
    RetrieveItem,
    TruncateItem,
)
from vivavoce.conversation.items import Item
from vivavoce.conversation.options import ResponseOptions

CALL_OUTPUT = {"type": "function_call_output", "id": "i", "call_id": "c", "output": "rain"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


@pytest.mark.parametrize(
    ("event", "command"),
    [
        ({"type": "input_audio_buffer.commit"}, CommitInput(cause="mine")),
        ({"type": "input_audio_buffer.clear"}, ClearInput("mine")),
        ({"type": "output_audio_buffer.clear"}, ClearOutput("mine")),
        ({"type": "conversation.item.retrieve", "item_id": "i"}, RetrieveItem("i", "mine")),
        ({"type": "conversation.item.delete", "item_id": "i"}, DeleteItem("i", "mine")),
        (
            {
                "type": "conversation.item.truncate",
                "item_id": "i",
                "content_index": 0,
                "audio_end_ms": 1500,
            },
            TruncateItem("i", 1500, "mine"),
        ),
        ({"type": "response.cancel"}, CancelResponse(None, "mine")),
        ({"type": "response.cancel", "response_id": "r"}, CancelResponse("r", "mine")),
        ({"type": "response.create"}, CreateResponse(cause="mine")),
        ({"type": "response.create", "response": None}, CreateResponse(cause="mine")),
    ],
)
def test_events_that_are_commands_as_they_stand(event: dict[str, Any], command: Command) -> None:
    assert Bench().decode(event_id="mine", kind=event.pop("type"), **event) == command


@pytest.mark.parametrize(
    "event",
    [
        {"type": "input_audio_buffer.append"},
        {"type": "input_audio_buffer.append", "audio": 5},
        {"type": "input_audio_buffer.append", "audio": "no base64"},
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
        {"type": "conversation.item.create"},
        {"type": "conversation.item.create", "item": "text"},
        {"type": "conversation.item.create", "item": {}},
        {"type": "conversation.item.create", "item": {"role": "user"}},
        {"type": "conversation.item.create", "item": {"role": "user", "content": "text"}},
        {"type": "conversation.item.create", "item": {"role": "user", "content": [{}]}},
        {"type": "conversation.item.create", "item": {"role": "boss", "content": []}},
        {"type": "conversation.item.create", "item": {"type": "mcp_call"}},
        {"type": "conversation.item.create", "item": {"type": "function_call"}},
        {"type": "conversation.item.create", "item": {"type": "function_call_output"}},
        {"type": "conversation.item.create", "item": {**CALL_OUTPUT, "id": "i" * 200}},
        {"type": "conversation.item.retrieve"},
        {"type": "conversation.item.delete", "item_id": 5},
        {"type": "conversation.item.truncate", "item_id": "i"},
        {"type": "conversation.item.truncate", "item_id": "i", "audio_end_ms": -1},
        {"type": "conversation.item.truncate", "item_id": "i", "audio_end_ms": 12.5},
        {"type": "response.create", "response": "now"},
        {"type": "response.create", "response": {"metadata": {"n": 1}}},
        {"type": "response.create", "response": {"input": [5]}},
        {"type": "response.create", "response": {"input": [{"type": "item_reference"}]}},
        {"type": "response.create", "response": {"output_modalities": "text"}},
        {"type": "response.create", "response": {"max_output_tokens": "few"}},
        {"type": "response.cancel", "response_id": 5},
        {"type": "session.renew"},
        {"type": 5},
        {},
    ],
)
def test_what_is_wrong_is_named(event: dict[str, Any]) -> None:
    (command,) = Bench().codec.decode(json.dumps({**event, "event_id": "mine"}))
    assert isinstance(command, Reject)
    assert command.cause == "mine"
    assert command.error.http_status == 400
    assert command.error.message.endswith(".") or "bytes" in command.error.message


def test_an_unknown_event_is_told_which_there_are() -> None:
    error = Bench().refuse("session.renew").error
    assert error.code == "invalid_event_type"
    assert "session.renew" in error.message
    for known in ("session.update", "input_audio_buffer.append", "output_audio_buffer.clear"):
        assert known in error.message


def test_a_long_event_id_is_not_repeated_whole() -> None:
    rejected = Bench().refuse("nonsense", event_id="x" * 10_000)
    assert rejected.cause is not None
    assert len(rejected.cause) < 1000


# ── audio ─────────────────────────────────────────────────────────────────────────────────────


def test_audio_is_decoded_in_the_sessions_format() -> None:
    bench = Bench()
    pcm = np.linspace(-0.9, 0.9, 240, dtype=np.float32)
    for wanted, data, rate, tolerance in (
        ({"type": "audio/pcm", "rate": 24_000}, encode_s16le(pcm), 24_000, 1e-4),
        ({"type": "audio/pcm", "rate": 8000}, encode_s16le(pcm), 8000, 1e-4),
        ({"type": "audio/pcmu"}, encode_ulaw(pcm), 8000, 0.03),
        ({"type": "audio/pcma"}, encode_alaw(pcm), 8000, 0.03),
    ):
        bench.update(audio={"input": {"format": wanted}})
        command = bench.decode("input_audio_buffer.append", audio=b64(data), event_id="mine")
        assert isinstance(command, AppendAudio)
        assert (command.sample_rate, command.cause) == (rate, "mine")
        np.testing.assert_allclose(command.pcm, pcm, atol=tolerance)


def test_a_binary_frame_is_audio_too() -> None:
    (command,) = Bench().codec.decode(encode_s16le(speech(20, 24_000)))
    assert isinstance(command, AppendAudio)
    assert len(command.pcm) == 480


def test_the_new_format_counts_from_the_update_on_even_unacknowledged() -> None:
    bench = Bench()
    bench.decode("session.update", session={"input_audio_format": "g711_ulaw"})
    command = bench.decode("input_audio_buffer.append", audio=b64(b"\xff" * 160))
    assert isinstance(command, AppendAudio)
    assert (len(command.pcm), command.sample_rate) == (160, 8000)


@pytest.mark.parametrize("binary", [True, False])
def test_long_audio_comes_in_pieces_of_about_a_second(binary: bool) -> None:
    data = np.arange(24_000 * 10 + 7, dtype="<i2").tobytes()
    frame = json.dumps({"type": "input_audio_buffer.append", "audio": b64(data)})
    commands = list(Bench().codec.decode(data if binary else frame))
    pieces: list[Pcm] = []
    for command in commands:
        assert isinstance(command, AppendAudio)
        assert len(command.pcm) <= 24_576
        pieces.append(command.pcm)
    assert encode_s16le(np.concatenate(pieces)) == data


def test_half_a_sample_at_the_end_is_refused() -> None:
    rejected = Bench().refuse("input_audio_buffer.append", audio=b64(b"123"))
    assert rejected.error.code == "invalid_audio"
    assert "even number of bytes, got 3" in rejected.error.message


# ── items ─────────────────────────────────────────────────────────────────────────────────────


def created(item: dict[str, Any], **event: Any) -> CreateItem:
    command = Bench().decode("conversation.item.create", item=item, **event)
    assert isinstance(command, CreateItem)
    return command


@pytest.mark.parametrize(
    ("wire", "item"),
    [
        (
            {"id": "i", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            Item("i", role="user", text="Hi"),
        ),
        (
            {"id": "i", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
            Item("i", role="assistant", text="Hi"),
        ),
        (
            {"id": "i", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
            Item("i", role="assistant", text="Hi"),
        ),
        (
            {
                "id": "i",
                "role": "assistant",
                "content": [{"type": "output_audio", "transcript": "Hi"}],
            },
            Item("i", role="assistant", text="Hi", spoken=True),
        ),
        (
            {"id": "i", "role": "developer", "content": [{"type": "input_text", "text": "Hi"}]},
            Item("i", role="system", text="Hi"),
        ),
        (
            {
                "id": "i",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "One"},
                    {"type": "input_image", "image_url": "data:,"},
                    {"type": "input_text", "text": "two"},
                ],
            },
            Item("i", role="user", text="One\ntwo"),
        ),
        (
            {"id": "i", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            Item("i", "function_call", "assistant", name="f", call_id="c", arguments="{}"),
        ),
        (CALL_OUTPUT, Item("i", "function_call_output", call_id="c", output="rain")),
    ],
)
def test_items_as_clients_write_them(wire: dict[str, Any], item: Item) -> None:
    assert created(wire).item == item


def test_an_item_with_audio_is_brought_to_16_khz() -> None:
    part = {"type": "input_audio", "audio": b64(encode_s16le(speech(500, 24_000)))}
    command = created({"role": "user", "content": [part]}, previous_item_id="root")
    assert command.audio is not None
    assert len(command.audio) == 8000
    assert (command.item.text, command.item.audio_ms, command.item.spoken) == (None, 500, True)
    assert command.after == "root"
    assert command.item.id.startswith("item_")


# ── responses ─────────────────────────────────────────────────────────────────────────────────


def test_a_response_may_differ_from_the_session_in_everything() -> None:
    wanted = {
        "conversation": "none",
        "instructions": "Shout.",
        "output_modalities": ["text"],
        "audio": {"output": {"voice": "ash", "format": {"type": "audio/pcm"}}},
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": {"type": "function", "name": "f"},
        "max_output_tokens": 10,
        "metadata": {"client_event_id": "7"},
        "input": [
            {"type": "item_reference", "id": "i"},
            {"id": "j", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        ],
    }
    command = Bench().decode("response.create", response=wanted)
    assert isinstance(command, CreateResponse)
    options = command.options
    assert not options.in_conversation
    assert (options.instructions, options.audio_output, options.voice) == ("Shout.", False, "ash")
    assert options.tools is not None
    assert [tool.name for tool in options.tools] == ["f"]
    assert (options.tool_choice, options.max_output_tokens) == ("f", 10)
    assert options.metadata == {"client_event_id": "7"}
    assert command.input_items == ("i", Item("j", text="Hi"))


@pytest.mark.parametrize(
    "wanted",
    [
        {"instructions": None, "tools": None, "metadata": None, "input": None, "voice": None},
        {"conversation": "auto", "max_output_tokens": "inf", "tool_choice": None},
    ],
)
def test_nulls_mean_the_sessions_own(wanted: dict[str, Any]) -> None:
    assert Bench().decode("response.create", response=wanted) == CreateResponse(ResponseOptions())


def test_older_names_are_understood() -> None:
    wanted = {"modalities": ["text"], "voice": "ash", "max_response_output_tokens": 5}
    command = Bench().decode("response.create", response=wanted)
    assert isinstance(command, CreateResponse)
    options = command.options
    assert (options.audio_output, options.voice, options.max_output_tokens) == (False, "ash", 5)


def test_an_empty_input_is_not_the_history() -> None:
    command = Bench().decode("response.create", response={"input": []})
    assert isinstance(command, CreateResponse)
    assert command.input_items == ()
