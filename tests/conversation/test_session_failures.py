"""Engines that fail, and sessions that end: always told, never silent, nothing left behind."""

from __future__ import annotations

import asyncio

import pytest

from support.scripted import Script, ScriptedChat, ScriptedRecognizer, ScriptedVad, silence, speech
from support.stage import Stage, on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import CommitInput, CreateItem
from vivavoce.conversation.events import (
    AudioDelta,
    Failure,
    ResponseDone,
    ResponseStarted,
    SessionEnded,
    SessionStarted,
    SpeechStarted,
    TranscriptFailed,
    TranscriptFinal,
)
from vivavoce.conversation.items import Item
from vivavoce.conversation.options import SessionOptions, TurnOptions, TurnTiming
from vivavoce.conversation.session import Session
from vivavoce.engines.interfaces import (
    ChatEnd,
    HostedRecognizerStream,
    RecognitionOptions,
    TextDelta,
)
from vivavoce.errors import EngineCrashed, EngineFailure, EngineTimeout, Overloaded, VivavoceError

BROKEN = EngineFailure("out of order")


def quiet(stage: Stage) -> bool:
    """Whether nothing runs any more for the session."""
    script = stage.script
    return not (
        stage.session._children
        or script.chat.running
        or script.voice.running
        or script.recognizer.open_streams
    )


# ── engines ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "error",
    [BROKEN, EngineTimeout("too late"), Overloaded("busy"), EngineCrashed("gone")],
    ids=lambda error: type(error).__name__,
)
@in_virtual_time
async def test_a_chat_model_that_refuses_fails_the_reply_and_the_next_may_succeed(
    error: VivavoceError,
) -> None:
    script = Script(chat=ScriptedChat(replies=((error,), "Better now.")))
    async with on_stage(script) as stage:
        await stage.say(1000, then_silence_ms=700)
        failed = await stage.until(ResponseDone)
        assert failed.response.status == "failed"
        assert failed.response.error is error
        await stage.say(1000, then_silence_ms=700)
        done = await stage.until(ResponseDone, 2)
        assert done.response.status == "completed"
        assert stage.told() == ["user: Hello there.", "user: Hello there."]
        await stage.wait(5000)
        assert quiet(stage)


@in_virtual_time
async def test_a_chat_model_that_dies_in_the_middle_keeps_what_was_said() -> None:
    reply = (TextDelta("Hello there. And then"), 1000, BROKEN)
    script = Script(chat=ScriptedChat(replies=(reply, "Yes.")))
    async with on_stage(script) as stage:
        await stage.write("Hi")
        done = await stage.until(ResponseDone)
        assert done.response.status == "failed"
        assert stage.text(done.response.id) == "Hello there. "
        await stage.respond()
        await stage.until(ResponseDone, 2)
        assert stage.told() == ["user: Hi", "assistant: Hello there."]


@in_virtual_time
async def test_a_voice_that_fails_fails_the_reply() -> None:
    script = Script()
    script.voice.failure = BROKEN
    async with on_stage(script) as stage:
        await stage.write("Hi")
        done = await stage.until(ResponseDone)
        assert (done.response.status, done.response.error) == ("failed", BROKEN)
        assert quiet(stage)
        script.voice.failure = None
        await stage.respond()
        assert (await stage.until(ResponseDone, 2)).response.status == "completed"


@in_virtual_time
async def test_a_voice_that_fails_in_mid_clause_leaves_what_was_heard_of_it() -> None:
    script = Script(chat=ScriptedChat(replies=("Hi! One two three four five six seven.", "Yes.")))
    script.voice.failures = {2: BROKEN}
    async with on_stage(script) as stage:
        await stage.write("Hi")
        await stage.until(ResponseDone)
        await stage.wait(1000)
        await stage.respond()
        await stage.until(ResponseDone, 2)
        assert stage.told()[1] == "assistant: Hi! One"


@in_virtual_time
async def test_a_recognizer_that_fails_fails_the_turn_and_not_the_next() -> None:
    script = Script(ScriptedRecognizer((BROKEN, "Better now.")))
    async with on_stage(script) as stage:
        await stage.say(1000, then_silence_ms=2000)
        failed = await stage.until(TranscriptFailed)
        assert failed.error is BROKEN
        assert stage.of(ResponseStarted) == []
        await stage.say(1000, then_silence_ms=700)
        await stage.until(ResponseDone)
        assert stage.told() == ["user: Better now."]


@in_virtual_time
async def test_a_recognizer_that_fails_after_the_endpoint_fails_the_turn() -> None:
    script = Script(ScriptedRecognizer((BROKEN,), delay_ms=900))
    async with on_stage(script) as stage:
        await stage.say(1000, then_silence_ms=2000)
        await stage.until(TranscriptFailed)
        assert stage.history() == ["user: "]
        assert quiet(stage)


@in_virtual_time
async def test_asked_for_a_reply_to_a_turn_that_failed_the_model_is_asked_all_the_same() -> None:
    script = Script(ScriptedRecognizer((BROKEN,)))
    async with on_stage(script, SessionOptions(turn=None)) as stage:
        await stage.send(CreateItem(Item("a", text="Are you there?")))
        await stage.say(500)
        await stage.send(CommitInput())
        await stage.respond()
        await stage.until(ResponseDone)
        assert stage.told() == ["user: Are you there?"]


@in_virtual_time
async def test_a_detector_that_fails_is_told_and_forgiven() -> None:
    script = Script(vad=ScriptedVad(failure=BROKEN))
    async with on_stage(script) as stage:
        await stage.stream(silence(100))
        assert set(stage.codes) == {"engine_failure"}
        script.vad.failure = None
        await stage.say(1000, then_silence_ms=700)
        await stage.until(ResponseDone)


