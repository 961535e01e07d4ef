"""Produces one reply: chat model → clauses → spoken form → voice, each while the last goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
import structlog

from vivavoce.conversation.clock import Clock
from vivavoce.conversation.messages import Called, Produced, RunEnded, RunFailed, Spoken, Written
from vivavoce.conversation.receipt import Receipt, Stage
from vivavoce.engines.interfaces import (
    ChatEnd,
    ChatModel,
    ChatRequest,
    HostedSynthesizer,
    Pcm,
    Priority,
    ServiceClass,
    SpeechOptions,
    TextDelta,
    ToolCallDelta,
)
from vivavoce.errors import EngineFailure, VivavoceError
from vivavoce.text.clauses import ClauseSplitter

log = structlog.get_logger()

MAX_WAITING_CLAUSES = 16
"""Clauses that may wait for the voice before the chat model is no longer read."""

SILENT: Pcm = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Studio:
    """The engines that replies are made with.

    spoken_form: what is to be read aloud of a clause, "" for nothing; off the event loop.
    """

    chat: ChatModel
    synthesizer: HostedSynthesizer
    spoken_form: Callable[[str], Awaitable[str]]


class ResponseRun:
    """One reply in production; everything that it makes goes to `post`.

    speech: None for a reply in text. max_chars: a longer reply is broken off. room: waits until the
    listener is not too far behind. play_deadline_ms: when the audio posted so far will have been
    played.
    """

    def __init__(
        self,
        response_id: str,
        request: ChatRequest,
        speech: SpeechOptions | None,
        studio: Studio,
        *,
        max_chars: int,
        post: Callable[[Produced], Awaitable[None]],
        room: Callable[[], Awaitable[None]],
        play_deadline_ms: Callable[[], int],
        receipt: Receipt,
        clock: Clock,
    ) -> None:
        self._id = response_id
        self._request = request
        self._speech = speech
        self._studio = studio
        self._chars_left = max_chars
        self._post = post
        self._room = room
        self._play_deadline_ms = play_deadline_ms
        self._receipt = receipt
        self._clock = clock

    async def run(self) -> None:
        """Until the reply is complete; a failure is posted, never raised."""
        clauses: asyncio.Queue[str | None] = asyncio.Queue(MAX_WAITING_CLAUSES)
        try:
            async with asyncio.TaskGroup() as tasks:
                thinking = tasks.create_task(self._think(clauses))
                if self._speech is not None:
                    tasks.create_task(self._speak(clauses, self._speech))
        except* Exception as group:
            if group.split(VivavoceError)[1] is not None:
                log.exception("response.defect", response_id=self._id)
            await self._post(RunFailed(self._id, _failure(group)))
        else:
            await self._post(RunEnded(self._id, thinking.result()))

    async def _think(self, clauses: asyncio.Queue[str | None]) -> ChatEnd:
        end = ChatEnd("stop")
        splitter = ClauseSplitter()
        async with aclosing(self._studio.chat.stream(self._request)) as deltas:
            async for delta in deltas:
                self._mark(Stage.FIRST_TOKEN)
                if isinstance(delta, ChatEnd):
                    end = delta
                elif not self._fits(delta):
                    end = ChatEnd("length")
                    break
                elif isinstance(delta, ToolCallDelta):
                    await self._post(Called(self._id, delta))
                elif self._speech is None:
                    await self._room()
                    await self._post(Written(self._id, delta.text))
                else:
                    await self._queue(clauses, splitter, delta)
        if self._speech is not None:
            for clause in splitter.flush():
                self._mark(Stage.FIRST_CLAUSE)
                await clauses.put(clause)
            await clauses.put(None)
        return end

    def _fits(self, delta: TextDelta | ToolCallDelta) -> bool:
        """Whether the reply is still no longer than allowed; a delta counts at least one."""
        length = len(delta.text if isinstance(delta, TextDelta) else delta.arguments)
        self._chars_left -= max(1, length)
        return self._chars_left >= 0

    async def _queue(
        self, clauses: asyncio.Queue[str | None], splitter: ClauseSplitter, delta: TextDelta
    ) -> None:
        for clause in splitter.push(delta.text):
            self._mark(Stage.FIRST_CLAUSE)
            await clauses.put(clause)

    async def _speak(self, clauses: asyncio.Queue[str | None], speech: SpeechOptions) -> None:
        service = ServiceClass.FIRST_CLAUSE
        while (clause := await clauses.get()) is not None:
            words: str | None = clause
            spoken = await self._studio.spoken_form(clause)
            if spoken:
                priority = Priority(service, self._play_deadline_ms())
                chunks = self._studio.synthesizer.synthesize(spoken, speech, priority)
                async with aclosing(chunks) as closing:
                    async for pcm in closing:
                        self._mark(Stage.FIRST_AUDIO)
                        await self._room()
                        await self._post(Spoken(self._id, words, pcm))
                        words = None
                service = ServiceClass.CLAUSE
            await self._post(Spoken(self._id, words, SILENT, complete=True))

    def _mark(self, stage: Stage) -> None:
        self._receipt.mark(stage, self._clock.now_ms())


def _failure(group: ExceptionGroup[Exception]) -> VivavoceError:
    """What to tell of the errors that stopped a reply: the one that was foreseen, if any was."""
    foreseen = group.subgroup(VivavoceError)
    error = _first(foreseen or group)
    if isinstance(error, VivavoceError):
        return error
    return EngineFailure(f"The reply failed: {type(error).__name__}.")


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The first error in a group, however deep."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
