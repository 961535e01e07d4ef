"""Two stock SDKs judge every server event that a test makes the server send.

`judge` asks openai-agents at once. What it has seen is kept for `NodeOracle`, which asks
@openai/agents-realtime about all events of a test in one go.
"""

from __future__ import annotations

import json
import subprocess
from copy import deepcopy
from typing import Any

from agents.realtime.openai_realtime import get_server_event_type_adapter

from clients.node_packages import FOLDER

Event = dict[str, Any]

OWN_EVENTS = "vivavoce."
SDK_RATE = 24_000
UNKNOWN_TO_NODE = "input_audio_buffer.timeout_triggered"
"""An event of the protocol that the Node SDK has no schema for, and ignores."""

_adapter = get_server_event_type_adapter()
_judged: list[Event] = []


def judge(event: Event) -> None:
    """Raise for an event that the Python SDK would refuse; our own events are not its business."""
    if event["type"].startswith(OWN_EVENTS):
        return
    known = _at_sdk_rate(event)
    _adapter.validate_python(known)
    if event["type"] != UNKNOWN_TO_NODE:
        _judged.append(known)


def take_judged() -> list[Event]:
    taken = list(_judged)
    _judged.clear()
    return taken


def _at_sdk_rate(event: Event) -> Event:
    """The event as if at 24 kHz: the SDKs know no other rate, and a client that asked for one
    does not mind. Long audio is left out."""
    event = deepcopy(event)
    if event["type"] == "response.output_audio.delta":
        event["delta"] = event["delta"][:8]
    holder: Event = event.get("session") or event.get("response") or {}
    audio = holder.get("audio", {})
    for direction in audio.values():
        if "rate" in direction["format"]:
            direction["format"]["rate"] = SDK_RATE
    return event


class NodeOracle:
    """A Node process that reads events and answers with their faults."""

    def __init__(self, node: str) -> None:
        self._process = subprocess.Popen(
            [node, "oracle.mjs"],
            cwd=FOLDER,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def faults(self, events: list[Event]) -> list[str]:
        """What is wrong with the events, one line a fault."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        found = []
        for event in events:
            self._process.stdin.write(json.dumps(event) + "\n")
            self._process.stdin.flush()
            verdict: list[str] = json.loads(self._process.stdout.readline())
            found += [f"{event['type']}: {fault}\n{json.dumps(event)}" for fault in verdict]
        return found

    def close(self) -> None:
        self._process.communicate()
