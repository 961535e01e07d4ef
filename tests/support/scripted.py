"""Scripted engines behind the real interfaces: what they hear, say and think is known.

Speech is any sample louder than 0.1. Every delay is in the loop's time: milliseconds, or a
function that draws them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vivavoce.conversation.response import Studio
from vivavoce.conversation.session import Engines
from vivavoce.engines.interfaces import (
    SAMPLE_RATE,
    ChatDelta,
    ChatEnd,
    ChatRequest,
    Partial,
    Pcm,
    Priority,
    RecognitionOptions,
    SpeechOptions,
    TextDelta,
    Transcript,
    Voice,
)
from vivavoce.errors import VivavoceError

Delay = int | Callable[[], int]

FRAME = 512
VOICE_RATE = 24_000
MS_PER_CHARACTER = 50


async def pass_by(delay_ms: Delay) -> None:
    await asyncio.sleep((delay_ms if isinstance(delay_ms, int) else delay_ms()) / 1000)


def speech(ms: int, rate: int = SAMPLE_RATE) -> Pcm:
    return np.full(ms * rate // 1000, 0.5, np.float32)


def silence(ms: int, rate: int = SAMPLE_RATE) -> Pcm:
    return np.zeros(ms * rate // 1000, np.float32)


class ScriptedVadStream:
    frame_ms = FRAME * 1000 / SAMPLE_RATE

    def __init__(self, vad: ScriptedVad) -> None:
        self._vad = vad
        self._rest = silence(0)

    async def process(self, pcm: Pcm) -> list[float]:
        if self._vad.failure is not None:
            raise self._vad.failure
        audio = np.concatenate((self._rest, pcm))
        n_frames = len(audio) // FRAME
        self._rest = audio[n_frames * FRAME :]
        frames = audio[: n_frames * FRAME].reshape(n_frames, FRAME)
        return [0.95 if loud else 0.02 for loud in (np.abs(frames).max(axis=1) > 0.1)]

    def close(self) -> None:
        self._vad.open_streams -= 1


@dataclass
class ScriptedVad:
    """failure: raised whenever there is something to detect."""

    failure: VivavoceError | None = None
    open_streams: int = 0

    async def open(self) -> ScriptedVadStream:
        self.open_streams += 1
        return ScriptedVadStream(self)


@dataclass
class ScriptedRecognizer:
    """Understands the n-th utterance as the n-th of `texts`, the last one again and again.

    heard_ms: how long each utterance was when its transcript was asked for. heard: its audio,
    with keep_audio.
    """

    texts: Sequence[str | VivavoceError] = ("Hello there.",)
    delay_ms: Delay = 50
    partials: bool = False
    keep_audio: bool = False
    opened: int = 0
    open_streams: int = 0
    heard: list[Pcm] = field(default_factory=list)
    heard_ms: list[float] = field(default_factory=list)
    languages: list[str | None] = field(default_factory=list)

    async def open(self, options: RecognitionOptions) -> ScriptedRecognizerStream:
        text = self.texts[min(self.opened, len(self.texts) - 1)]
        self.opened += 1
        self.open_streams += 1
        self.languages.append(options.language)
        return ScriptedRecognizerStream(self, text)

    async def transcribe(self, pcm: Pcm, options: RecognitionOptions) -> Transcript:
        stream = await self.open(options)
        try:
            return await stream.finish(pcm)
        finally:
            stream.close()


class ScriptedRecognizerStream:
    partial_interval_ms = 500

    def __init__(self, recognizer: ScriptedRecognizer, text: str | VivavoceError) -> None:
        self._recognizer = recognizer
        self._text = text
        self._ms = 0.0
        self._audio: list[Pcm] = []

    def _hear(self, pcm: Pcm) -> None:
        self._ms += len(pcm) * 1000 / SAMPLE_RATE
        if self._recognizer.keep_audio:
            self._audio.append(pcm)

    async def feed(self, pcm: Pcm) -> Partial | None:
        self._hear(pcm)
        await pass_by(self._recognizer.delay_ms)
        if not self._recognizer.partials or isinstance(self._text, VivavoceError):
            return None
        words = self._text.split()
        known = words[: int(self._ms // 500)]
        return Partial(" ".join(known), " ".join(known[:-1]))

    async def finish(self, pcm: Pcm) -> Transcript:
        self._hear(pcm)
        heard_ms, heard = self._ms, list(self._audio)
        await pass_by(self._recognizer.delay_ms)
        self._recognizer.heard_ms.append(heard_ms)
        if self._recognizer.keep_audio:
            self._recognizer.heard.append(np.concatenate(heard))
        if isinstance(self._text, VivavoceError):
            raise self._text
        return Transcript(self._text, "en", 0.9)

    def close(self) -> None:
        self._recognizer.open_streams -= 1


@dataclass
class ScriptedChat:
    """Answers the n-th request with the n-th of `replies`, the last one again and again.

    A reply is a text, sent word by word, or a list of deltas, waits (numbers, in ms) and errors.
    """

    replies: Sequence[str | Sequence[ChatDelta | VivavoceError | int]] = ("Hi! How are you today?",)
    first_token_ms: Delay = 100
    token_ms: Delay = 20
    name: str = "scripted"
    requests: list[ChatRequest] = field(default_factory=list)
    prefills: list[ChatRequest] = field(default_factory=list)
    running: int = 0
    cancelled: int = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        reply = self.replies[min(len(self.requests), len(self.replies) - 1)]
        self.requests.append(request)
        self.running += 1
        finished = False
        try:
            await pass_by(self.first_token_ms)
            for step in _words(reply) if isinstance(reply, str) else reply:
                if isinstance(step, VivavoceError):
                    raise step
                if isinstance(step, int):
                    await pass_by(step)
                    continue
                yield step
                await pass_by(self.token_ms)
            if isinstance(reply, str):
                yield ChatEnd("stop", input_tokens=10, output_tokens=len(reply.split()))
            finished = True
        finally:
            self.running -= 1
            self.cancelled += not finished

    async def prefill(self, request: ChatRequest) -> None:
        self.prefills.append(request)


def _words(text: str) -> Iterable[ChatDelta]:
    words = text.split(" ")
    for index, word in enumerate(words):
        yield TextDelta(word if index == 0 else " " + word)


@dataclass
class ScriptedSynthesizer:
    """Speaks every character for 50 ms, in chunks of 200 ms.

    The samples of the n-th call hold n/1000, so that audio can be traced to its clause.
    failure: raised by every call. failures: by the call of that number, after its first chunk.
    """

    delay_ms: Delay = 30
    chunk_delay_ms: Delay = 2
    failure: VivavoceError | None = None
    failures: Mapping[int, VivavoceError] = field(default_factory=dict)
    running: int = 0
    sample_rate: int = VOICE_RATE
    texts: list[str] = field(default_factory=list)
    priorities: list[Priority] = field(default_factory=list)

    def voices(self) -> Sequence[Voice]:
        return (Voice("scripted", ("en",)),)

    async def synthesize(
        self, text: str, options: SpeechOptions, priority: Priority
    ) -> AsyncGenerator[Pcm, None]:
        self.texts.append(text)
        self.priorities.append(priority)
        call = len(self.texts)
        self.running += 1
        try:
            await pass_by(self.delay_ms)
            if self.failure is not None:
                raise self.failure
            left = len(text) * MS_PER_CHARACTER * self.sample_rate // 1000
            while left > 0:
                n_samples = min(left, self.sample_rate // 5)
                yield np.full(n_samples, call / 1000, np.float32)
                left -= n_samples
                if call in self.failures:
                    raise self.failures[call]
                await pass_by(self.chunk_delay_ms)
        finally:
            self.running -= 1


async def spoken_as_written(text: str) -> str:
    return text.strip()


@dataclass
class Script:
    """A set of scripted engines."""

    recognizer: ScriptedRecognizer = field(default_factory=ScriptedRecognizer)
    chat: ScriptedChat = field(default_factory=ScriptedChat)
    voice: ScriptedSynthesizer = field(default_factory=ScriptedSynthesizer)
    vad: ScriptedVad = field(default_factory=ScriptedVad)

    def engines(self) -> Engines:
        studio = Studio(self.chat, self.voice, spoken_as_written)
        return Engines(self.vad, self.recognizer, studio)
