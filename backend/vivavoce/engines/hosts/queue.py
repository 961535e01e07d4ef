"""Who is served next: a bounded queue in order of priority."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vivavoce.engines.interfaces import Priority

T = TypeVar("T")


@dataclass(slots=True, order=True)
class _Entry(Generic[T]):
    priority: Priority
    arrival: int
    item: T = field(compare=False)


class JobQueue(Generic[T]):
    """Waiting items, best first: by class, then by deadline, then by arrival.

    limit: the most items that wait at once. A sorted list serves better than a heap here: the
    limit is small, and the worst item is as easy to find as the best.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"the queue's limit is {limit}, it must be at least 1")
        self.limit = limit
        self._entries: list[_Entry[T]] = []
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, item: T, priority: Priority) -> T | None:
        """Add an item; return the one that had to go for it: the newest of the lowest priority,
        which may be `item` itself, or None while there was room."""
        self._arrivals += 1
        insort(self._entries, _Entry(priority, self._arrivals, item))
        return self._entries.pop().item if len(self._entries) > self.limit else None

    def pop(self, ready: Callable[[T], bool]) -> T | None:
        """Take the best item that is `ready`; None when there is none."""
        for position, entry in enumerate(self._entries):
            if ready(entry.item):
                return self._entries.pop(position).item
        return None

    def promote(self, priority: Priority, affected: Callable[[T], bool]) -> None:
        """Raise the affected items to at least `priority`, without changing their order."""
        for entry in self._entries:
            if priority < entry.priority and affected(entry.item):
                entry.priority = priority
        self._entries.sort()

    def remove(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take the unwanted items out, best first."""
        removed = [entry.item for entry in self._entries if unwanted(entry.item)]
        self._entries = [entry for entry in self._entries if not unwanted(entry.item)]
        return removed
