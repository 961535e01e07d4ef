"""The two stored states of a session, and the only ways from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar


class InputState(Enum):
    """What the user is doing."""

    IDLE = "idle"
    SPEAKING = "speaking"
    PAUSING = "pausing"
    COMMITTED = "committed"


class ResponseState(Enum):
    """What the reply of the conversation is doing.

    PROVISIONAL replies are computed but held back. DRAINING ones are complete on the wire while
    their audio still plays at the client.
    """

    NONE = "none"
    PROVISIONAL = "provisional"
    ACTIVE = "active"
    DRAINING = "draining"
    CANCELLED = "cancelled"


INPUT_TRANSITIONS: Mapping[InputState, frozenset[InputState]] = {
    InputState.IDLE: frozenset({InputState.SPEAKING, InputState.COMMITTED}),
    InputState.SPEAKING: frozenset({InputState.PAUSING, InputState.COMMITTED, InputState.IDLE}),
    InputState.PAUSING: frozenset({InputState.SPEAKING, InputState.COMMITTED, InputState.IDLE}),
    InputState.COMMITTED: frozenset({InputState.IDLE}),
}

RESPONSE_TRANSITIONS: Mapping[ResponseState, frozenset[ResponseState]] = {
    ResponseState.NONE: frozenset({ResponseState.PROVISIONAL, ResponseState.ACTIVE}),
    ResponseState.PROVISIONAL: frozenset({ResponseState.ACTIVE, ResponseState.CANCELLED}),
    ResponseState.ACTIVE: frozenset(
        {ResponseState.DRAINING, ResponseState.NONE, ResponseState.CANCELLED}
    ),
    ResponseState.DRAINING: frozenset({ResponseState.NONE, ResponseState.CANCELLED}),
    ResponseState.CANCELLED: frozenset({ResponseState.NONE}),
}

S = TypeVar("S", bound=Enum)


class IllegalTransition(RuntimeError):
    """A defect of the session: it tried to enter a state that cannot follow the present one."""


class Machine(Generic[S]):
    """A stored state that only moves along its table."""

    def __init__(self, initial: S, transitions: Mapping[S, frozenset[S]]) -> None:
        self._state = initial
        self._transitions = transitions

    @property
    def state(self) -> S:
        return self._state

    def enter(self, state: S) -> None:
        """Move to `state`; raises IllegalTransition where the table does not allow it."""
        if state not in self._transitions[self._state]:
            raise IllegalTransition(f"{self._state.name} cannot be followed by {state.name}")
        self._state = state
