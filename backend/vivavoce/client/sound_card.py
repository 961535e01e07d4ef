"""The microphone and the loudspeaker of this machine, through the optional `sounddevice`."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections import deque
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

from vivavoce.audio.pcm import Pcm, decode_s16le, ms_to_samples
from vivavoce.client.call import Call
from vivavoce.client.dialect import OUTPUT_RATE
from vivavoce.client.microphone import FRAME_MS
from vivavoce.errors import ConfigurationError

CAPTURED_FRAMES = 100
"""Frames that may wait to be sent; then the oldest is lost."""


class SoundCard:
    """Both devices while the context lasts; a Loudspeaker, and the source of what is sent.

    input_rate: Hz to record at. Raises ConfigurationError where there is no sound.
    """

    def __init__(self, input_rate: int) -> None:
        self._sounddevice = _sounddevice()
        self._loop = asyncio.get_running_loop()
        self._captured: asyncio.Queue[bytes] = asyncio.Queue(CAPTURED_FRAMES)
        self._lock = threading.Lock()
        self._chunks: deque[Pcm] = deque()
        self._n_waiting = 0
        self._reply_id = ""
        self._n_played = 0
        try:
            self._input: Any = self._sounddevice.RawInputStream(
                samplerate=input_rate,
                blocksize=ms_to_samples(FRAME_MS, input_rate),
                channels=1,
                dtype="int16",
                callback=self._record,
            )
            self._output: Any = self._sounddevice.OutputStream(
                samplerate=OUTPUT_RATE, channels=1, dtype="float32", callback=self._fill
            )
        except self._sounddevice.PortAudioError as error:
            raise ConfigurationError(
                f"The microphone or the loudspeaker cannot be opened: {error}.", code="no_sound"
            ) from error

    def __enter__(self) -> SoundCard:
        self._input.start()
        self._output.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._input.close()
        self._output.close()

    async def send_to(self, call: Call) -> None:
        """Send what the microphone hears, for as long as this runs."""
        while True:
            data = await self._captured.get()
            await call.link.send(call.dialect.audio(decode_s16le(data)))

    # ── a Loudspeaker ─────────────────────────────────────────────────────────────────────────

    @property
    def ends_at(self) -> float:
        with self._lock:
            waiting_s = self._n_waiting / OUTPUT_RATE
        return self._loop.time() + (waiting_s + self._latency_s if waiting_s else 0.0)

    def play(self, reply_id: str, pcm: Pcm) -> float:
        starts_at = self.ends_at
        with self._lock:
            if reply_id != self._reply_id:
                self._reply_id, self._n_played = reply_id, 0
            self._chunks.append(pcm)
            self._n_waiting += len(pcm)
        return starts_at

    def stop(self) -> int:
        with self._lock:
            unheard, self._n_waiting = self._n_waiting, 0
            self._chunks.clear()
        return unheard

    def heard_ms(self, reply_id: str) -> int:
        with self._lock:
            n_played = self._n_played if reply_id == self._reply_id else 0
        return max(0, int((n_played / OUTPUT_RATE - self._latency_s) * 1000))

    @property
    def _latency_s(self) -> float:
        return float(self._output.latency)

    # ── called by the threads of the devices ──────────────────────────────────────────────────

    def _record(self, data: Any, n_frames: int, time: Any, status: Any) -> None:
        self._loop.call_soon_threadsafe(self._keep, bytes(data))

    def _keep(self, data: bytes) -> None:
        if self._captured.full():
            self._captured.get_nowait()
        self._captured.put_nowait(data)

    def _fill(self, out: Any, n_frames: int, time: Any, status: Any) -> None:
        out[:] = 0
        filled = 0
        with self._lock:
            while filled < n_frames and self._chunks:
                chunk = self._chunks.popleft()
                taken = chunk[: n_frames - filled]
                out[filled : filled + len(taken), 0] = np.clip(taken, -1, 1)
                filled += len(taken)
                if len(taken) < len(chunk):
                    self._chunks.appendleft(chunk[len(taken) :])
            self._n_waiting -= filled
            self._n_played += filled


def _sounddevice() -> ModuleType:
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise ConfigurationError(
            'The microphone needs an extra package: pip install "vivavoce[mic]".', code="no_sound"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"The sound library PortAudio is not installed here ({error}); on Debian and Ubuntu: "
            "apt install libportaudio2.",
            code="no_sound",
        ) from error
