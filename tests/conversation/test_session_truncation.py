"""The client says how much of a reply was heard: by truncating it, or by reporting playback."""

from __future__ import annotations

import pytest

from support.scripted import Script, ScriptedChat
from support.stage import Stage, on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import (
    CancelResponse,
    Command,
    DeleteItem,
    ReportPlayback,
    RetrieveItem,
    TruncateItem,
)
from vivavoce.conversation.events import (
    AudioDelta,
    ItemDone,
    ItemRetrieved,
    ItemTruncated,
    ReplyHeard,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    TurnReceipt,
)
from vivavoce.conversation.options import TurnTiming
from vivavoce.conversation.states import ResponseState

COUNT = "One two three four five six seven eight nine ten."  # 49 characters, 2450 ms


def counting(token_ms: int = 1) -> Script:
    return Script(chat=ScriptedChat(replies=(COUNT, "Yes."), token_ms=token_ms))


async def until_playing(stage: Stage, ms: int) -> tuple[str, str]:
    """Ask, and wait until `ms` have been played; returns the ids of the response and its item."""
    await stage.write("Count!")
    audio = await stage.until(AudioDelta)
    await stage.wait(ms)
    return audio.response_id, audio.item_id


@in_virtual_time
async def test_after_an_interruption_the_clients_own_time_wins() -> None:
    async with on_stage(counting()) as stage:
        _, item_id = await until_playing(stage, 1000)
        await stage.say(500)
        assert (await stage.until(ReplyHeard)).text == "One two three four five"
        await stage.send(TruncateItem(item_id, 700))
        assert await stage.until(ItemTruncated) == ItemTruncated(item_id, 700)
        await stage.say(0, then_silence_ms=700)
        await stage.until(ResponseStarted, 2)
        assert stage.told()[1] == "assistant: One two three"


@in_virtual_time
async def test_truncating_a_complete_reply_that_still_plays_ends_it() -> None:
    async with on_stage(counting()) as stage:
        _, item_id = await until_playing(stage, 1000)
        await stage.until(ResponseDone)
        await stage.send(TruncateItem(item_id, 700))
        assert (await stage.until(ReplyHeard)).text == "One two three"
        assert stage.session._speaker.state is ResponseState.NONE
        assert stage.history() == ["user: Count!", "assistant: One two three"]


@in_virtual_time
async def test_truncating_a_reply_played_long_ago_still_cuts_it() -> None:
    async with on_stage(counting()) as stage:
        _, item_id = await until_playing(stage, 10_000)
        await stage.send(TruncateItem(item_id, 700))
        await stage.until(ItemTruncated)
        assert stage.history()[-1] == "assistant: One two three"
        assert not stage.session._speaker.is_heard
        await stage.say(500)
        assert stage.of(ReplyHeard) == []


@in_virtual_time
async def test_truncating_a_reply_in_the_making_holds_though_it_goes_on() -> None:
    async with on_stage(counting(token_ms=100)) as stage:
        script_reply = "One two three. Four five six. Seven eight nine. Ten eleven twelve."
        stage.script.chat.replies = (script_reply, "Yes.")
        _, item_id = await until_playing(stage, 300)
        await stage.send(TruncateItem(item_id, 250))
        assert (await stage.until(ItemTruncated)).audio_ms == 250
        assert stage.of(ResponseDone) == []
        done = await stage.until(ResponseDone)
        assert done.response.status == "completed"
        assert stage.history()[-1] == "assistant: One"
        await stage.wait(10_000)
        await stage.respond()
        await stage.until(ResponseDone, 2)
        assert stage.told() == ["user: Count!", "assistant: One"]


@pytest.mark.parametrize("first", ["truncate", "cancel"])
@in_virtual_time
async def test_cancel_and_truncate_may_come_in_either_order(first: str) -> None:
    async with on_stage(counting(token_ms=200)) as stage:
        stage.script.chat.replies = ("One two three four. Five six. " * 5,)
        _, item_id = await until_playing(stage, 600)
        commands: list[Command] = [TruncateItem(item_id, 400), CancelResponse()]
        for command in commands if first == "truncate" else reversed(commands):
            await stage.send(command)
        await stage.until(ResponseDone)
        assert (await stage.until(ItemTruncated)).audio_ms == 400
        assert stage.codes == []
        assert stage.history()[-1] == "assistant: One two"


@pytest.mark.parametrize(("asked_ms", "granted_ms"), [(99_999, 2450), (-20, 0), (0, 0)])
@in_virtual_time
async def test_times_that_cannot_be_are_clamped(asked_ms: int, granted_ms: int) -> None:
    async with on_stage(counting()) as stage:
        _, item_id = await until_playing(stage, 5000)
        await stage.send(TruncateItem(item_id, asked_ms))
        assert (await stage.until(ItemTruncated)).audio_ms == granted_ms
        assert stage.history()[-1] == f"assistant: {COUNT if granted_ms else ''}"


