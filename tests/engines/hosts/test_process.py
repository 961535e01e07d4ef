"""What only a process host does."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog

from engines.hosts.rig import TESTS, Gate, MakeHost, Watcher
from engines.hosts.scripted import dies_at_second_start, dies_at_start, hangs_at_start
from vivavoce.engines.hosts.base import HostLimits, HostState
from vivavoce.engines.hosts.process import Backoff, ProcessHost
from vivavoce.errors import ConfigurationError, EngineCrashed, EngineFailure, EngineTimeout

SOON = 5_000


@pytest.fixture
async def host(make: MakeHost) -> ProcessHost:
    host = make("process", limits=HostLimits(workers=2, grace_ms=20))
    assert isinstance(host, ProcessHost)
    await host.start()
    return host


@pytest.mark.parametrize(
    ("method", "end"),
    [("die", "exited with code 3"), ("shoot_itself", "died of SIGSEGV")],
)
async def test_a_crash_is_reported_and_the_next_request_served(
    host: ProcessHost, watcher: Watcher, method: str, end: str
) -> None:
    handle = await host.open("open", timeout_ms=SOON)
    first = await host.call("pid", timeout_ms=SOON)
    with pytest.raises(EngineCrashed, match=rf"scripted\.{method}: the engine's process {end}"):
        await host.call(method, timeout_ms=SOON)
    assert host.state is HostState.RESTARTING
    assert await host.call("pid", timeout_ms=SOON) != first
    assert host.healthy
    with pytest.raises(EngineCrashed, match=f"its stream is lost, the engine's process {end}"):
        await host.call("feed", 1, handle=handle, timeout_ms=SOON)


async def test_a_crash_ends_whatever_else_runs(
    host: ProcessHost, gate: Gate, watcher: Watcher
) -> None:
    other = asyncio.create_task(host.call("wait", gate.path, timeout_ms=SOON))
    await watcher.until(lambda w: len(w.waits) == 1)
    with pytest.raises(EngineCrashed):
        await host.call("die", timeout_ms=SOON)
    with pytest.raises(EngineCrashed, match=r"scripted\.wait: .*exited with code 3"):
        await other


async def test_an_idle_process_that_dies_is_replaced(host: ProcessHost, watcher: Watcher) -> None:
    assert host.pid is not None
    os.kill(host.pid, signal.SIGKILL)
    await watcher.until(lambda w: w.states[-2:] == [HostState.RESTARTING, HostState.READY])
    assert await host.call("note", "served", timeout_ms=SOON) == "served"


async def test_a_hung_process_is_killed(make: MakeHost, gate: Gate) -> None:
    host = make("process", limits=HostLimits(grace_ms=20))
    await host.start()
    first = psutil.Process(await host.call("pid", timeout_ms=SOON))
    with pytest.raises(EngineTimeout):
        await host.call("wait", gate.path, timeout_ms=20)
    assert await host.call("pid", timeout_ms=SOON) != first.pid
    assert not first.is_running()


async def test_a_start_that_fails_later_is_tried_again(
    make: MakeHost, tmp_path: Path, watcher: Watcher
) -> None:
    host = make("process", partial(dies_at_second_start, str(tmp_path / "starts")))
    await host.start()
    with pytest.raises(EngineCrashed):
        await host.call("die", timeout_ms=SOON)
    assert await host.call("note", "third", timeout_ms=SOON) == "third"


async def test_a_request_waits_for_a_restart_no_longer_than_its_deadline(
    host: ProcessHost,
) -> None:
    with pytest.raises(EngineCrashed):
        await host.call("die", timeout_ms=SOON)
    with pytest.raises(EngineTimeout, match="is restarting: the engine's process exited with"):
        await host.call("pid", timeout_ms=10)


async def test_a_process_that_dies_at_its_start_fails_it(make: MakeHost) -> None:
    host = make("process", dies_at_start)
    with pytest.raises(EngineCrashed, match="exited with code 9"):
        await host.start()
    assert host.state is HostState.FAILED


async def test_a_start_that_takes_too_long_is_killed(make: MakeHost, gate: Gate) -> None:
    host = make("process", partial(hangs_at_start, gate.path), HostLimits(start_ms=50))
    with pytest.raises(EngineTimeout, match="not ready within 50 ms"):
        await host.start()


async def test_a_cancelled_start_leaves_nothing(make: MakeHost, gate: Gate) -> None:
    host = make("process", partial(hangs_at_start, gate.path))
    starting = asyncio.create_task(host.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert host.state is HostState.FAILED


async def test_an_interpreter_that_does_not_exist_fails_the_start(make: MakeHost) -> None:
    host = make("process", python="/nowhere/python")
    with pytest.raises(EngineCrashed, match=r"could not be started: .*/nowhere/python"):
        await host.start()


async def test_a_factory_that_cannot_be_sent_is_refused_at_once(make: MakeHost) -> None:
    with pytest.raises(ConfigurationError, match="the engine's factory cannot be sent"):
        make("process", lambda: None)


async def test_a_result_that_cannot_cross_is_an_error_of_that_call(host: ProcessHost) -> None:
    with pytest.raises(EngineFailure, match=r"builtins\.set cannot cross"):
        await host.call("unspeakable", timeout_ms=SOON)
    with pytest.raises(EngineFailure, match=r"builtins\.object cannot cross"):
        await host.call("echo", object(), timeout_ms=SOON)
    assert await host.call("echo", 1, timeout_ms=SOON) == (1,)


async def test_what_the_engine_prints_goes_to_the_log(host: ProcessHost) -> None:
    with structlog.testing.capture_logs() as logs:
        assert await host.call("chatter", timeout_ms=SOON) == "chattered"
        await host.close()  # reads what is left
    lines = [entry["line"] for entry in logs if entry["event"] == "engine_output"]
    assert {"on standard output", "on standard error"} <= set(lines)
    assert all(len(line) <= 8_192 for line in lines)
    assert sum(line.count("y") for line in lines if set(line) == {"y"}) > 8_192


async def test_a_child_is_small_nice_and_deaf_to_the_keyboard(make: MakeHost) -> None:
    host = make("process", nice=3)
    await host.start()
    assert await host.call("priority", timeout_ms=SOON) == os.getpriority(os.PRIO_PROCESS, 0) + 3
    modules = await host.call("modules", timeout_ms=SOON)
    assert not {"asyncio", "structlog", "psutil", "fastapi"} & set(modules)
    assert await host.call("ignores_interrupts", timeout_ms=SOON)


async def test_a_process_that_grows_too_large_is_replaced_between_jobs(
    make: MakeHost, watcher: Watcher
) -> None:
    host = make("process", max_rss_mb=150)
    await host.start()
    small = await host.call("grow", 10, timeout_ms=SOON)
    assert await host.call("pid", timeout_ms=SOON) == small
    handle = await host.open("open", timeout_ms=SOON)
    assert await host.call("grow", 130, timeout_ms=SOON) == small
    assert await host.call("feed", 1, handle=handle, timeout_ms=SOON) == [1], "not under a stream"
    host.release(handle)
    assert await host.call("pid", timeout_ms=SOON) != small
    assert watcher.states[-2:] == [HostState.RESTARTING, HostState.READY]


async def test_a_limit_below_the_engine_itself_is_a_mistake(make: MakeHost) -> None:
    with pytest.raises(ConfigurationError, match="before any work"):
        await make("process", max_rss_mb=5).start()


async def test_the_engines_own_children_end_with_it(host: ProcessHost) -> None:
    grandchild = psutil.Process(await host.call("spawn", timeout_ms=SOON))
    await host.close()
    gone, alive = psutil.wait_procs([grandchild], timeout=5)
    assert (len(gone), alive) == (1, [])


PARENT = """
import asyncio
from engines.hosts.scripted import ScriptedEngine
from vivavoce.engines.hosts.process import ProcessHost

