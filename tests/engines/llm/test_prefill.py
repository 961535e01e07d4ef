from __future__ import annotations

import asyncio

from vivavoce.engines.llm.prefill import Prefills


class Reading:
    """A reading that lasts until it is told to end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_only_the_newest_waits() -> None:
    prefills, readings = Prefills(), [Reading() for _ in range(3)]
    first = asyncio.create_task(prefills.run(readings[0]))
    await readings[0].begun.wait()
    second = asyncio.create_task(prefills.run(readings[1]))
    third = asyncio.create_task(prefills.run(readings[2]))
    readings[0].may_end.set()
    await asyncio.wait_for(asyncio.gather(first, second), 1)
    await asyncio.wait_for(readings[2].begun.wait(), 1)
    readings[2].may_end.set()
    await asyncio.wait_for(third, 1)
    assert not readings[1].begun.is_set()


async def test_a_reply_cancels_the_running_one_and_sends_the_waiting_one_away() -> None:
    prefills, running, waiting = Prefills(), Reading(), Reading()
    tasks = [asyncio.create_task(prefills.run(running))]
    await running.begun.wait()
    tasks.append(asyncio.create_task(prefills.run(waiting)))
    await asyncio.sleep(0)
    prefills.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks), 1)
    assert running.cancelled
    assert not waiting.begun.is_set()


async def test_cancelling_the_caller_cancels_the_reading() -> None:
    prefills, reading = Prefills(), Reading()
    task = asyncio.create_task(prefills.run(reading))
    await reading.begun.wait()
    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert reading.cancelled
    assert task.cancelled()


async def test_after_a_cancelled_one_the_next_runs() -> None:
    prefills, first, second = Prefills(), Reading(), Reading()
    task = asyncio.create_task(prefills.run(first))
    await first.begun.wait()
    prefills.cancel()
    await asyncio.wait_for(task, 1)
    second.may_end.set()
    await asyncio.wait_for(prefills.run(second), 1)
    assert second.begun.is_set()