@in_virtual_time
async def test_only_spoken_replies_can_be_truncated() -> None:
    async with on_stage(counting()) as stage:
        user = await stage.write("Count!", respond=False)
        await stage.respond(audio_output=False)
        done = await stage.until(ResponseDone)
        for item_id in (user.id, done.response.output[0].id, "item_unknown"):
            await stage.send(TruncateItem(item_id, 100))
        assert stage.codes == ["item_truncate_invalid_item_id"] * 3
        assert stage.history()[-1] == f"assistant: {COUNT}"


@in_virtual_time
async def test_what_was_deleted_can_no_longer_be_truncated() -> None:
    async with on_stage(counting()) as stage:
        _, item_id = await until_playing(stage, 5000)
        await stage.send(DeleteItem(item_id))
        await stage.send(TruncateItem(item_id, 100))
        assert stage.codes == ["item_truncate_invalid_item_id"]
        assert stage.history() == ["user: Count!"]


@in_virtual_time
async def test_deleting_the_reply_in_the_making_does_not_stop_it() -> None:
    async with on_stage(counting(token_ms=100)) as stage:
        stage.script.chat.replies = ("One two three. Four five six. Seven eight nine.", "Yes.")
        _, item_id = await until_playing(stage, 100)
        await stage.send(DeleteItem(item_id))
        done = await stage.until(ResponseDone)
        assert done.response.status == "completed"
        assert item_id not in [event.item.id for event in stage.of(ItemDone)]
        assert stage.history() == ["user: Count!"]
        await stage.say(500)
        assert stage.history() == ["user: Count!"]


# ── reports ───────────────────────────────────────────────────────────────────────────────────


@in_virtual_time
async def test_a_report_is_believed_more_than_the_clock() -> None:
    """The client began to play 500 ms late."""
    async with on_stage(counting()) as stage:
        response_id, _ = await until_playing(stage, 1000)
        await stage.send(ReportPlayback(response_id, 500))
        await stage.say(300)
        heard = await stage.until(ReplyHeard)
        late_ms = stage.time_of(SpeechStarted) - stage.time_of(AudioDelta) - 1000
        assert heard.audio_ms == 500 + late_ms
        assert heard.text == "One two three"


@in_virtual_time
async def test_a_reply_drains_until_the_client_has_played_it() -> None:
    async with on_stage(counting()) as stage:
        response_id, _ = await until_playing(stage, 2000)
        await stage.send(ReportPlayback(response_id, 1000))
        await stage.wait(1000)
        assert not stage.session._speaker.is_idle
        await stage.wait(450)
        assert stage.session._speaker.is_idle
        assert stage.history()[-1] == f"assistant: {COUNT}"


@in_virtual_time
async def test_a_client_that_says_it_has_played_everything_is_done() -> None:
    async with on_stage(counting()) as stage:
        response_id, _ = await until_playing(stage, 500)
        await stage.until(ResponseDone)
        await stage.send(ReportPlayback(response_id, 2450))
        assert stage.session._speaker.state is ResponseState.NONE
        assert stage.time_of(TurnReceipt) == stage.now_ms


@in_virtual_time
async def test_a_report_after_an_interruption_says_where_it_really_stopped() -> None:
    async with on_stage(counting()) as stage:
        response_id, item_id = await until_playing(stage, 1500)
        await stage.say(300)
        await stage.until(ReplyHeard)
        await stage.send(ReportPlayback(response_id, 700))
        await stage.send(RetrieveItem(item_id))
        assert (await stage.until(ItemRetrieved)).item.text == "One two three"


@in_virtual_time
async def test_a_client_that_stops_reporting_is_believed_to_have_played_it_all_in_the_end() -> None:
    async with on_stage(counting(), timing=TurnTiming(min_speech_ms=96)) as stage:
        response_id, _ = await until_playing(stage, 300)
        await stage.send(ReportPlayback(response_id, 300))
        await stage.wait(60_000)
        await stage.respond()
        await stage.until(AudioDelta, len(stage.of(AudioDelta)) + 1)
        await stage.say(300)
        assert stage.history()[1] == f"assistant: {COUNT}"


@in_virtual_time
async def test_a_client_that_still_plays_what_should_be_over_can_be_interrupted() -> None:
    """By the clock the reply is over, but the client says that it is far behind."""
    async with on_stage(counting()) as stage:
        response_id, _ = await until_playing(stage, 4000)
        assert stage.session._speaker.is_idle
        await stage.send(ReportPlayback(response_id, 400))
        await stage.say(300)
        assert stage.of(ReplyHeard)[0].text == "One two three"


@in_virtual_time
async def test_reports_on_nothing_are_told_so() -> None:
    async with on_stage(counting()) as stage:
        await stage.send(ReportPlayback("resp_unknown", 100))
        await stage.respond(audio_output=False)
        done = await stage.until(ResponseDone)
        await stage.send(ReportPlayback(done.response.id, 100))
        assert stage.codes == ["unknown_response"] * 2
