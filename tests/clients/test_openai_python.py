"""The `openai` package, told nothing but the URL."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from protocols.clients import LOUD, s16le
from support.scripted import Script
from support.server import RunningServer

pytestmark = pytest.mark.clients


class Conversation:
    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.events: list[Any] = []

    async def until(self, kind: str) -> Any:
        async with asyncio.timeout(10):
            async for event in self.connection:
                assert event.type != "error", event
                self.events.append(event)
                if event.type == kind:
                    return event
        raise AssertionError(f"the connection ended without {kind}")

    async def stream(self, level: int, ms: int) -> None:
        for _ in range(ms // 40):
            audio = base64.b64encode(s16le(level, 40, 24_000)).decode()
            await self.connection.input_audio_buffer.append(audio=audio)

    def text(self, kind: str) -> str:
        return "".join(event.delta for event in self.events if event.type == kind)


@pytest.fixture
async def talk(server: RunningServer) -> AsyncIterator[Conversation]:
    client = AsyncOpenAI(base_url=server.url("/v1", "http"), api_key="none")
    async with client.realtime.connect(model="gpt-realtime") as connection:
        conversation = Conversation(connection)
        await conversation.until("session.created")
        yield conversation
    await client.close()


async def test_a_voice_turn(talk: Conversation) -> None:
    await talk.stream(LOUD, 800)
    await talk.stream(0, 800)
    done = await talk.until("response.done")
    assert done.response.status == "completed"
    transcript = talk.text("response.output_audio_transcript.delta")
    assert transcript == "Hi! How are you today?"
    kind = "response.output_audio.delta"
    audio = [base64.b64decode(event.delta) for event in talk.events if event.type == kind]
    assert len(b"".join(audio)) == 21 * 50 * 48


async def test_an_interruption_with_truncation(talk: Conversation) -> None:
    await talk.connection.session.update(
        session={"type": "realtime", "instructions": "Tell a long story."}
    )
    await talk.stream(LOUD, 800)
    await talk.stream(0, 800)
    for _ in range(40):
        delta = await talk.until("response.output_audio.delta")
    await talk.stream(LOUD, 400)
    await talk.until("input_audio_buffer.speech_started")
    done = await talk.until("response.done")
    assert done.response.status == "cancelled"
    await talk.connection.conversation.item.truncate(
        item_id=delta.item_id, content_index=0, audio_end_ms=700
    )
    truncated = await talk.until("conversation.item.truncated")
    assert truncated.audio_end_ms == 700
    await talk.connection.conversation.item.retrieve(item_id=delta.item_id)
    retrieved = await talk.until("conversation.item.retrieved")
    assert "One two three" in retrieved.item.model_dump_json()
    assert "four" not in retrieved.item.model_dump_json()


async def test_a_function_call(talk: Conversation) -> None:
    await talk.connection.session.update(
        session={
            "type": "realtime",
            "tools": [
                {
                    "type": "function",
                    "name": "get_weather",
                    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                }
            ],
        }
    )
    await talk.stream(LOUD, 800)
    await talk.stream(0, 800)
    call = await talk.until("response.function_call_arguments.done")
    assert (call.name, call.arguments) == ("get_weather", '{"city": "Oslo"}')
    await talk.until("response.done")
    await talk.connection.conversation.item.create(
        item={"type": "function_call_output", "call_id": call.call_id, "output": "raining"}
    )
    await talk.connection.response.create()
    await talk.until("response.done")
    assert talk.text("response.output_audio_transcript.delta") == "It is raining in Oslo."


async def test_push_to_talk(talk: Conversation, script: Script) -> None:
    await talk.connection.session.update(
        session={"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    )
    await talk.connection.input_audio_buffer.clear()
    await talk.stream(LOUD, 800)
    await talk.connection.input_audio_buffer.commit()
    await talk.connection.response.create()
    done = await talk.until("response.done")
    assert done.response.status == "completed"
    assert script.recognizer.heard_ms == [pytest.approx(800, abs=40)]


async def test_a_text_turn(talk: Conversation) -> None:
    await talk.connection.conversation.item.create(
        item={
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Hello"}],
        }
    )
    await talk.connection.response.create(response={"output_modalities": ["text"]})
    await talk.until("response.done")
    assert talk.text("response.output_text.delta") == "Hi! How are you today?"
