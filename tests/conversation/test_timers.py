from __future__ import annotations

import asyncio

from support.virtual_time import in_virtual_time
from vivavoce.conversation.clock import LoopClock
from vivavoce.conversation.messages import Timer, TimerFired
from vivavoce.conversation.timers import Timers


def timers() -> tuple[Timers, list[tuple[int, TimerFired]]]:
    fired: list[tuple[int, TimerFired]] = []
    clock = LoopClock()
    return Timers(clock, lambda message: fired.append((clock.now_ms(), message))), fired


@in_virtual_time
async def test_a_timer_fires_at_its_time_and_is_accepted_once() -> None:
    alarm, fired = timers()
    alarm.arm(Timer.IDLE, 1500)
    assert Timer.IDLE in alarm
    await asyncio.sleep(5)
    ((at_ms, message),) = fired
    assert (at_ms, message.timer) == (1500, Timer.IDLE)
    assert alarm.accept(message)
    assert Timer.IDLE not in alarm
    assert not alarm.accept(message)


@in_virtual_time
async def test_a_time_in_the_past_is_now() -> None:
    await asyncio.sleep(5)
    alarm, fired = timers()
    alarm.arm(Timer.STALL, 100)
    await asyncio.sleep(1)
    assert [at for at, _ in fired] == [5000]


@in_virtual_time
async def test_set_anew_a_timer_fires_once_at_the_new_time() -> None:
    alarm, fired = timers()
    alarm.arm(Timer.STALL, 1000)
    alarm.arm(Timer.STALL, 2000)
    await asyncio.sleep(5)
    assert [at for at, _ in fired] == [2000]


@in_virtual_time
async def test_a_message_from_before_a_change_is_void() -> None:
    """The writer may take it only after it has set the timer anew, or stopped it."""
    alarm, fired = timers()
    alarm.arm(Timer.STALL, 100)
    await asyncio.sleep(1)
    alarm.arm(Timer.STALL, 5000)
    assert not alarm.accept(fired[0][1])
    assert Timer.STALL in alarm
    alarm.arm(Timer.STALL, None)
    assert not alarm.accept(fired[0][1])


@in_virtual_time
async def test_stopped_timers_do_not_fire() -> None:
    alarm, fired = timers()
    alarm.arm(Timer.IDLE, 100)
    alarm.arm(Timer.STALL, 100)
    alarm.stop()
    await asyncio.sleep(1)
    assert fired == []
