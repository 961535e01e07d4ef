"""What only a thread host does."""

from __future__ import annotations

import pytest

from engines.hosts.rig import Gate, Gates, MakeHost, Watcher
from engines.hosts.scripted import hangs_at_start
from vivavoce.engines.hosts.base import HostLimits, HostState
from vivavoce.errors import EngineCrashed, EngineTimeout

SOON = 5_000


async def test_a_third_hung_thread_within_a_minute_fails_the_host(
    make: MakeHost, gates: Gates, watcher: Watcher
) -> None:
    host = make("thread", limits=HostLimits(grace_ms=10))
    await host.start()
    for n in range(3):
        assert await host.call("note", f"{n}", timeout_ms=SOON) == f"{n}"
        with pytest.raises(EngineTimeout):
            await host.call("wait", gates.make().path, timeout_ms=10)
    await watcher.until(lambda w: HostState.FAILED in w.states)
    with pytest.raises(EngineCrashed, match="wait did not return, the third time within a minute"):
        await host.call("recall", timeout_ms=SOON)


async def test_what_a_given_up_thread_still_says_is_not_heard(make: MakeHost, gate: Gate) -> None:
    host = make("thread", limits=HostLimits(grace_ms=10))
    await host.start()
    with pytest.raises(EngineTimeout):
        await host.call("wait", gate.path, timeout_ms=10)
    assert await host.call("note", "replaced", timeout_ms=SOON) == "replaced"
    gate.let_pass()
    assert await host.call("recall", timeout_ms=SOON) == ["replaced"]


async def test_a_start_that_takes_too_long_is_given_up(make: MakeHost, gate: Gate) -> None:
    host = make("thread", lambda: hangs_at_start(gate.path), HostLimits(start_ms=20, close_ms=10))
    with pytest.raises(EngineTimeout, match=r"scripted\.start: no result within 20 ms"):
        await host.start()
    assert host.state is HostState.FAILED
