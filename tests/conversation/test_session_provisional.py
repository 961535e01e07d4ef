"""Replies that are begun in a pause, before it is known whether the turn is over."""

from __future__ import annotations

import numpy as np
import pytest

from support.scripted import Script, ScriptedChat, ScriptedRecognizer, silence, speech
from support.stage import Stage, on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import (
    AppendAudio,
    ClearInput,
    ClearOutput,
    CommitInput,
    Configure,
    CreateItem,
    DeleteItem,
)
from vivavoce.conversation.events import (
    AudioDelta,
    Failure,
    OutputCleared,
    ResponseDone,
    ResponseStarted,
    SpeechStopped,
    TextDelta,
)
from vivavoce.conversation.items import Item
from vivavoce.conversation.options import SessionOptions, TurnOptions, TurnTiming
from vivavoce.conversation.states import ResponseState
from vivavoce.engines.interfaces import SAMPLE_RATE, ChatEnd, ToolCallDelta
from vivavoce.errors import EngineFailure

TIMING = TurnTiming(speculate_after_ms=192)
SLOW_ENDPOINT = SessionOptions(turn=TurnOptions(silence_ms=1500))


def nothing_said(stage: Stage) -> bool:
    return not stage.of(ResponseStarted) and not stage.of(TextDelta) and not stage.of(AudioDelta)


async def until_held_back(stage: Stage) -> None:
    """The user has paused for long enough that a reply is ready, but not let go."""
    await stage.say(960, then_silence_ms=800)
    assert stage.session._speaker.state is ResponseState.PROVISIONAL
    assert stage.script.voice.texts != []
    assert nothing_said(stage)


@in_virtual_time
async def test_the_reply_is_there_in_the_millisecond_of_the_endpoint() -> None:
    async with on_stage(timing=TIMING) as stage:
        await stage.say(960, then_silence_ms=700)
        await stage.until(ResponseDone)
        endpoint = stage.time_of(SpeechStopped)
        assert stage.time_of(ResponseStarted) == endpoint
        assert stage.time_of(AudioDelta) == endpoint
    assert len(stage.script.chat.requests) == 1


@in_virtual_time
async def test_it_is_begun_as_soon_as_the_words_of_the_pause_are_known() -> None:
    async with on_stage(timing=TIMING) as stage:
        await stage.say(960, then_silence_ms=700)
        await stage.until(ResponseDone)
        await stage.wait(5000)
        stages = stage.receipts[0].since_speech_end()
    assert stages["provisional"] == stages["transcript"] == 192 + 50
    assert stages["first_token"] == stages["provisional"] + 100


@in_virtual_time
async def test_speech_that_resumes_throws_it_away_and_nobody_learns_of_it() -> None:
    script = Script(ScriptedRecognizer(keep_audio=True), ScriptedChat(replies=("Wrong.", "Right.")))
    async with on_stage(script, SLOW_ENDPOINT, TIMING) as stage:
        await until_held_back(stage)
        await stage.say(960)
        assert stage.session._speaker.state is ResponseState.NONE
        assert script.chat.running == script.voice.running == 0
        await stage.say(0, then_silence_ms=2000)
        await stage.until(ResponseDone)
        await stage.wait(3000)
    assert len(stage.of(ResponseStarted)) == len(stage.of(ResponseDone)) == 1
    assert stage.text(stage.of(ResponseStarted)[0].response.id) == "Right."
    assert len({delta.response_id for delta in stage.of(AudioDelta)}) == 1
    assert stage.history() == ["user: Hello there.", "assistant: Right."]


@in_virtual_time
async def test_the_later_transcript_covers_all_that_was_said() -> None:
    script = Script(ScriptedRecognizer(keep_audio=True))
    async with on_stage(script, SLOW_ENDPOINT, TIMING) as stage:
        await until_held_back(stage)
        await stage.say(960, then_silence_ms=2000)
        await stage.until(ResponseDone)
    first, second = script.recognizer.heard_ms
    assert first == 960 + 192
    assert second == 960 + 800 + 960 + 192


