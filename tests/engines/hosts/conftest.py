"""Hosts of both kinds over scripted engines, closed and searched for leaks after each test."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engines.hosts.rig import TESTS, Gate, Gates, MakeHost, Watcher
from engines.hosts.scripted import ScriptedEngine
from vivavoce.engines.hosts.base import HostLimits
from vivavoce.engines.hosts.host import Host
from vivavoce.engines.hosts.process import ProcessHost
from vivavoce.engines.hosts.thread import ThreadHost


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Gates]:
    gates = Gates(tmp_path)
    yield gates
    gates.tear_down()


@pytest.fixture
def gate(gates: Gates) -> Gate:
    return gates.make()


@pytest.fixture
async def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
async def make(watcher: Watcher, gates: Gates) -> AsyncIterator[MakeHost]:
    """Makes hosts by kind: make("thread", factory, limits…)."""
    me = psutil.Process()
    n_fds, children, threads = me.num_fds(), me.children(), set(threading.enumerate())
    hosts: list[Host] = []

    def make_host(
        kind: str, factory: Any = ScriptedEngine, limits: HostLimits | None = None, **options: Any
    ) -> Host:
        host: Host
        if kind == "thread":
            host = ThreadHost(factory, name="scripted", limits=limits, observer=watcher, **options)
        else:
            env = {"PYTHONPATH": str(TESTS)}
            host = ProcessHost(
                factory, name="scripted", limits=limits, observer=watcher, env=env, **options
            )
        hosts.append(host)
        return host

    yield make_host
    for host in hosts:
        await host.close()
    gates.tear_down()  # frees the threads that hang there
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=5)
        assert not thread.is_alive(), thread.name
    assert me.children() == children
    assert me.num_fds() <= n_fds


@pytest.fixture(params=["thread", "process"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def host(make: MakeHost, kind: str) -> Host:
    """A started host with one worker and short patience."""
    host = make(kind, limits=HostLimits(queue=4, grace_ms=20, close_ms=100))
    await host.start()
    return host
