"""A microphone made of recordings: sends audio in real time, and knows when each sound was made."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from vivavoce.audio.pcm import Pcm, ms_to_samples
from vivavoce.audio.resample import resample
from vivavoce.audio.silence import first_audible_sample, sound_end_sample
from vivavoce.client.dialect import Dialect, Frame
from vivavoce.errors import InvalidRequest

FRAME_MS = 20
FRAME_S = FRAME_MS / 1000


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording, cut and encoded beforehand so that sending it costs next to nothing.

    onset_s, end_s: where its sound begins and ends, in seconds from its start.
    """

    name: str
    frames: tuple[Frame, ...]
    onset_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return len(self.frames) * FRAME_S


def prepare_clip(name: str, pcm: Pcm, sample_rate: int, dialect: Dialect) -> Clip:
    """Cut float32 [n] at `sample_rate` into frames for `dialect`; raises InvalidRequest when
    nothing can be heard in it."""
    onset = first_audible_sample(pcm)
    end = sound_end_sample(pcm, sample_rate)
    if onset is None or end == 0:
        raise InvalidRequest(f"Nothing can be heard in {name}.", code="silent_audio")
    sent = resample(pcm, sample_rate, dialect.input_rate)
    step = ms_to_samples(FRAME_MS, dialect.input_rate)
    sent = np.concatenate([sent, np.zeros(-len(sent) % step, np.float32)])
    frames = tuple(dialect.audio(sent[i : i + step]) for i in range(0, len(sent), step))
    return Clip(name, frames, onset / sample_rate, end / sample_rate)


class Spoken:
    """A clip that has been said: when each of its frames was really sent."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.sent_at: list[float] = []

    @property
    def onset_at(self) -> float:
        """When the voice began."""
        return self.time_of(self.clip.onset_s)

    @property
    def end_at(self) -> float:
        """When the voice ended."""
        return self.time_of(self.clip.end_s)

    def time_of(self, position_s: float) -> float:
        """When the sound at `position_s` was made; its frame left once it was complete."""
        index = min(int(position_s / FRAME_S), len(self.sent_at) - 1)
        return self.sent_at[index] - ((index + 1) * FRAME_S - position_s)


@dataclass(slots=True)
class Lag:
    """How late frames left, in steps of 0.1 ms, whatever their number."""

    steps: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        self.steps[round(max(0.0, seconds) * 10_000)] += 1

    def percentile(self, percent: float) -> float:
        """In milliseconds, 0 when nothing was sent."""
        left = self.steps.total() * percent / 100
        for step in sorted(self.steps):
            left -= self.steps[step]
            if left <= 0:
                return step / 10
        return 0.0


class Microphone:
    """Sends a frame every 20 ms for as long as it runs: silence, or the clip that is being said.

    Frames are due on a schedule that is fixed at the start, so delays do not add up.
    send: takes a frame. silence: a frame of it.
    """

    def __init__(self, send: Callable[[Frame], Awaitable[None]], silence: Frame, lag: Lag) -> None:
        self._send = send
        self._silence = silence
        self._lag = lag
        self._spoken: Spoken | None = None
        self._said = asyncio.Event()

    async def run(self) -> None:
        clock = asyncio.get_running_loop()
        start = clock.time()
        for number in count(1):
            due = start + number * FRAME_S
            await asyncio.sleep(due - clock.time())
            now = clock.time()
            self._lag.add(now - due)
            await self._send(self._next_frame(now))

    async def say(self, clip: Clip) -> Spoken:
        """Send a clip from the next frame on; returns when the last one has left."""
        spoken = self._spoken = Spoken(clip)
        self._said.clear()
        await self._said.wait()
        return spoken

    def _next_frame(self, now: float) -> Frame:
        spoken = self._spoken
        if spoken is None:
            return self._silence
        frame = spoken.clip.frames[len(spoken.sent_at)]
        spoken.sent_at.append(now)
        if len(spoken.sent_at) == len(spoken.clip.frames):
            self._spoken = None
            self._said.set()
        return frame


def silence_for(dialect: Dialect) -> Frame:
    """One frame in which nothing is heard."""
    return dialect.audio(np.zeros(ms_to_samples(FRAME_MS, dialect.input_rate), np.float32))
