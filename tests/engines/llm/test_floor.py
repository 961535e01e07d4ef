"""Who generates when, with no model at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

import pytest

from vivavoce.engines.interfaces import ChatDelta, ChatEnd, ChatMessage, ChatRequest, TextDelta
from vivavoce.engines.llm import floor as floor_module
from vivavoce.engines.llm.floor import OPENING_TOKENS, Floor, Turn
from vivavoce.engines.llm.pieces import in_pieces
from vivavoce.errors import Overloaded


def soon() -> float:
    return asyncio.get_running_loop().time() + 1


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def finish_opening(turn: Turn) -> None:
    for _ in range(OPENING_TOKENS):
        turn.spoke()


async def test_openings_come_one_after_another_in_order() -> None:
    floor, order = Floor(), list[int]()

    async def reply(number: int) -> None:
        async with floor.turn(soon()):
            order.append(number)
            await settle()
            assert order[-1] == number

    await asyncio.gather(*(reply(number) for number in range(4)))
    assert order == [0, 1, 2, 3]
    assert not floor.busy


async def test_a_reply_past_its_opening_pauses_for_the_next_opening() -> None:
    floor = Floor()
    async with floor.turn(soon()) as first:
        finish_opening(first)
        assert not first.must_pause()
        async with floor.turn(soon()) as second:
            assert first.must_pause()
            assert not second.must_pause()
            resumed = asyncio.create_task(first.resume())
            await settle()
            assert not resumed.done()
            finish_opening(second)
            await asyncio.wait_for(resumed, 1)
            assert not first.must_pause()


async def test_an_opening_is_not_interrupted() -> None:
    floor = Floor()
    async with floor.turn(soon()) as first:
        waiting = asyncio.ensure_future(AsyncExitStack().enter_async_context(floor.turn(soon())))
        await settle()
        assert floor.busy
        assert not first.must_pause()
        assert not waiting.done()
    second = await waiting
    assert not second.must_pause()


async def test_a_full_line_turns_the_next_one_away() -> None:
    floor = Floor(max_waiting=1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(floor.turn(soon()))
        waiting = asyncio.ensure_future(stack.enter_async_context(floor.turn(soon())))
        await settle()
        with pytest.raises(Overloaded, match="1 replies already wait"):
            await stack.enter_async_context(floor.turn(soon()))
        waiting.cancel()
        await settle()
        with pytest.raises(Overloaded, match="busy"):
            await stack.enter_async_context(floor.turn(0))
    assert not floor.busy


async def test_a_slow_opening_loses_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor_module, "OPENING_LIMIT_S", 0.01)
    floor = Floor()
    async with floor.turn(soon()) as first, floor.turn(soon()) as second:
        assert first.must_pause()
        assert not second.must_pause()


async def test_a_paused_reply_goes_on_from_what_it_said() -> None:
    floor, sent = Floor(), list[ChatRequest]()
    words = [f"w{number} " for number in range(OPENING_TOKENS + 5)]

    async def piece(request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        sent.append(request)
        begun = request.messages[-1].content if request.messages[-1].role == "assistant" else ""
        rest = words[len(begun.split()) :]
        for word in rest:
            yield TextDelta(word)
        yield ChatEnd("stop", 10 + len(words) - len(rest), len(rest), 10 + len(words) - len(rest))

    async def opening() -> None:
        async with floor.turn(soon()):
            await settle()

    request = ChatRequest((ChatMessage("user", "Go on."),), max_tokens=40)
    said, others = "", list[asyncio.Task[None]]()
    async with floor.turn(soon()) as turn, aclosing(in_pieces(request, turn, piece)) as deltas:
        async for delta in deltas:
            if isinstance(delta, TextDelta):
                said += delta.text
                if delta.text == words[OPENING_TOKENS]:
                    others.append(asyncio.create_task(opening()))
                    await asyncio.sleep(0)
            else:
                end = delta
    await asyncio.gather(*others)
    assert said == "".join(words)
    assert end == ChatEnd("stop", 10, len(words), 10)
    assert [request.max_tokens for request in sent] == [40, 40 - OPENING_TOKENS - 1]
