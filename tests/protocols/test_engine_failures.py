"""Engines that refuse, fail or hang: the client is told by name, and the session goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from engines.llm.scripted_server import (
    Reply,
    ScriptedChatServer,
    dies,
    garbage,
    hangs,
    refuses,
    says,
    stalls,
)
from protocols.clients import RealtimeClient, realtime, voice
from support.scripted import Script
from support.server import serving
from vivavoce.conversation.session import Engines
from vivavoce.engines.hosts.base import HostLimits
from vivavoce.engines.hosts.hosted import HostRecognizer, HostSynthesizer
from vivavoce.engines.hosts.thread import ThreadHost
from vivavoce.engines.interfaces import (
    Cancellation,
    Partial,
    Pcm,
    RecognitionOptions,
    SpeechOptions,
    Transcript,
    Voice,
)
from vivavoce.engines.llm.openai_chat import OpenAIChat
from vivavoce.errors import EngineTimeout, Overloaded

PATH = "/v1/realtime?model=vivavoce"
UNREACHABLE = Reply(ending="refuse_connection")
TROUBLES = [("raises", "engine_failure"), ("hangs", "engine_timeout")]
QUICK = HostLimits(workers=2, grace_ms=100, close_ms=100)


class Trouble:
    """What an engine does the first time it is used; afterwards it works."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._released = threading.Event()

    def meet(self) -> None:
        kind, self._kind = self._kind, "none"
        if kind == "raises":
            raise ZeroDivisionError("scripted")
        if kind == "hangs":
            self._released.wait(30)

    def release(self) -> None:
        self._released.set()


class TroubledRecognizer:
    partial_interval_ms = 500

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def open(self, options: RecognitionOptions) -> TroubledRecognizer:
        return self

    def feed(self, pcm: Pcm) -> Partial | None:
        return None

    def finish(self, pcm: Pcm) -> Transcript:
        self._trouble.meet()
        return Transcript("Hello there.", "en")

    def transcribe(self, pcm: Pcm, options: RecognitionOptions) -> Transcript:
        return self.finish(pcm)


class TroubledVoice:
    sample_rate = 24_000

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def voices(self) -> Sequence[Voice]:
        return ()

    def synthesize(
        self, text: str, options: SpeechOptions, cancellation: Cancellation
    ) -> Iterator[Pcm]:
        self._trouble.meet()
        yield np.full(4800, 0.1, np.float32)


@asynccontextmanager
async def troubled_ear(trouble: Trouble) -> AsyncIterator[Engines]:
    host = ThreadHost(lambda: TroubledRecognizer(trouble), name="asr", limits=QUICK)
    recognizer = await HostRecognizer.start(host, finish_ms=300, transcribe_ms=300)
    yield replace(Script().engines(), recognizer=recognizer)
    trouble.release()
    await host.close()


@asynccontextmanager
async def troubled_voice(trouble: Trouble) -> AsyncIterator[Engines]:
    host = ThreadHost(lambda: TroubledVoice(trouble), name="tts", limits=QUICK)
    synthesizer = await HostSynthesizer.start(host, first_ms=300, next_ms=300)
    engines = Script().engines()
    yield replace(engines, studio=replace(engines.studio, synthesizer=synthesizer))
    trouble.release()
    await host.close()


@asynccontextmanager
async def chat_of(*replies: Reply) -> AsyncIterator[Engines]:
    async with ScriptedChatServer(*replies, otherwise=says("All is well.")) as server:
        chat = OpenAIChat(
            server.base_url,
            model="scripted",
            first_token_timeout_ms=400,
            next_token_timeout_ms=400,
        )
        engines = Script().engines()
        yield replace(engines, studio=replace(engines.studio, chat=chat))
        await chat.close()


async def a_turn_succeeds(client: RealtimeClient) -> None:
    done = len(client.of("response.done"))
    await client.say(600, 800)
    finished = await client.until("response.done", done + 1)
    assert finished["response"]["status"] == "completed"


