"""Whole conversations over `/v1/realtime`: the engines are scripted, the socket is real."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from protocols.clients import LOUD, RealtimeClient, realtime, s16le
from support.scripted import Script, ScriptedChat, ScriptedRecognizer
from support.server import serving
from vivavoce.audio.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from vivavoce.audio.pcm import decode_s16le
from vivavoce.engines.interfaces import ChatDelta, ChatEnd, ChatMessage, TextDelta, ToolCallDelta
from vivavoce.errors import VivavoceError

PATH = "/v1/realtime?model=vivavoce"
TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.completed",
]
REPLY_BEGIN = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
REPLY_END = [
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]
AUDIO_END = ["response.output_audio.done", "response.output_audio_transcript.done"]
Step = ChatDelta | VivavoceError | int
SPOKEN_CHARS = len("Hi!") + len("How are you today?")
LONG = "One two three four five six seven eight nine ten eleven twelve. " * 4


def call_then(text: str) -> ScriptedChat:
    """A chat model that calls `get_weather` first and then says `text`."""
    call: list[Step] = [
        ToolCallDelta(0, "", id="call_7", name="get_weather"),
        ToolCallDelta(0, '{"city":'),
        ToolCallDelta(0, '"Oslo"}'),
        ChatEnd("tool_calls", 20, 9),
    ]
    return ScriptedChat(replies=(call, text))


def prompt(script: Script, index: int = -1) -> list[ChatMessage]:
    messages = script.chat.requests[index].messages
    return [message for message in messages if message.role != "system"]


# ── turns ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_voice_turn_has_its_events_in_order() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.say(1000, 800)
        done = await client.until("response.done")
    kinds = [kind for kind in client.types if not kind.endswith("audio_transcript.delta")]
    kinds = [kind for kind in kinds if kind != "response.output_audio.delta"]
    created = ["session.created", "conversation.created"]
    assert kinds == [*created, *TURN, *REPLY_BEGIN, *AUDIO_END, *REPLY_END]
    assert done["response"]["status"] == "completed"
    transcript = "".join(e["delta"] for e in client.of("response.output_audio_transcript.delta"))
    assert transcript == "Hi! How are you today?"
    assert len(client.audio) > 24_000
    assert client.of("session.created")[0]["session"]["model"] == "vivavoce"


async def test_a_text_turn_has_neither_voice_nor_transcript() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.write("Hello")
        await client.send("response.create", response={"output_modalities": ["text"]})
        done = await client.until("response.done")
    kinds = [kind for kind in client.types[4:] if kind != "response.output_text.delta"]
    assert kinds == [*REPLY_BEGIN, "response.output_text.done", *REPLY_END]
    assert done["response"]["output"][0]["content"] == [
        {"type": "output_text", "text": "Hi! How are you today?"}
    ]
    assert done["response"]["usage"]["output_tokens"] == 5


async def test_ids_hang_together_through_a_turn() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.say(600, 800)
        done = await client.until("response.done")
    user, reply = (event["item"]["id"] for event in client.of("conversation.item.added"))
    about_user = [e for e in client.events if e["type"].startswith("input_audio_buffer")]
    assert {event["item_id"] for event in about_user} == {user}
    parts = [e for e in client.events if "content_index" in e and "response_id" in e]
    assert {event["item_id"] for event in parts} == {reply}
    assert {event["response_id"] for event in parts} == {done["response"]["id"]}
    assert [e["previous_item_id"] for e in client.of("conversation.item.added")] == [None, user]
    assert len({event["event_id"] for event in client.events}) == len(client.events)


async def test_push_to_talk_answers_only_when_asked() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        session = await client.update(audio={"input": {"turn_detection": None}})
        assert session["audio"]["input"]["turn_detection"] is None
        await client.say(400)
        await client.send("input_audio_buffer.clear")
        await client.until("input_audio_buffer.cleared")
        await client.say(800, 1000)
        await client.send("input_audio_buffer.commit")
        await client.until("conversation.item.input_audio_transcription.completed")
        assert "response.created" not in client.types
        await client.send("response.create")
        done = await client.until("response.done")
    assert done["response"]["status"] == "completed"
    assert "input_audio_buffer.speech_started" not in client.types


async def test_a_function_is_called_and_its_result_answered() -> None:
    script = Script(chat=call_then("It is raining in Oslo."))
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        await client.update(tools=[tool])
        await client.say(600, 800)
        call = (await client.until("response.output_item.done"))["item"]
        await client.until("response.done")
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
        await client.send("conversation.item.create", item=result)
        await client.send("response.create")
        done = await client.until("response.done", 2)
    assert call["status"] == "completed"
    assert (call["name"], call["call_id"]) == ("get_weather", "call_7")
    pieces = [e["delta"] for e in client.of("response.function_call_arguments.delta")]
    assert pieces == ['{"city":', '"Oslo"}']
    finished = client.of("response.function_call_arguments.done")[0]
    assert (finished["name"], finished["arguments"]) == ("get_weather", '{"city":"Oslo"}')
    assert done["response"]["output"][0]["content"][0]["transcript"] == "It is raining in Oslo."
    assert [message.role for message in prompt(script)] == ["user", "assistant", "tool"]


# ── stopping ──────────────────────────────────────────────────────────────────────────────────


async def interrupt(client: RealtimeClient) -> str:
    """Talk over the first reply, a sentence of which is there; returns its item."""
    await client.say(600, 800)
    delta = await client.until("response.output_audio.delta", 40)
    await client.say(400)
    done = await client.until("response.done")
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"]["reason"] == "turn_detected"
    item: str = delta["item_id"]
    return item


async def test_speech_interrupts_the_reply() -> None:
    script = Script(chat=ScriptedChat(replies=([TextDelta(LONG), 5000],)))
    script.voice.chunk_delay_ms = 0
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        item = await interrupt(client)
        assert client.types[-1 - len(AUDIO_END + REPLY_END)] == "input_audio_buffer.speech_started"
        assert client.types[-len(AUDIO_END + REPLY_END) :] == [*AUDIO_END, *REPLY_END]
        assert client.of("response.output_item.done")[0]["item"]["status"] == "incomplete"
        n_deltas = len(client.of("response.output_audio.delta"))
        await client.send(
            "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=700
        )
        truncated = await client.until("conversation.item.truncated")
        assert truncated["audio_end_ms"] == 700
        assert len(client.of("response.output_audio.delta")) == n_deltas
        await client.send("conversation.item.retrieve", item_id=item)
        retrieved = await client.until("conversation.item.retrieved")
    assert retrieved["item"]["content"] == [{"type": "output_audio", "transcript": "One two three"}]


async def test_what_was_not_heard_is_not_in_the_next_prompt() -> None:
    script = Script(chat=ScriptedChat(replies=([TextDelta(LONG), 5000], "Yes.")))
    script.voice.chunk_delay_ms = 0
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        item = await interrupt(client)
        await client.send(
            "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=400
        )
        await client.hear(0, 800)
        await client.until("response.done", 2)
    assert [message.content for message in prompt(script)] == [
        "Hello there.",
        "One two",
        "Hello there.",
    ]


@pytest.mark.parametrize("sent", ["during the reply", "after it"])
async def test_truncation_is_clamped_to_the_audio_there_is(sent: str) -> None:
    reply: list[Step] = [TextDelta("Hello my friend. "), 300, ChatEnd("stop")]
    script = Script(chat=ScriptedChat(replies=(reply,)))
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        await client.write("Hi")
        await client.send("response.create")
        awaited = "response.output_audio.delta" if sent == "during the reply" else "response.done"
        await client.until(awaited)
        item = client.of("response.output_item.added")[0]["item"]["id"]
        await client.send(
            "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=60_000
        )
        truncated = await client.until("conversation.item.truncated")
        await client.until("response.done")
    assert 0 < truncated["audio_end_ms"] <= len(client.audio) // 48


async def test_a_client_cancels_the_reply() -> None:
    script = Script(chat=ScriptedChat(replies=([TextDelta(LONG), 5000], "Yes.")))
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        await client.write("Hi")
        await client.send("response.create", response={"metadata": {"n": "1"}})
        started = await client.until("response.created")
        await client.until("response.output_audio.delta")
        await client.send("response.cancel", response_id=started["response"]["id"])
        done = await client.until("response.done")
        assert done["response"]["metadata"] == {"n": "1"}
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        await client.send("response.cancel", event_id="mine")
        error = await client.refused("response_cancel_not_active")
        assert error["message"].startswith("Cancellation failed")
        assert error["event_id"] == "mine"
        await client.still_works()


async def test_clearing_the_output_stops_a_reply_that_is_only_being_played() -> None:
    script = Script(chat=ScriptedChat(replies=(LONG, "Yes.")))
    script.chat.token_ms = 0
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        await client.write("Hi")
        await client.send("response.create")
        await client.until("response.done")
        await client.send("output_audio_buffer.clear")
        cleared = await client.until("output_audio_buffer.cleared")
        assert cleared["response_id"] == client.of("response.created")[0]["response"]["id"]
        await client.still_works()
    assert len(prompt(script)[1].content) < len(LONG) / 2


# ── items ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_users_words_are_retrieved_once_they_are_known() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.say(600, 800)
        known = await client.until("conversation.item.input_audio_transcription.completed")
        await client.send("conversation.item.retrieve", item_id=known["item_id"])
        item = (await client.until("conversation.item.retrieved"))["item"]
    assert item["content"] == [{"type": "input_audio", "transcript": "Hello there."}]
    assert known["usage"] == {"type": "duration", "seconds": pytest.approx(0.7, abs=0.2)}


async def test_items_keep_the_ids_and_places_that_the_client_gives_them() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.write("second", id="two")
        await client.write("third", id="three")
        item = {"type": "message", "role": "developer", "id": "one"}
        item["content"] = [{"type": "input_text", "text": "first"}]  # type: ignore[assignment]
        await client.send("conversation.item.create", item=item, previous_item_id="root")
        item = {**item, "id": "between", "role": "assistant"}
        await client.send("conversation.item.create", item=item, previous_item_id="two")
        await client.until("conversation.item.done", 4)
        added = [(e["previous_item_id"], e["item"]) for e in client.of("conversation.item.added")]
        places = [(previous, item["id"], item["role"]) for previous, item in added]
        assert places == [
            (None, "two", "user"),
            ("two", "three", "user"),
            (None, "one", "system"),
            ("two", "between", "assistant"),
        ]
        await client.write("again", id="two")
        await client.refused("item_create_duplicate_item_id")
        await client.send("conversation.item.create", item=item, previous_item_id="nowhere")
        await client.refused("item_create_duplicate_item_id", 2)
        await client.send("conversation.item.delete", item_id="two")
        await client.until("conversation.item.deleted", item_id="two")
        await client.send("conversation.item.retrieve", item_id="two")
        await client.refused("item_retrieve_invalid_item_id")


async def test_an_item_with_audio_is_transcribed() -> None:
    script = Script(ScriptedRecognizer(texts=("What time is it?",)))
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        audio = base64.b64encode(s16le(LOUD, 500, 24_000)).decode()
        part = {"type": "input_audio", "audio": audio}
        item = {"type": "message", "role": "user", "content": [part]}
        await client.send("conversation.item.create", item=item)
        await client.send("response.create")
        known = await client.until("conversation.item.input_audio_transcription.completed")
        await client.until("response.done")
    assert known["transcript"] == "What time is it?"
    assert known["usage"]["seconds"] == 0.5
    assert prompt(script)[0].content == "What time is it?"


# ── beside the conversation ───────────────────────────────────────────────────────────────────


async def test_a_response_beside_the_conversation_leaves_no_trace() -> None:
    script = Script(chat=ScriptedChat(replies=([TextDelta(LONG), 600, ChatEnd("stop")], "Beside.")))
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        await client.write("Talk to me", id="q")
        await client.send("response.create")
        main = (await client.until("response.created"))["response"]["id"]
        await client.until("response.output_audio.delta")
        beside = {
            "conversation": "none",
            "metadata": {"topic": "tags"},
            "output_modalities": ["text"],
            "instructions": "Classify.",
            "input": [{"type": "item_reference", "id": "q"}],
        }
        await client.send("response.create", response=beside)
        await client.until("response.done", 2)
        by_id = {e["response"]["id"]: e["response"] for e in client.of("response.done")}
        added = len(client.of("conversation.item.added"))
        await client.send("conversation.item.retrieve", item_id="q")
        await client.until("conversation.item.retrieved")
    other = next(response for key, response in by_id.items() if key != main)
    assert by_id[main]["status"] == other["status"] == "completed"
    assert other["conversation_id"] is None
    assert other["metadata"] == {"topic": "tags"}
    assert added == 2
    assert [m.content for m in script.chat.requests[1].messages] == ["Classify.", "Talk to me"]


async def test_two_voices_at_once_do_not_share_a_resampler() -> None:
    """At 16 kHz out, each response's audio is as long as its words and holds its own level."""
    script = Script(chat=ScriptedChat(replies=("One two three four five six.",)))
    script.voice.chunk_delay_ms = 5
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        await client.update(audio={"output": {"format": {"type": "audio/pcm", "rate": 16_000}}})
        await client.write("Hi")
        await client.send("response.create")
        await client.send("response.create", response={"conversation": "none"})
        await client.until("response.done", 2)
    spoken: dict[str, bytes] = {}
    for event in client.of("response.output_audio.delta"):
        data = spoken.get(event["response_id"], b"") + base64.b64decode(event["delta"])
        spoken[event["response_id"]] = data
    assert len(spoken) == 2
    for data in spoken.values():
        pcm = decode_s16le(data)
        assert len(pcm) == pytest.approx(28 * 50 * 16, abs=32)
        assert np.ptp(pcm[400:-400]) < 1e-4


