from __future__ import annotations

import asyncio

import pytest

from support.scripted import Script
from support.stage import on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.events import ResponseDone, ResponseStarted, SessionEnded
from vivavoce.conversation.options import SessionOptions
from vivavoce.conversation.registry import SessionRegistry
from vivavoce.conversation.session import Session
from vivavoce.errors import Overloaded


def session() -> Session:
    return Session(Script().engines(), SessionOptions())


@in_virtual_time
async def test_one_session_more_than_the_limit_is_refused() -> None:
    registry = SessionRegistry(2)
    with registry.admit(session()), registry.admit(session()):
        assert len(registry) == 2
        with pytest.raises(Overloaded, match="2 conversations are going on") as caught:
            registry.check()
        assert (caught.value.code, caught.value.close_code) == ("server_full", 1013)
    assert len(registry) == 0
    registry.check()


@in_virtual_time
async def test_a_session_that_fails_makes_room() -> None:
    registry = SessionRegistry(1)
    with pytest.raises(ZeroDivisionError), registry.admit(session()):
        raise ZeroDivisionError
    registry.check()


@in_virtual_time
async def test_draining_admits_nobody_and_waits_for_the_reply() -> None:
    registry = SessionRegistry(2)
    async with on_stage() as stage:
        with registry.admit(stage.session):
            await stage.write("Hi")
            await stage.until(ResponseStarted)
            draining = asyncio.create_task(registry.drain(10_000))
            ended = await stage.until(SessionEnded)
            with pytest.raises(Overloaded) as caught:
                registry.check()
            assert caught.value.code == "server_restarting"
        await draining
    assert ended.code == 1012
    assert [done.response.status for done in stage.of(ResponseDone)] == ["completed"]


@in_virtual_time
async def test_what_takes_too_long_is_ended() -> None:
    script = Script()
    script.chat.first_token_ms = 60_000
    registry = SessionRegistry(1)
    async with on_stage(script) as stage:
        with registry.admit(stage.session):
            await stage.write("Hi")
            await stage.until(ResponseStarted)
            await registry.drain(2_000)
            ended = await stage.until(SessionEnded)
    assert (ended.code, stage.time_of(SessionEnded)) == (1012, 2_000)
    assert script.chat.running == 0


@in_virtual_time
async def test_nobody_there_is_drained_at_once() -> None:
    await SessionRegistry(1).drain(10_000)
    assert asyncio.get_running_loop().time() == 0
