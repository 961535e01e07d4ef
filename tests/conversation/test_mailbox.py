from __future__ import annotations

import asyncio

import numpy as np
import pytest

from support.virtual_time import in_virtual_time
from vivavoce.conversation.events import AudioDelta, InputCleared, SessionEnded, TextDelta
from vivavoce.conversation.mailbox import Inbox, Outbox, OutboxFull


def inbox(limit: int = 3, max_bytes: int = 1000) -> Inbox[str]:
    return Inbox(limit, max_bytes, len)


def audio(ms: int, response_id: str = "resp") -> AudioDelta:
    return AudioDelta(response_id, 0, "item", np.zeros(ms, np.float32))


def text(words: str, response_id: str = "resp") -> TextDelta:
    return TextDelta(response_id, 0, "item", True, words)


def outbox(limit: int = 10, taken: list[AudioDelta] | None = None) -> Outbox:
    return Outbox(limit, 1000, (taken if taken is not None else []).append)


@in_virtual_time
async def test_messages_are_taken_in_order() -> None:
    box = inbox()
    await box.post("a")
    await box.post("b")
    assert [await box.take(), await box.take()] == ["a", "b"]


@in_virtual_time
async def test_who_takes_waits_for_a_message() -> None:
    box = inbox()
    taking = asyncio.create_task(box.take())
    await asyncio.sleep(1)
    assert not taking.done()
    await box.post("a")
    assert await taking == "a"


@in_virtual_time
async def test_who_posts_to_a_full_box_waits_and_nothing_is_lost() -> None:
    box = inbox(limit=3)
    posted: list[int] = []

    async def post_many() -> None:
        for number in range(10):
            await box.post(str(number))
            posted.append(number)

    posting = asyncio.create_task(post_many())
    await asyncio.sleep(1)
    assert posted == [0, 1, 2]
    assert [await box.take() for _ in range(10)] == [str(number) for number in range(10)]
    await posting


@in_virtual_time
async def test_many_posters_are_all_served_within_the_limit() -> None:
    box = inbox(limit=2)
    posting = [asyncio.create_task(box.post(str(number))) for number in range(20)]
    taken: list[str] = []
    while len(taken) < 20:
        await asyncio.sleep(0.001)
        assert len(box) <= 2
        taken.append(await box.take())
    assert sorted(taken, key=int) == [str(number) for number in range(20)]
    await asyncio.gather(*posting)


@in_virtual_time
async def test_heavy_messages_wait_though_they_are_few() -> None:
    box = inbox(limit=100, max_bytes=10)
    await box.post("x" * 6)
    second = asyncio.create_task(box.post("y" * 6))
    await asyncio.sleep(1)
    assert not second.done()
    await box.take()
    await second


@in_virtual_time
async def test_a_message_over_the_limit_waits_until_it_is_alone() -> None:
    box = inbox(limit=100, max_bytes=10)
    await box.post("x")
    giant = asyncio.create_task(box.post("y" * 50))
    await asyncio.sleep(1)
    assert not giant.done()
    await box.take()
    await giant
    assert await box.take() == "y" * 50
    await box.post("z" * 10)


@in_virtual_time
async def test_what_cannot_pile_up_may_pass_the_limit() -> None:
    box = inbox(limit=1)
    await box.post("a")
    box.post_now("b")
    assert [await box.take(), await box.take()] == ["a", "b"]


@in_virtual_time
async def test_unread_audio_is_counted_until_it_is_taken() -> None:
    taken: list[AudioDelta] = []
    box = outbox(taken=taken)
    box.put(audio(100))
    box.put(text("hi"))
    box.put(audio(50))
    assert (box.unread_ms, len(box)) == (150, 3)
    await box.take()
    assert (box.unread_ms, len(taken)) == (50, 1)


@in_virtual_time
async def test_who_takes_events_waits_for_one() -> None:
    box = outbox()
    taking = asyncio.create_task(box.take())
    await asyncio.sleep(1)
    box.put(InputCleared())
    assert await taking == InputCleared()


def test_a_full_outbox_says_so() -> None:
    box = outbox(limit=2)
    box.put(InputCleared())
    box.put(InputCleared())
    with pytest.raises(OutboxFull):
        box.put(InputCleared())


@in_virtual_time
async def test_the_last_event_always_fits() -> None:
    box = outbox(limit=2)
    box.put(audio(100))
    box.put(audio(100))
    box.end(SessionEnded(1013, "too slow"))
    assert box.unread_ms == 0
    assert await box.take() == SessionEnded(1013, "too slow")


@in_virtual_time
async def test_where_there_is_room_the_last_event_comes_after_the_rest() -> None:
    box = outbox()
    box.put(InputCleared())
    box.end(SessionEnded(1000, "over"))
    assert await box.take() == InputCleared()
    assert await box.take() == SessionEnded(1000, "over")


@in_virtual_time
async def test_stale_audio_and_text_are_thrown_away_and_nothing_else() -> None:
    box = outbox()
    box.put(text("one "))
    box.put(audio(100))
    box.put(audio(10, "other"))
    box.put(text("two", "other"))
    box.put(InputCleared())
    dropped = box.drop_stale({"resp"})
    assert dropped["resp"] == 4
    assert dropped["other"] == 0
    assert (box.unread_ms, len(box)) == (10, 3)
    kept = [await box.take() for _ in range(3)]
    assert [type(event) for event in kept] == [AudioDelta, TextDelta, InputCleared]