# ── other kinds of session ────────────────────────────────────────────────────────────────────


async def test_a_transcription_session_only_transcribes() -> None:
    script = Script(ScriptedRecognizer(texts=("One two three four.",), partials=True, delay_ms=1))
    path = "/v1/realtime?intent=transcription"
    async with serving(script) as server, realtime(server.url(path)) as client:
        update = {"type": "transcription", "audio": {"input": {"transcription": {"model": "w"}}}}
        await client.send("session.update", session=update)
        session = (await client.until("session.updated"))["session"]
        assert session["type"] == "transcription"
        assert session["audio"]["input"]["transcription"]["model"] == "w"
        assert "output" not in session["audio"]
        for _ in range(4):
            await client.say(520)
            await client.send("conversation.item.retrieve", item_id="none yet")
            await client.refused("item_retrieve_invalid_item_id", 1 + _)
        await client.hear(0, 800)
        done = await client.until("conversation.item.input_audio_transcription.completed")
        deltas = client.of("conversation.item.input_audio_transcription.delta")
        assert done["transcript"] == "".join(e["delta"] for e in deltas) == "One two three four."
        assert len(deltas) > 1
        await client.send("response.create")
        await client.refused("response_not_supported")
    assert not script.chat.requests


async def test_after_a_long_silence_the_assistant_speaks_by_itself() -> None:
    script = Script(chat=ScriptedChat(replies=("Hi.", "Are you there?")))
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        turn = {"type": "server_vad", "idle_timeout_ms": 1000}
        session = await client.update(audio={"input": {"turn_detection": turn}})
        assert session["audio"]["input"]["turn_detection"]["idle_timeout_ms"] == 1000
        await client.say(600, 800)
        timeout = await client.until("input_audio_buffer.timeout_triggered")
        done = await client.until("response.done", 2)
    assert timeout["audio_end_ms"] >= timeout["audio_start_ms"] >= 0
    assert done["response"]["output"][0]["content"][0]["transcript"] == "Are you there?"
    assert timeout["item_id"] in [e["item"]["id"] for e in client.of("conversation.item.added")]


