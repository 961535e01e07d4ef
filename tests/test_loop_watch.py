from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

from support.loop_watch import Counters, own_s, watching_loops


def compute(ms: int) -> None:
    """Use the processor for so long, however often it is taken away."""
    until = time.thread_time() + ms / 1000
    while time.thread_time() < until:
        pass


async def in_a_callback(work: object, *args: object) -> None:
    asyncio.get_running_loop().call_soon(work, *args)  # type: ignore[arg-type]
    await asyncio.sleep(0.01)


@pytest.mark.may_block_loop
@pytest.mark.parametrize("block", [time.sleep, lambda s: compute(round(s * 1000))])
async def test_a_callback_that_blocks_is_found(block: object) -> None:
    with watching_loops() as stalls:
        await in_a_callback(block, 0.08)
    assert len(stalls) == 1
    assert "ms in <" in stalls[0]


@pytest.mark.may_block_loop
async def test_a_task_that_blocks_is_found_by_its_name() -> None:
    async def blocking_task() -> None:
        time.sleep(0.08)  # noqa: ASYNC251 - that is the point

    with watching_loops() as stalls:
        await asyncio.create_task(blocking_task())
    assert "blocking_task" in stalls[0]


@pytest.mark.may_block_loop
async def test_a_loop_in_another_thread_is_watched_too() -> None:
    with watching_loops() as stalls:
        thread = threading.Thread(target=lambda: asyncio.run(in_a_callback(time.sleep, 0.08)))
        thread.start()
        await asyncio.to_thread(thread.join)
    assert len(stalls) == 1


async def test_waiting_with_await_holds_nothing_up() -> None:
    with watching_loops(limit_ms=20) as stalls:
        await asyncio.sleep(0.2)
        await asyncio.to_thread(time.sleep, 0.1)
    assert stalls == []


async def test_many_short_callbacks_hold_nothing_up() -> None:
    with watching_loops() as stalls:
        for _ in range(50):
            await in_a_callback(compute, 2)
    assert stalls == []


@pytest.mark.may_block_loop
async def test_waiting_for_the_interpreters_lock_is_not_the_callbacks_fault() -> None:
    """Other threads compute: the callback needs 20 ms and gets them only bit by bit."""
    stop = threading.Event()

    def compete() -> None:
        while not stop.is_set():
            compute(5)

    threads = [threading.Thread(target=compete) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        with watching_loops() as stalls:
            await in_a_callback(compute, 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert stalls == []


@pytest.mark.may_block_loop
async def test_collecting_garbage_is_not_the_callbacks_fault() -> None:
    heap = [[number] for number in range(1_000_000)]
    with watching_loops(limit_ms=15) as stalls:
        began = time.thread_time()
        await in_a_callback(gc.collect)
        took = time.thread_time() - began
    assert len(heap) == 1_000_000
    assert took > 0.015
    assert stalls == []


def test_time_without_a_processor_does_not_count() -> None:
    before = Counters(at=0.0, cpu=0.0, queued=0.0, gave_up=0, preempted=0)
    preempted = Counters(at=0.2, cpu=0.02, queued=0.18, gave_up=0, preempted=9)
    assert own_s(before, 0.0, preempted) == pytest.approx(0.02)
    blocked = Counters(at=0.2, cpu=0.02, queued=0.05, gave_up=1, preempted=2)
    assert own_s(before, 0.0, blocked) == pytest.approx(0.15)


def test_where_the_system_does_not_count_it_only_computing_is_sure() -> None:
    before = Counters(at=0.0, cpu=0.0, queued=None, gave_up=0, preempted=0)
    preempted = Counters(at=0.2, cpu=0.02, queued=None, gave_up=1, preempted=9)
    assert own_s(before, 0.0, preempted) == pytest.approx(0.02)
    undisturbed = Counters(at=0.2, cpu=0.02, queued=None, gave_up=1, preempted=0)
    assert own_s(before, 0.0, undisturbed) == pytest.approx(0.2)
