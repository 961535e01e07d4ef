"""Recognises one utterance while it is being spoken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

from vivavoce.conversation.messages import Heard, PartialHeard, RecognitionFailed, Transcribed
from vivavoce.engines.interfaces import (
    SAMPLE_RATE,
    HostedRecognizer,
    HostedRecognizerStream,
    Pcm,
    RecognitionOptions,
)
from vivavoce.errors import Overloaded, VivavoceError

MAX_BACKLOG_MS = 60_000
"""Audio that may wait for a busy recognizer; more fails the utterance."""

PARTIAL_SHARE = 0.25
"""Of the time that an utterance lasts, at most this much is spent on partials, waiting included:
where the recognizer is busy they become rare by themselves."""


class Recognition:
    """One utterance's way through a recognizer; posts what it hears.

    Partials thin out by themselves: while the recognizer is busy audio gathers here, and the next
    feed takes all of it.
    """

    def __init__(
        self,
        utterance_id: str,
        recognizer: HostedRecognizer,
        options: RecognitionOptions,
        post: Callable[[Heard], Awaitable[None]],
    ) -> None:
        self._id = utterance_id
        self._recognizer = recognizer
        self._options = options
        self._post = post
        self._waiting: list[Pcm] = []
        self._waiting_samples = 0
        self._pause: int | None = None
        self._wake = asyncio.Event()

    def push(self, pcm: Pcm, *, voiced: bool = True) -> None:
        """More audio at 16 kHz; raises Overloaded when the recognizer is too far behind.

        voiced: False while the speaker may be about to end, when a partial under way would only
        delay the transcript.
        """
        if self._waiting_samples * 1000 > MAX_BACKLOG_MS * SAMPLE_RATE:
            raise Overloaded(
                f"The recognizer is over {MAX_BACKLOG_MS // 1000} s behind; this turn is lost.",
                code="recognizer_behind",
            )
        self._waiting.append(pcm)
        self._waiting_samples += len(pcm)
        if voiced:
            self._wake.set()

    def finish(self, pause: int) -> None:
        """Ask for the transcript of all audio pushed so far, to be posted with `pause`."""
        self._pause = pause
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. A failure of the recognizer is posted and ends the utterance."""
        try:
            stream = await self._recognizer.open(self._options)
            try:
                await self._follow(stream)
            finally:
                stream.close()
        except VivavoceError as error:
            await self._post(RecognitionFailed(self._id, error))

    async def _follow(self, stream: HostedRecognizerStream) -> None:
        clock = asyncio.get_running_loop()
        partial_after_ms = float(stream.partial_interval_ms)
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._pause is not None:
                pause, self._pause = self._pause, None
                transcript = await stream.finish(self._take())
                await self._post(Transcribed(self._id, pause, transcript))
            elif self._waiting_samples * 1000 >= partial_after_ms * SAMPLE_RATE:
                began = clock.time()
                partial = await stream.feed(self._take())
                took_ms = (clock.time() - began) * 1000
                partial_after_ms = max(stream.partial_interval_ms, took_ms / PARTIAL_SHARE)
                if partial is not None:
                    await self._post(PartialHeard(self._id, partial))

    def _take(self) -> Pcm:
        pcm = np.concatenate(self._waiting) if self._waiting else np.zeros(0, np.float32)
        self._waiting, self._waiting_samples = [], 0
        return pcm
