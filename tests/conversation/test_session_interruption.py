"""The user talks over the assistant."""

from __future__ import annotations

import asyncio

import pytest

from support.scripted import Script, ScriptedChat, ScriptedRecognizer, speech
from support.stage import Stage, on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import CancelResponse, ClearOutput
from vivavoce.conversation.events import (
    AudioDelta,
    ContentDone,
    Event,
    OutputCleared,
    OutputItemDone,
    ReplyHeard,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    TextDelta,
)
from vivavoce.conversation.options import SessionOptions, TurnOptions, TurnTiming
from vivavoce.engines.interfaces import ChatEnd
from vivavoce.engines.interfaces import TextDelta as Words

TIMING = TurnTiming(min_speech_ms=96, interrupt_min_speech_ms=224)
STORY = "Once upon a time there was a king. " * 20  # 35 characters: 1.7 s of speech each


def story(*, replies: int = 1) -> Script:
    return Script(chat=ScriptedChat(replies=(STORY,) * replies, token_ms=5))


async def until_playing(stage: Stage, ms: int) -> int:
    """Ask in writing, and wait until `ms` of the reply have been played; returns the start."""
    await stage.write("Tell me a story.")
    await stage.until(AudioDelta)
    start = stage.now_ms
    await stage.wait(ms)
    return start


def words_after(stage: Stage, kind: type[Event]) -> list[Event]:
    """Audio and text of the first response that the client got after the first event of a kind."""
    at = next(i for i, event in enumerate(stage.events) if isinstance(event, kind))
    response_id = stage.of(ResponseStarted)[0].response.id
    return [
        event
        for event in stage.events[at:]
        if isinstance(event, AudioDelta | TextDelta) and event.response_id == response_id
    ]


@in_virtual_time
async def test_speech_stops_the_reply_and_not_a_byte_of_it_follows() -> None:
    async with on_stage(story(), timing=TIMING) as stage:
        await until_playing(stage, 1000)
        await stage.say(1000)
        done = await stage.until(ResponseDone)
        assert (done.response.status, done.response.reason) == ("cancelled", "turn_detected")
        assert stage.time_of(ResponseDone) == stage.time_of(SpeechStarted)
        assert words_after(stage, SpeechStarted) == []
        assert stage.script.chat.running == stage.script.voice.running == 0
        await stage.wait(5000)
        assert words_after(stage, SpeechStarted) == []


@in_virtual_time
async def test_model_and_voice_stop_at_once() -> None:
    async with on_stage(story(), timing=TIMING) as stage:
        stage.script.chat.token_ms = 50
        stage.script.voice.chunk_delay_ms = 190
        await until_playing(stage, 1000)
        assert stage.script.chat.running == stage.script.voice.running == 1
        talking = asyncio.create_task(stage.say(1000))
        await stage.until(ResponseDone)
        await stage.wait(0)
        assert stage.script.chat.running == stage.script.voice.running == 0
        await talking


@in_virtual_time
async def test_the_reply_closes_what_it_had_opened() -> None:
    async with on_stage(story(), timing=TIMING) as stage:
        await until_playing(stage, 1000)
        await stage.say(1000)
        await stage.until(ReplyHeard)
        at = stage.events.index(stage.of(SpeechStarted)[0])
        kinds = [type(event).__name__ for event in stage.events[at:]]
        assert kinds[:7] == [
            "SpeechStarted",
            "ContentDone",
            "ItemDone",
            "OutputItemDone",
            "ResponseDone",
            "ReplyHeard",
            "TurnReceipt",
        ]
        assert stage.of(OutputItemDone)[0].item.status == "incomplete"
        assert stage.of(ContentDone)[0].cut


@pytest.mark.parametrize(("speech_ms", "stops"), [(192, False), (224, True)])
@in_virtual_time
async def test_over_the_assistants_voice_more_speech_is_needed(speech_ms: int, stops: bool) -> None:
    async with on_stage(story(), timing=TIMING) as stage:
        await until_playing(stage, 1000)
        await stage.say(speech_ms, then_silence_ms=300)
        assert bool(stage.of(SpeechStarted)) is stops


@in_virtual_time
async def test_once_the_reply_has_been_played_less_speech_is_enough() -> None:
    async with on_stage(timing=TIMING) as stage:
        await stage.write("Hi")
        await stage.until(ResponseDone)
        await stage.wait(2000)
        await stage.say(128, then_silence_ms=100)
        assert stage.of(SpeechStarted)


