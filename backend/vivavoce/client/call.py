"""A conversation with a server: hears its events, plays its voice, stops when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from vivavoce.client.dialect import Dialect, Wishes
from vivavoce.client.events import (
    Ready,
    Receipt,
    ReplyAudio,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    ServerError,
    ServerEvent,
    SpeechStarted,
    SpeechStopped,
    Words,
)
from vivavoce.client.link import Link, address_of, open_link
from vivavoce.client.loudspeaker import Loudspeaker
from vivavoce.client.turn_log import ReplyLog, TurnLog
from vivavoce.errors import Overloaded, VivavoceError

T = TypeVar("T")

REPORT_EVERY_S = 0.5
READY_TIMEOUT_S = 10.0
_KNOWN_REPLIES = 8


class Call:
    """Keeps the log of the present turn; `begin_turn` starts another.

    on_event: sees every event after it has been logged.
    """

    def __init__(
        self,
        link: Link,
        dialect: Dialect,
        loudspeaker: Loudspeaker,
        on_event: Callable[[ServerEvent], None] = lambda event: None,
    ) -> None:
        self.link = link
        self.dialect = dialect
        self.loudspeaker = loudspeaker
        self.ready: Ready | None = None
        self.turn = TurnLog()
        self._on_event = on_event
        self._replies: dict[str, ReplyLog] = {}
        self._refusal: ServerError | None = None
        self._news = asyncio.Event()

    def begin_turn(self, interrupts: ReplyLog | None = None) -> TurnLog:
        """What the server says from now on belongs to a new turn."""
        self.turn = TurnLog(interrupts)
        return self.turn

    async def until(self, condition: Callable[[], bool], patience_s: float) -> bool:
        """Wait for a condition that only an event can bring about; False when the server has said
        nothing for `patience_s`."""
        while not condition():
            self._news.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self._news.wait()
            except TimeoutError:
                return False
        return True

    async def open(self, wishes: Wishes) -> None:
        """Say what is wished for, and wait until the server is ready; `listen` must run."""
        for frame in self.dialect.opening(wishes):
            await self.link.send(frame)
        if not await self.until(lambda: self.ready is not None, READY_TIMEOUT_S):
            raise VivavoceError(
                f"The server was not ready after {READY_TIMEOUT_S:.0f} s.", code="server_not_ready"
            )

    async def listen(self) -> None:
        """Take what the server sends, until the connection ends, which is always an error."""
        clock = asyncio.get_running_loop()
        while True:
            try:
                frame = await self.link.receive()
            except Overloaded as error:
                # The error that came before says more than the reason of the close frame.
                message = self._refusal.message if self._refusal else error.message
                raise Overloaded(message) from error
            now = clock.time()
            for event in self.dialect.decode(frame):
                await self._take(event, now)
                self._on_event(event)
            self._news.set()

    async def report_playback(self) -> None:
        """Tell the server now and then how much of its reply has been heard."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            reply = self._latest
            if reply is not None and reply.stop_at is None and self._is_playing:
                await self._tell_heard(reply, stopped=False)

    @property
    def _latest(self) -> ReplyLog | None:
        return next(reversed(self._replies.values()), None)

    @property
    def _is_playing(self) -> bool:
        return self.loudspeaker.ends_at > asyncio.get_running_loop().time()

    async def _take(self, event: ServerEvent, now: float) -> None:
        turn = self.turn
        match event:
            case Ready():
                self.ready = event
            case SpeechStarted():
                turn.started_at.append(now)
                await self._stop(self._latest, now)
            case SpeechStopped():
                turn.stopped_at.append(now)
            case Words(text=text, final=True):
                turn.transcripts.append(text)
                turn.transcribed_at.append(now)
            case ReplyStarted(reply_id=reply_id):
                self._begin_reply(reply_id, now)
            case ServerError(message=message):
                self._refusal = event
                turn.errors.append(message)
            case ReplyText() | ReplyAudio() | ReplyEnded() | Receipt():
                reply = self._replies.get(event.reply_id)
                if reply is not None:
                    await self._take_part(reply, event, now)

    async def _take_part(
        self, reply: ReplyLog, event: ReplyText | ReplyAudio | ReplyEnded | Receipt, now: float
    ) -> None:
        match event:
            case ReplyText(text=text):
                reply.text += text
            case ReplyAudio(pcm=pcm, item_id=item_id):
                reply.item_id = item_id
                stale = reply.stop_at is not None
                reply.take_audio(pcm, now, None if stale else self.loudspeaker.play(reply.id, pcm))
            case ReplyEnded(state=state, error=error):
                reply.state, reply.error = state, error
                if state == "cancelled":
                    await self._stop(reply, now)
            case Receipt(stages=stages):
                reply.stages = stages

    def _begin_reply(self, reply_id: str, now: float) -> None:
        reply = self._replies[reply_id] = ReplyLog(reply_id, now)
        self.turn.replies.append(reply)
        while len(self._replies) > _KNOWN_REPLIES:
            del self._replies[next(iter(self._replies))]

    async def _stop(self, reply: ReplyLog | None, now: float) -> None:
        """Be silent at once; a reply that has been heard to its end was not interrupted."""
        if reply is None or reply.stop_at is not None:
            return
        unheard = self.loudspeaker.stop()
        if unheard or reply.state in (None, "cancelled"):
            reply.stop_at = now
        if unheard:
            await self._tell_heard(reply, stopped=True)

    async def _tell_heard(self, reply: ReplyLog, *, stopped: bool) -> None:
        played_ms = self.loudspeaker.heard_ms(reply.id)
        frame = self.dialect.heard(reply.id, reply.item_id, played_ms, stopped=stopped)
        if frame is not None:
            await self.link.send(frame)


@asynccontextmanager
async def open_call(
    url: str,
    dialect: Dialect,
    loudspeaker: Loudspeaker,
    *,
    api_key: str | None = None,
    insecure: bool = False,
    on_event: Callable[[ServerEvent], None] = lambda event: None,
) -> AsyncIterator[Call]:
    """Connect to the server at `url`; raises as `open_link` does."""
    address = address_of(url, dialect.path)
    async with open_link(address, api_key=api_key, insecure=insecure) as link:
        yield Call(link, dialect, loudspeaker, on_event)


async def accompanied(main: Coroutine[Any, Any, T], *company: Coroutine[Any, Any, None]) -> T:
    """Run `main`, and its company for as long; the first VivavoceError of any ends all."""
    try:
        async with asyncio.TaskGroup() as tasks:
            companions = [tasks.create_task(companion) for companion in company]
            result = await tasks.create_task(main)
            for companion in companions:
                companion.cancel()
        return result
    except* VivavoceError as group:
        failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    raise failure
