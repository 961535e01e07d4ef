"""The items of a conversation, their order, and the prompt that they make."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from vivavoce.engines.interfaces import ChatMessage, ToolCall
from vivavoce.errors import Conflict, NotFound

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


class History:
    """The items in order; at most `max_items`, the oldest go first."""

    def __init__(self, max_items: int) -> None:
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._max_items = max_items

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
        id that is in use and NotFound for an unknown `after`.
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
        previous = None if after == ROOT else after or self.last_id
        following = self._after(previous)
        self._items[item.id] = item
        for key in following:
            self._items.move_to_end(key)
        while len(self._items) > self._max_items:
            self._items.popitem(last=False)
        return previous

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


def chat_messages(
    instructions: str, items: Iterable[Item], context_chars: int
) -> tuple[ChatMessage, ...]:
    """The prompt: instructions first, then the newest items within `context_chars` characters.

    Messages that nobody said or heard are left out, and so is the result of a call that no longer
    stands before it.
    """
    messages: list[ChatMessage] = []
    budget = context_chars
    for item in reversed(list(items)):
        message = _message(item)
        if message is None:
            continue
        budget -= len(message.content) + sum(len(call.arguments) for call in message.tool_calls)
        if budget < 0 and messages:
            break
        messages.append(message)
    messages.reverse()
    while messages and messages[0].role == "tool":
        messages.pop(0)
    if instructions:
        messages.insert(0, ChatMessage("system", instructions))
    return tuple(messages)


def _message(item: Item) -> ChatMessage | None:
    if item.kind == "function_call":
        call = ToolCall(item.call_id, item.name, item.arguments)
        return ChatMessage("assistant", "", tool_calls=(call,))
    if item.kind == "function_call_output":
        return ChatMessage("tool", item.output, tool_call_id=item.call_id)
    text = (item.text or "").strip()
    return ChatMessage(item.role, text) if text else None
