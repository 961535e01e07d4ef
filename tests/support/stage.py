"""Drives a session in virtual time and writes down everything that it emits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from support.scripted import Script, silence, speech
from vivavoce.conversation.commands import AppendAudio, Command
from vivavoce.conversation.events import AudioDelta, Event, SessionEnded
from vivavoce.conversation.options import SessionLimits, SessionOptions, TurnTiming
from vivavoce.conversation.receipt import Receipt
from vivavoce.conversation.session import Session
from vivavoce.engines.interfaces import SAMPLE_RATE, ChatMessage, Pcm

E = TypeVar("E", bound=Event)

CHUNK_MS = 20


class Stage:
    """A session with a client that plays its audio and talks in real (virtual) time."""

    def __init__(self, session: Session, script: Script) -> None:
        self.session = session
        self.script = script
        self.log: list[tuple[int, Event]] = []
        self.receipts: list[Receipt] = []
        self._news = asyncio.Event()

    @property
    def now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.log]

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def time_of(self, kind: type[Event], index: int = 0) -> int:
        return [at for at, event in self.log if isinstance(event, kind)][index]

    def audio_ms(self) -> float:
        return sum(len(event.pcm) for event in self.of(AudioDelta)) / 24

    async def send(self, command: Command) -> None:
        await self.session.submit(command)
        await asyncio.sleep(0)

    async def stream(self, pcm: Pcm) -> None:
        """Send audio at the speed at which it is spoken."""
        step = CHUNK_MS * SAMPLE_RATE // 1000
        for start in range(0, len(pcm), step):
            await self.send(AppendAudio(pcm[start : start + step], SAMPLE_RATE))
            await asyncio.sleep(CHUNK_MS / 1000)

    async def say(self, ms: int, then_silence_ms: int = 0) -> None:
        await self.stream(speech(ms))
        await self.stream(silence(then_silence_ms))

    async def until(self, kind: type[E], count: int = 1, within_ms: int = 60_000) -> E:
        """Wait for the count-th event of a kind."""
        async with asyncio.timeout(within_ms / 1000):
            while len(found := self.of(kind)) < count:
                self._news.clear()
                await self._news.wait()
        return found[count - 1]

    def prompt(self, index: int = -1) -> list[ChatMessage]:
        """What the chat model was given in its index-th request, without the instructions."""
        messages = self.script.chat.requests[index].messages
        return [message for message in messages if message.role != "system"]

    async def _listen(self) -> None:
        while True:
            event = await self.session.next_event()
            self.log.append((self.now_ms, event))
            self._news.set()
            if isinstance(event, SessionEnded):
                return


@asynccontextmanager
async def on_stage(
    script: Script | None = None,
    options: SessionOptions | None = None,
    timing: TurnTiming | None = None,
    limits: SessionLimits | None = None,
) -> AsyncIterator[Stage]:
    script = script or Script()
    receipts: list[Receipt] = []
    session = Session(
        script.engines(),
        options or SessionOptions(),
        timing=timing,
        limits=limits,
        on_receipt=lambda _, receipt: receipts.append(receipt),
    )
    stage = Stage(session, script)
    stage.receipts = receipts
    running = asyncio.create_task(session.run())
    listening = asyncio.create_task(stage._listen())
    try:
        yield stage
    finally:
        for task in (running, listening):
            task.cancel()
        results = await asyncio.gather(running, listening, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