# ── the chat model ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (refuses(401, "invalid_api_key"), "configuration_error", "refused the key"),
        (refuses(404), "configuration_error", "does not know the model"),
        (refuses(429, "rate_limit_exceeded"), "server_overloaded", "takes no more requests"),
        (refuses(500), "engine_failure", "failed (500"),
        (UNREACHABLE, "engine_failure", "cannot reach"),
        (hangs(), "engine_timeout", "no first token"),
        (stalls("Hello my"), "engine_timeout", "no further token"),
        (dies("Hello my"), "engine_failure", "dropped the connection"),
        (garbage("Hello my"), "engine_failure", "not a stream of chat completions"),
        (Reply(ending="error_event"), "engine_failure", "in the middle of a reply"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_chat_model_in_trouble_fails_one_reply_by_name(
    reply: Reply, code: str, said: str
) -> None:
    n_tries = 2 if reply is UNREACHABLE else 1
    async with (
        chat_of(*[reply] * n_tries) as engines,
        serving(engines=engines) as server,
        realtime(server.url(PATH)) as client,
        realtime(server.url(PATH)) as other,
    ):
        await client.say(600, 800)
        response = (await client.until("response.done"))["response"]
        assert response["status"] == "failed"
        assert response["status_details"]["error"]["code"] == code
        assert said in response["status_details"]["error"]["message"]
        assert all(item["status"] == "incomplete" for item in response["output"])
        await a_turn_succeeds(client)
        await a_turn_succeeds(other)


async def test_the_minimal_protocol_names_the_failure_too() -> None:
    async with (
        chat_of(refuses(500)) as engines,
        serving(engines=engines) as server,
        voice(server.url("/v1/voice")) as client,
    ):
        await client.websocket.send("Hello")
        await client.until("response", state="failed")
        error = await client.until("error")
        assert error["code"] == "engine_failure"
        await client.websocket.send("Hello")
        await client.until("response", state="completed")


# ── recognition ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "code"), TROUBLES)
async def test_a_recognizer_in_trouble_fails_one_turn_by_name(kind: str, code: str) -> None:
    async with (
        troubled_ear(Trouble(kind)) as engines,
        serving(engines=engines) as server,
        realtime(server.url(PATH)) as client,
        realtime(server.url(PATH)) as other,
    ):
        await client.say(600, 800)
        failed = await client.until("conversation.item.input_audio_transcription.failed")
        assert failed["error"]["code"] == code
        assert failed["item_id"] == client.of("input_audio_buffer.committed")[0]["item_id"]
        assert "response.created" not in client.types
        await a_turn_succeeds(client)
        await a_turn_succeeds(other)


# ── synthesis ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "code"), TROUBLES)
async def test_a_voice_in_trouble_fails_one_reply_by_name(kind: str, code: str) -> None:
    async with (
        troubled_voice(Trouble(kind)) as engines,
        serving(engines=engines) as server,
        realtime(server.url(PATH)) as client,
        realtime(server.url(PATH)) as other,
    ):
        await client.say(600, 800)
        response = (await client.until("response.done"))["response"]
        assert response["status"] == "failed"
        assert response["status_details"]["error"]["code"] == code
        await a_turn_succeeds(client)
        await a_turn_succeeds(other)


# ── voice activity ────────────────────────────────────────────────────────────────────────────


class FullVad:
    """Has no place for one more stream, the first time."""

    def __init__(self, error: Exception) -> None:
        self._vad = Script().engines().vad
        self._error: Exception | None = error

    async def open(self):  # type: ignore[no-untyped-def]
        error, self._error = self._error, None
        if error is not None:
            raise error
        return await self._vad.open()


@pytest.mark.parametrize(
    ("error", "close_code"),
    [(Overloaded("1024 streams are open."), 1013), (EngineTimeout("The detector hangs."), 1011)],
)
async def test_a_session_that_cannot_begin_says_why(error: Overloaded, close_code: int) -> None:
    engines = replace(Script().engines(), vad=FullVad(error))
    async with serving(engines=engines) as server:
        async with realtime(server.url(PATH)) as client:
            assert (await client.refused(error.code))["message"] == error.message
            assert await client.until_closed() == close_code
        async with realtime(server.url(PATH)) as client:
            await a_turn_succeeds(client)
        async with asyncio.timeout(5):
            await server.registry._empty.wait()
