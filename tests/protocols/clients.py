"""Plain clients of the two conversation protocols, for tests over a real socket."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from protocols.oracles import Event, judge

CHUNK_MS = 40
LOUD = 16_000


def s16le(level: int, ms: int, rate: int) -> bytes:
    """A block of samples that all have one level; loud ones are speech to the scripted VAD."""
    return np.full(ms * rate // 1000, level, "<i2").tobytes()


class Client:
    """Keeps everything that the server says. close_code: how the
    connection ended, once it has."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.events: list[Event] = []
        self.audio = b""
        self.close_code: int | None = None
        self._news = asyncio.Event()

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    async def send(self, kind: str, **fields: Any) -> None:
        await self.websocket.send(json.dumps({"type": kind, **fields}))

    async def until(self, kind: str, count: int = 1, within_s: float = 10, **fields: Any) -> Event:
        """Wait for the count-th event of a kind whose fields have these values."""
        try:
            async with asyncio.timeout(within_s):
                while len(found := self._matching(kind, fields)) < count:
                    if self.close_code is not None:
                        raise AssertionError(f"closed with {self.close_code}, no {kind}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no {kind} {fields} among {self.types}") from None
        return found[count - 1]

    async def until_closed(self, within_s: float = 10) -> int:
        """The code of the server's close frame."""
        async with asyncio.timeout(within_s):
            while self.close_code is None:
                self._news.clear()
                await self._news.wait()
        return self.close_code

    async def listen(self) -> None:
        try:
            async for frame in self.websocket:
                self._take(frame)
                self._news.set()
        except ConnectionClosed:
            pass  # its code is read below
        finally:
            self.close_code = self.websocket.close_code
            self._news.set()

    def _take(self, frame: str | bytes) -> None:
        raise NotImplementedError

    def _matching(self, kind: str, fields: Event) -> list[Event]:
        return [e for e in self.of(kind) if all(e.get(k) == v for k, v in fields.items())]


class RealtimeClient(Client):
    """Speaks the Realtime protocol, PCM at `rate` Hz."""

    rate = 24_000

    def _take(self, frame: str | bytes) -> None:
        event = json.loads(frame)
        assert event["event_id"]
        judge(event)
        self.events.append(event)
        if event["type"] == "response.output_audio.delta":
            self.audio += base64.b64decode(event["delta"])

    async def append(self, data: bytes) -> None:
        audio = base64.b64encode(data).decode("ascii")
        await self.send("input_audio_buffer.append", audio=audio)

    async def hear(self, level: int, ms: int) -> None:
        for _ in range(ms // CHUNK_MS):
            await self.append(s16le(level, CHUNK_MS, self.rate))

    async def say(self, ms: int, then_silence_ms: int = 0) -> None:
        await self.hear(LOUD, ms)
        await self.hear(0, then_silence_ms)

    async def update(self, **session: Any) -> Event:
        """Change the session; returns it as the server shows it."""
        count = len(self.of("session.updated")) + 1
        await self.send("session.update", session={"type": "realtime", **session})
        updated: Event = (await self.until("session.updated", count))["session"]
        return updated

    async def write(self, text: str, **item: Any) -> None:
        content = [{"type": "input_text", "text": text}]
        message = {"type": "message", "role": "user", "content": content, **item}
        await self.send("conversation.item.create", item=message)

    async def refused(self, code: str, count: int = 1) -> Event:
        """Wait for the count-th error with this code."""
        async with asyncio.timeout(10):
            while len(found := [e for e in self.of("error") if e["error"]["code"] == code]) < count:
                if self.close_code is not None:
                    raise AssertionError(f"closed with {self.close_code}, no {code}")
                self._news.clear()
                await self._news.wait()
        error: Event = found[count - 1]["error"]
        return error

    async def still_works(self) -> None:
        """A text turn goes through as if nothing had happened."""
        done = len(self.of("response.done"))
        await self.write("Are you still there?")
        await self.send("response.create", response={"output_modalities": ["text"]})
        finished = await self.until("response.done", done + 1)
        assert finished["response"]["status"] == "completed"


class VoiceClient(Client):
    """Speaks the minimal protocol."""

    def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            self.audio += frame
            self.events.append({"type": "binary", "bytes": len(frame)})
        else:
            self.events.append(json.loads(frame))

    async def say(self, ms: int, then_silence_ms: int = 0) -> None:
        for level, length_ms in ((LOUD, ms), (0, then_silence_ms)):
            for _ in range(length_ms // CHUNK_MS):
                await self.websocket.send(s16le(level, CHUNK_MS, 16_000))


C = TypeVar("C", bound=Client)


@asynccontextmanager
async def _connected(client_type: type[C], url: str, **options: Any) -> AsyncIterator[C]:
    async with connect(url, compression=None, **options) as websocket:
        client = client_type(websocket)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            await websocket.close()
            await listening


def realtime(url: str, **options: Any) -> AbstractAsyncContextManager[RealtimeClient]:
    """options: of `websockets.connect`."""
    return _connected(RealtimeClient, url, **options)


def voice(url: str, **options: Any) -> AbstractAsyncContextManager[VoiceClient]:
    return _connected(VoiceClient, url, **options)
