"""Turns of the user by voice: when they begin and end, and what of them is recognised."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from support.scripted import Script, ScriptedChat, ScriptedRecognizer, silence, speech
from support.stage import on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import (
    AppendAudio,
    ClearInput,
    CommitInput,
    Configure,
    RetrieveItem,
)
from vivavoce.conversation.events import (
    Configured,
    InputCleared,
    InputCommitted,
    ItemAdded,
    ItemDone,
    ItemRetrieved,
    ResponseDone,
    ResponseStarted,
    SessionEnded,
    SessionStarted,
    SpeechStarted,
    SpeechStopped,
    TranscriptFinal,
    TranscriptPartial,
)
from vivavoce.conversation.options import (
    Eagerness,
    SessionLimits,
    SessionOptions,
    TurnOptions,
    TurnTiming,
)
from vivavoce.conversation.receipt import Stage

FRAME_MS = 32


def frames(ms: float) -> int:
    """The end of the frame in which `ms` lies."""
    return -(-round(ms) // FRAME_MS) * FRAME_MS


def sent_at(ms: int) -> int:
    """When the last of the first `ms` of audio went to the session, in chunks of 20 ms."""
    return (-(-ms // 20) - 1) * 20


@in_virtual_time
async def test_a_turn_by_voice_in_the_order_that_clients_expect() -> None:
    async with on_stage() as stage:
        await stage.say(1000, then_silence_ms=700)
        await stage.until(ResponseDone)
        kinds = [type(event) for event in stage.events]
    assert kinds[:8] == [
        SessionStarted,
        SpeechStarted,
        SpeechStopped,
        InputCommitted,
        ItemAdded,
        ItemDone,
        TranscriptFinal,
        ResponseStarted,
    ]
    assert kinds[-1] is ResponseDone


@in_virtual_time
async def test_the_times_of_a_turn_are_exact() -> None:
    timing = TurnTiming(min_speech_ms=96)
    async with on_stage(timing=timing) as stage:
        await stage.stream(silence(960))
        await stage.say(1000, then_silence_ms=1000)
        started, stopped = await stage.until(SpeechStarted), await stage.until(SpeechStopped)
        speech_end = frames(960 + 1000)
        assert started.at_ms == 960 - 300
        assert stopped.at_ms == speech_end
        assert stage.time_of(SpeechStarted) == sent_at(960 + 96)
        assert stage.time_of(SpeechStopped) == sent_at(frames(speech_end + 500))
        assert stopped.item_id == started.item_id == stage.of(InputCommitted)[0].item_id


@in_virtual_time
async def test_the_recognizer_hears_the_whole_turn_with_its_lead_in_and_nothing_twice() -> None:
    """Each frame of audio carries its number; what is heard has to be a run of them."""
    script = Script(ScriptedRecognizer(keep_audio=True))
    loud = np.repeat(np.arange(120) * 1e-3 + 0.2, 512).astype(np.float32)
    quiet = np.repeat(np.arange(120) * 1e-4, 512).astype(np.float32)
    is_speech = np.zeros(120, bool)
    is_speech[20:40] = is_speech[48:60] = True  # a pause of 256 ms, so the turn goes on
    audio = np.where(np.repeat(is_speech, 512), loud, quiet)
    async with on_stage(script) as stage:
        await stage.stream(audio)
        final = await stage.until(TranscriptFinal)
        started = stage.of(SpeechStarted)[0]
    heard = script.recognizer.heard[-1].reshape(-1, 512)[:, 0]
    numbers = [round((v - 0.2) * 1e3) if v > 0.1 else round(v * 1e4) for v in heard.tolist()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] * FRAME_MS <= started.at_ms < (numbers[0] + 1) * FRAME_MS
    assert started.at_ms == 20 * FRAME_MS - 300
    assert numbers[-1] >= 59
    assert final.audio_ms == len(numbers) * FRAME_MS


@in_virtual_time
async def test_speech_right_after_an_endpoint_keeps_the_sound_before_it() -> None:
    """The pause that ended a turn is the lead-in of the next."""
    script = Script(ScriptedRecognizer(keep_audio=True))
    async with on_stage(script) as stage:
        await stage.stream(np.concatenate((speech(960), silence(512), speech(960), silence(800))))
        await stage.until(TranscriptFinal, 2)
        stopped, second = stage.of(SpeechStopped)[0], stage.of(SpeechStarted)[1]
    assert stopped.at_ms == 960
    assert second.at_ms == 960 + 512 - 300
    assert script.recognizer.heard_ms[-1] >= 300 + 960


@in_virtual_time
async def test_audio_at_any_rate_makes_the_same_turn() -> None:
    async with on_stage() as stage:
        for start in range(0, 2000, 20):
            pcm = speech(20, 24_000) if start < 1000 else silence(20, 24_000)
            await stage.send(AppendAudio(pcm, 24_000))
            await stage.wait(20)
        stopped = await stage.until(SpeechStopped)
    assert stopped.at_ms == pytest.approx(1000, abs=64)


@in_virtual_time
async def test_a_file_faster_than_real_time_makes_its_turns_too() -> None:
    script = Script(ScriptedRecognizer(("One.", "Two.", "Three.")))
    turn = np.concatenate((speech(1000), silence(1000)))
    async with on_stage(script) as stage:
        await stage.send(AppendAudio(np.concatenate((turn, turn, turn)), 16_000))
        await stage.until(TranscriptFinal, 3)
        await stage.until(ResponseDone)
        await stage.wait(5000)
    assert [final.text for final in stage.of(TranscriptFinal)] == ["One.", "Two.", "Three."]
    assert stage.told() == ["user: One.", "user: Two.", "user: Three."]
    assert len(stage.of(ResponseDone)) == 1


@in_virtual_time
async def test_noise_and_silence_start_nothing() -> None:
    async with on_stage() as stage:
        for _ in range(20):
            await stage.stream(silence(500))
            await stage.stream(speech(30))
        assert stage.of(SpeechStarted) == []
        assert stage.script.recognizer.opened == 0


@in_virtual_time
async def test_partials_only_grow() -> None:
    recognizer = ScriptedRecognizer(("one two three four five six seven.",), partials=True)
    async with on_stage(Script(recognizer)) as stage:
        await stage.say(3000, then_silence_ms=700)
        await stage.until(TranscriptFinal)
    stable = [partial.text for partial in stage.of(TranscriptPartial)]
    assert len(stable) >= 4
    assert all(later.startswith(sooner) for sooner, later in pairwise(stable))
    assert stage.of(TranscriptPartial)[-1].guess.startswith("one two three")


@in_virtual_time
async def test_while_the_user_speaks_the_model_reads_ahead() -> None:
    recognizer = ScriptedRecognizer(("one two three four five six seven.",), partials=True)
    async with on_stage(Script(recognizer)) as stage:
        await stage.say(3000)
        prefills = [request.messages[-1].content for request in stage.script.chat.prefills]
    assert prefills[0] == ""
    assert "one two three" in prefills


@in_virtual_time
async def test_where_no_reply_will_follow_nothing_is_read_ahead() -> None:
    recognizer = ScriptedRecognizer(("one two three four.",), partials=True)
    for options in (
        SessionOptions(respond=False),
        SessionOptions(turn=TurnOptions(create_response=False)),
    ):
        async with on_stage(Script(recognizer), options) as stage:
            await stage.say(2000)
            assert stage.script.chat.prefills == []


@in_virtual_time
async def test_the_words_are_kept_for_who_asks_later() -> None:
    async with on_stage() as stage:
        await stage.say(1000, then_silence_ms=700)
        final = await stage.until(TranscriptFinal)
        await stage.send(RetrieveItem(final.item_id))
        item = (await stage.until(ItemRetrieved)).item
    assert (item.role, item.text, item.spoken) == ("user", "Hello there.", True)


@in_virtual_time
async def test_a_cough_gets_no_answer() -> None:
    async with on_stage(Script(ScriptedRecognizer(("",)))) as stage:
        await stage.say(300, then_silence_ms=3000)
        assert [final.text for final in stage.of(TranscriptFinal)] == [""]
        assert stage.of(ResponseStarted) == []
        assert stage.script.chat.requests == []


@in_virtual_time
async def test_a_client_may_end_a_turn_before_the_silence_does() -> None:
    async with on_stage() as stage:
        await stage.say(1000)
        await stage.send(CommitInput(respond=True))
        await stage.until(ResponseDone)
    assert stage.time_of(InputCommitted) == 1000
    assert stage.told() == ["user: Hello there."]


@in_virtual_time
async def test_committed_in_a_pause_the_words_are_there_already() -> None:
    async with on_stage(timing=TurnTiming(speculate_after_ms=192)) as stage:
        await stage.say(1000, then_silence_ms=400)
        await stage.send(CommitInput(respond=True))
        await stage.until(ResponseStarted)
    assert stage.time_of(ResponseStarted) == stage.time_of(InputCommitted) == 1400
    assert len(stage.script.chat.requests) == 1


@in_virtual_time
async def test_speech_that_goes_on_after_a_commit_is_the_next_turn() -> None:
    script = Script(ScriptedRecognizer(keep_audio=True))
    async with on_stage(script) as stage:
        await stage.stream(speech(960))
        await stage.send(CommitInput())
        await stage.stream(np.concatenate((speech(960), silence(1000))))
        await stage.until(TranscriptFinal, 2)
        first, second = stage.of(SpeechStopped)
    assert (first.at_ms, second.at_ms) == (960, 1920)
    assert script.recognizer.heard_ms[0] == 960
    assert script.recognizer.heard_ms[-1] >= 960


@in_virtual_time
async def test_cleared_speech_leaves_no_trace() -> None:
    async with on_stage() as stage:
        await stage.say(1000)
        await stage.send(ClearInput())
        await stage.stream(silence(2000))
        await stage.until(InputCleared)
        assert stage.of(InputCommitted) == []
        assert stage.history() == []
        assert stage.session._children == set()
        assert stage.script.recognizer.open_streams == 0
        await stage.say(1000, then_silence_ms=700)
        await stage.until(ResponseDone)
    assert stage.told() == ["user: Hello there."]


@in_virtual_time
async def test_clearing_leaves_a_committed_turn_alone() -> None:
    script = Script(ScriptedRecognizer(delay_ms=600))
    async with on_stage(script) as stage:
        await stage.say(1000)
        await stage.send(CommitInput(respond=True))
        await stage.send(ClearInput())
        await stage.until(ResponseDone)
    assert stage.told() == ["user: Hello there."]


@in_virtual_time
async def test_when_no_more_audio_comes_the_turn_ends() -> None:
    async with on_stage(timing=TurnTiming(stall_ms=2000)) as stage:
        await stage.say(1000)
        await stage.until(InputCommitted)
        assert stage.time_of(InputCommitted) == 980 + 2000
        await stage.until(ResponseDone)


@in_virtual_time
async def test_a_new_wait_holds_in_the_middle_of_a_turn() -> None:
    async with on_stage() as stage:
        await stage.say(960)
        slower = SessionOptions(turn=TurnOptions(silence_ms=1500))
        await stage.send(Configure(slower))
        await stage.stream(silence(3000))
        await stage.until(SpeechStopped)
        assert stage.time_of(SpeechStopped) == sent_at(frames(960 + 1500))
        assert stage.of(Configured) == [Configured(slower)]


@pytest.mark.parametrize(
    ("words", "wait_ms"), [("What time is it?", 360), ("Hm so", 1600), ("turn it up", 700)]
)
@in_virtual_time
async def test_words_decide_how_long_to_wait(words: str, wait_ms: int) -> None:
    options = SessionOptions(turn=TurnOptions(silence_ms=None, eagerness=Eagerness.MEDIUM))
    async with on_stage(Script(ScriptedRecognizer((words,))), options) as stage:
        await stage.say(960, then_silence_ms=3000)
        await stage.until(SpeechStopped)
    assert stage.time_of(SpeechStopped) == sent_at(frames(960 + wait_ms))


@in_virtual_time
async def test_the_user_speaks_again_before_the_answer_both_turns_get_one() -> None:
    """The first turn's words are late; the second turn begins before they are known."""
    script = Script(ScriptedRecognizer(("First.", "Second."), delay_ms=900))
    async with on_stage(script) as stage:
        await stage.say(1000, then_silence_ms=600)
        await stage.say(1000, then_silence_ms=2000)
        await stage.until(ResponseDone)
        await stage.stream(silence(4000))
    assert stage.told() == ["user: First.", "user: Second."]
    assert len(stage.of(ResponseStarted)) == 1
    second_end = stage.receipts[0].reached[Stage.SPEECH_END]
    assert second_end == pytest.approx(1000 + 600 + 1000, abs=60)