@pytest.mark.parametrize(
    ("encoding", "encode", "decode"),
    [("audio/pcmu", encode_ulaw, decode_ulaw), ("audio/pcma", encode_alaw, decode_alaw)],
)
async def test_a_telephone_call_in_g711(encoding: str, encode, decode) -> None:  # type: ignore[no-untyped-def]
    script = Script()
    telephone = {"format": {"type": encoding}}
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        session = await client.update(audio={"input": telephone, "output": telephone})
        assert session["audio"]["input"]["format"] == {"type": encoding}
        for level in [0.5] * 50 + [0.0] * 40:
            await client.append(encode(np.full(160, level, np.float32)))
        done = await client.until("response.done")
    assert done["response"]["audio"]["output"]["format"] == {"type": encoding}
    assert script.recognizer.heard_ms[0] == pytest.approx(1250, abs=100)
    reply = decode(client.audio)
    assert len(reply) == pytest.approx(SPOKEN_CHARS * 50 * 8, abs=16)
    assert 0 < np.abs(reply).max() < 0.01


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
async def test_pcm_at_other_rates_both_ways(rate: int) -> None:
    script = Script()
    pcm = {"format": {"type": "audio/pcm", "rate": rate}}
    async with serving(script) as server, realtime(server.url(PATH)) as client:
        session = await client.update(audio={"input": pcm, "output": pcm})
        assert session["audio"]["output"]["format"]["rate"] == rate
        client.rate = rate
        await client.say(1000, 800)
        await client.until("response.done")
    assert script.recognizer.heard_ms[0] == pytest.approx(1250, abs=100)
    assert len(client.audio) / 2 == pytest.approx(SPOKEN_CHARS * 50 * rate / 1000, abs=rate / 100)


async def test_our_own_events_come_only_to_clients_that_asked() -> None:
    async with serving() as server, realtime(server.url(PATH)) as client:
        await client.say(600, 800)
        await client.until("response.done")
        assert not [kind for kind in client.types if kind.startswith("vivavoce")]
        session = await client.update(vivavoce={"events": True})
        assert session["vivavoce"] == {"events": True}
        await client.say(600, 800)
        receipt = await client.until("vivavoce.receipt")
    assert next(iter(receipt["stages"])) == "speech_end"
    assert receipt["stages"]["first_audible"] >= receipt["stages"]["endpoint"]
