"""What a session costs in memory: little, and no more after a long conversation than after a short
one."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from support.scripted import Script, ScriptedChat, silence, speech
from support.stage import Stage, on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.events import ReplyHeard, ResponseDone
from vivavoce.conversation.options import SessionLimits

N_SESSIONS = 100
PER_SESSION = 128 * 1024
"""Bytes that an idle session may hold after a few turns; the aim for a whole server is 1 MB."""

HISTORY = 32
FULL_AFTER = 60
"""Turns after which the history and all that is remembered of replies is full."""
PER_TURN = 512
"""Bytes by which it may still grow with each turn then: what the counting itself leaves behind."""


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def in_use() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def forget(stage: Stage) -> None:
    """What the scripted client and engines wrote down is not the session's."""
    stage.log.clear()
    stage.receipts.clear()
    script = stage.script
    for record in (
        script.chat.requests,
        script.chat.prefills,
        script.voice.texts,
        script.voice.priorities,
        script.recognizer.heard_ms,
        script.recognizer.languages,
    ):
        record.clear()


async def turn(stage: Stage) -> None:
    await stage.say(400, then_silence_ms=600)
    await stage.until(ResponseDone)
    await stage.wait(3000)
    forget(stage)


async def interrupted_turn(stage: Stage) -> None:
    await stage.say(400, then_silence_ms=900)
    await stage.say(400, then_silence_ms=600)
    await stage.until(ReplyHeard)
    await stage.wait(3000)
    forget(stage)


@pytest.mark.usefixtures("traced")
@in_virtual_time
async def test_an_idle_session_is_small() -> None:
    async def life(warm: asyncio.Event, leave: asyncio.Event) -> None:
        async with on_stage() as stage:
            for _ in range(3):
                await turn(stage)
            warm.set()
            await leave.wait()

    leave = asyncio.Event()
    lives = []
    before = 0
    for number in range(1 + N_SESSIONS):
        if number == 1:  # what all sessions share was loaded by the first
            before = in_use()
        warm = asyncio.Event()
        lives.append(asyncio.create_task(life(warm, leave)))
        await warm.wait()
    per_session = (in_use() - before) / N_SESSIONS
    leave.set()
    await asyncio.gather(*lives)
    assert per_session < PER_SESSION, f"{per_session / 1024:.0f} kB"


@pytest.mark.usefixtures("traced")
@in_virtual_time
async def test_a_long_conversation_holds_no_more_than_a_short_one() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three four five six seven. " * 3,)))
    async with on_stage(script, limits=SessionLimits(history_items=HISTORY)) as stage:
        for number in range(FULL_AFTER):
            await (interrupted_turn if number % 4 == 0 else turn)(stage)
        before = in_use()
        for number in range(200):
            await (interrupted_turn if number % 4 == 0 else turn)(stage)
        growth = (in_use() - before) / 200
        assert growth < PER_TURN, f"{growth:.0f} bytes a turn"
        assert len(stage.history()) == HISTORY


@pytest.mark.usefixtures("traced")
@in_virtual_time
async def test_minutes_of_silence_leave_nothing_behind() -> None:
    async with on_stage() as stage:
        await turn(stage)
        await stage.stream(silence(10_000))
        before = in_use()
        await stage.stream(silence(120_000))
        assert in_use() - before < 8 * 1024


@pytest.mark.usefixtures("traced")
@in_virtual_time
async def test_clicks_and_pauses_leave_nothing_behind() -> None:
    async with on_stage() as stage:
        await turn(stage)
        for _ in range(10):
            await stage.stream(speech(30))
            await stage.stream(silence(470))
        before = in_use()
        for _ in range(200):
            await stage.stream(speech(30))
            await stage.stream(silence(470))
        assert in_use() - before < 8 * 1024
