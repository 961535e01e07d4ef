"""What the stock clients talk to: the real server with scripted engines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.scripted import Script, ScriptedChat
from support.server import RunningServer, serving
from vivavoce.engines.interfaces import ChatDelta, ChatEnd, ChatRequest, TextDelta, ToolCallDelta

LONG = "One two three four five six seven eight nine ten eleven twelve. " * 4
CALL: list[ChatDelta] = [
    ToolCallDelta(0, "", id="call_7", name="get_weather"),
    ToolCallDelta(0, '{"city": "Oslo"}'),
    ChatEnd("tool_calls", 20, 9),
]


class ObedientChat(ScriptedChat):
    """Says what the last message asks for: a story, the weather, or how it is."""

    async def stream(self, request: ChatRequest):  # type: ignore[no-untyped-def]
        asked = request.messages[-1]
        if asked.role == "tool":
            self.replies = [f"It is {asked.content} in Oslo."]
        elif request.tools:
            self.replies = [CALL]
        elif "story" in asked.content or "story" in request.messages[0].content:
            self.replies = [[TextDelta(LONG), 5000]]
        else:
            self.replies = ["Hi! How are you today?"]
        async for delta in super().stream(request):
            yield delta


@pytest.fixture
def script() -> Script:
    script = Script(chat=ObedientChat())
    script.voice.chunk_delay_ms = 0
    return script


@pytest.fixture
async def server(script: Script) -> AsyncIterator[RunningServer]:
    async with serving(script) as running:
        yield running
