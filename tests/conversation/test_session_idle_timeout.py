"""The assistant speaks up when the user has said nothing for a while."""

from __future__ import annotations

import pytest

from support.scripted import Script, ScriptedChat, ScriptedRecognizer, silence, speech
from support.stage import on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import Configure
from vivavoce.conversation.events import (
    IdleTimeout,
    InputCommitted,
    ResponseDone,
    ResponseStarted,
    TurnReceipt,
)
from vivavoce.conversation.moderator import IDLE_HINT
from vivavoce.conversation.options import SessionOptions, TurnOptions

IDLE = SessionOptions(turn=TurnOptions(idle_timeout_ms=6000))


@in_virtual_time
async def test_after_a_reply_has_been_played_and_silence_it_speaks_again() -> None:
    async with on_stage(options=IDLE) as stage:
        await stage.say(1000, then_silence_ms=700)
        await stage.until(TurnReceipt)
        over = stage.now_ms
        await stage.stream(silence(8000))
        timeout = await stage.until(IdleTimeout)
        assert stage.time_of(IdleTimeout) == pytest.approx(over + 6000, abs=1)
        assert stage.time_of(ResponseStarted, 1) == stage.time_of(IdleTimeout)
        assert stage.of(InputCommitted)[1].item_id == timeout.item_id
        await stage.until(ResponseDone, 2)
        assert stage.told()[-1] == f"user: {IDLE_HINT}"


@in_virtual_time
async def test_once_between_two_inputs_of_the_user() -> None:
    async with on_stage(options=IDLE) as stage:
        await stage.say(1000, then_silence_ms=30_000)
        assert len(stage.of(IdleTimeout)) == 1
        await stage.say(1000, then_silence_ms=30_000)
        assert len(stage.of(IdleTimeout)) == 2


@in_virtual_time
async def test_before_the_user_has_said_anything_it_waits() -> None:
    async with on_stage(options=IDLE) as stage:
        await stage.stream(silence(20_000))
        assert stage.of(IdleTimeout) == []


@in_virtual_time
async def test_what_the_user_writes_counts_too() -> None:
    async with on_stage(options=IDLE) as stage:
        await stage.write("Hi", respond=False)
        await stage.wait(5000)
        await stage.write("Are you there?", respond=False)
        await stage.wait(5900)
        assert stage.of(IdleTimeout) == []
        await stage.until(IdleTimeout)
        assert stage.time_of(IdleTimeout) == 11_000


@in_virtual_time
async def test_the_time_of_a_reply_does_not_count() -> None:
    async with on_stage(options=IDLE) as stage:
        await stage.write("Hi", respond=False)
        await stage.wait(5500)
        await stage.respond()
        await stage.until(TurnReceipt)
        over = stage.now_ms
        assert over > 6000
        await stage.until(IdleTimeout)
        assert stage.time_of(IdleTimeout) == pytest.approx(over + 6000, abs=1)


@in_virtual_time
async def test_words_that_are_still_awaited_are_not_silence() -> None:
    script = Script(ScriptedRecognizer(delay_ms=9000), ScriptedChat())
    async with on_stage(script, IDLE) as stage:
        await stage.say(1000, then_silence_ms=9000)
        await stage.until(ResponseDone)
        assert stage.of(IdleTimeout) == []


@pytest.mark.parametrize(
    "options", [SessionOptions(turn=None), SessionOptions()], ids=["push to talk", "none"]
)
@in_virtual_time
async def test_switched_off_it_does_not_come(options: SessionOptions) -> None:
    async with on_stage(options=IDLE) as stage:
        await stage.say(1000, then_silence_ms=5000)
        await stage.send(Configure(options))
        await stage.wait(20_000)
        assert stage.of(IdleTimeout) == []


@in_virtual_time
async def test_speech_in_the_millisecond_of_the_timeout_does_no_harm() -> None:
    """The timer has fired, but the writer sees the onset of speech first."""
    for early_ms in range(0, 140, 4):
        async with on_stage(options=IDLE) as stage:
            await stage.write("Hi", respond=False)
            await stage.wait(5900 + early_ms)
            await stage.stream(speech(600))
            await stage.stream(silence(600))
            await stage.until(ResponseDone)
