from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.engines.hosts.queue import JobQueue
from vivavoce.engines.interfaces import Priority, ServiceClass

priorities = st.builds(Priority, st.sampled_from(ServiceClass), st.integers(0, 3))


def anything(item: object) -> bool:
    return True


def drain(queue: JobQueue[int]) -> list[int]:
    return [item for _ in range(len(queue)) if (item := queue.pop(anything)) is not None]


@given(st.lists(priorities, max_size=40))
def test_items_leave_by_class_deadline_and_arrival(arriving: list[Priority]) -> None:
    queue: JobQueue[int] = JobQueue(40)
    for item, priority in enumerate(arriving):
        assert queue.push(item, priority) is None
    assert drain(queue) == sorted(range(len(arriving)), key=lambda item: arriving[item])


@given(st.lists(priorities, min_size=1, max_size=40), st.integers(1, 5))
def test_past_its_limit_the_queue_keeps_the_best(arriving: list[Priority], limit: int) -> None:
    queue: JobQueue[int] = JobQueue(limit)
    evicted = [queue.push(item, priority) for item, priority in enumerate(arriving)]
    best = sorted(range(len(arriving)), key=lambda item: arriving[item])[:limit]
    assert drain(queue) == best
    assert {item for item in evicted if item is not None} == set(range(len(arriving))) - set(best)


def test_an_item_that_is_not_ready_lets_others_pass() -> None:
    queue: JobQueue[int] = JobQueue(4)
    for item in range(3):
        queue.push(item, Priority(ServiceClass.FINAL))
    assert queue.pop(lambda item: item != 0) == 1
    assert queue.pop(lambda item: item > 5) is None
    assert drain(queue) == [0, 2]


def test_promoted_items_move_up_and_keep_their_order() -> None:
    queue: JobQueue[int] = JobQueue(8)
    for item, service_class in enumerate(
        [ServiceClass.PARTIAL, ServiceClass.BATCH, ServiceClass.CLAUSE, ServiceClass.FINAL]
    ):
        queue.push(item, Priority(service_class))
    queue.promote(Priority(ServiceClass.FIRST_CLAUSE), lambda item: item in (0, 1, 3))
    assert drain(queue) == [3, 0, 1, 2]


def test_unwanted_items_are_taken_out() -> None:
    queue: JobQueue[int] = JobQueue(8)
    for item in range(5):
        queue.push(item, Priority(ServiceClass.CLAUSE, -item))
    assert queue.remove(lambda item: item % 2 == 1) == [3, 1]
    assert drain(queue) == [4, 2, 0]


def test_a_queue_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="limit is 0"):
        JobQueue(0)
