"""The items of a conversation and their order."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from vivavoce.errors import Conflict, NotFound, TooLarge

ItemKind = Literal["message", "function_call", "function_call_output"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]
Role = Literal["system", "user", "assistant"]

ROOT = "root"
"""In place of an item's id: before all items."""


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(10)}"


@dataclass(slots=True)
class Item:
    """One thing said, called or returned.

    text: of a message what was written, or what of it was heard; None while the transcript of
    its audio is awaited. spoken: the content is audio, `audio_ms` long, and `text` its
    transcript. name, call_id, arguments and output belong to function calls.
    """

    id: str
    kind: ItemKind = "message"
    role: Role = "user"
    status: ItemStatus = "completed"
    text: str | None = ""
    spoken: bool = False
    audio_ms: int = 0
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    output: str = ""

    @property
    def chars(self) -> int:
        """How much text it holds."""
        return len(self.text or "") + len(self.arguments) + len(self.output)


class History:
    """The items in order, at most `max_items` and `max_chars` characters; the oldest go first."""

    def __init__(self, max_items: int, max_chars: int) -> None:
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._max_items = max_items
        self._max_chars = max_chars

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    @property
    def last_id(self) -> str | None:
        return next(reversed(self._items), None)

    def get(self, item_id: str) -> Item:
        """Raises NotFound with code item_retrieve_invalid_item_id."""
        try:
            return self._items[item_id]
        except KeyError:
            raise NotFound(
                f"Item {item_id!r} is not in this conversation.",
                code="item_retrieve_invalid_item_id",
                param="item_id",
            ) from None

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Insert `item` after the item `after` (None: at the end, ROOT: at the start).

        Returns the id of the item before it, None where it is the first. Raises Conflict for an
        id that is in use, NotFound for an unknown `after` and TooLarge for too long a text.
        """
        if item.id in self._items:
            raise Conflict(
                f"Item {item.id!r} is already in this conversation; leave `id` out to get one.",
                code="item_create_duplicate_item_id",
                param="item.id",
            )
        if after is not None and after != ROOT and after not in self._items:
            raise NotFound(
                f"Item {after!r}, after which the new item should go, is not in this conversation.",
                code="item_create_invalid_previous_item_id",
                param="previous_item_id",
            )
        if item.chars > self._max_chars:
            raise TooLarge(
                f"An item of {item.chars:,} characters is over the limit of {self._max_chars:,}.",
                code="item_too_large",
                param="item",
            )
        previous = None if after == ROOT else after or self.last_id
        self._make_room(item.chars, kept=previous)
        following = self._after(previous)
        self._items[item.id] = item
        for key in following:
            self._items.move_to_end(key)
        return previous

    def _make_room(self, chars: int, kept: str | None) -> None:
        """Forget the oldest items, but not `kept`, so that one more of `chars` fits."""
        chars += sum(item.chars for item in self._items.values())
        for item in list(self._items.values()):
            if len(self._items) < self._max_items and chars <= self._max_chars:
                return
            if item.id != kept:
                chars -= item.chars
                del self._items[item.id]

    def delete(self, item_id: str) -> None:
        self.get(item_id)
        del self._items[item_id]

    def previous_id(self, item_id: str) -> str | None:
        previous = None
        for key in self._items:
            if key == item_id:
                return previous
            previous = key
        return None

    def _after(self, previous: str | None) -> list[str]:
        if previous is not None and previous == self.last_id:
            return []
        keys = list(self._items)
        return keys if previous is None else keys[keys.index(previous) + 1 :]
