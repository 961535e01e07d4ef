"""The `openai-agents` package, told nothing but the URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession, RealtimeSessionEvent
from agents.realtime.model_inputs import RealtimeModelSendRawMessage

from protocols.clients import LOUD, s16le
from support.scripted import Script
from support.server import RunningServer

pytestmark = pytest.mark.clients


@function_tool
async def get_weather(city: str) -> str:
    """Looks out of the window."""
    return f"raining on {city}"


class Conversation:
    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.events: list[RealtimeSessionEvent] = []

    async def until(self, kind: str, count: int = 1) -> Any:
        """The count-th event of a kind from now on."""
        async with asyncio.timeout(10):
            async for event in self.session:
                assert event.type != "error", event
                self.events.append(event)
                if event.type == kind:
                    count -= 1
                    if count == 0:
                        return event
        raise AssertionError(f"the session ended without {kind}")

    async def until_raw(self, kind: str) -> dict[str, Any]:
        """The server event of a kind, as the SDK saw it."""
        while True:
            event = await self.until("raw_model_event")
            if event.data.type == "raw_server_event" and event.data.data["type"] == kind:
                raw: dict[str, Any] = event.data.data
                return raw

    async def until_history(self, said: Callable[[list[tuple[str, str | None]]], bool]) -> None:
        while True:
            event = await self.until("history_updated")
            if said([words_of(item) for item in event.history if item.type == "message"]):
                return

    async def stream(self, level: int, ms: int) -> None:
        for _ in range(ms // 40):
            await self.session.send_audio(s16le(level, 40, 24_000))


def words_of(item: Any) -> tuple[str, str | None]:
    part = item.content[0] if item.content else None
    return item.role, getattr(part, "transcript", None) or getattr(part, "text", None)


@asynccontextmanager
async def talking(
    server: RunningServer, agent: RealtimeAgent[Any], **settings: Any
) -> AsyncIterator[Conversation]:
    url = server.url("/v1/realtime?model=gpt-realtime")
    runner = RealtimeRunner(agent)
    config: Any = {"url": url, "api_key": "none", "initial_model_settings": settings}
    async with await runner.run(model_config=config) as session:
        yield Conversation(session)


async def test_a_voice_turn(server: RunningServer) -> None:
    async with talking(server, RealtimeAgent(name="Vivi", instructions="Chat.")) as talk:
        await talk.stream(LOUD, 800)
        await talk.stream(0, 1600)
        await talk.until("audio_end")
        await talk.until_history(
            lambda history: (
                history == [("user", "Hello there."), ("assistant", "Hi! How are you today?")]
            )
        )
    audio = b"".join(event.audio.data for event in talk.events if event.type == "audio")
    assert len(audio) == 21 * 50 * 48


async def test_an_interruption_with_truncation(server: RunningServer) -> None:
    async with talking(server, RealtimeAgent(name="Vivi", instructions="Tell a story.")) as talk:
        await talk.stream(LOUD, 800)
        await talk.stream(0, 1600)
        first = await talk.until("audio", 40)
        await talk.stream(LOUD, 400)
        interrupted = await talk.until("audio_interrupted")
        assert interrupted.item_id == first.item_id
        truncated = await talk.until_raw("conversation.item.truncated")
        assert truncated["item_id"] == first.item_id
        retrieved = await talk.until_raw("conversation.item.retrieved")
        while retrieved["item"]["id"] != first.item_id:
            retrieved = await talk.until_raw("conversation.item.retrieved")
        (part,) = retrieved["item"]["content"]
        assert len(part["transcript"].split()) < 12


async def test_a_function_call(server: RunningServer) -> None:
    agent = RealtimeAgent(name="Vivi", instructions="Chat.", tools=[get_weather])
    async with talking(server, agent) as talk:
        await talk.stream(LOUD, 800)
        await talk.stream(0, 1600)
        called = await talk.until("tool_end")
        assert (called.tool.name, called.output) == ("get_weather", "raining on Oslo")
        await talk.until_history(
            lambda history: ("assistant", "It is raining on Oslo in Oslo.") in history
        )


async def test_push_to_talk(server: RunningServer, script: Script) -> None:
    agent = RealtimeAgent(name="Vivi", instructions="Chat.")
    async with talking(server, agent, turn_detection=None) as talk:
        await talk.stream(LOUD, 800)
        await talk.session.send_audio(s16le(0, 40, 24_000), commit=True)
        await talk.until_raw("input_audio_buffer.committed")
        create = RealtimeModelSendRawMessage(message={"type": "response.create"})
        await talk.session.model.send_event(create)
        await talk.until("audio_end")
    assert script.recognizer.heard_ms == [pytest.approx(840, abs=40)]


async def test_a_text_turn(server: RunningServer) -> None:
    agent = RealtimeAgent(name="Vivi", instructions="Chat.")
    async with talking(server, agent, modalities=["text"]) as talk:
        await talk.session.send_message("Hello")
        await talk.until_history(
            lambda history: history == [("user", "Hello"), ("assistant", "Hi! How are you today?")]
        )
    assert not [event for event in talk.events if event.type == "audio"]
