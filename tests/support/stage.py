"""Drives a session in virtual time and writes down everything that it emits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from support.scripted import Script, silence, speech
from vivavoce.conversation.commands import AppendAudio, Command, CreateItem, CreateResponse
from vivavoce.conversation.events import (
    AudioDelta,
    Event,
    Failure,
    ResponseDone,
    SessionEnded,
    TextDelta,
)
from vivavoce.conversation.items import Item, new_id
from vivavoce.conversation.options import (
    ResponseOptions,
    SessionLimits,
    SessionOptions,
    TurnTiming,
)
from vivavoce.conversation.receipt import Receipt
from vivavoce.conversation.session import Session
from vivavoce.engines.interfaces import SAMPLE_RATE, ChatMessage, Pcm

E = TypeVar("E", bound=Event)

CHUNK_MS = 20
DEFECT = 1011
PASSES = 5
"""Of the event loop, for a command to reach the session and its events the client."""


class Stage:
    """A session with a client that plays its audio and talks in real (virtual) time.

    log: every event with the time at which the client read it. reading: cleared while the client
    does not read.
    """

    def __init__(self, session: Session, script: Script) -> None:
        self.session = session
        self.script = script
        self.log: list[tuple[int, Event]] = []
        self.receipts: list[Receipt] = []
        self.reading = asyncio.Event()
        self.reading.set()
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

    def audio_ms(self, response_id: str | None = None) -> float:
        """Of speech that the client has read, of one response or of all."""
        deltas = self.of(AudioDelta)
        return sum(len(d.pcm) for d in deltas if response_id in (None, d.response_id)) / 24

    def text(self, response_id: str) -> str:
        return "".join(d.text for d in self.of(TextDelta) if d.response_id == response_id)

    @property
    def codes(self) -> list[str]:
        """Of the errors that the client was told."""
        return [failure.error.code for failure in self.of(Failure)]

    async def send(self, command: Command) -> None:
        """Send a command and let what follows from it at once happen."""
        await self.session.submit(command)
        for _ in range(PASSES):
            await asyncio.sleep(0)

    async def stream(self, pcm: Pcm) -> None:
        """Send audio at the speed at which it is spoken."""
        step = CHUNK_MS * SAMPLE_RATE // 1000
        for start in range(0, len(pcm), step):
            await self.send(AppendAudio(pcm[start : start + step], SAMPLE_RATE))
            await self.wait(CHUNK_MS)

    async def say(self, ms: int, then_silence_ms: int = 0) -> None:
        await self.stream(speech(ms))
        await self.stream(silence(then_silence_ms))

    async def write(self, text: str, *, respond: bool = True) -> Item:
        """Say something in writing."""
        item = Item(new_id("item"), text=text)
        await self.send(CreateItem(item))
        if respond:
            await self.respond()
        return item

    async def respond(self, **options: object) -> None:
        await self.send(CreateResponse(ResponseOptions(**options)))  # type: ignore[arg-type]

    async def wait(self, ms: float) -> None:
        await asyncio.sleep(ms / 1000)

    async def until(self, kind: type[E], count: int = 1, within_ms: int = 60_000) -> E:
        """Wait for the count-th event of a kind."""
        async with asyncio.timeout(within_ms / 1000):
            while len(found := self.of(kind)) < count:
                self._news.clear()
                await self._news.wait()
        return found[count - 1]

    async def done(self, count: int = 1) -> ResponseDone:
        return await self.until(ResponseDone, count)

    def prompt(self, index: int = -1) -> list[ChatMessage]:
        """What the chat model was given in its index-th request, without the instructions."""
        messages = self.script.chat.requests[index].messages
        return [message for message in messages if message.role != "system"]

    def told(self, index: int = -1) -> list[str]:
        """The same as lines: "role: content"."""
        return [f"{message.role}: {message.content}" for message in self.prompt(index)]

    def history(self) -> list[str]:
        """The session's own record, as lines: "role: text"."""
        return [f"{item.role}: {item.text}" for item in self.session._history]

    async def _listen(self) -> None:
        while True:
            await self.reading.wait()
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
    """A session for as long as the context lasts; fails when the session had a defect."""
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
    if any(ended.code == DEFECT for ended in stage.of(SessionEnded)):
        raise AssertionError("the session ended with a defect; see its log")
