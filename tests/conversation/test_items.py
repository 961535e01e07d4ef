from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.conversation.items import ROOT, History, Item, new_id
from vivavoce.errors import Conflict, NotFound, TooLarge


def history(*ids: str, max_items: int = 10, max_chars: int = 1000) -> History:
    items = History(max_items, max_chars)
    for item_id in ids:
        items.add(Item(item_id))
    return items


def ids(items: History) -> list[str]:
    return [item.id for item in items]


def test_items_go_to_the_end_and_name_the_one_before() -> None:
    items = history()
    assert items.add(Item("a")) is None
    assert items.add(Item("b")) == "a"
    assert ids(items) == ["a", "b"]
    assert items.last_id == "b"


def test_an_item_can_go_anywhere() -> None:
    items = history("a", "b", "c")
    assert items.add(Item("x"), after="a") == "a"
    assert items.add(Item("y"), after=ROOT) is None
    assert items.add(Item("z"), after="c") == "c"
    assert ids(items) == ["y", "a", "x", "b", "c", "z"]
    assert items.previous_id("x") == "a"
    assert items.previous_id("y") is None


def test_an_id_can_be_used_once() -> None:
    with pytest.raises(Conflict) as caught:
        history("a").add(Item("a"))
    assert caught.value.code == "item_create_duplicate_item_id"


def test_an_item_goes_after_a_known_one_only() -> None:
    items = history("a")
    with pytest.raises(NotFound, match="'nowhere'"):
        items.add(Item("b"), after="nowhere")
    assert ids(items) == ["a"]


def test_what_is_unknown_cannot_be_read_or_deleted() -> None:
    for attempt in (history("a").get, history("a").delete):
        with pytest.raises(NotFound) as caught:
            attempt("b")
        assert caught.value.code == "item_retrieve_invalid_item_id"


def test_the_oldest_go_when_it_is_full() -> None:
    items = history("a", "b", "c", max_items=3)
    items.add(Item("d"))
    assert ids(items) == ["b", "c", "d"]


def test_a_new_first_item_does_not_push_itself_out() -> None:
    items = history("a", "b", "c", max_items=3)
    assert items.add(Item("x"), after=ROOT) is None
    assert ids(items) == ["x", "b", "c"]


def test_the_item_before_a_new_one_stays() -> None:
    items = history("a", "b", "c", max_items=3)
    assert items.add(Item("x"), after="a") == "a"
    assert ids(items) == ["a", "x", "c"]


def test_the_oldest_go_when_there_is_too_much_text() -> None:
    items = history(max_chars=100)
    for name in "abc":
        items.add(Item(name, text="x" * 40))
    assert ids(items) == ["b", "c"]


def test_a_text_that_can_never_fit_is_refused() -> None:
    items = history("a", max_chars=100)
    with pytest.raises(TooLarge, match="101 characters is over the limit of 100"):
        items.add(Item("b", kind="function_call_output", output="x" * 101))
    assert ids(items) == ["a"]


def test_new_ids_are_never_the_same() -> None:
    assert len({new_id("item") for _ in range(1000)}) == 1000
    assert new_id("item").startswith("item_")


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"), st.sampled_from(["", ROOT, *"abcdefgh"]), st.booleans()
        ),
        max_size=60,
    )
)
def test_the_order_is_that_of_a_simple_list(steps: list[tuple[str, str, bool]]) -> None:
    items, model = history(max_items=5), list[str]()
    for name, after, delete in steps:
        if delete:
            if name in model:
                model.remove(name)
                items.delete(name)
            continue
        try:
            previous = items.add(Item(name), after or None)
        except (Conflict, NotFound):
            assert name in model or after not in ("", ROOT, *model)
            continue
        expected = None if after == ROOT else after or (model[-1] if model else None)
        assert previous == expected
        while len(model) >= 5:
            model.remove(next(old for old in model if old != expected))
        model.insert(model.index(expected) + 1 if expected else 0, name)
        assert ids(items) == model
        assert items.previous_id(name) == expected
    assert len(items) == len(model) <= 5
