"""Telling a person how a transfer goes: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Advance: TypeAlias = Callable[[int], None]
"""Called with the number of bytes that have arrived since the last call."""


class TransferProgress(Protocol):
    """What the store reports to."""

    def say(self, line: str) -> None:
        """One remark, such as which source is used and why."""

    def transfer(self, label: str, n_bytes: int) -> AbstractContextManager[Advance]:
        """Open a transfer of `n_bytes` in all; the context yields its Advance."""


class SilentProgress:
    """Says nothing."""

    def say(self, line: str) -> None:
        pass

    @contextmanager
    def transfer(self, label: str, n_bytes: int) -> Iterator[Advance]:
        yield lambda _: None


class BarProgress:
    """A bar per transfer, for terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    @contextmanager
    def transfer(self, label: str, n_bytes: int) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console) as bars:
            task = bars.add_task(label, total=n_bytes)
            yield lambda n: bars.advance(task, n)


class LineProgress:
    """A line at the start and at each further tenth, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def transfer(self, label: str, n_bytes: int) -> Iterator[Advance]:
        done, tenths = 0, 0
        self.say(f"{label}: {decimal(n_bytes)} to fetch")

        def advance(n: int) -> None:
            nonlocal done, tenths
            done += n
            if n_bytes and done * 10 // n_bytes > tenths:
                tenths = done * 10 // n_bytes
                self.say(f"{label}: {tenths * 10} %")

        yield advance


def console_progress(console: Console) -> TransferProgress:
    """Bars on a terminal, lines elsewhere."""
    return BarProgress(console) if console.is_terminal else LineProgress(console)
