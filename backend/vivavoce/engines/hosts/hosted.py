"""The engines as the conversation sees them: voice activity, recognition and synthesis on a host.

Each is made by `start`, which starts its host too, and so is never seen half ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Self

import numpy as np

from vivavoce.engines.hosts.base import Handle
from vivavoce.engines.hosts.host import Host
from vivavoce.engines.interfaces import (
    SAMPLE_RATE,
    Partial,
    Pcm,
    Priority,
    RecognitionOptions,
    ServiceClass,
    SpeechOptions,
    Transcript,
    Voice,
)
from vivavoce.errors import EngineCrashed, EngineTimeout, Overloaded

FINAL = Priority(ServiceClass.FINAL)
PARTIAL = Priority(ServiceClass.PARTIAL)
BATCH = Priority(ServiceClass.BATCH)


# ── voice activity ────────────────────────────────────────────────────────────────────────────


class HostVad:
    """A VoiceActivityDetector on a host. process_ms, open_ms: deadlines."""

    def __init__(
        self, host: Host, frame_ms: float, *, process_ms: int = 1_000, open_ms: int = 2_000
    ) -> None:
        self.host = host
        self.frame_ms = frame_ms
        self.process_ms = process_ms
        self.open_ms = open_ms

    @classmethod
    async def start(cls, host: Host, *, process_ms: int = 1_000, open_ms: int = 2_000) -> Self:
        await host.start()
        frame_samples: int = await host.read("frame_samples")
        frame_ms = frame_samples * 1000 / SAMPLE_RATE
        return cls(host, frame_ms, process_ms=process_ms, open_ms=open_ms)

    async def open(self) -> HostVadStream:
        return HostVadStream(self, await self.open_handle())

    async def open_handle(self) -> Handle:
        return await self.host.open("open", timeout_ms=self.open_ms)


class HostVadStream:
    """Voice activity of one stream; after a restart of the engine it begins afresh by itself."""

    def __init__(self, vad: HostVad, handle: Handle) -> None:
        self.frame_ms = vad.frame_ms
        self._vad = vad
        self._handle = handle

    async def process(self, pcm: Pcm) -> list[float]:
        """Speech probabilities of the frames that `pcm` (16 kHz) completes; see `Host.call`."""
        if self._handle.lost:
            self._handle = await self._vad.open_handle()
        probabilities: list[float] = await self._vad.host.call(
            "process", pcm, handle=self._handle, timeout_ms=self._vad.process_ms
        )
        return probabilities

    def close(self) -> None:
        self._vad.host.release(self._handle)


# ── recognition ───────────────────────────────────────────────────────────────────────────────


class HostRecognizer:
    """A Recognizer on a host.

    feed_ms, finish_ms, transcribe_ms, open_ms: deadlines. replay_ms: how much of an utterance is
    kept to be said again to an engine that had to be restarted, and how much may wait to be fed.
    """

    def __init__(
        self,
        host: Host,
        partial_interval_ms: int,
        *,
        feed_ms: int = 3_000,
        finish_ms: int = 10_000,
        transcribe_ms: int = 900_000,
        open_ms: int = 3_000,
        replay_ms: int = 60_000,
    ) -> None:
        self.host = host
        self.partial_interval_ms = partial_interval_ms
        self.feed_ms = feed_ms
        self.finish_ms = finish_ms
        self.transcribe_ms = transcribe_ms
        self.open_ms = open_ms
        self.replay_ms = replay_ms

    @classmethod
    async def start(
        cls,
        host: Host,
        *,
        feed_ms: int = 3_000,
        finish_ms: int = 10_000,
        transcribe_ms: int = 900_000,
        open_ms: int = 3_000,
        replay_ms: int = 60_000,
    ) -> Self:
        await host.start()
        return cls(
            host,
            await host.read("partial_interval_ms"),
            feed_ms=feed_ms,
            finish_ms=finish_ms,
            transcribe_ms=transcribe_ms,
            open_ms=open_ms,
            replay_ms=replay_ms,
        )

    async def open(self, options: RecognitionOptions) -> HostRecognizerStream:
        return HostRecognizerStream(self, options, await self.open_handle(options))

    async def open_handle(self, options: RecognitionOptions) -> Handle:
        return await self.host.open("open", options, timeout_ms=self.open_ms)

    async def transcribe(self, pcm: Pcm, options: RecognitionOptions) -> Transcript:
        """Transcribe a recording of any length (16 kHz); it yields to everything live."""
        transcript: Transcript = await self.host.call(
            "transcribe", pcm, options, priority=BATCH, timeout_ms=self.transcribe_ms
        )
        return transcript


class _Superseded(Exception):
    """A partial whose audio the final transcript covers."""


class HostRecognizerStream:
    """Recognition of one utterance; no audio is lost to load, nor to a restart of the engine.

    Audio waits here until a call on the engine really begins, and then all of it goes along. So a
    `feed` that is refused, or overtaken by `finish`, costs nothing but its hypothesis.
    """

    def __init__(
        self, recognizer: HostRecognizer, options: RecognitionOptions, handle: Handle
    ) -> None:
        self.partial_interval_ms = recognizer.partial_interval_ms
        self._recognizer = recognizer
        self._options = options
        self._handle = handle
        self._reopening = asyncio.Lock()
        self._audio = _Utterance(recognizer.replay_ms * SAMPLE_RATE // 1000)
        self._finishing = 0

    async def feed(self, pcm: Pcm) -> Partial | None:
        """Take more audio (16 kHz); a new hypothesis, or None where there is none or no time.

        Raises Overloaded once more than `replay_ms` of audio waits, and as `Host.call`.
        """
        self._audio.add(pcm)
        taken = self._audio.n_taken
        try:
            await self._reopen_if_lost()
            partial: Partial | None = await self._recognizer.host.call(
                "feed",
                handle=self._handle,
                priority=PARTIAL,
                timeout_ms=self._recognizer.feed_ms,
                prepare=self._take_for_partial,
            )
            return partial
        except _Superseded:
            return None
        except (Overloaded, EngineTimeout):
            began = self._audio.n_taken > taken
            if began or self._audio.overfull:
                raise
            return None

    async def finish(self, pcm: Pcm) -> Transcript:
        """Take the last audio and transcribe the whole utterance.

        An engine that dies meanwhile is given the utterance once more, within the same deadline.
        """
        self._audio.add(pcm)
        self._finishing += 1
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._recognizer.finish_ms / 1000
        try:
            try:
                return await self._finish(self._recognizer.finish_ms)
            except EngineCrashed:
                left_ms = int((deadline - loop.time()) * 1000)
                if not self._handle.lost or left_ms <= 0:
                    raise
                return await self._finish(left_ms)
        finally:
            self._finishing -= 1

    def close(self) -> None:
        self._recognizer.host.release(self._handle)

    async def _finish(self, timeout_ms: int) -> Transcript:
        await self._reopen_if_lost()
        transcript: Transcript = await self._recognizer.host.call(
            "finish",
            handle=self._handle,
            priority=FINAL,
            timeout_ms=timeout_ms,
            prepare=lambda: (self._audio.take(),),
        )
        return transcript

    def _take_for_partial(self) -> tuple[Pcm]:
        if self._finishing or not self._audio.waits:
            raise _Superseded
        return (self._audio.take(),)

    async def _reopen_if_lost(self) -> None:
        async with self._reopening:
            if self._handle.lost:
                self._audio.rewind(self._handle.lost)
                self._handle = await self._recognizer.open_handle(self._options)


class _Utterance:
    """The audio of one utterance: what the engine has taken, and what still waits for it."""

    def __init__(self, limit: int) -> None:
        self.n_taken = 0
        self._limit = limit
        self._taken: list[Pcm] = []
        self._waiting: list[Pcm] = []
        self._n_waiting = 0
        self._whole = True

    @property
    def waits(self) -> bool:
        return bool(self._waiting)

    @property
    def overfull(self) -> bool:
        return self._n_waiting > self._limit

    def add(self, pcm: Pcm) -> None:
        self._waiting.append(pcm)
        self._n_waiting += len(pcm)

    def take(self) -> Pcm:
        """All that waits, in one piece."""
        if len(self._waiting) == 1:
            pcm = self._waiting[0]
        else:
            pcm = np.concatenate([np.zeros(0, np.float32), *self._waiting])
        self._taken.append(pcm)
        self.n_taken += len(pcm)
        self._waiting, self._n_waiting = [], 0
        if self.n_taken > self._limit:
            self._taken, self._whole = [], False
        return pcm

    def rewind(self, reason: str) -> None:
        """Let everything wait again, for an engine that knows nothing of it."""
        if not self._whole:
            raise EngineCrashed(f"an utterance too long to be repeated is lost: {reason}")
        self._waiting = self._taken + self._waiting
        self._n_waiting += self.n_taken
        self._taken, self.n_taken = [], 0


# ── synthesis ─────────────────────────────────────────────────────────────────────────────────


class HostSynthesizer:
    """A Synthesizer on a host. first_ms, next_ms: deadlines to the first chunk and the next."""

    def __init__(
        self,
        host: Host,
        sample_rate: int,
        voices: Sequence[Voice],
        *,
        first_ms: int = 5_000,
        next_ms: int = 5_000,
    ) -> None:
        self.host = host
        self.sample_rate = sample_rate
        self.first_ms = first_ms
        self.next_ms = next_ms
        self._voices = tuple(voices)

    @classmethod
    async def start(cls, host: Host, *, first_ms: int = 5_000, next_ms: int = 5_000) -> Self:
        await host.start()
        sample_rate: int = await host.read("sample_rate")
        voices: Sequence[Voice] = await host.call("voices", timeout_ms=first_ms)
        return cls(host, sample_rate, voices, first_ms=first_ms, next_ms=next_ms)

    def voices(self) -> Sequence[Voice]:
        return self._voices

    def synthesize(
        self, text: str, options: SpeechOptions, priority: Priority
    ) -> AsyncGenerator[Pcm, None]:
        """Speak one clause; see `Host.stream`. Close the iterator to stop the engine."""
        return self.host.stream(
            "synthesize",
            text,
            options,
            priority=priority,
            first_timeout_ms=self.first_ms,
            next_timeout_ms=self.next_ms,
        )
