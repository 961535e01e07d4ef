"""Drives a Realtime codec without a socket or a session."""

from __future__ import annotations

import json
from typing import Any

from protocols.oracles import judge
from vivavoce.conversation import events as ev
from vivavoce.conversation.commands import Command, Configure, Reject
from vivavoce.conversation.options import SessionOptions
from vivavoce.protocols.realtime.codec import RealtimeCodec
from vivavoce.protocols.realtime.session_config import RealtimeSession, Transcription

RATE = 24_000
"""Hz of the audio that the session speaks with."""


class Bench:
    """A codec whose session has started.

    session: as the server shows it at first. options: what the latest update means.
    """

    def __init__(self, **session: Any) -> None:
        described = RealtimeSession(
            id="",
            model="vivavoce",
            transcription_model="scripted-asr",
            voice="default",
            transcription=Transcription("scripted-asr"),
            **session,
        )
        self.codec = RealtimeCodec(described, RATE)
        self.created = self.encode(ev.SessionStarted("sess_1", "conv_1", SessionOptions()))
        self.options = described.options
        self.session: dict[str, Any] = self.created[0]["session"]

    def decode(self, kind: str, **fields: Any) -> Command:
        """The one command that an event means."""
        (command,) = self.codec.decode(json.dumps({"type": kind, **fields}))
        return command

    def refuse(self, kind: str, **fields: Any) -> Reject:
        command = self.decode(kind, **fields)
        assert isinstance(command, Reject)
        return command

    def encode(self, event: ev.Event) -> list[dict[str, Any]]:
        """The server events for `event`, as the SDKs accept them."""
        bodies = [json.loads(frame) for frame in self.codec.encode(event)]
        for body in bodies:
            judge(body)
        return bodies

    def update(self, **session: Any) -> dict[str, Any]:
        """What `session.updated` shows after this update."""
        command = self.decode("session.update", session=session)
        assert isinstance(command, Configure)
        self.options = command.options
        (updated,) = self.encode(ev.Configured(command.options))
        shown: dict[str, Any] = updated["session"]
        return shown
