"""The embedded chat model: the real child program with real weights."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx
import psutil
import pytest
import structlog

from vivavoce.engines.interfaces import (
    ChatDelta,
    ChatEnd,
    ChatMessage,
    ChatRequest,
    TextDelta,
    Tool,
    ToolCallDelta,
)
from vivavoce.engines.llm.embedded import EmbeddedChat, choose_embedded_model
from vivavoce.engines.llm.llama_process import ServerState
from vivavoce.errors import (
    ConfigurationError,
    EngineCrashed,
    EngineFailure,
    WeightsUnavailable,
)

SYSTEM = (
    "You are Viva, a friendly voice assistant. Answer in one short sentence. 请用用户的语言回答。"
)


def ask(text: str, *, max_tokens: int | None = None, tool_choice: str = "auto") -> ChatRequest:
    messages = (ChatMessage("system", SYSTEM), ChatMessage("user", text))
    return ChatRequest(messages, max_tokens=max_tokens, tool_choice=tool_choice, temperature=0.0)


async def deltas_of(stream: AsyncGenerator[ChatDelta, None]) -> list[ChatDelta]:
    async with aclosing(stream) as deltas:
        return [delta async for delta in deltas]


def text_of(deltas: list[ChatDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def end_of(deltas: list[ChatDelta]) -> ChatEnd:
    assert isinstance(deltas[-1], ChatEnd)
    return deltas[-1]


@pytest.fixture
async def small(models_dir: Path) -> AsyncIterator[EmbeddedChat]:
    model = EmbeddedChat(models_dir / "smollm2-135m" / "model.gguf", context_tokens=2048)
    await model.start()
    yield model
    await model.close()


@pytest.fixture
async def qwen(models_dir: Path) -> AsyncIterator[EmbeddedChat]:
    path = models_dir / "qwen2.5-0.5b" / "model.gguf"
    model = EmbeddedChat(path, system_prompt=SYSTEM, first_token_timeout_ms=60_000)
    await model.start()
    yield model
    await model.close()


async def busy_slots(model: EmbeddedChat) -> int:
    """How many slots the child computes for, as it says itself."""
    client = model._client
    assert client is not None
    url = str(client._client.base_url).replace("/v1/", "/slots")
    headers = {"Authorization": f"Bearer {client._client.api_key}"}
    async with httpx.AsyncClient() as http:
        slots = (await http.get(url, headers=headers)).json()
    return sum(slot["is_processing"] for slot in slots)


def test_the_larger_model_needs_cores_and_memory() -> None:
    gib = 1024**3
    assert choose_embedded_model(4, 8 * gib) == "qwen2.5-1.5b"
    assert choose_embedded_model(2, 64 * gib) == "qwen2.5-0.5b"
    assert choose_embedded_model(16, 4 * gib) == "qwen2.5-0.5b"


async def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"nowhere\.gguf"):
        await EmbeddedChat(tmp_path / "nowhere.gguf").start()


async def test_a_broken_file_is_an_error_at_the_start(tmp_path: Path) -> None:
    broken = tmp_path / "model.gguf"
    broken.write_bytes(b"GGUF and then nothing of the kind")
    model = EmbeddedChat(broken)
    with pytest.raises(EngineCrashed, match="language model"):
        await model.start()
    assert model.state is ServerState.STOPPED


async def test_a_model_that_is_not_started_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineFailure, match="not started"):
        await deltas_of(EmbeddedChat(tmp_path / "model.gguf").stream(ask("Hi")))


def test_numbers_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="threads of the language model is 0"):
        EmbeddedChat(tmp_path / "model.gguf", threads=0)


@pytest.mark.models
async def test_it_streams_and_counts(small: EmbeddedChat, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as events:
        deltas = await deltas_of(small.stream(ask("What is the gossamer capital?", max_tokens=12)))
    assert len(deltas) > 3
    end = end_of(deltas)
    assert end.input_tokens and end.input_tokens > 10
    assert end.output_tokens and end.output_tokens <= 12
    logged = caplog.text + repr(events)
    assert "gossamer" not in logged
    assert text_of(deltas) not in logged


@pytest.mark.models
async def test_closing_the_stream_frees_the_slot(small: EmbeddedChat) -> None:
    stream = small.stream(ask("Tell me a very long story.", max_tokens=1000))
    await anext(stream)
    assert await busy_slots(small) == 1
    await stream.aclose()
    async with asyncio.timeout(2):
        while await busy_slots(small):
            pass
    # At 1000 tokens the reply would have gone on far longer than this one takes.
    assert text_of(await deltas_of(small.stream(ask("Hi", max_tokens=4))))


@pytest.mark.models
async def test_a_killed_child_is_named_and_replaced(small: EmbeddedChat) -> None:
    stream = small.stream(ask("Tell me a very long story.", max_tokens=1000))
    await anext(stream)
    killed = small.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(EngineCrashed, match="stopped and is being restarted"):
        await deltas_of(stream)
    assert small.state is ServerState.RESTARTING
    assert text_of(await deltas_of(small.stream(ask("Hi", max_tokens=4))))
    assert small.pid not in (None, killed)


@pytest.mark.models
async def test_an_interrupt_of_the_terminal_is_left_to_the_parent(small: EmbeddedChat) -> None:
    assert small.pid is not None
    os.kill(small.pid, signal.SIGINT)
    assert text_of(await deltas_of(small.stream(ask("Hi", max_tokens=4))))
    assert small.state is ServerState.READY


@pytest.mark.models
async def test_the_key_is_not_on_the_command_line_and_is_asked_for(small: EmbeddedChat) -> None:
    assert small.pid is not None and small._client is not None
    key = small._client._client.api_key
    assert len(key) == 32
    assert key not in " ".join(psutil.Process(small.pid).cmdline())
    async with httpx.AsyncClient() as http:
        url = f"{small._client._client.base_url}chat/completions"
        assert (await http.post(url, json={"messages": []})).status_code == 401


@pytest.mark.models
async def test_closing_ends_the_child(models_dir: Path) -> None:
    model = EmbeddedChat(models_dir / "smollm2-135m" / "model.gguf", context_tokens=2048)
    await model.start()
    assert model.pid is not None
    child = psutil.Process(model.pid)
    await model.close()
    assert model.state is ServerState.STOPPED
    assert not child.is_running()


@pytest.mark.models
def test_the_child_ends_with_its_parent(models_dir: Path) -> None:
    program = """
