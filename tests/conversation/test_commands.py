from __future__ import annotations

import pytest

from support.scripted import silence
from vivavoce.conversation.commands import (
    AppendAudio,
    CancelResponse,
    Configure,
    CreateItem,
    CreateResponse,
    carried_bytes,
)
from vivavoce.conversation.items import Item
from vivavoce.conversation.options import SessionOptions

TEXT = Item("a", text="x" * 1000)


@pytest.mark.parametrize(
    ("command", "at_least"),
    [
        (AppendAudio(silence(1000), 16_000), 64_000),
        (CreateItem(TEXT), 1000),
        (CreateItem(Item("a", text=None), audio=silence(1000)), 64_000),
        (CreateResponse(input_items=(TEXT, "an id")), 1000),
        (Configure(SessionOptions(instructions="x" * 1000)), 1000),
    ],
)
def test_what_a_client_can_make_large_is_weighed(command: object, at_least: int) -> None:
    assert at_least <= carried_bytes(command) <= 4 * at_least


def test_what_is_always_small_weighs_nothing() -> None:
    assert carried_bytes(CancelResponse()) == 0
    assert carried_bytes(CreateResponse()) == 0
