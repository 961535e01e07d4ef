"""Responses beside the conversation, which leave no trace in it."""

from __future__ import annotations

from support.scripted import Script, ScriptedChat, speech
from support.stage import on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import CancelResponse, CreateResponse
from vivavoce.conversation.events import (
    AudioDelta,
    ItemAdded,
    OutputItemDone,
    ReplyHeard,
    ResponseDone,
    ResponseStarted,
    TurnReceipt,
)
from vivavoce.conversation.items import Item
from vivavoce.conversation.options import ResponseOptions, SessionLimits
from vivavoce.conversation.states import ResponseState
from vivavoce.errors import EngineFailure

BESIDE = ResponseOptions(in_conversation=False, audio_output=False)


@in_virtual_time
async def test_it_leaves_no_trace() -> None:
    async with on_stage() as stage:
        await stage.write("Hi", respond=False)
        await stage.send(CreateResponse(BESIDE))
        done = await stage.until(ResponseDone)
        assert done.response.status == "completed"
        assert done.response.output[0].text == "Hi! How are you today?"
        assert stage.history() == ["user: Hi"]
        assert len(stage.of(ItemAdded)) == 1
        assert len(stage.of(OutputItemDone)) == 1
        assert stage.session._speaker.state is ResponseState.NONE
        assert stage.of(TurnReceipt) == []


@in_virtual_time
async def test_it_runs_while_the_conversation_goes_on() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three. " * 10, "Tag."), token_ms=50))
    async with on_stage(script) as stage:
        await stage.write("Hi")
        await stage.until(AudioDelta)
        await stage.send(CreateResponse(BESIDE, input_items=(Item("x", text="Classify."),)))
        await stage.until(ResponseDone, 2)
        main, beside = (event.response.id for event in stage.of(ResponseStarted))
        assert [done.response.id for done in stage.of(ResponseDone)] == [beside, main]
        assert stage.text(beside) == "Tag."
        assert stage.told(1) == ["user: Classify."]


@in_virtual_time
async def test_interrupting_the_assistant_does_not_stop_it() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three. " * 20, "a " * 100), token_ms=50))
    async with on_stage(script) as stage:
        await stage.write("Hi")
        await stage.until(AudioDelta)
        await stage.send(CreateResponse(BESIDE))
        await stage.stream(speech(500))
        main, beside = (event.response.id for event in stage.of(ResponseStarted))
        await stage.until(ReplyHeard)
        assert [done.response.id for done in stage.of(ResponseDone)] == [main]
        await stage.until(ResponseDone, 2)
        assert stage.of(ResponseDone)[1].response.id == beside
        assert stage.of(ResponseDone)[1].response.status == "completed"


@in_virtual_time
async def test_its_voice_is_not_the_conversations() -> None:
    async with on_stage() as stage:
        await stage.write("Hi", respond=False)
        await stage.respond(in_conversation=False)
        done = await stage.until(ResponseDone)
        assert stage.audio_ms(done.response.id) == 21 * 50
        await stage.wait(300)
        await stage.stream(speech(500))
        assert stage.of(ReplyHeard) == []


@in_virtual_time
async def test_it_can_be_cancelled_by_its_id() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three. " * 20,), token_ms=50))
    async with on_stage(script) as stage:
        await stage.write("Hi", respond=False)
        await stage.send(CreateResponse(BESIDE))
        await stage.wait(500)
        await stage.send(CancelResponse())
        assert stage.codes == ["response_cancel_not_active"]
        beside = stage.of(ResponseStarted)[0].response.id
        await stage.send(CancelResponse(beside))
        done = await stage.until(ResponseDone)
        assert (done.response.status, done.response.reason) == ("cancelled", "client_cancelled")
        assert script.chat.running == 0
        n_events = len(stage.events)
        await stage.wait(5000)
        assert len(stage.events) == n_events


@in_virtual_time
async def test_cancelled_it_sends_a_slow_reader_nothing_stale() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three. " * 200,), token_ms=5))
    async with on_stage(script) as stage:
        await stage.respond(in_conversation=False)
        await stage.until(AudioDelta)
        stage.reading.clear()
        await stage.wait(2000)
        read_ms = stage.audio_ms()
        await stage.send(CancelResponse(stage.of(ResponseStarted)[0].response.id))
        stage.reading.set()
        await stage.until(ResponseDone)
        assert stage.audio_ms() <= read_ms + 100


@in_virtual_time
async def test_its_failure_is_its_own() -> None:
    script = Script(chat=ScriptedChat(replies=((EngineFailure("no"),), "Hello.")))
    async with on_stage(script) as stage:
        await stage.send(CreateResponse(BESIDE))
        await stage.write("Hi")
        await stage.until(ResponseDone, 2)
        assert [done.response.status for done in stage.of(ResponseDone)] == ["failed", "completed"]


@in_virtual_time
async def test_only_so_many_run_at_a_time() -> None:
    async with on_stage(limits=SessionLimits(side_responses=2)) as stage:
        for _ in range(3):
            await stage.send(CreateResponse(BESIDE))
        assert stage.codes == ["too_many_responses"]
        await stage.until(ResponseDone, 2)
        await stage.send(CreateResponse(BESIDE))
        await stage.until(ResponseDone, 3)
        assert stage.session._speaker._beside == {}
