"""The client says itself when a turn begins and ends."""

from __future__ import annotations

import pytest

from support.scripted import Script, ScriptedChat, ScriptedRecognizer, silence, speech
from support.stage import on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import CancelResponse, ClearInput, CommitInput, Configure
from vivavoce.conversation.events import (
    InputCommitted,
    ReplyHeard,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    TranscriptFinal,
)
from vivavoce.conversation.options import SessionLimits, SessionOptions, TurnOptions

MANUAL = SessionOptions(turn=None)


@in_virtual_time
async def test_commit_ends_the_turn_and_the_client_asks_for_the_reply() -> None:
    script = Script(ScriptedRecognizer(delay_ms=400))
    async with on_stage(script, MANUAL) as stage:
        await stage.say(1000, then_silence_ms=2000)
        assert stage.of(InputCommitted) == []
        await stage.send(CommitInput())
        await stage.respond()
        await stage.until(ResponseDone)
        assert not stage.of(SpeechStarted)
        assert not stage.of(SpeechStopped)
        assert stage.time_of(ResponseStarted) == stage.time_of(InputCommitted) == 3000
        assert stage.told() == ["user: Hello there."]
    assert script.recognizer.heard_ms == [2976]  # whole frames of 32 ms


@in_virtual_time
async def test_the_reply_waits_for_words_that_come_late() -> None:
    script = Script(ScriptedRecognizer(delay_ms=2000), ScriptedChat(first_token_ms=100))
    async with on_stage(script, MANUAL) as stage:
        await stage.say(1000)
        await stage.send(CommitInput())
        await stage.respond()
        await stage.wait(1900)
        assert script.chat.requests == []
        await stage.until(ResponseDone)
        assert stage.told() == ["user: Hello there."]


@in_virtual_time
async def test_commit_can_ask_for_the_reply_itself() -> None:
    async with on_stage(options=MANUAL) as stage:
        await stage.say(1000)
        await stage.send(CommitInput(respond=True))
        await stage.until(ResponseDone)
        assert stage.told() == ["user: Hello there."]


@pytest.mark.parametrize("ms", [0, 60])
@in_virtual_time
async def test_there_has_to_be_something_to_commit(ms: int) -> None:
    async with on_stage(options=MANUAL) as stage:
        await stage.say(ms)
        await stage.send(CommitInput())
        assert stage.codes == ["input_audio_buffer_commit_empty"]
        assert stage.of(InputCommitted) == []


@in_virtual_time
async def test_silence_is_committed_as_an_empty_turn_that_costs_no_recognition() -> None:
    async with on_stage(options=MANUAL) as stage:
        await stage.stream(silence(1000))
        await stage.send(CommitInput(respond=True))
        final = await stage.until(TranscriptFinal)
        await stage.wait(5000)
        assert final.text == ""
        assert stage.of(ResponseStarted) == []
        assert stage.script.recognizer.heard_ms == []
        assert stage.session._children == set()


@in_virtual_time
async def test_clear_forgets_what_was_not_committed() -> None:
    script = Script()
    async with on_stage(script, MANUAL) as stage:
        await stage.say(1000)
        await stage.send(ClearInput())
        await stage.say(500)
        await stage.send(CommitInput())
        await stage.until(TranscriptFinal)
    assert script.recognizer.heard_ms == [pytest.approx(500, abs=32)]


@in_virtual_time
async def test_speaking_does_not_interrupt_by_itself() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three. " * 20,), token_ms=100))
    async with on_stage(script, MANUAL) as stage:
        await stage.write("Hi")
        await stage.wait(1000)
        await stage.say(1000)
        assert stage.of(ReplyHeard) == []
        await stage.send(CancelResponse())
        assert stage.of(ResponseDone)[0].response.reason == "client_cancelled"


@in_virtual_time
async def test_a_turn_committed_while_a_reply_is_made_is_answered_after_it() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three. " * 5, "Next."), token_ms=200))
    async with on_stage(script, MANUAL) as stage:
        await stage.write("Hi")
        await stage.say(1000)
        await stage.send(CommitInput(respond=True))
        await stage.until(ResponseDone, 2)
        assert stage.time_of(ResponseStarted, 1) == stage.time_of(ResponseDone, 0)


@in_virtual_time
async def test_a_full_buffer_is_told_once_and_can_still_be_committed() -> None:
    limits = SessionLimits(utterance_ms=2000)
    script = Script()
    async with on_stage(script, MANUAL, limits=limits) as stage:
        await stage.stream(speech(5000))
        assert stage.codes == ["input_audio_buffer_full"]
        await stage.send(CommitInput(respond=True))
        await stage.until(ResponseDone)
        assert script.recognizer.heard_ms == [1984]
        await stage.say(1000)
        await stage.send(CommitInput())
        await stage.until(TranscriptFinal, 2)
        assert stage.codes == ["input_audio_buffer_full"]


@in_virtual_time
async def test_switched_to_push_to_talk_in_mid_turn_the_turn_is_forgotten() -> None:
    async with on_stage() as stage:
        await stage.say(1000)
        await stage.send(Configure(MANUAL))
        await stage.stream(silence(3000))
        assert stage.of(InputCommitted) == []
        await stage.send(ClearInput())
        await stage.say(500)
        await stage.send(CommitInput(respond=True))
        await stage.until(ResponseDone)
        assert stage.told() == ["user: Hello there."]


@in_virtual_time
async def test_switched_back_turns_are_found_again() -> None:
    async with on_stage(options=MANUAL) as stage:
        await stage.say(1000)
        await stage.send(Configure(SessionOptions(turn=TurnOptions())))
        await stage.say(1000, then_silence_ms=700)
        await stage.until(ResponseDone)
        assert stage.of(SpeechStarted)[0].at_ms == pytest.approx(1000, abs=32)
        assert len(stage.of(InputCommitted)) == 1
