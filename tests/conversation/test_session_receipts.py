"""The receipt of each turn: when each of its stages was reached."""

from __future__ import annotations

from support.scripted import Script, ScriptedChat, ScriptedRecognizer
from support.stage import on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import CommitInput, ReportPlayback
from vivavoce.conversation.events import (
    AudioDelta,
    ReplyHeard,
    ResponseDone,
    SpeechStarted,
    TurnReceipt,
)
from vivavoce.conversation.options import SessionOptions, TurnTiming
from vivavoce.conversation.receipt import Stage

TIMING = TurnTiming(speculate_after_ms=192)


@in_virtual_time
async def test_a_turn_by_voice_has_all_its_stages_in_order() -> None:
    async with on_stage(timing=TIMING) as stage:
        await stage.say(960, then_silence_ms=700)
        receipt = await stage.until(TurnReceipt)
        assert receipt.stages == {
            "speech_end": 0,
            "provisional": 242,
            "transcript": 242,
            "endpoint": 512,
            "first_token": 342,
            "first_clause": 362,
            "first_audio": 392,
            "first_audible": 512,
            "end": 512 + 21 * 50,
        }
        assert receipt.response_id == stage.of(ResponseDone)[0].response.id


@in_virtual_time
async def test_client_and_server_are_told_the_same_once() -> None:
    async with on_stage() as stage:
        await stage.say(960, then_silence_ms=700)
        await stage.until(TurnReceipt)
        await stage.wait(5000)
        assert len(stage.of(TurnReceipt)) == len(stage.receipts) == 1
        assert stage.receipts[0].since_speech_end() == stage.of(TurnReceipt)[0].stages


@in_virtual_time
async def test_where_the_client_reports_it_has_the_start_of_playback() -> None:
    async with on_stage() as stage:
        await stage.write("Hi")
        response_id = (await stage.until(AudioDelta)).response_id
        first_audible = stage.now_ms
        await stage.wait(300)
        await stage.send(ReportPlayback(response_id, 0))
        await stage.wait(200)
        await stage.send(ReportPlayback(response_id, 150))
        await stage.until(TurnReceipt)
        reached = stage.receipts[0].reached
    assert reached[Stage.PLAYBACK_START] == first_audible + 500 - 150


@in_virtual_time
async def test_an_interruption_has_its_time() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three. " * 20,), token_ms=50))
    async with on_stage(script) as stage:
        await stage.write("Hi")
        await stage.until(AudioDelta)
        await stage.wait(1000)
        await stage.say(400)
        await stage.until(ReplyHeard)
        reached = stage.receipts[0].reached
        assert reached[Stage.INTERRUPTED] == stage.time_of(SpeechStarted)
        assert Stage.END not in reached


@in_virtual_time
async def test_so_has_one_of_a_reply_that_was_complete_already() -> None:
    async with on_stage() as stage:
        await stage.write("Hi")
        await stage.until(ResponseDone)
        await stage.wait(300)
        assert stage.receipts == []
        await stage.say(400)
        await stage.until(ReplyHeard)
        assert Stage.INTERRUPTED in stage.receipts[0].reached


@in_virtual_time
async def test_a_reply_in_writing_ends_with_its_last_word() -> None:
    async with on_stage(options=SessionOptions(audio_output=False)) as stage:
        await stage.write("Hi")
        await stage.until(ResponseDone)
        assert stage.receipts[0].reached[Stage.END] == stage.now_ms


@in_virtual_time
async def test_every_reply_has_one_whatever_comes_next() -> None:
    async with on_stage() as stage:
        for count in (1, 2, 3):
            await stage.write("Hi")
            await stage.until(ResponseDone, count)
        await stage.until(TurnReceipt, 3)
        assert [r.response_id for r in stage.receipts] == [
            done.response.id for done in stage.of(ResponseDone)
        ]


@in_virtual_time
async def test_a_client_that_leaves_in_mid_reply_leaves_a_receipt() -> None:
    script = Script(chat=ScriptedChat(replies=("One two three. " * 20,), token_ms=50))
    async with on_stage(script) as stage:
        await stage.write("Hi")
        await stage.until(AudioDelta)
    assert len(stage.receipts) == 1
    assert Stage.INTERRUPTED in stage.receipts[0].reached


@in_virtual_time
async def test_a_provisional_reply_that_was_thrown_away_has_none() -> None:
    async with on_stage(timing=TIMING) as stage:
        await stage.say(960, then_silence_ms=400)
        await stage.say(960, then_silence_ms=700)
        await stage.until(TurnReceipt)
        await stage.wait(5000)
        assert len(stage.receipts) == 1


@in_virtual_time
async def test_pushed_to_talk_the_endpoint_is_the_clients() -> None:
    script = Script(ScriptedRecognizer(delay_ms=300))
    async with on_stage(script, SessionOptions(turn=None)) as stage:
        await stage.say(960)
        await stage.send(CommitInput(respond=True))
        await stage.until(TurnReceipt)
        stages = stage.of(TurnReceipt)[0].stages
    assert stages["transcript"] == stages["endpoint"] + 300
