"""What a session holds is bounded, and at each bound the client is told."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from support.scripted import Script, ScriptedChat, ScriptedRecognizer, silence, speech
from support.stage import on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import AppendAudio, CommitInput, CreateItem, ReportPlayback
from vivavoce.conversation.events import (
    AudioDelta,
    Failure,
    InputCommitted,
    ResponseDone,
    ResponseStarted,
    SessionEnded,
    TranscriptFailed,
    TranscriptFinal,
)
from vivavoce.conversation.items import Item
from vivavoce.conversation.listening import MAX_AWAITED_TRANSCRIPTS
from vivavoce.conversation.options import SessionLimits, SessionOptions, TurnOptions
from vivavoce.conversation.session import Session
from vivavoce.engines.interfaces import Pcm

LONG = "This is a sentence to be said. " * 1000


@in_virtual_time
async def test_a_session_ends_after_its_time() -> None:
    async with on_stage(limits=SessionLimits(session_ms=120_000)) as stage:
        await stage.write("Hi")
        ended = await stage.until(SessionEnded, within_ms=200_000)
        assert (stage.time_of(SessionEnded), ended.code) == (120_000, 1000)
        assert stage.codes == ["session_expired"]
        assert "2 minutes" in stage.of(Failure)[0].error.message


@in_virtual_time
async def test_audio_is_made_only_so_far_ahead_of_the_listener() -> None:
    script = Script(chat=ScriptedChat(replies=(LONG,), token_ms=0))
    async with on_stage(script, limits=SessionLimits(lead_ms=5000)) as stage:
        await stage.write("Hi")
        await stage.until(AudioDelta)
        start = stage.now_ms
        for _ in range(20):
            await stage.wait(1000)
            assert stage.audio_ms() - (stage.now_ms - start) <= 5000 + 200
        assert stage.audio_ms() >= 20_000
        assert len(script.voice.texts) < 30


@in_virtual_time
async def test_a_listener_that_says_it_is_behind_gets_less() -> None:
    script = Script(chat=ScriptedChat(replies=(LONG,), token_ms=0))
    async with on_stage(script, limits=SessionLimits(lead_ms=5000)) as stage:
        await stage.write("Hi")
        response_id = (await stage.until(AudioDelta)).response_id
        for _ in range(20):
            await stage.wait(500)
            await stage.send(ReportPlayback(response_id, 0))
        assert stage.audio_ms() <= 5000 + 500 + 200


@in_virtual_time
async def test_for_who_does_not_read_no_more_is_made() -> None:
    script = Script(chat=ScriptedChat(replies=(LONG,), token_ms=0))
    limits = SessionLimits(unread_ms=3000, lead_ms=60_000)
    async with on_stage(script, limits=limits) as stage:
        await stage.write("Hi")
        await stage.until(ResponseStarted)
        stage.reading.clear()
        await stage.wait(60_000)
        assert 2800 <= stage.session._outbox.unread_ms <= 3400
        stage.reading.set()
        await stage.wait(2000)
        assert stage.audio_ms() > 3400
        assert stage.of(SessionEnded) == []


@in_virtual_time
async def test_events_that_nobody_reads_end_the_session() -> None:
    script = Script(chat=ScriptedChat(replies=(LONG,), token_ms=1))
    options = SessionOptions(audio_output=False)
    async with on_stage(script, options, limits=SessionLimits(outbox_events=100)) as stage:
        await stage.write("Hi")
        await stage.until(ResponseStarted)
        stage.reading.clear()
        await stage.wait(30_000)
        assert len(stage.session._outbox) <= 100
        assert script.chat.running == 0
        stage.reading.set()
        ended = await stage.until(SessionEnded)
        assert ended.code == 1013
        assert stage.events[-1] is ended


@in_virtual_time
async def test_a_full_outbox_in_the_middle_of_a_long_message_is_no_defect() -> None:
    script = Script(chat=ScriptedChat(replies=(LONG,), token_ms=0))
    script.voice.chunk_delay_ms = 0
    async with on_stage(script, limits=SessionLimits(outbox_events=12)) as stage:
        stage.reading.clear()
        await stage.write("Hi")
        await stage.wait(5000)
        stage.reading.set()
        assert (await stage.until(SessionEnded)).code == 1013
        await stage.wait(100)
        assert stage.session._children == set()


@in_virtual_time
async def test_a_reply_that_never_ends_is_broken_off() -> None:
    script = Script(chat=ScriptedChat(replies=("word " * 10_000,), token_ms=0))
    options = SessionOptions(audio_output=False)
    async with on_stage(script, options, limits=SessionLimits(reply_chars=1000)) as stage:
        await stage.write("Hi")
        done = await stage.until(ResponseDone)
        assert (done.response.status, done.response.reason) == ("incomplete", "max_output_tokens")
        assert 990 <= len(stage.text(done.response.id)) <= 1000
        assert script.chat.running == 0


@in_virtual_time
async def test_history_forgets_the_oldest() -> None:
    options = SessionOptions(audio_output=False)
    async with on_stage(options=options, limits=SessionLimits(history_items=8)) as stage:
        for number in range(1, 21):
            await stage.write(f"Question {number}")
            await stage.until(ResponseDone, number)
        assert len(stage.history()) == 8
        assert stage.told()[-1] == "user: Question 20"
        assert len(stage.told()) <= 8


@in_virtual_time
async def test_a_reply_whose_item_is_forgotten_while_it_is_made_ends_all_the_same() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three. " * 5,), token_ms=100))
    async with on_stage(script, limits=SessionLimits(history_items=4)) as stage:
        await stage.write("Hi")
        await stage.until(AudioDelta)
        for number in range(10):
            await stage.send(CreateItem(Item(f"i{number}", text="x")))
        done = await stage.until(ResponseDone)
        assert done.response.status == "completed"
        await stage.stream(speech(600))
        assert stage.of(SessionEnded) == []
        assert len(stage.history()) == 4


@in_virtual_time
async def test_a_text_that_is_too_long_is_refused() -> None:
    async with on_stage(limits=SessionLimits(history_chars=1000)) as stage:
        await stage.write("x" * 1001, respond=False)
        assert stage.codes == ["item_too_large"]
        assert stage.history() == []


@in_virtual_time
async def test_the_prompt_is_only_as_long_as_the_model_may_read() -> None:
    async with on_stage(
        options=SessionOptions(audio_output=False), limits=SessionLimits(context_chars=500)
    ) as stage:
        for number in range(1, 11):
            await stage.write(f"{number} " + "x" * 98)
            await stage.until(ResponseDone, number)
        assert sum(len(line) for line in stage.told()) <= 600
        assert stage.told()[-1].startswith("user: 10 ")


@in_virtual_time
async def test_a_turn_that_is_too_long_is_ended_and_the_next_begins() -> None:
    script = Script(ScriptedRecognizer(("First.", "Second.", "Third.")))
    async with on_stage(script, limits=SessionLimits(utterance_ms=3000)) as stage:
        await stage.say(7000, then_silence_ms=1000)
        await stage.until(ResponseDone)
        assert len(stage.of(InputCommitted)) == 3
        assert stage.told() == ["user: First.", "user: Second.", "user: Third."]
        assert sum(script.recognizer.heard_ms) == pytest.approx(7000, abs=400)


@in_virtual_time
async def test_a_pause_counts_towards_the_length_of_a_turn() -> None:
    options = SessionOptions(turn=TurnOptions(silence_ms=10_000))
    async with on_stage(options=options, limits=SessionLimits(utterance_ms=3000)) as stage:
        await stage.say(1000, then_silence_ms=3000)
        assert len(stage.of(InputCommitted)) == 1
        assert stage.time_of(InputCommitted) <= 3000


@in_virtual_time
async def test_too_many_turns_without_their_words_fail_the_oldest() -> None:
    script = Script(ScriptedRecognizer(delay_ms=600_000))
    async with on_stage(script, SessionOptions(turn=None)) as stage:
        for _ in range(MAX_AWAITED_TRANSCRIPTS + 2):
            await stage.stream(speech(200))
            await stage.send(CommitInput())
        failed = stage.of(TranscriptFailed)
        assert [event.error.code for event in failed] == ["recognizer_behind"] * 2
        assert [event.item_id for event in failed] == [
            event.item_id for event in stage.of(InputCommitted)[:2]
        ]
        assert len(stage.session._children) == MAX_AWAITED_TRANSCRIPTS


@in_virtual_time
async def test_a_recognizer_that_hangs_loses_the_turn_not_the_session() -> None:
    script = Script(ScriptedRecognizer(delay_ms=3_600_000))
    async with on_stage(script, SessionOptions(turn=None)) as stage:
        await stage.stream(speech(70_000))
        await stage.send(CommitInput())
        failed = await stage.until(TranscriptFailed)
        assert failed.error.code == "recognizer_behind"
        assert stage.session._children == set()


@in_virtual_time
async def test_a_client_faster_than_its_session_is_slowed_down() -> None:
    """Audio as fast as it can be sent: what waits stays small."""

    class SlowStream:
        frame_ms = 32.0

        async def process(self, pcm: Pcm) -> list[float]:
            await asyncio.sleep(0.01)
            return [0.0] * (len(pcm) // 512)

        def close(self) -> None:
            pass

    class SlowVad:
        async def open(self) -> SlowStream:
            return SlowStream()

    script = Script()
    script.vad = SlowVad()  # type: ignore[assignment]
    limits = SessionLimits(inbox_bytes=1_000_000)
    async with on_stage(script, limits=limits) as stage:
        sending = asyncio.create_task(flood(stage.session, 200))
        for _ in range(50):
            await stage.wait(20)
            assert stage.session._inbox._bytes <= 1_000_000
        assert not sending.done()
        await sending
        assert stage.of(SessionEnded) == []


async def flood(session: Session, n_seconds: int) -> None:
    for _ in range(n_seconds):
        await session.submit(AppendAudio(silence(1000), 16_000))


@in_virtual_time
async def test_audio_in_thousands_of_tiny_frames_makes_the_same_turn() -> None:
    async with on_stage() as stage:
        audio = np.concatenate((speech(200), silence(600)))
        for start in range(0, len(audio), 4):
            await stage.session.submit(AppendAudio(audio[start : start + 4], 16_000))
        await stage.until(TranscriptFinal)
        assert stage.script.recognizer.heard_ms[0] == pytest.approx(200 + 128, abs=64)
