"""Input and output in writing, and the items of the conversation."""

from __future__ import annotations

import numpy as np

from support.scripted import Script, ScriptedChat, ScriptedRecognizer, speech
from support.stage import on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import (
    CancelResponse,
    Configure,
    CreateItem,
    CreateResponse,
    DeleteItem,
    Reject,
    RetrieveItem,
)
from vivavoce.conversation.events import (
    AudioDelta,
    ContentStarted,
    Failure,
    ItemAdded,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    ResponseDone,
    ResponseStarted,
    SessionStarted,
    TextDelta,
    TranscriptFailed,
    TranscriptFinal,
)
from vivavoce.conversation.items import ROOT, Item
from vivavoce.conversation.options import ResponseOptions, SessionLimits, SessionOptions
from vivavoce.errors import EngineFailure, InvalidRequest

TEXT_ONLY = SessionOptions(audio_output=False)


@in_virtual_time
async def test_a_turn_in_writing() -> None:
    async with on_stage(options=TEXT_ONLY) as stage:
        await stage.write("Hi")
        done = await stage.until(ResponseDone)
        assert done.response.status == "completed"
        assert stage.text(done.response.id) == "Hi! How are you today?"
        assert stage.of(AudioDelta) == []
        assert not stage.of(ContentStarted)[0].audio
        assert len(stage.of(TextDelta)) == 5  # word by word, as the model writes
        assert stage.script.voice.texts == []


@in_virtual_time
async def test_a_question_in_writing_can_be_answered_by_voice() -> None:
    async with on_stage() as stage:
        await stage.write("Hi")
        done = await stage.until(ResponseDone)
        assert stage.audio_ms(done.response.id) == (3 + 18) * 50


@in_virtual_time
async def test_one_response_can_differ_from_its_session() -> None:
    async with on_stage() as stage:
        await stage.write("Hi", respond=False)
        await stage.respond(audio_output=False, instructions="Be short.", max_output_tokens=5)
        done = await stage.until(ResponseDone)
        request = stage.script.chat.requests[0]
        assert stage.of(AudioDelta) == []
        assert (request.messages[0].content, request.max_tokens) == ("Be short.", 5)
        assert (done.response.audio_output, done.response.max_output_tokens) == (False, 5)


@in_virtual_time
async def test_the_client_gets_back_what_it_said_about_its_response() -> None:
    async with on_stage() as stage:
        await stage.write("Hi", respond=False)
        await stage.respond(metadata={"topic": "x"})
        await stage.until(ResponseDone)
        started, done = stage.of(ResponseStarted)[0], stage.of(ResponseDone)[0]
        assert started.response.options.metadata == done.response.options.metadata == {"topic": "x"}


@in_virtual_time
async def test_the_conversation_grows_turn_by_turn() -> None:
    script = Script(chat=ScriptedChat(replies=("One.", "Two.")))
    async with on_stage(script, TEXT_ONLY) as stage:
        await stage.write("First?")
        await stage.until(ResponseDone)
        await stage.write("Second?")
        await stage.until(ResponseDone, 2)
        assert stage.told() == ["user: First?", "assistant: One.", "user: Second?"]
        previous = [event.previous_id for event in stage.of(ItemAdded)]
        ids = [event.item.id for event in stage.of(ItemAdded)]
        assert previous == [None, *ids[:-1]]


@in_virtual_time
async def test_items_go_where_the_client_wants_them() -> None:
    async with on_stage() as stage:
        await stage.send(CreateItem(Item("b", text="B")))
        await stage.send(CreateItem(Item("c", text="C"), after="b"))
        await stage.send(CreateItem(Item("a", text="A"), after=ROOT))
        await stage.send(CreateItem(Item("a", text="again")))
        await stage.send(CreateItem(Item("d", text="D"), after="nowhere", cause="event_7"))
        assert stage.history() == ["user: A", "user: B", "user: C"]
        assert [event.previous_id for event in stage.of(ItemDone)] == [None, "b", None]
        assert stage.codes == [
            "item_create_duplicate_item_id",
            "item_create_invalid_previous_item_id",
        ]
        assert stage.of(Failure)[1].cause == "event_7"


@in_virtual_time
async def test_items_can_be_read_and_deleted() -> None:
    async with on_stage() as stage:
        await stage.send(CreateItem(Item("a", text="A")))
        await stage.send(RetrieveItem("a"))
        await stage.send(DeleteItem("a"))
        await stage.send(RetrieveItem("a"))
        await stage.send(DeleteItem("a"))
        assert stage.of(ItemRetrieved)[0].item.text == "A"
        assert stage.of(ItemDeleted) == [ItemDeleted("a")]
        assert stage.codes == ["item_retrieve_invalid_item_id"] * 2


@in_virtual_time
async def test_what_is_not_a_command_is_told_in_its_place() -> None:
    async with on_stage() as stage:
        await stage.send(CreateItem(Item("a", text="A")))
        await stage.send(Reject(InvalidRequest("No.", code="nonsense"), "event_1"))
        await stage.send(CreateItem(Item("b", text="B")))
        kinds = [type(event) for event in stage.events]
        assert kinds == [SessionStarted, ItemAdded, ItemDone, Failure, ItemAdded, ItemDone]
        assert (stage.codes, stage.of(Failure)[0].cause) == (["nonsense"], "event_1")


