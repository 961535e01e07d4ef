"""A server that says what a test tells it to, at the times that the test names."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np

from vivavoce.audio.pcm import Pcm, encode_s16le
from vivavoce.client.call import Call, accompanied
from vivavoce.client.dialect import OUTPUT_RATE, Frame
from vivavoce.client.link import Link
from vivavoce.client.loudspeaker import VirtualLoudspeaker
from vivavoce.client.microphone import Clip, Lag, Microphone, prepare_clip, silence_for
from vivavoce.client.person import Habits, Person
from vivavoce.client.turn_log import TurnLog
from vivavoce.client.voice_dialect import VoiceDialect

VOICE_RATE = 16_000


def sound(ms: int, level: float = 0.5, rate: int = OUTPUT_RATE) -> Pcm:
    return np.full(ms * rate // 1000, level, np.float32)


def clip(name: str, before_ms: int, voice_ms: int, after_ms: int) -> Clip:
    """A recording with silence before and after the voice."""
    pcm = np.concatenate(
        [
            sound(ms, level, VOICE_RATE)
            for ms, level in ((before_ms, 0), (voice_ms, 0.5), (after_ms, 0))
        ]
    )
    return prepare_clip(name, pcm, VOICE_RATE, VoiceDialect())


class ScriptedLink(Link):
    """What the client sends is kept with its time; what it receives comes from `say`."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, Frame]] = []
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()

    async def send(self, frame: Frame) -> None:
        self.sent.append((_now(), frame))

    async def receive(self) -> Frame:
        return await self._frames.get()

    def say(self, **message: object) -> None:
        self._frames.put_nowait(json.dumps(message))

    def play(self, pcm: Pcm) -> None:
        self._frames.put_nowait(encode_s16le(pcm))

    def sent_messages(self, kind: str) -> list[tuple[float, dict[str, object]]]:
        texts = [(at, json.loads(frame)) for at, frame in self.sent if isinstance(frame, str)]
        return [(at, message) for at, message in texts if message["type"] == kind]


@dataclass
class Scene:
    """A person and a scripted server; `server` runs beside the person."""

    clips: list[Clip]
    server: Callable[[ScriptedLink, Call], Awaitable[None]]
    habits: Habits = field(default_factory=Habits)
    link: ScriptedLink = field(default_factory=ScriptedLink)
    turns: list[TurnLog] = field(default_factory=list)

    async def play(self) -> list[TurnLog]:
        """In virtual time, which starts at 0; the turns as they were logged."""
        dialect = VoiceDialect()
        call = Call(self.link, dialect, VirtualLoudspeaker(asyncio.get_running_loop().time))
        microphone = Microphone(self.link.send, silence_for(dialect), Lag())
        person = Person(call, microphone, self.habits)

        async def server() -> None:
            await self.server(self.link, call)

        await accompanied(
            person.ask(self.clips, self.turns), microphone.run(), call.listen(), server()
        )
        return self.turns


async def at(seconds: float) -> None:
    """Wait until a time on the loop's clock."""
    await asyncio.sleep(seconds - _now())


def _now() -> float:
    return asyncio.get_running_loop().time()