@in_virtual_time
async def test_speech_that_resumes_at_the_last_moment_still_counts() -> None:
    """The frame that would be the endpoint is the first one of speech."""
    async with on_stage(timing=TIMING) as stage:
        await stage.say(960, then_silence_ms=480)
        await stage.say(480, then_silence_ms=2000)
        await stage.until(ResponseDone)
    assert len(stage.of(SpeechStopped)) == 1
    assert stage.of(SpeechStopped)[0].at_ms == 960 + 480 + 480


@pytest.mark.parametrize("interrupt_response", [True, False])
@in_virtual_time
async def test_it_is_no_answer_to_a_turn_that_follows_within_the_same_audio(
    interrupt_response: bool,
) -> None:
    """One piece of audio holds the endpoint of the first turn and the onset of the second."""
    turn = TurnOptions(silence_ms=1500, interrupt_response=interrupt_response)
    script = Script(ScriptedRecognizer(("First.", "Second.")))
    async with on_stage(script, SessionOptions(turn=turn), TIMING) as stage:
        await until_held_back(stage)
        both = np.concatenate((silence(800), speech(400)))
        await stage.send(AppendAudio(both, SAMPLE_RATE))
        await stage.say(200, then_silence_ms=2000)
        await stage.until(ResponseDone)
        await stage.wait(5000)
        assert stage.told() == ["user: First.", "user: Second."]
        assert len(stage.of(ResponseStarted)) == 1


@in_virtual_time
async def test_words_that_come_after_the_endpoint_need_no_provisional_reply() -> None:
    script = Script(ScriptedRecognizer(delay_ms=1000))
    async with on_stage(script, timing=TIMING) as stage:
        await stage.say(960, then_silence_ms=2000)
        await stage.until(ResponseDone)
        await stage.wait(5000)
    assert "provisional" not in stage.receipts[0].since_speech_end()
    assert len(script.chat.requests) == 1


@in_virtual_time
async def test_a_provisional_reply_that_failed_fails_once_it_counts() -> None:
    script = Script(chat=ScriptedChat(replies=((EngineFailure("no"),),)))
    async with on_stage(script, SLOW_ENDPOINT, TIMING) as stage:
        await stage.say(960, then_silence_ms=1000)
        assert stage.events[1:] == stage.events[1:2]
        await stage.say(0, then_silence_ms=1000)
        done = await stage.until(ResponseDone)
    assert done.response.status == "failed"
    assert stage.time_of(ResponseDone) == stage.time_of(SpeechStopped)


@in_virtual_time
async def test_a_provisional_reply_that_failed_is_forgotten_when_speech_resumes() -> None:
    script = Script(chat=ScriptedChat(replies=((EngineFailure("no"),), "Right.")))
    async with on_stage(script, SLOW_ENDPOINT, TIMING) as stage:
        await stage.say(960, then_silence_ms=1000)
        await stage.say(960, then_silence_ms=2000)
        done = await stage.until(ResponseDone)
    assert done.response.status == "completed"


@in_virtual_time
async def test_a_provisional_call_is_held_back_too() -> None:
    call = (ToolCallDelta(0, "{}", "call_1", "look"), ChatEnd("tool_calls"))
    async with on_stage(Script(chat=ScriptedChat(replies=(call,))), SLOW_ENDPOINT, TIMING) as stage:
        await stage.say(960, then_silence_ms=1000)
        assert stage.of(ResponseStarted) == []
        await stage.say(0, then_silence_ms=1000)
        done = await stage.until(ResponseDone)
    assert [item.name for item in done.response.output] == ["look"]


@in_virtual_time
async def test_a_very_long_one_does_not_fill_the_memory() -> None:
    script = Script(chat=ScriptedChat(replies=("This is a sentence. " * 2000,), token_ms=0))
    options = SessionOptions(turn=TurnOptions(silence_ms=10_000))
    async with on_stage(script, options, TIMING) as stage:
        await stage.say(960, then_silence_ms=9000)
        main = stage.session._speaker._main
        assert main is not None
        assert 30_000 <= main.held_ms <= 31_000
        assert nothing_said(stage)


