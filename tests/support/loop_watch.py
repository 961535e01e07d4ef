"""Finds callbacks that hold up an event loop, whoever runs it.

A callback may take long because it computes or waits without `await`, which is its own fault, or
because the machine gave its thread no time, which is not. Computing shows as the thread's CPU
time. Waiting for the processor is told apart from waiting in a call by what Linux counts for each
thread: a call that blocks gives the processor up once and for long, while a thread that waits for
the interpreter's lock gives it up every 5 ms. Collecting garbage is not the callback's fault
either: how long that takes depends on everything that the tests have in memory.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LIMIT_MS = 50
STALE_S = 0.005
"""Counters as old as this are still good enough to begin with; reading them costs time."""
LOCK_WAIT_S = 0.010
"""A wait for the interpreter's lock ends sooner than this; then it is waited for again."""
SCHEDSTAT = "/proc/thread-self/schedstat"


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one thread, in seconds: time, CPU time, ready to run without a processor; and how often
    it gave the processor up by itself, or had to."""

    at: float
    cpu: float
    queued: float | None
    gave_up: int
    preempted: int

    @classmethod
    def read(cls) -> Counters:
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        return cls(
            time.perf_counter(), time.thread_time(), _queued_s(), usage.ru_nvcsw, usage.ru_nivcsw
        )


def _queued_s() -> float | None:
    try:
        with open(SCHEDSTAT, "rb") as file:  # noqa: PTH123 - read in the loop that is watched
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return None


def own_s(before: Counters, began: float, after: Counters) -> float:
    """How long a callback that `began` after `before` held its loop up by itself, in seconds."""
    cpu = max(0.0, after.cpu - before.cpu - (began - before.at))
    if before.queued is None or after.queued is None:
        queued = 0.0 if after.preempted == before.preempted else after.at - began - cpu
    else:
        queued = after.queued - before.queued
    waited = after.at - began - cpu - queued
    n_waits = after.gave_up - before.gave_up
    if n_waits == 0 or waited / n_waits < LOCK_WAIT_S:
        waited = 0.0
    return cpu + waited


def _name(handle: asyncio.Handle) -> str:
    """The task whose step it was, or the callback; a step's task is only known to the collector."""
    for referent in gc.get_referents(handle._callback):  # type: ignore[attr-defined]
        if isinstance(referent, asyncio.Task):
            return repr(referent)
    return repr(handle)


@contextmanager
def watching_loops(limit_ms: int = LIMIT_MS) -> Iterator[list[str]]:
    """Collects a description of every callback that holds its loop up for over `limit_ms`."""
    stalls: list[str] = []
    thread = threading.local()
    run = asyncio.events.Handle._run

    def on_collection(phase: str, info: object) -> None:
        now = time.thread_time()
        if phase == "start":
            thread.collecting_since = now
        else:
            collected = getattr(thread, "collected", 0.0)
            thread.collected = collected + now - getattr(thread, "collecting_since", now)

    def watched(handle: asyncio.Handle) -> None:
        began = time.perf_counter()
        collected = getattr(thread, "collected", 0.0)
        before: Counters | None = getattr(thread, "counters", None)
        if before is None or began - before.at > STALE_S:
            before = thread.counters = Counters.read()
            began = before.at
        run(handle)
        if (time.perf_counter() - began) * 1000 > limit_ms:
            after = thread.counters = Counters.read()
            collecting = getattr(thread, "collected", 0.0) - collected
            own_ms = (own_s(before, began, after) - collecting) * 1000
            if own_ms > limit_ms:
                stalls.append(f"{own_ms:.0f} ms in {_name(handle)}")

    asyncio.events.Handle._run = watched  # type: ignore[method-assign,assignment]
    gc.callbacks.append(on_collection)
    try:
        yield stalls
    finally:
        gc.callbacks.remove(on_collection)
        asyncio.events.Handle._run = run  # type: ignore[method-assign]


def is_supported() -> bool:
    """Whether this system counts for each thread."""
    return hasattr(resource, "RUSAGE_THREAD") and os.name == "posix"