@in_virtual_time
async def test_history_keeps_what_was_heard_by_the_clock() -> None:
    async with on_stage(story(replies=2), timing=TIMING) as stage:
        start = await until_playing(stage, 800)
        await stage.say(1000, then_silence_ms=1000)
        heard = await stage.until(ReplyHeard)
        interrupted = stage.time_of(SpeechStarted)
        await stage.until(ResponseStarted, 2)
        assert heard.audio_ms == interrupted - start
        assert heard.audio_ms == pytest.approx(800 + 224, abs=40)
        assert heard.text == "Once upon a time there"  # 20 characters a second
        assert stage.told() == [
            "user: Tell me a story.",
            f"assistant: {heard.text}",
            "user: Hello there.",
        ]


@in_virtual_time
async def test_a_reply_that_is_complete_on_the_wire_can_still_be_interrupted() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three four five six seven.",), token_ms=1))
    async with on_stage(script, timing=TIMING) as stage:
        await until_playing(stage, 0)
        done = await stage.until(ResponseDone)
        assert done.response.status == "completed"
        await stage.wait(400)
        await stage.say(1000)
        heard = await stage.until(ReplyHeard)
        assert heard.text == "One two three"
        assert len(stage.of(ResponseDone)) == 1
    assert "assistant: One two three" in stage.history()


@in_virtual_time
async def test_interrupted_before_a_word_was_said_nothing_remains() -> None:
    script = Script(chat=ScriptedChat(first_token_ms=5000))
    async with on_stage(script, timing=TIMING) as stage:
        await stage.write("Hi")
        await stage.wait(500)
        await stage.say(1000, then_silence_ms=700)
        await stage.until(ResponseStarted, 2)
        assert stage.of(ResponseDone)[0].response.output == ()
        assert stage.told() == ["user: Hi", "user: Hello there."]
        assert stage.of(ReplyHeard) == []


@in_virtual_time
async def test_a_reply_in_text_is_interrupted_too() -> None:
    async with on_stage(story(), SessionOptions(audio_output=False)) as stage:
        await stage.write("Tell me a story.")
        await stage.until(TextDelta, 5)
        await stage.say(500)
        done = await stage.until(ResponseDone)
        assert done.response.status == "cancelled"
        assert words_after(stage, ResponseDone) == []
        written = stage.text(done.response.id)
        assert stage.history()[-1] == f"assistant: {written}"
        assert stage.of(ContentDone)[0].text == written


@in_virtual_time
async def test_without_interrupt_response_the_reply_goes_on_and_the_next_follows_it() -> None:
    options = SessionOptions(turn=TurnOptions(interrupt_response=False))
    script = Script(chat=ScriptedChat(replies=("One two three. " * 10, "Next."), token_ms=60))
    async with on_stage(script, options, TIMING) as stage:
        await until_playing(stage, 500)
        await stage.say(500, then_silence_ms=2000)
        await stage.until(ResponseDone, 2)
        assert [done.response.status for done in stage.of(ResponseDone)] == ["completed"] * 2
        assert stage.time_of(ResponseStarted, 1) == stage.time_of(ResponseDone, 0)
        assert stage.told()[-2:] == [
            f"assistant: {'One two three. ' * 10}".strip(),
            "user: Hello there.",
        ]
        assert stage.of(ReplyHeard) == []


@in_virtual_time
async def test_two_replies_in_a_row_are_both_cut() -> None:
    """The second is begun while the first still plays; the interruption falls into the first."""
    script = Script(
        chat=ScriptedChat(replies=("One two three four five.", "Six seven."), token_ms=1)
    )
    async with on_stage(script, timing=TIMING) as stage:
        start = await until_playing(stage, 0)
        await stage.until(ResponseDone)
        await stage.respond()
        await stage.until(ResponseDone, 2)
        await stage.wait(start + 350 - stage.now_ms)
        await stage.say(500)
        first, second = await stage.until(ReplyHeard), await stage.until(ReplyHeard, 2)
    assert (first.text, second.text) == ("One two three", "")
    assert stage.history()[1:3] == ["assistant: One two three", "assistant: "]


@in_virtual_time
async def test_a_client_can_cancel() -> None:
    async with on_stage(story(), timing=TIMING) as stage:
        await until_playing(stage, 1000)
        await stage.send(CancelResponse())
        done = await stage.until(ResponseDone)
        assert (done.response.status, done.response.reason) == ("cancelled", "client_cancelled")
        assert (await stage.until(ReplyHeard)).audio_ms == 1000
        await stage.wait(5000)
        assert words_after(stage, ResponseDone) == []