@in_virtual_time
async def test_a_detector_that_cannot_be_had_refuses_the_session() -> None:
    class Full(ScriptedVad):
        async def open(self) -> None:  # type: ignore[override]
            raise Overloaded("no stream left")

    session = Session(Script(vad=Full()).engines(), SessionOptions())
    with pytest.raises(Overloaded):
        await session.run()


# ── defects ───────────────────────────────────────────────────────────────────────────────────


class Faulty(ScriptedRecognizer):
    async def open(self, options: RecognitionOptions) -> HostedRecognizerStream:  # type: ignore[override]
        raise ZeroDivisionError("a defect")


@pytest.mark.may_block_loop  # the traceback is printed in full
@in_virtual_time
async def test_a_defect_ends_this_session_with_a_reason_and_cleans_up() -> None:
    with pytest.raises(AssertionError, match="defect"):
        async with on_stage(Script(Faulty())) as stage:
            await stage.write("Hi")
            await stage.until(AudioDelta)
            await stage.stream(speech(500))
            ended = await stage.until(SessionEnded)
            await stage.wait(100)
            assert (ended.code, stage.events[-1]) == (1011, ended)
            assert quiet(stage)
    assert stage.session._children == set()


# ── the end ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("after_ms", [0, 100, 500, 1100, 1300, 1540, 1600, 2500])
@in_virtual_time
async def test_a_client_that_vanishes_leaves_nothing_behind(after_ms: int) -> None:
    script = Script(
        ScriptedRecognizer(partials=True), ScriptedChat(replies=("One two three. " * 50,))
    )
    async with on_stage(script) as stage:
        talking = asyncio.create_task(stage.say(1000, then_silence_ms=2000))
        await stage.wait(after_ms)
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    assert quiet(stage)
    assert script.vad.open_streams == 0
    assert stage.session._timers._armed == {}


@in_virtual_time
async def test_ended_from_outside_it_says_why_and_stops() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three. " * 50,)))
    async with on_stage(script) as stage:
        await stage.write("Hi")
        await stage.until(AudioDelta)
        stage.session.end(1012, "Bye.")
        stage.session.end(1000, "Again.")
        ended = await stage.until(SessionEnded)
        await stage.wait(5000)
        assert stage.of(SessionEnded) == [ended] == [SessionEnded(1012, "Bye.")]
        assert stage.events[-1] is ended
        assert quiet(stage)


@in_virtual_time
async def test_asked_to_leave_when_nothing_goes_on_it_leaves_at_once() -> None:
    async with on_stage() as stage:
        await stage.until(SessionStarted)
        stage.session.leave()
        assert (await stage.until(SessionEnded)).code == 1012
        assert stage.now_ms == 0


async def left(stage: Stage) -> SessionEnded:
    stage.session.leave()
    return await stage.until(SessionEnded)


@in_virtual_time
async def test_asked_to_leave_it_finishes_the_reply_and_lets_it_be_heard() -> None:
    async with on_stage() as stage:
        await stage.write("Hi")
        await stage.until(AudioDelta)
        heard_at = stage.now_ms + 21 * 50
        await left(stage)
        assert stage.of(ResponseDone)[0].response.status == "completed"
        assert stage.time_of(SessionEnded) == pytest.approx(heard_at, abs=60)


@in_virtual_time
async def test_asked_to_leave_while_the_user_speaks_it_still_answers() -> None:
    async with on_stage() as stage:
        await stage.say(500)
        stage.session.leave()
        await stage.say(500, then_silence_ms=1000)
        await stage.until(SessionEnded)
        assert stage.of(ResponseDone)[0].response.status == "completed"


@in_virtual_time
async def test_asked_to_leave_while_words_are_awaited_it_still_answers() -> None:
    script = Script(ScriptedRecognizer(delay_ms=1000))
    async with on_stage(script, SessionOptions(turn=None)) as stage:
        await stage.say(500)
        await stage.send(CommitInput(respond=True))
        await left(stage)
        assert stage.of(TranscriptFinal)
        assert stage.of(ResponseDone)[0].response.status == "completed"


@in_virtual_time
async def test_asked_to_leave_it_finishes_what_runs_beside_the_conversation() -> None:
    async with on_stage() as stage:
        await stage.respond(in_conversation=False)
        await left(stage)
        assert stage.of(ResponseDone)[0].response.status == "completed"


@in_virtual_time
async def test_asked_to_leave_in_a_pause_it_lets_the_turn_end() -> None:
    options = SessionOptions(turn=TurnOptions(silence_ms=1500))
    async with on_stage(options=options, timing=TurnTiming(speculate_after_ms=192)) as stage:
        await stage.say(960, then_silence_ms=800)
        stage.session.leave()
        await stage.stream(silence(1000))
        await stage.until(SessionEnded)
        assert stage.of(ResponseDone)[0].response.status == "completed"


@in_virtual_time
async def test_two_sessions_do_not_know_each_other() -> None:
    engines = Script(chat=ScriptedChat(replies=((BROKEN,),)))
    async with on_stage(engines) as broken, on_stage() as sound:
        await broken.write("Hi")
        await sound.write("Hi")
        assert (await broken.until(ResponseDone)).response.status == "failed"
        assert (await sound.until(ResponseDone)).response.status == "completed"
        assert sound.of(Failure) == []
        assert sound.of(SpeechStarted) == []


@in_virtual_time
async def test_a_reply_that_ends_without_a_word_ends() -> None:
    script = Script(chat=ScriptedChat(replies=((ChatEnd("stop"),),)))
    async with on_stage(script) as stage:
        await stage.write("Hi")
        done = await stage.until(ResponseDone)
        assert (done.response.status, done.response.output) == ("completed", ())
        assert stage.history() == ["user: Hi"]