async def main():
    host = ProcessHost(ScriptedEngine, name="orphan")
    await host.start()
    print(await host.call("pid", timeout_ms=5000), flush=True)
    await host.call("obedient_wait", {gate!r}, timeout_ms=60000)

asyncio.run(main())
"""


def test_a_child_ends_when_its_parent_is_killed(gate: Gate) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(gate=gate.path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )
    with parent:
        assert parent.stdout is not None
        child: Any = None
        for line in parent.stdout:
            if line.strip().isdigit():
                child = psutil.Process(int(line))
                break
        gate.wait_for_knock()  # the engine is busy now, and will be for ever
        parent.kill()
    gone, _ = psutil.wait_procs([child], timeout=5)
    assert gone == [child]


def test_restarts_wait_longer_each_time_and_health_forgives() -> None:
    backoff = Backoff()
    delays = [backoff.delay_s(lived_s=1) for _ in range(9)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 10.0
    assert backoff.delay_s(lived_s=60) == 0.1


async def test_the_loop_is_never_blocked_for_long(
    host: ProcessHost, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.05
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        ones = await host.call("ones", 5_000_000, timeout_ms=SOON)
        assert await host.call("total", ones, timeout_ms=SOON) == 5_000_000
        with pytest.raises(EngineCrashed):
            await host.call("die", timeout_ms=SOON)
        await host.call("pid", timeout_ms=SOON)
    assert caplog.text == ""