@in_virtual_time
async def test_a_client_can_cancel_by_id_and_only_what_there_is() -> None:
    async with on_stage(story(), timing=TIMING) as stage:
        await stage.send(CancelResponse())
        await until_playing(stage, 100)
        await stage.send(CancelResponse("resp_other"))
        assert stage.codes == ["response_cancel_not_active"] * 2
        assert stage.of(ResponseDone) == []
        await stage.send(CancelResponse(stage.of(ResponseStarted)[0].response.id))
        await stage.until(ResponseDone)
        await stage.send(CancelResponse())
        assert stage.codes == ["response_cancel_not_active"] * 3


@in_virtual_time
async def test_clearing_the_output_stops_the_reply() -> None:
    async with on_stage(story(), timing=TIMING) as stage:
        await until_playing(stage, 1000)
        await stage.send(ClearOutput())
        cleared = await stage.until(OutputCleared)
        assert cleared.response_id == stage.of(ResponseStarted)[0].response.id
        assert stage.of(ResponseDone)[0].response.status == "cancelled"


@in_virtual_time
async def test_clearing_the_output_of_a_reply_that_still_plays_cuts_it() -> None:
    async with on_stage(timing=TIMING) as stage:
        await until_playing(stage, 0)
        await stage.until(ResponseDone)
        await stage.wait(300)
        await stage.send(ClearOutput())
        heard = await stage.until(ReplyHeard)
        assert heard.text == "Hi! How"
        await stage.send(ClearOutput())
        assert stage.of(OutputCleared)[1] == OutputCleared(None)


@in_virtual_time
async def test_where_the_voice_is_slow_only_what_was_said_counts_as_heard() -> None:
    """The voice has just begun its clause: its first chunk is not the whole of it."""
    words = "This is one very long sentence that takes the voice a while to say."
    script = Script(chat=ScriptedChat(replies=([Words(words), ChatEnd("stop")],)))
    script.voice.chunk_delay_ms = 190
    async with on_stage(script, timing=TIMING) as stage:
        await until_playing(stage, 700)
        await stage.send(CancelResponse())
        heard = await stage.until(ReplyHeard)
    assert len(heard.text) <= 700 / 50 + 5
    assert heard.text == "This is one"


@in_virtual_time
async def test_a_slow_reader_gets_nothing_stale_and_heard_only_what_it_read() -> None:
    async with on_stage(story(), timing=TIMING) as stage:
        await stage.write("Tell me a story.")
        await stage.until(AudioDelta, 5)
        stage.reading.clear()
        await stage.wait(3000)
        read_ms = stage.audio_ms()
        assert stage.session._outbox.unread_ms > 1000
        await stage.stream(speech(500))
        stage.reading.set()
        done = await stage.until(ResponseDone)
        heard = await stage.until(ReplyHeard)
        assert stage.audio_ms() <= read_ms + 100  # one event was on its way already
        assert heard.audio_ms == stage.audio_ms()
        assert stage.of(ContentDone)[0].text == stage.text(done.response.id)
        assert len(heard.text) <= heard.audio_ms / 50 + 5


@in_virtual_time
async def test_a_slow_reader_gets_nothing_stale_of_a_reply_long_complete_either() -> None:
    async with on_stage(timing=TIMING) as stage:
        await stage.write("Hi")
        await stage.until(ResponseStarted)
        stage.reading.clear()
        await stage.wait(20_000)
        await stage.stream(speech(500))
        stage.reading.set()
        heard = await stage.until(ReplyHeard)
        assert stage.audio_ms() <= 100
        assert heard.audio_ms == stage.audio_ms()
        assert stage.of(ResponseDone)[0].response.status == "completed"


@in_virtual_time
async def test_each_of_many_interruptions_ends_its_reply_once() -> None:
    async with on_stage(story(), timing=TIMING) as stage:
        for turn in range(1, 6):
            await stage.say(600, then_silence_ms=600)
            await stage.until(ResponseStarted, turn)
            await stage.wait(500)
        await stage.say(600)
        assert [done.response.status for done in stage.of(ResponseDone)] == ["cancelled"] * 5
        assert len({done.response.id for done in stage.of(ResponseDone)}) == 5


@in_virtual_time
async def test_a_cough_over_the_assistant_stops_it_but_is_no_turn_to_answer() -> None:
    script = Script(ScriptedRecognizer(("",)), ScriptedChat(replies=(STORY,)))
    async with on_stage(script, timing=TIMING) as stage:
        await until_playing(stage, 1000)
        await stage.say(400, then_silence_ms=3000)
        assert len(stage.of(ResponseStarted)) == 1
        assert stage.of(ReplyHeard)[0].text.startswith("Once upon")