@in_virtual_time
async def test_a_transcript_that_is_late_for_its_pause_is_not_taken_for_the_next() -> None:
    """The first pause's words come in the middle of the second pause."""
    script = Script(ScriptedRecognizer(delay_ms=600))
    options = SessionOptions(turn=TurnOptions(silence_ms=3000))
    async with on_stage(script, options, TurnTiming(speculate_after_ms=192)) as stage:
        await stage.say(960, then_silence_ms=288)
        await stage.say(192, then_silence_ms=4000)
        await stage.until(ResponseDone)
        await stage.wait(3000)
        reached = stage.receipts[0].reached
    first_pause = sent_at(960 + 192)
    assert reached[Stage.TRANSCRIPT] == reached[Stage.PROVISIONAL] == first_pause + 600 + 600


@in_virtual_time
async def test_a_cough_after_a_question_does_not_swallow_the_answer() -> None:
    """The cough comes while the question's words are still awaited."""
    script = Script(ScriptedRecognizer(("What time is it?", ""), delay_ms=700))
    async with on_stage(script) as stage:
        await stage.say(1000, then_silence_ms=600)
        await stage.say(200, then_silence_ms=2000)
        await stage.until(ResponseDone)
    assert stage.told() == ["user: What time is it?"]


@in_virtual_time
async def test_a_cough_that_stops_an_unheard_answer_brings_it_back() -> None:
    """The model is still thinking when the cough comes: nobody has heard a word yet."""
    script = Script(ScriptedRecognizer(("What time is it?", "")), ScriptedChat(first_token_ms=3000))
    async with on_stage(script) as stage:
        await stage.say(1000, then_silence_ms=1000)
        await stage.say(200, then_silence_ms=6000)
        await stage.until(ResponseDone, 2)
    assert [done.response.status for done in stage.of(ResponseDone)] == ["cancelled", "completed"]
    assert stage.told() == ["user: What time is it?"]


