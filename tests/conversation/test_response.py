from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from support.scripted import (
    MS_PER_CHARACTER,
    ScriptedChat,
    ScriptedSynthesizer,
    silence,
    spoken_as_written,
)
from support.virtual_time import in_virtual_time
from vivavoce.conversation.clock import LoopClock
from vivavoce.conversation.messages import Called, Produced, RunEnded, RunFailed, Spoken, Written
from vivavoce.conversation.receipt import Receipt, Stage
from vivavoce.conversation.response import MAX_WAITING_CLAUSES, ResponseRun, Studio
from vivavoce.engines.interfaces import (
    ChatDelta,
    ChatEnd,
    ChatMessage,
    ChatRequest,
    Pcm,
    Priority,
    ServiceClass,
    SpeechOptions,
    TextDelta,
    ToolCallDelta,
)
from vivavoce.errors import EngineFailure, VivavoceError

REQUEST = ChatRequest((ChatMessage("user", "Hi"),))


class Workshop:
    """Makes one reply and keeps all that is posted, with its time."""

    def __init__(
        self,
        reply: str | Sequence[ChatDelta | VivavoceError | int],
        *,
        speech: bool = True,
        max_chars: int = 10_000,
        voice: ScriptedSynthesizer | None = None,
        chat: ScriptedChat | None = None,
    ) -> None:
        self.chat = chat or ScriptedChat(replies=(reply,))
        self.voice = voice or ScriptedSynthesizer()
        self.receipt = Receipt("resp")
        self.posted: list[Produced] = []
        self.times: list[int] = []
        self.room = asyncio.Event()
        self.room.set()
        self.run = ResponseRun(
            "resp",
            REQUEST,
            SpeechOptions() if speech else None,
            Studio(self.chat, self.voice, self.spoken_form),
            max_chars=max_chars,
            post=self.post,
            room=self.wait_for_room,
            play_deadline_ms=lambda: 12_345,
            receipt=self.receipt,
            clock=LoopClock(),
        )

    async def spoken_form(self, clause: str) -> str:
        return "" if "🎉" in clause else await spoken_as_written(clause)

    async def post(self, message: Produced) -> None:
        self.posted.append(message)
        self.times.append(LoopClock().now_ms())

    async def wait_for_room(self) -> None:
        await self.room.wait()

    @property
    def text(self) -> str:
        words = [m.clause or "" for m in self.posted if isinstance(m, Spoken)]
        return "".join(words + [m.text for m in self.posted if isinstance(m, Written)])

    def spoken_ms(self) -> float:
        return sum(len(m.pcm) for m in self.posted if isinstance(m, Spoken)) / 24


@in_virtual_time
async def test_a_reply_is_spoken_clause_by_clause_and_then_ends() -> None:
    shop = Workshop("Hi! How are you today?")
    await shop.run.run()
    assert shop.voice.texts == ["Hi!", "How are you today?"]
    assert shop.text == "Hi! How are you today?"
    assert shop.spoken_ms() == (3 + 18) * MS_PER_CHARACTER
    assert shop.posted[-1] == RunEnded("resp", ChatEnd("stop", 10, 5))


@in_virtual_time
async def test_each_clause_begins_with_its_words_and_says_when_it_is_complete() -> None:
    shop = Workshop("Hi! How are you today?")
    await shop.run.run()
    spoken = [m for m in shop.posted if isinstance(m, Spoken)]
    assert [(m.clause, len(m.pcm) / 24, m.complete) for m in spoken] == [
        ("Hi! ", 150, False),
        (None, 0, True),
        ("How are you today?", 200, False),
        (None, 200, False),
        (None, 200, False),
        (None, 200, False),
        (None, 100, False),
        (None, 0, True),
    ]


@in_virtual_time
async def test_speaking_starts_while_the_model_still_thinks() -> None:
    shop = Workshop("Hi! " + "word " * 100)
    await shop.run.run()
    assert shop.times[0] < 250
    assert shop.times[-1] > 2000


@in_virtual_time
async def test_the_first_clause_is_urgent_and_the_rest_waits_for_its_turn_to_play() -> None:
    shop = Workshop("Hi! How are you today? I am fine.")
    await shop.run.run()
    assert shop.voice.priorities == [
        Priority(ServiceClass.FIRST_CLAUSE, 12_345),
        Priority(ServiceClass.CLAUSE, 12_345),
        Priority(ServiceClass.CLAUSE, 12_345),
    ]


@in_virtual_time
async def test_what_cannot_be_spoken_is_still_written() -> None:
    shop = Workshop("Well done! 🎉 See you.")
    await shop.run.run()
    assert shop.text == "Well done! 🎉 See you."
    silent = [m for m in shop.posted if isinstance(m, Spoken) and m.clause and not len(m.pcm)]
    assert all(m.complete for m in silent)


@in_virtual_time
async def test_a_reply_in_text_is_not_spoken() -> None:
    shop = Workshop("Hi! How are you?", speech=False)
    await shop.run.run()
    assert shop.text == "Hi! How are you?"
    assert [type(m) for m in shop.posted] == [Written] * 4 + [RunEnded]
    assert shop.voice.texts == []