@in_virtual_time
async def test_new_instructions_hold_from_the_next_reply_on() -> None:
    async with on_stage(options=TEXT_ONLY) as stage:
        await stage.write("Hi")
        await stage.send(Configure(SessionOptions(instructions="Be rude.", audio_output=False)))
        await stage.until(ResponseDone)
        await stage.respond()
        await stage.until(ResponseDone, 2)
        first, second = stage.script.chat.requests
        assert "Be rude." not in [message.content for message in first.messages]
        assert second.messages[0].content == "Be rude."


@in_virtual_time
async def test_a_second_response_at_a_time_is_refused_and_the_first_goes_on() -> None:
    async with on_stage() as stage:
        await stage.write("Hi")
        await stage.respond()
        done = await stage.until(ResponseDone)
        assert stage.codes == ["conversation_already_has_active_response"]
        assert done.response.id in stage.of(Failure)[0].error.message
        assert done.response.status == "completed"
        assert len(stage.of(ResponseStarted)) == 1


@in_virtual_time
async def test_while_the_last_reply_still_plays_the_next_may_be_asked_for() -> None:
    async with on_stage() as stage:
        await stage.write("Hi")
        await stage.until(ResponseDone)
        await stage.respond()
        await stage.until(ResponseDone, 2)
        assert stage.codes == []
        assert stage.told() == ["user: Hi", "assistant: Hi! How are you today?"]


@in_virtual_time
async def test_a_prompt_of_the_clients_own() -> None:
    async with on_stage(options=TEXT_ONLY) as stage:
        await stage.send(CreateItem(Item("a", text="A")))
        await stage.send(CreateItem(Item("b", text="B")))
        await stage.send(CreateResponse(input_items=("b", Item("x", text="X"))))
        await stage.until(ResponseDone)
        assert stage.told() == ["user: B", "user: X"]
        await stage.send(CreateResponse(input_items=("b", "nowhere")))
        assert stage.codes == ["item_retrieve_invalid_item_id"]
        assert len(stage.of(ResponseStarted)) == 1


@in_virtual_time
async def test_an_item_of_the_prompt_that_is_deleted_meanwhile_is_still_used() -> None:
    """The response waits for the words of a spoken item, and the session survives."""
    script = Script(ScriptedRecognizer(delay_ms=500))
    async with on_stage(script, TEXT_ONLY) as stage:
        await stage.send(CreateItem(Item("a", text="A")))
        await stage.send(CreateItem(Item("b", text=None, spoken=True), audio=speech(500)))
        await stage.send(CreateResponse(input_items=("a",)))
        await stage.send(DeleteItem("a"))
        done = await stage.until(ResponseDone)
        assert done.response.status == "completed"
        assert stage.told() == ["user: A"]


# ── items with audio ──────────────────────────────────────────────────────────────────────────


def spoken(item_id: str) -> CreateItem:
    return CreateItem(Item(item_id, text=None, spoken=True, audio_ms=500), audio=speech(500))


@in_virtual_time
async def test_an_item_with_audio_is_transcribed_before_the_reply() -> None:
    async with on_stage(Script(ScriptedRecognizer(delay_ms=500)), TEXT_ONLY) as stage:
        await stage.send(spoken("a"))
        await stage.respond()
        await stage.until(ResponseDone)
        assert stage.of(TranscriptFinal) == [TranscriptFinal("a", "Hello there.", "en", 500)]
        assert stage.told() == ["user: Hello there."]


@in_virtual_time
async def test_an_item_that_cannot_be_understood_does_not_stop_the_rest() -> None:
    script = Script(ScriptedRecognizer((EngineFailure("deaf"),)))
    async with on_stage(script, TEXT_ONLY) as stage:
        await stage.send(CreateItem(Item("z", text="Well?")))
        await stage.send(spoken("a"))
        await stage.respond()
        await stage.until(ResponseDone)
        assert stage.of(TranscriptFailed)[0].item_id == "a"
        assert stage.told() == ["user: Well?"]


@in_virtual_time
async def test_an_id_used_again_while_its_first_audio_is_transcribed_does_no_harm() -> None:
    async with on_stage(Script(ScriptedRecognizer(("One.", "Two."), delay_ms=500))) as stage:
        await stage.send(spoken("a"))
        await stage.send(DeleteItem("a"))
        await stage.send(spoken("a"))
        await stage.respond()
        await stage.until(ResponseDone)
        assert stage.told() == ["user: Two."]


@in_virtual_time
async def test_only_so_many_items_are_transcribed_at_a_time() -> None:
    script = Script(ScriptedRecognizer(delay_ms=500))
    async with on_stage(script, limits=SessionLimits(transcriptions=2)) as stage:
        for name in "abc":
            await stage.send(spoken(name))
        assert stage.codes == ["recognizer_behind"]
        assert len(stage.history()) == 2
        await stage.until(TranscriptFinal, 2)
        await stage.send(spoken("d"))
        await stage.until(TranscriptFinal, 3)


@in_virtual_time
async def test_waiting_responses_do_not_pile_up() -> None:
    script = Script(ScriptedRecognizer(delay_ms=3_600_000))
    async with on_stage(script) as stage:
        await stage.send(CreateItem(Item("a", text=None), audio=np.zeros(8000, np.float32)))
        for _ in range(100):
            await stage.respond(in_conversation=False)
            await stage.send(CreateResponse(ResponseOptions()))
            for event in stage.of(ResponseStarted)[-2:]:
                await stage.send(CancelResponse(event.response.id))
        assert len(stage.of(ResponseDone)) == 200
        assert len(stage.session._moderator._begun) <= 2