@pytest.mark.parametrize(
    "change",
    [
        Configure(SessionOptions(turn=TurnOptions(silence_ms=1500), instructions="Be rude.")),
        CreateItem(Item("note", role="system", text="The user is five years old.")),
        DeleteItem("old"),
    ],
    ids=lambda change: type(change).__name__,
)
@in_virtual_time
async def test_what_was_made_before_a_change_is_made_again(
    change: Configure | CreateItem | DeleteItem,
) -> None:
    async with on_stage(options=SLOW_ENDPOINT, timing=TIMING) as stage:
        await stage.send(CreateItem(Item("old", role="system", text="It is Monday.")))
        await until_held_back(stage)
        await stage.send(change)
        assert stage.session._speaker.state is ResponseState.NONE
        await stage.say(0, then_silence_ms=1500)
        await stage.until(ResponseDone)
        prompt = " ".join(message.content for message in stage.script.chat.requests[-1].messages)
    assert len(stage.of(ResponseDone)) == 1
    assert ("Be rude." in prompt) is isinstance(change, Configure)
    assert ("five years" in prompt) is isinstance(change, CreateItem)
    assert ("Monday" in prompt) is not isinstance(change, DeleteItem)


@in_virtual_time
async def test_a_configuration_that_changes_nothing_does_no_harm() -> None:
    async with on_stage(options=SLOW_ENDPOINT, timing=TIMING) as stage:
        await until_held_back(stage)
        await stage.send(Configure(SLOW_ENDPOINT))
        assert stage.session._speaker.state is ResponseState.PROVISIONAL


@pytest.mark.parametrize(
    "options",
    [
        SessionOptions(turn=None),
        SessionOptions(turn=TurnOptions(silence_ms=1500, create_response=False)),
        SessionOptions(turn=TurnOptions(silence_ms=1500), respond=False),
    ],
    ids=["push to talk", "no responses", "transcription"],
)
@in_virtual_time
async def test_when_replies_are_switched_off_it_is_never_said(options: SessionOptions) -> None:
    async with on_stage(options=SLOW_ENDPOINT, timing=TIMING) as stage:
        await until_held_back(stage)
        await stage.send(Configure(options))
        await stage.say(0, then_silence_ms=3000)
        assert nothing_said(stage)
        assert stage.script.chat.running == 0


@in_virtual_time
async def test_cleared_input_takes_it_back() -> None:
    async with on_stage(options=SLOW_ENDPOINT, timing=TIMING) as stage:
        await until_held_back(stage)
        await stage.send(ClearInput())
        await stage.say(0, then_silence_ms=3000)
        assert nothing_said(stage)
        assert stage.session._children == set()


@in_virtual_time
async def test_committed_for_no_answer_it_is_thrown_away() -> None:
    async with on_stage(options=SLOW_ENDPOINT, timing=TIMING) as stage:
        await until_held_back(stage)
        await stage.send(CommitInput(respond=False))
        await stage.wait(3000)
        assert nothing_said(stage)
        await stage.respond()
        await stage.until(ResponseDone)
    assert stage.told() == ["user: Hello there."]


@in_virtual_time
async def test_a_response_that_the_client_asks_for_goes_first() -> None:
    async with on_stage(options=SLOW_ENDPOINT, timing=TIMING) as stage:
        await until_held_back(stage)
        await stage.respond(instructions="Say hello.")
        await stage.until(ResponseDone)
        assert stage.script.chat.requests[-1].messages[0].content == "Say hello."
        assert stage.of(Failure) == []


@in_virtual_time
async def test_clearing_the_output_neither_names_nor_stops_it() -> None:
    async with on_stage(options=SLOW_ENDPOINT, timing=TIMING) as stage:
        await until_held_back(stage)
        await stage.send(ClearOutput())
        assert await stage.until(OutputCleared) == OutputCleared(None)
        await stage.say(0, then_silence_ms=1500)
        await stage.until(ResponseDone)
    assert len(stage.script.chat.requests) == 1


@in_virtual_time
async def test_an_empty_pause_begins_nothing() -> None:
    async with on_stage(Script(ScriptedRecognizer(("",))), SLOW_ENDPOINT, TIMING) as stage:
        await stage.say(960, then_silence_ms=1000)
        assert stage.script.chat.requests == []
