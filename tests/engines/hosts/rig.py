"""What tests of hosts hold engines with, and watch hosts through."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from vivavoce.engines.hosts.base import HostObserver, HostState, Outcome
from vivavoce.engines.hosts.host import Host
from vivavoce.engines.interfaces import ServiceClass

TESTS = Path(__file__).parents[2]
MakeHost = Callable[..., Host]


class Gate:
    """Where an engine waits, in whatever process, until the test lets it pass."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self._fd = os.open(path, os.O_RDWR)

    def let_pass(self, n: int = 1) -> None:
        os.write(self._fd, b"x" * n)

    async def knocked(self) -> None:
        """Wait until the engine has knocked."""
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()
        loop.add_reader(self._fd, heard.set)
        try:
            await heard.wait()
        finally:
            loop.remove_reader(self._fd)
        self.wait_for_knock()

    def wait_for_knock(self) -> None:
        os.read(self._fd, 1)

    def tear_down(self) -> None:
        self.let_pass(64)
        os.close(self._fd)


class Gates:
    """The gates of one test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Gate] = []

    def make(self) -> Gate:
        self._made.append(Gate(self._folder / f"gate{len(self._made)}"))
        return self._made[-1]

    def tear_down(self) -> None:
        """Let everyone pass who still waits."""
        while self._made:
            self._made.pop().tear_down()


class Watcher(HostObserver):
    """Remembers what a host reported, and lets a test wait for it."""

    def __init__(self) -> None:
        self.states: list[HostState] = []
        self.depths: list[tuple[ServiceClass, int]] = []
        self.waits: list[tuple[ServiceClass, float]] = []
        self.ends: list[tuple[ServiceClass, Outcome, float]] = []
        self._news = asyncio.Event()

    def state_changed(self, host: str, state: HostState) -> None:
        self.states.append(state)
        self._news.set()

    def queued(self, host: str, service_class: ServiceClass, depth: int) -> None:
        self.depths.append((service_class, depth))
        self._news.set()

    def started(self, host: str, service_class: ServiceClass, wait_ms: float) -> None:
        self.waits.append((service_class, wait_ms))
        self._news.set()

    def ended(
        self, host: str, service_class: ServiceClass, outcome: Outcome, run_ms: float
    ) -> None:
        self.ends.append((service_class, outcome, run_ms))
        self._news.set()

    async def until(self, condition: Callable[[Watcher], bool]) -> None:
        while not condition(self):
            self._news.clear()
            await self._news.wait()