@in_virtual_time
async def test_without_create_response_the_client_asks_by_itself() -> None:
    options = SessionOptions(turn=TurnOptions(create_response=False))
    async with on_stage(options=options) as stage:
        await stage.say(1000, then_silence_ms=2000)
        await stage.until(TranscriptFinal)
        assert stage.of(ResponseStarted) == []
        assert stage.script.chat.requests == []
        await stage.respond()
        await stage.until(ResponseDone)
    assert stage.told() == ["user: Hello there."]


@in_virtual_time
async def test_a_transcription_session_only_transcribes() -> None:
    async with on_stage(options=SessionOptions(respond=False)) as stage:
        await stage.say(1000, then_silence_ms=2000)
        await stage.until(TranscriptFinal)
        await stage.respond()
        await stage.wait(1000)
        assert stage.of(ResponseStarted) == []
        assert stage.codes == ["response_not_supported"]


@in_virtual_time
async def test_turns_of_audio_that_is_all_in_one_do_not_hold_up_the_rest() -> None:
    """A minute at once: the writer takes it second by second and stays whole."""
    async with on_stage(limits=SessionLimits(utterance_ms=10_000)) as stage:
        await stage.send(AppendAudio(speech(60_000), 16_000))
        await stage.until(InputCommitted, 5)
        assert stage.of(SessionEnded) == []
