"""`@openai/agents-realtime` in Node, told nothing but the URL."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from clients.node_packages import FOLDER, node
from support.scripted import Script
from support.server import RunningServer

pytestmark = pytest.mark.clients


async def play(server: RunningServer, scenario: str) -> dict[str, Any]:
    """What the app saw in one scenario of converse.mjs."""
    binary = node()
    if binary is None:
        pytest.skip("Node is not installed")
    process = await asyncio.create_subprocess_exec(
        *(binary, "converse.mjs", server.url("/v1/realtime?model=gpt-realtime"), scenario),
        cwd=FOLDER,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    seen: dict[str, Any] = json.loads(out)
    assert seen["errors"] == []
    assert "error" not in seen["types"]
    return seen


def spoken(seen: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["role"], item["words"]) for item in seen["history"] if item["type"] == "message"]


async def test_a_voice_turn(server: RunningServer) -> None:
    seen = await play(server, "voice")
    assert seen["statuses"] == ["completed"]
    assert seen["audioBytes"] == 21 * 50 * 48
    assert spoken(seen) == [("user", "Hello there."), ("assistant", "Hi! How are you today?")]


async def test_an_interruption_with_truncation(server: RunningServer) -> None:
    seen = await play(server, "interruption")
    assert seen["statuses"] == ["cancelled"]
    assert seen["interruptions"] == 1
    assert seen["truncated"]["audio_end_ms"] >= 0
    assert (
        "response.output_audio.delta" not in seen["types"][seen["types"].index("response.done") :]
    )


async def test_a_function_call(server: RunningServer) -> None:
    seen = await play(server, "function")
    assert seen["statuses"] == ["completed", "completed"]
    assert seen["toolOutput"] == "raining on Oslo"
    assert spoken(seen)[-1] == ("assistant", "It is raining on Oslo in Oslo.")


async def test_push_to_talk(server: RunningServer, script: Script) -> None:
    seen = await play(server, "push_to_talk")
    assert seen["statuses"] == ["completed"]
    assert script.recognizer.heard_ms == [pytest.approx(840, abs=40)]


async def test_a_text_turn(server: RunningServer) -> None:
    seen = await play(server, "text")
    assert seen["statuses"] == ["completed"]
    assert seen["audioBytes"] == 0
    assert spoken(seen) == [("user", "Hello"), ("assistant", "Hi! How are you today?")]