@in_virtual_time
async def test_a_call_is_passed_on_as_it_comes() -> None:
    deltas = [ToolCallDelta(0, '{"a"', "call_1", "look"), ToolCallDelta(0, ":1}")]
    shop = Workshop([*deltas, ChatEnd("tool_calls")])
    await shop.run.run()
    assert shop.posted == [
        Called("resp", deltas[0]),
        Called("resp", deltas[1]),
        RunEnded("resp", ChatEnd("tool_calls")),
    ]


@pytest.mark.parametrize("speech", [True, False])
@in_virtual_time
async def test_a_model_that_fails_fails_the_reply_once(speech: bool) -> None:
    error = EngineFailure("out of order")
    shop = Workshop([TextDelta("Well. I think"), 500, error], speech=speech)
    await shop.run.run()
    assert shop.posted[-1] == RunFailed("resp", error)
    assert sum(isinstance(m, RunEnded | RunFailed) for m in shop.posted) == 1
    assert shop.text.startswith("Well")


@in_virtual_time
async def test_a_voice_that_fails_stops_the_model_too() -> None:
    error = EngineFailure("hoarse")
    shop = Workshop("Hi! " + "word " * 10_000)
    shop.voice.failure = error
    await shop.run.run()
    assert shop.posted == [RunFailed("resp", error)]
    assert (shop.chat.running, shop.chat.cancelled) == (0, 1)


@pytest.mark.may_block_loop  # the traceback is printed in full
@in_virtual_time
async def test_an_unforeseen_error_is_told_without_its_details() -> None:
    class Broken(ScriptedSynthesizer):
        async def synthesize(
            self, text: str, options: SpeechOptions, priority: Priority
        ) -> AsyncGenerator[Pcm, None]:
            if text:
                raise ZeroDivisionError("secret")
            yield silence(0)

    shop = Workshop("Hi! How are you?", voice=Broken())
    await shop.run.run()
    (failed,) = shop.posted
    assert isinstance(failed, RunFailed)
    assert "ZeroDivisionError" in failed.error.message
    assert "secret" not in failed.error.message


@pytest.mark.may_block_loop  # the traceback is printed in full
@in_virtual_time
async def test_two_errors_at_once_are_told_as_one() -> None:
    """The voice breaks for no known reason, and the model, told to stop, fails as well."""

    class Stubborn(ScriptedChat):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
            try:
                yield TextDelta("Hi! How are you? ")
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise EngineFailure("cannot stop") from None

    class Broken(ScriptedSynthesizer):
        async def synthesize(
            self, text: str, options: SpeechOptions, priority: Priority
        ) -> AsyncGenerator[Pcm, None]:
            if text:
                raise ZeroDivisionError
            yield silence(0)

    shop = Workshop("", voice=Broken(), chat=Stubborn())
    await shop.run.run()
    (failed,) = shop.posted
    assert isinstance(failed, RunFailed)
    assert failed.error.message == "cannot stop"


@in_virtual_time
async def test_a_reply_that_never_ends_is_broken_off() -> None:
    shop = Workshop("word " * 1000, speech=False, max_chars=100)
    await shop.run.run()
    assert 90 <= len(shop.text) <= 100
    assert shop.posted[-1] == RunEnded("resp", ChatEnd("length"))
    assert shop.chat.running == 0


@in_virtual_time
async def test_so_is_a_call_that_never_ends_even_an_empty_one() -> None:
    shop = Workshop([ToolCallDelta(0, "")] * 1000, max_chars=100)
    await shop.run.run()
    assert len(shop.posted) == 101


@in_virtual_time
async def test_where_there_is_no_room_it_waits() -> None:
    shop = Workshop("Hi! " + "This is a sentence. " * 50)
    shop.room.clear()
    running = asyncio.create_task(shop.run.run())
    await asyncio.sleep(60)
    assert shop.posted == []
    assert len(shop.voice.texts) == 1
    shop.room.set()
    await running
    assert shop.text == "Hi! " + "This is a sentence. " * 50


@in_virtual_time
async def test_the_model_is_not_read_far_ahead_of_the_voice() -> None:
    shop = Workshop("Hi! " + "This is a sentence. " * 500)
    shop.room.clear()
    running = asyncio.create_task(shop.run.run())
    await asyncio.sleep(600)
    read = shop.chat.running
    shop.room.set()
    await asyncio.sleep(0.001)
    spoken = len(shop.voice.texts)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert read == 1, "the model was read to its end"
    assert spoken <= MAX_WAITING_CLAUSES + 3


@in_virtual_time
async def test_cancelled_it_stops_everything_and_says_nothing() -> None:
    shop = Workshop("Hi! " + "This is a sentence. " * 50)
    running = asyncio.create_task(shop.run.run())
    await asyncio.sleep(0.401)
    n_posted = len(shop.posted)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(60)
    assert n_posted == len(shop.posted) > 0
    assert (shop.chat.running, shop.voice.running) == (0, 0)


@in_virtual_time
async def test_the_receipt_has_the_time_of_each_stage() -> None:
    shop = Workshop("Hi! How are you?")
    await shop.run.run()
    assert shop.receipt.reached == {
        Stage.FIRST_TOKEN: 100,
        Stage.FIRST_CLAUSE: 120,
        Stage.FIRST_AUDIO: 150,
    }
