"""The chat client against a scripted server over real HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from engines.llm.scripted_server import (
    Reply,
    ScriptedCall,
    ScriptedChatServer,
    calls,
    dies,
    garbage,
    hangs,
    refuses,
    says,
    stalls,
)
from vivavoce.engines.interfaces import (
    ChatDelta,
    ChatEnd,
    ChatMessage,
    ChatRequest,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
)
from vivavoce.engines.llm.openai_chat import OpenAIChat
from vivavoce.errors import (
    ConfigurationError,
    EngineFailure,
    EngineTimeout,
    Overloaded,
    VivavoceError,
)

SECRET = "the-heron-knows"
KEY = "sk-do-not-print-me"
ASK = ChatRequest((ChatMessage("user", SECRET),), max_tokens=20, temperature=0.5)


def chat(server: ScriptedChatServer, **options: Any) -> OpenAIChat:
    return OpenAIChat(server.base_url, model="scripted", api_key=KEY, **options)


async def deltas_of(stream: AsyncGenerator[ChatDelta, None]) -> list[ChatDelta]:
    async with aclosing(stream) as deltas:
        return [delta async for delta in deltas]


async def error_of(server: ScriptedChatServer, **options: Any) -> VivavoceError:
    with pytest.raises(VivavoceError) as caught:
        await deltas_of(chat(server, **options).stream(ASK))
    assert SECRET not in caught.value.message
    assert KEY not in caught.value.message
    return caught.value


# ── what a reply looks like ───────────────────────────────────────────────────────────────────


async def test_text_arrives_in_pieces_with_usage_at_the_end() -> None:
    async with ScriptedChatServer(says("Hello 你好.")) as server:
        deltas = await deltas_of(chat(server).stream(ASK))
    assert deltas == [
        TextDelta("Hello"),
        TextDelta(" 你"),
        TextDelta("好"),
        TextDelta("."),
        ChatEnd("stop", input_tokens=10, output_tokens=4, cached_tokens=4),
    ]
    sent = server.requests[0]
    assert sent.messages == [{"role": "user", "content": SECRET}]
    assert sent.body["max_tokens"] == 20
    assert sent.body["temperature"] == 0.5
    assert sent.headers["authorization"] == f"Bearer {KEY}"


async def test_a_tool_call_is_streamed_and_its_result_sent_back() -> None:
    tool = Tool("weather", "of a city", {"type": "object", "properties": {"city": {}}})
    request = ChatRequest(
        (
            ChatMessage("user", "Weather?"),
            ChatMessage("assistant", "", (ToolCall("call_1", "weather", "{}"),)),
            ChatMessage("tool", "rain", tool_call_id="call_1"),
        ),
        tools=(tool,),
        tool_choice="weather",
    )
    async with ScriptedChatServer(calls("weather", '{"city":', '"Paris"}')) as server:
        deltas = await deltas_of(chat(server).stream(request))
    assert deltas[:3] == [
        ToolCallDelta(0, "", id="call_1", name="weather"),
        ToolCallDelta(0, '{"city":'),
        ToolCallDelta(0, '"Paris"}'),
    ]
    assert isinstance(deltas[3], ChatEnd)
    assert deltas[3].finish_reason == "tool_calls"
    body = server.requests[0].body
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert body["tools"][0]["function"]["description"] == "of a city"
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == "weather"
    assert body["messages"][2]["tool_call_id"] == "call_1"


async def test_calls_that_all_say_index_zero_stay_apart() -> None:
    reply = Reply(
        calls=(ScriptedCall("a", ["{}"], "call_1"), ScriptedCall("b", ["{}"], "call_2")),
        same_index=True,
        finish_reason="stop",
    )
    async with ScriptedChatServer(reply) as server:
        deltas = await deltas_of(chat(server).stream(ASK))
    heads = [(d.index, d.name) for d in deltas if isinstance(d, ToolCallDelta) and d.id]
    assert heads == [(0, "a"), (1, "b")]
    assert isinstance(deltas[-1], ChatEnd)
    assert deltas[-1].finish_reason == "tool_calls"


async def test_reasoning_is_not_spoken() -> None:
    async with ScriptedChatServer(Reply(("Yes.",), reasoning=("hmm", "well"))) as server:
        deltas = await deltas_of(chat(server).stream(ASK))
    assert deltas[0] == TextDelta("Yes.")


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_the_reason_of_the_end_is_kept(reason: str) -> None:
    async with ScriptedChatServer(Reply(("A",), finish_reason=reason)) as server:
        deltas = await deltas_of(chat(server).stream(ASK))
    assert isinstance(deltas[-1], ChatEnd)
    assert deltas[-1].finish_reason == reason


# ── servers that refuse optional fields ───────────────────────────────────────────────────────


@pytest.mark.parametrize("field", ["stream_options", "temperature", "max_tokens"])
async def test_a_refused_field_is_left_out_from_then_on(field: str) -> None:
    async with ScriptedChatServer(
        Reply(("A",), refuse_fields=(field,)), Reply(("B",), refuse_fields=(field,))
    ) as server:
        model = chat(server)
        first = await deltas_of(model.stream(ASK))
        second = await deltas_of(model.stream(ASK))
    assert (first[0], second[0]) == (TextDelta("A"), TextDelta("B"))
    assert [field in request.body for request in server.requests] == [True, False, False]
    assert (server.requests[1].body.get("max_completion_tokens") == 20) == (field == "max_tokens")


async def test_a_request_that_is_refused_as_such_fails() -> None:
    async with ScriptedChatServer(refuses(400, "context_length_exceeded")) as server:
        error = await error_of(server)
    assert "400, context_length_exceeded" in error.message
    assert len(server.requests) == 1


# ── what can go wrong ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reply", "kind", "hint"),
    [
        (refuses(401), ConfigurationError, "VIVAVOCE_LLM_API_KEY"),
        (refuses(403), ConfigurationError, "VIVAVOCE_LLM_API_KEY"),
        (refuses(404), ConfigurationError, "VIVAVOCE_LLM_MODEL"),
        (refuses(429, "rate_limit_exceeded"), Overloaded, "rate_limit_exceeded"),
        (refuses(500), EngineFailure, "500"),
        (refuses(503), EngineFailure, "503"),
        (dies(), EngineFailure, "middle of a reply"),
        (dies("Once upon"), EngineFailure, "middle of a reply"),
        (garbage("Once upon"), EngineFailure, "not a stream of chat completions"),
        (Reply(("A",), ending="error_event"), EngineFailure, "server_error"),
        (Reply(("A",), ending="cut"), EngineFailure, "without a reason"),
    ],
)
async def test_failures_are_named(reply: Reply, kind: type[VivavoceError], hint: str) -> None:
    async with ScriptedChatServer(reply) as server:
        error = await error_of(server)
    assert type(error) is kind
    assert hint in error.message
    assert "127.0.0.1" in error.message


@pytest.mark.parametrize("reply", [hangs(), stalls()])
async def test_no_first_token_in_time(reply: Reply) -> None:
    async with ScriptedChatServer(reply) as server:
        error = await error_of(server, first_token_timeout_ms=50)
        await asyncio.wait_for(server.requests[0].closed_early.wait(), 1)
    assert type(error) is EngineTimeout
    assert "no first token" in error.message


async def test_a_stalled_reply() -> None:
    async with ScriptedChatServer(stalls("Once upon")) as server:
        error = await error_of(server, next_token_timeout_ms=50)
        await asyncio.wait_for(server.requests[0].closed_early.wait(), 1)
    assert type(error) is EngineTimeout
    assert "no further token" in error.message


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    model = OpenAIChat(f"http://me:{KEY}@127.0.0.1:{port}/v1", model="x")
    with pytest.raises(EngineFailure, match=f"cannot reach .*http://127.0.0.1:{port}/v1") as caught:
        await deltas_of(model.stream(ASK))
    assert KEY not in caught.value.message


async def test_a_connection_that_fails_before_the_reply_is_tried_once_more() -> None:
    async with ScriptedChatServer(Reply(ending="refuse_connection"), says("Hello.")) as server:
        deltas = await deltas_of(chat(server).stream(ASK))
    assert deltas[0] == TextDelta("Hello.")
    assert len(server.requests) == 2


def test_an_address_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="VIVAVOCE_LLM_BASE_URL"):
        OpenAIChat("localhost:11434", model="x")


async def test_neither_prompt_nor_reply_nor_key_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with ScriptedChatServer(says("gossamer"), refuses(500), dies("gossamer")) as server:
        await deltas_of(chat(server).stream(ASK))
        await error_of(server)
        await error_of(server)
    assert caplog.records
    for word in (SECRET, "gossamer", KEY):
        assert word not in caplog.text


# ── cancellation and limits ───────────────────────────────────────────────────────────────────


async def test_closing_the_iterator_closes_the_connection_at_once() -> None:
    async with ScriptedChatServer(Reply(["A "] * 1000, delay_ms=10)) as server:
        stream = chat(server).stream(ASK)
        await anext(stream)
        await stream.aclose()
        await asyncio.wait_for(server.requests[0].closed_early.wait(), 0.2)
    assert server.requests[0].sent_tokens < 1000


@pytest.mark.parametrize("reply", [hangs(), stalls("Once")])
async def test_cancelling_the_reading_task_closes_the_connection_at_once(reply: Reply) -> None:
    async with ScriptedChatServer(reply) as server:
        reading = asyncio.create_task(deltas_of(chat(server).stream(ASK)))
        request = await server.arrived.get()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.wait_for(request.closed_early.wait(), 0.2)


async def test_requests_wait_in_order_and_the_surplus_is_turned_away() -> None:
    async with ScriptedChatServer(says("first"), says("second")) as server:
        model = chat(server, max_concurrency=1, max_waiting=1)
        running = model.stream(ASK)
        assert await anext(running) == TextDelta("first")
        waiting = asyncio.create_task(deltas_of(model.stream(ASK)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="1 replies already wait"):
            await deltas_of(model.stream(ASK))
        assert len(server.requests) == 1
        await running.aclose()
        assert (await waiting)[0] == TextDelta("second")


async def test_waiting_in_line_counts_against_the_first_token() -> None:
    async with ScriptedChatServer() as server:
        model = chat(server, max_concurrency=1, first_token_timeout_ms=50)
        running = model.stream(ASK)
        await anext(running)
        with pytest.raises(Overloaded, match="no place within"):
            await deltas_of(model.stream(ASK))
        await running.aclose()
        assert (await deltas_of(model.stream(ASK)))[0] == TextDelta("Hello")


async def test_prefill_asks_nothing_of_a_foreign_server() -> None:
    async with ScriptedChatServer() as server:
        await chat(server).prefill(ASK)
    assert server.requests == []
