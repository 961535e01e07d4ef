"""The oracles themselves: they find the faults that real clients stumble over."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from protocols.oracles import NodeOracle, judge, take_judged

STARTED = {
    "type": "input_audio_buffer.speech_started",
    "event_id": "event_1",
    "item_id": "item_1",
    "audio_start_ms": 100,
}


@pytest.mark.parametrize(
    "fault", [{"event_id": None}, {"audio_start_ms": 12.5}, {"item_id": None}, {"type": "new"}]
)
def test_the_python_sdk_finds_faults(fault: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        judge(STARTED | fault)


def test_our_own_events_are_left_alone() -> None:
    judge({"type": "vivavoce.heard"})
    assert take_judged() == []


def test_the_node_sdk_finds_faults(node_oracle: NodeOracle | None) -> None:
    if node_oracle is None:
        pytest.skip("Node is not installed")
    assert node_oracle.faults([STARTED]) == []
    (fault,) = node_oracle.faults([STARTED, STARTED | {"item_id": None}])
    assert "item_id" in fault
