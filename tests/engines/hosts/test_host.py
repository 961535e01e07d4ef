"""What every kind of host promises, tested on all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from engines.hosts.rig import Gate, MakeHost, Watcher
from engines.hosts.scripted import broken, no_weights
from vivavoce.engines.hosts.base import HostLimits, HostState, Outcome
from vivavoce.engines.hosts.host import Host
from vivavoce.engines.interfaces import (
    Partial,
    Priority,
    RecognitionOptions,
    ServiceClass,
    SpeechOptions,
    Transcript,
    Voice,
    Word,
)
from vivavoce.errors import (
    ConfigurationError,
    EngineCrashed,
    EngineFailure,
    EngineTimeout,
    InvalidRequest,
    Overloaded,
    WeightsUnavailable,
)

FINAL = Priority(ServiceClass.FINAL)
PARTIAL = Priority(ServiceClass.PARTIAL)
BATCH = Priority(ServiceClass.BATCH)
SOON = 5_000


def stream(host: Host, method: str, *args: Any, first: int = SOON, next_: int = SOON) -> Any:
    return host.stream(method, *args, first_timeout_ms=first, next_timeout_ms=next_)


async def collect(chunks: AsyncIterator[Any]) -> list[Any]:
    return [chunk async for chunk in chunks]


async def occupy(host: Host, gate: Gate, watcher: Watcher) -> asyncio.Task[Any]:
    """Keep the only worker busy until the gate opens."""
    n = len(watcher.waits)
    task = asyncio.create_task(host.call("wait", gate.path, timeout_ms=SOON))
    await watcher.until(lambda w: len(w.waits) > n)
    return task


async def enqueue(host: Host, watcher: Watcher, text: str, priority: Priority) -> asyncio.Task[Any]:
    n = len(watcher.depths)
    task = asyncio.create_task(host.call("note", text, priority=priority, timeout_ms=SOON))
    await watcher.until(lambda w: len(w.depths) > n)
    return task


# ── values ────────────────────────────────────────────────────────────────────────────────────


VALUES: list[Any] = [
    None,
    True,
    -3,
    0.1,
    "声音 \x00\n",
    (1, [2, (3,)], []),
    Partial("a b", "a"),
    Transcript("你好", "zh", 0.5, (Word("你", 0, 90), Word("好", 90, 200))),
    Voice("v", ("en", "zh"), "warm"),
    SpeechOptions("v", "en", 1.25, "softly"),
    RecognitionOptions("zh", "before", ("hot", "words")),
]


async def test_values_return_as_they_went(host: Host) -> None:
    assert await host.call("echo", *VALUES, timeout_ms=SOON) == tuple(VALUES)


async def test_arrays_return_as_they_went(host: Host) -> None:
    sent = [
        np.arange(6).astype(dtype).reshape(2, 3)[:, ::step]
        for dtype in ("float32", "int16", "uint8", "bool", ">f4", "complex64")
        for step in (1, 2)
    ]
    sent.append(np.zeros((0, 3), np.float32))
    received = await host.call("echo", *sent, timeout_ms=SOON)
    for before, after in zip(sent, received, strict=True):
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)


async def test_a_huge_array_goes_and_comes(host: Host) -> None:
    n = 10_000_000
    ones = await host.call("ones", n, timeout_ms=SOON)
    assert ones.shape == (n,) and ones.dtype == np.float32
    assert await host.call("total", ones, timeout_ms=SOON) == n


async def test_an_attribute_can_be_read(host: Host) -> None:
    assert await host.read("sample_rate") == 24_000


# ── order ─────────────────────────────────────────────────────────────────────────────────────


async def test_service_is_by_class_then_deadline_then_arrival(
    make: MakeHost, kind: str, gate: Gate, watcher: Watcher
) -> None:
    host = make(kind)
    await host.start()
    busy = await occupy(host, gate, watcher)
    waiting = [
        await enqueue(host, watcher, text, priority)
        for text, priority in [
            ("batch", BATCH),
            ("partial 1", PARTIAL),
            ("partial 2", PARTIAL),
            ("clause late", Priority(ServiceClass.CLAUSE, 900)),
            ("clause soon", Priority(ServiceClass.CLAUSE, 100)),
            ("first clause", Priority(ServiceClass.FIRST_CLAUSE)),
            ("final", FINAL),
        ]
    ]
    gate.let_pass()
    await asyncio.gather(busy, *waiting)
    assert await host.call("recall", timeout_ms=SOON) == [
        "final",
        "first clause",
        "clause soon",
        "clause late",
        "partial 1",
        "partial 2",
        "batch",
    ]


async def test_a_full_queue_gives_up_its_least_urgent_newest_job(
    host: Host, gate: Gate, watcher: Watcher
) -> None:
    busy = await occupy(host, gate, watcher)
    partials = [await enqueue(host, watcher, f"{i}", PARTIAL) for i in range(host.limits.queue)]
    final = await enqueue(host, watcher, "final", FINAL)
    with pytest.raises(Overloaded, match="scripted is overloaded: 4 jobs wait"):
        await partials[-1]
    with pytest.raises(Overloaded):
        await host.call("note", "one more", priority=BATCH, timeout_ms=SOON)
    gate.let_pass()
    await asyncio.gather(busy, final, *partials[:-1])
    assert await host.call("recall", timeout_ms=SOON) == ["final", "0", "1", "2"]
    assert [end[1] for end in watcher.ends[:2]] == [Outcome.REFUSED, Outcome.REFUSED]


async def test_files_leave_a_worker_to_the_living(
    make: MakeHost, kind: str, gate: Gate, watcher: Watcher
) -> None:
    host = make(kind, limits=HostLimits(workers=2))
    await host.start()
    files = [
        asyncio.create_task(host.call("wait", gate.path, priority=BATCH, timeout_ms=SOON))
        for _ in range(2)
    ]
    await watcher.until(lambda w: len(w.depths) == 2)
    assert await host.call("note", "live", timeout_ms=SOON) == "live"
    gate.let_pass(2)
    assert await asyncio.gather(*files) == ["waited", "waited"]


async def test_workers_run_at_once(make: MakeHost, kind: str, gate: Gate) -> None:
    host = make(kind, limits=HostLimits(workers=2))
    await host.start()
    waits = host.call("wait", gate.path, timeout_ms=SOON)
    busy = asyncio.create_task(waits)
    assert await host.call("note", "meanwhile", timeout_ms=SOON) == "meanwhile"
    assert not busy.done()
    gate.let_pass()
    assert await busy == "waited"


# ── streams of an engine ──────────────────────────────────────────────────────────────────────


async def test_calls_on_one_stream_keep_their_order_and_never_overlap(
    make: MakeHost, kind: str
) -> None:
    host = make(kind, limits=HostLimits(workers=3))
    await host.start()
    handle = await host.open("open", timeout_ms=SOON)
    priorities = [PARTIAL, FINAL, BATCH, PARTIAL, FINAL] * 4
    results = await asyncio.gather(
        *(
            host.call("feed", n, handle=handle, priority=priority, timeout_ms=SOON)
            for n, priority in enumerate(priorities)
        )
    )
    assert results == [list(range(n + 1)) for n in range(len(priorities))]


async def test_streams_are_separate_and_one_that_is_closed_serves_no_more(host: Host) -> None:
    one, two = [await host.open("open", timeout_ms=SOON) for _ in range(2)]
    assert await host.call("feed", 1, handle=one, timeout_ms=SOON) == [1]
    assert await host.call("feed", 2, handle=two, timeout_ms=SOON) == [2]
    host.release(one)
    with pytest.raises(EngineFailure, match="its stream was closed"):
        await host.call("feed", 3, handle=one, timeout_ms=SOON)
    assert await host.call("feed", 4, handle=two, timeout_ms=SOON) == [2, 4]


async def test_closing_a_stream_fails_the_calls_that_wait_for_it(
    host: Host, gate: Gate, watcher: Watcher
) -> None:
    handle = await host.open("open", timeout_ms=SOON)
    busy = await occupy(host, gate, watcher)
    n = len(watcher.depths)
    waiting = asyncio.create_task(host.call("feed", 1, handle=handle, timeout_ms=SOON))
    await watcher.until(lambda w: len(w.depths) > n)
    host.release(handle)
    with pytest.raises(EngineFailure, match="its stream was closed"):
        await waiting
    gate.let_pass()
    await busy


async def test_open_streams_are_limited_and_give_their_place_back(
    make: MakeHost, kind: str
) -> None:
    host = make(kind, limits=HostLimits(streams=1))
    await host.start()
    for _ in range(3):
        handle = await host.open("open", timeout_ms=SOON)
        with pytest.raises(Overloaded, match="1 open streams"):
            await host.open("open", timeout_ms=SOON)
        host.release(handle)


async def test_a_stream_that_failed_to_open_takes_no_place(make: MakeHost, kind: str) -> None:
    host = make(kind, limits=HostLimits(streams=1))
    await host.start()
    for _ in range(2):
        with pytest.raises(EngineFailure, match="ZeroDivisionError"):
            await host.open("fail", timeout_ms=SOON)
    await host.open("open", timeout_ms=SOON)


# ── chunks ────────────────────────────────────────────────────────────────────────────────────


async def test_chunks_come_in_order_to_the_last(host: Host) -> None:
    assert await collect(stream(host, "count", 100)) == list(range(100))


async def test_an_error_comes_after_the_chunks_before_it(host: Host) -> None:
    received = []
    with pytest.raises(EngineFailure, match=r"scripted\.count_then_fail: .*mid-stream"):
        async for chunk in stream(host, "count_then_fail", 3):
            received.append(chunk)
    assert received == [0, 1, 2]


async def test_the_engine_waits_for_a_slow_reader(make: MakeHost, gate: Gate) -> None:
    host = make("thread", limits=HostLimits(workers=2, chunks=3))
    await host.start()
    async with aclosing(stream(host, "count", 1000)) as chunks:
        assert await anext(chunks) == 0
        # One was taken and three are buffered; the engine holds the fifth in its hand, at most.
        for _ in range(20):
            made = len(await host.call("recall", timeout_ms=SOON))
        assert made <= 5
    await host.call("recall", timeout_ms=SOON)


async def test_a_reader_that_stalls_loses_its_place(make: MakeHost, kind: str) -> None:
    host = make(kind, limits=HostLimits(chunks=2, stall_ms=50))
    await host.start()
    async with aclosing(stream(host, "count", 1_000_000)) as chunks:
        assert await anext(chunks) == 0
        assert await host.call("note", "served", timeout_ms=SOON) == "served"
        with pytest.raises(Overloaded, match="nobody took a chunk for 50 ms"):
            async for _ in chunks:
                pass


# ── cancellation ──────────────────────────────────────────────────────────────────────────────


async def test_a_cancelled_job_that_waits_is_never_run(
    host: Host, gate: Gate, watcher: Watcher
) -> None:
    busy = await occupy(host, gate, watcher)
    unwanted = await enqueue(host, watcher, "unwanted", FINAL)
    unwanted.cancel()
    wanted = await enqueue(host, watcher, "wanted", FINAL)
    gate.let_pass()
    await asyncio.gather(busy, wanted)
    assert unwanted.cancelled()
    assert await host.call("recall", timeout_ms=SOON) == ["wanted"]


async def test_cancelling_a_call_cancels_the_engine(host: Host, gate: Gate) -> None:
    task = asyncio.create_task(host.call("obedient_wait", gate.path, timeout_ms=SOON))
    await gate.knocked()
    task.cancel()
    assert await host.call("recall", timeout_ms=SOON) == ["obeyed"]
    assert task.cancelled()
    assert host.state is HostState.READY


async def test_closing_an_iterator_stops_the_engine_between_chunks(host: Host) -> None:
    async with aclosing(stream(host, "count", 1_000_000)) as chunks:
        assert await anext(chunks) == 0
    notes = await host.call("recall", timeout_ms=SOON)
    assert notes[-1] == "count closed"
    assert len(notes) < 100_000


async def test_cancelling_the_reader_cancels_the_stream(host: Host, gate: Gate) -> None:
    reader = asyncio.create_task(collect(stream(host, "obedient_wait", gate.path)))
    await gate.knocked()
    reader.cancel()
    assert await host.call("recall", timeout_ms=SOON) == ["obeyed"]


async def test_a_stream_that_is_never_read_is_never_begun(host: Host) -> None:
    stream(host, "count", 3)
    assert await host.call("recall", timeout_ms=SOON) == []


# ── errors ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("fail", r"scripted\.fail: ZeroDivisionError: by nought"),
        ("exit", r"scripted\.exit: SystemExit: 7"),
        ("missing", r"scripted\.missing: AttributeError"),
    ],
)
async def test_an_error_of_the_engine_names_it_and_harms_nothing_else(
    host: Host, method: str, text: str
) -> None:
    handle = await host.open("open", timeout_ms=SOON)
    with pytest.raises(EngineFailure, match=text):
        await host.call(method, timeout_ms=SOON)
    assert await host.call("feed", 1, handle=handle, timeout_ms=SOON) == [1]
    assert host.healthy


async def test_an_error_raised_on_purpose_arrives_as_it_is(host: Host) -> None:
    with pytest.raises(InvalidRequest, match="voice 'x' is unknown") as caught:
        await host.call("refuse", timeout_ms=SOON)
    assert (caught.value.code, caught.value.param) == ("unknown_voice", "voice")


# ── deadlines ─────────────────────────────────────────────────────────────────────────────────


async def test_a_late_call_is_cancelled_and_its_engine_goes_on(host: Host, gate: Gate) -> None:
    with pytest.raises(EngineTimeout, match=r"scripted\.obedient_wait: no result within 30 ms"):
        await host.call("obedient_wait", gate.path, timeout_ms=30)
    assert await host.call("recall", timeout_ms=SOON) == ["obeyed"]
    assert host.state is HostState.READY


async def test_the_deadline_counts_while_a_job_waits(
    host: Host, gate: Gate, watcher: Watcher
) -> None:
    busy = await occupy(host, gate, watcher)
    with pytest.raises(EngineTimeout, match="it could not begin"):
        await host.call("note", "late", timeout_ms=20)
    gate.let_pass()
    await busy
    assert await host.call("recall", timeout_ms=SOON) == []


async def test_a_hung_call_times_out_and_the_next_is_served(host: Host, gate: Gate) -> None:
    with pytest.raises(EngineTimeout):
        await host.call("wait", gate.path, timeout_ms=30)
    assert await host.call("note", "next", timeout_ms=SOON) == "next"


async def test_a_late_first_chunk_is_a_timeout(host: Host, gate: Gate) -> None:
    with pytest.raises(EngineTimeout, match="no first chunk within 30 ms"):
        await collect(stream(host, "count_then_wait", 0, gate.path, first=30))
    assert await host.call("note", "next", timeout_ms=SOON) == "next"


async def test_a_late_next_chunk_is_a_timeout(host: Host, gate: Gate) -> None:
    received = []
    with pytest.raises(EngineTimeout, match="no further chunk within 30 ms"):
        async for chunk in stream(host, "count_then_wait", 2, gate.path, next_=30):
            received.append(chunk)
    assert received == [0, 1]


async def test_a_stream_lost_to_a_hung_call_says_so(host: Host, gate: Gate) -> None:
    handle = await host.open("open", timeout_ms=SOON)
    with pytest.raises(EngineTimeout):
        await host.call("wait", gate.path, handle=handle, timeout_ms=30)
    await host.call("note", "after the replacement", timeout_ms=SOON)
    with pytest.raises(EngineCrashed, match="its stream is lost"):
        await host.call("feed", 1, handle=handle, timeout_ms=SOON)


# ── life ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_host_is_ready_only_after_its_engine(make: MakeHost, kind: str) -> None:
    host = make(kind)
    with pytest.raises(EngineCrashed, match="has not been started"):
        await host.call("pid", timeout_ms=SOON)
    assert not host.healthy
    await host.start()
    await host.start()
    assert host.healthy


async def test_a_factory_that_raises_fails_the_start(make: MakeHost, kind: str) -> None:
    host = make(kind, broken)
    with pytest.raises(EngineFailure, match="ZeroDivisionError: while loading"):
        await host.start()
    assert host.state is HostState.FAILED
    with pytest.raises(EngineCrashed, match="while loading"):
        await host.call("pid", timeout_ms=SOON)


async def test_missing_weights_are_reported_as_such(make: MakeHost, kind: str) -> None:
    with pytest.raises(WeightsUnavailable, match=r"model\.bin is missing"):
        await make(kind, no_weights).start()


async def test_close_fails_what_runs_and_what_waits(
    make: MakeHost, kind: str, gate: Gate, watcher: Watcher
) -> None:
    host = make(kind, limits=HostLimits(close_ms=50))
    await host.start()
    busy = await occupy(host, gate, watcher)
    waiting = await enqueue(host, watcher, "waiting", FINAL)
    await host.close()
    for task in (busy, waiting):
        with pytest.raises(EngineCrashed, match="is shutting down"):
            await task
    with pytest.raises(EngineCrashed, match="is shutting down"):
        await host.call("pid", timeout_ms=SOON)


async def test_close_ends_a_stream_whose_reader_does_not_read(make: MakeHost, kind: str) -> None:
    host = make(kind, limits=HostLimits(chunks=2))
    await host.start()
    async with aclosing(stream(host, "count", 1_000_000)) as chunks:
        await anext(chunks)
        await host.close()
        with pytest.raises(EngineCrashed, match="is shutting down"):
            await collect(chunks)


async def test_an_observer_sees_the_way_of_a_job(host: Host, watcher: Watcher) -> None:
    await host.call("note", "x", priority=PARTIAL, timeout_ms=SOON)
    assert watcher.states == [HostState.STARTING, HostState.READY]
    assert watcher.depths == [(ServiceClass.PARTIAL, 1)]
    assert watcher.waits[0][0] is ServiceClass.PARTIAL
    service_class, outcome, run_ms = watcher.ends[0]
    assert (service_class, outcome) == (ServiceClass.PARTIAL, Outcome.OK)
    assert run_ms > 0


def test_limits_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="workers is 0"):
        HostLimits(workers=0)
    with pytest.raises(ConfigurationError, match="batch_workers is 3"):
        HostLimits(workers=2, batch_workers=3)


async def come_and_go(host: Host, seed: int) -> None:
    """One caller who asks for this and that, and often leaves early."""
    dice = random.Random(seed)
    priority = Priority(dice.choice(list(ServiceClass)), dice.randrange(100))
    try:
        async with asyncio.timeout(dice.choice([0, 0.0002, 0.002, 0.02, None])):
            match dice.randrange(3):
                case 0:
                    await host.call("note", "x", priority=priority, timeout_ms=SOON)
                case 1:
                    handle = await host.open("open", priority=priority, timeout_ms=SOON)
                    try:
                        for n in range(3):
                            await host.call("feed", n, handle=handle, timeout_ms=SOON)
                    finally:
                        host.release(handle)
                case _:
                    n_wanted = dice.randrange(40)
                    async with aclosing(stream(host, "count", 30)) as chunks:
                        async for n in chunks:
                            if n == n_wanted:
                                break
    except (TimeoutError, Overloaded):
        return


async def test_callers_who_come_and_go_leave_no_trace(make: MakeHost, kind: str) -> None:
    host = make(kind, limits=HostLimits(workers=2, queue=20, streams=50))
    await host.start()
    for round_ in range(4):
        await asyncio.gather(*(come_and_go(host, 100 * round_ + n) for n in range(100)))
    # All 50 places for streams are free again, both workers serve, and BATCH is not locked out.
    handles = [await host.open("open", timeout_ms=SOON) for _ in range(50)]
    fed = (host.call("feed", 1, handle=handle, timeout_ms=SOON) for handle in handles[:10])
    assert await asyncio.gather(*fed) == [[1]] * 10
    assert await host.call("note", "file", priority=BATCH, timeout_ms=SOON) == "file"
    assert host.healthy
