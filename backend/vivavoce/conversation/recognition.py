"""Recognises one utterance while it is being spoken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

from vivavoce.conversation.messages import Heard, PartialHeard, RecognitionFailed, Transcribed
from vivavoce.engines.interfaces import SAMPLE_RATE, HostedRecognizer, Pcm, RecognitionOptions
from vivavoce.errors import Overloaded, VivavoceError

MAX_BACKLOG_MS = 60_000
"""Audio that may wait for a busy recognizer; more fails the utterance."""


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

    def push(self, pcm: Pcm) -> None:
        """More audio at 16 kHz; raises Overloaded when the recognizer is too far behind."""
        if self._waiting_samples * 1000 > MAX_BACKLOG_MS * SAMPLE_RATE:
            raise Overloaded(
                f"The recognizer is over {MAX_BACKLOG_MS // 1000} s behind; this turn is lost.",
                code="recognizer_behind",
            )
        self._waiting.append(pcm)
        self._waiting_samples += len(pcm)
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
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    if self._pause is not None:
                        pause, self._pause = self._pause, None
                        transcript = await stream.finish(self._take())
                        await self._post(Transcribed(self._id, pause, transcript))
                    elif self._waiting_samples * 1000 >= stream.partial_interval_ms * SAMPLE_RATE:
                        pcm = self._take()
                        try:
                            partial = await stream.feed(pcm)
                        except Overloaded:  # partials give way first; their audio is kept
                            self._put_back(pcm)
                            continue
                        if partial is not None:
                            await self._post(PartialHeard(self._id, partial))
            finally:
                stream.close()
        except VivavoceError as error:
            await self._post(RecognitionFailed(self._id, error))

    def _take(self) -> Pcm:
        pcm = np.concatenate(self._waiting) if self._waiting else np.zeros(0, np.float32)
        self._waiting, self._waiting_samples = [], 0
        return pcm

    def _put_back(self, pcm: Pcm) -> None:
        self._waiting.insert(0, pcm)
        self._waiting_samples += len(pcm)