import asyncio, pathlib, sys
from vivavoce.engines.llm.embedded import EmbeddedChat
async def main():
    model = EmbeddedChat(pathlib.Path(sys.argv[1]), context_tokens=512)
    await model.start()
    print(model.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    path = models_dir / "smollm2-135m" / "model.gguf"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        # Log lines may come before it.
        child = psutil.Process(next(int(line) for line in parent.stdout if line.strip().isdigit()))
        parent.kill()
        psutil.wait_procs([child], timeout=5)
        assert not child.is_running()


@pytest.mark.models
async def test_both_languages(qwen: EmbeddedChat) -> None:
    english = await deltas_of(qwen.stream(ask("What is the capital of Japan?", max_tokens=20)))
    chinese = await deltas_of(qwen.stream(ask("中国的首都是哪里？", max_tokens=20)))
    assert "Tokyo" in text_of(english)
    assert "北京" in text_of(chinese)
    # The system prompt was read at the start, and is not read again.
    cached, whole = end_of(english).cached_tokens, end_of(english).input_tokens
    assert cached and whole and cached > whole / 2


@pytest.mark.models
async def test_prefill_leaves_little_to_read(qwen: EmbeddedChat) -> None:
    question = "I would like to know how the weather is going to be in the old town of Beijing"
    await qwen.prefill(ask(question))
    end = end_of(await deltas_of(qwen.stream(ask(f"{question} tomorrow?", max_tokens=2))))
    assert end.input_tokens and end.cached_tokens
    assert end.input_tokens - end.cached_tokens <= 12


@pytest.mark.models
async def test_a_reply_interrupts_a_prefill(qwen: EmbeddedChat) -> None:
    prefill = asyncio.create_task(qwen.prefill(ask("one two three four five " * 200)))
    async with asyncio.timeout(10):
        while not await busy_slots(qwen):
            pass
    stream = qwen.stream(ask("Hi", max_tokens=2))
    await anext(stream)
    assert prefill.done()
    # While a reply runs nothing is read ahead.
    await asyncio.wait_for(qwen.prefill(ask("Hello")), 0.05)
    await stream.aclose()


@pytest.mark.models
@pytest.mark.parametrize("choice", ["required", "set_timer"])
async def test_a_demanded_call_is_valid(qwen: EmbeddedChat, choice: str) -> None:
    minutes = {"type": "object", "properties": {"minutes": {"type": "integer"}}}
    tool = Tool("set_timer", "Start a timer", {**minutes, "required": ["minutes"]})
    request = ask("Set a timer for five minutes.", tool_choice=choice)
    request = ChatRequest(request.messages, (tool,), choice, temperature=0.0)
    deltas = await deltas_of(qwen.stream(request))
    call, end = deltas
    assert isinstance(call, ToolCallDelta)
    assert call.name == "set_timer"
    assert json.loads(call.arguments) == {"minutes": 5}
    assert isinstance(end, ChatEnd)
    assert end.finish_reason == "tool_calls"
    told = (
        *request.messages,
        ChatMessage("tool", "The timer is running.", tool_call_id=call.id),
    )
    answer = await deltas_of(qwen.stream(ChatRequest(told, (tool,), temperature=0.0)))
    assert text_of(answer)
    assert not any(isinstance(delta, ToolCallDelta) for delta in answer)
