from __future__ import annotations

from itertools import product

import pytest

from vivavoce.conversation.states import (
    INPUT_TRANSITIONS,
    RESPONSE_TRANSITIONS,
    IllegalTransition,
    InputState,
    Machine,
    ResponseState,
)


@pytest.mark.parametrize(("before", "after"), list(product(ResponseState, repeat=2)))
def test_a_response_moves_along_its_table_only(before: ResponseState, after: ResponseState) -> None:
    machine = Machine(before, RESPONSE_TRANSITIONS)
    if after in RESPONSE_TRANSITIONS[before]:
        machine.enter(after)
        assert machine.state is after
    else:
        with pytest.raises(IllegalTransition, match=f"{before.name} cannot be followed by"):
            machine.enter(after)
        assert machine.state is before


@pytest.mark.parametrize(("before", "after"), list(product(InputState, repeat=2)))
def test_the_input_moves_along_its_table_only(before: InputState, after: InputState) -> None:
    machine = Machine(before, INPUT_TRANSITIONS)
    if after in INPUT_TRANSITIONS[before]:
        machine.enter(after)
        assert machine.state is after
    else:
        with pytest.raises(IllegalTransition):
            machine.enter(after)


def test_every_state_leads_back_to_rest() -> None:
    for table, rest in (
        (RESPONSE_TRANSITIONS, ResponseState.NONE),
        (INPUT_TRANSITIONS, InputState.IDLE),
    ):
        for start in table:
            reached = {start}
            for _ in table:
                reached |= {after for state in reached for after in table[state]}  # type: ignore[index]
            assert rest in reached
