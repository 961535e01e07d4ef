"""Engines that do what a test tells them, in this process or in a child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vivavoce.engines.interfaces import (
    Cancellation,
    Partial,
    Pcm,
    RecognitionOptions,
    SpeechOptions,
    Transcript,
    Voice,
    Word,
)
from vivavoce.errors import InvalidRequest, WeightsUnavailable


def pass_gate(path: str) -> None:
    """Wait until the test opens the gate (a FIFO) for one."""
    with Path(path).open("rb", buffering=0) as gate:
        gate.read(1)


def knock(path: str) -> None:
    """Let one who waits at a gate pass."""
    with Path(path).open("wb", buffering=0) as gate:
        gate.write(b"x")


class ScriptedStream:
    """A stream for tests of hosts: counts what it gets and notices calls that overlap."""

    def __init__(self) -> None:
        self._fed: list[int] = []
        self._inside = threading.Lock()

    def feed(self, n: int) -> list[int]:
        if not self._inside.acquire(blocking=False):
            raise AssertionError("two calls overlap on one stream")
        try:
            self._fed.append(n)
            time.sleep(0.001)  # long enough for another worker to walk in
            return list(self._fed)
        finally:
            self._inside.release()

    def wait(self, gate: str) -> str:
        pass_gate(gate)
        return "waited"


class ScriptedEngine:
    sample_rate = 24_000
    ballast: bytearray

    def __init__(self) -> None:
        self.notes: list[str] = []

    def echo(self, *values: object) -> tuple[object, ...]:
        return values

    def note(self, text: str) -> str:
        self.notes.append(text)
        return text

    def recall(self) -> list[str]:
        return self.notes

    def pid(self) -> int:
        return os.getpid()

    def priority(self) -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    def ignores_interrupts(self) -> bool:
        return signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    def modules(self) -> list[str]:
        return sorted(sys.modules)

    def wait(self, gate: str) -> str:
        pass_gate(gate)
        return "waited"

    def obedient_wait(self, entered: str, cancellation: Cancellation) -> str:
        done = threading.Event()
        cancellation.on_cancel(done.set)
        knock(entered)
        done.wait()
        self.notes.append("obeyed")
        return "obeyed"

    def fail(self) -> None:
        raise ZeroDivisionError("by nought")

    def refuse(self) -> None:
        raise InvalidRequest("voice 'x' is unknown", code="unknown_voice", param="voice")

    def exit(self) -> None:
        sys.exit(7)

    def die(self) -> None:
        os._exit(3)

    def shoot_itself(self) -> None:
        signal.raise_signal(signal.SIGSEGV)

    def chatter(self) -> str:
        print("on standard output")
        print("on standard error", file=sys.stderr)
        os.write(1, b"\x01\x00\x00\x00\x04raw\n" + b"y" * 100_000 + b"\n")
        sys.stdout.flush()
        return "chattered"

    def unspeakable(self) -> object:
        return {1, 2, 3}

    def ones(self, n: int) -> Pcm:
        return np.ones(n, np.float32)

    def total(self, pcm: Pcm) -> float:
        return float(pcm.sum(dtype=np.float64))

    def nothing(self, pcm: Pcm) -> None:
        return None

    def grow(self, mib: int) -> int:
        self.ballast = bytearray(os.urandom(1) * (mib * 2**20))
        return os.getpid()

    def spawn(self) -> int:
        return subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]).pid

    def open(self) -> ScriptedStream:
        return ScriptedStream()

    def count(self, n: int, cancellation: Cancellation) -> Iterator[int]:
        try:
            for number in range(n):
                self.notes.append(f"made {number}")
                yield number
        finally:
            self.notes.append("count closed")

    def count_then_fail(self, n: int, cancellation: Cancellation) -> Iterator[int]:
        yield from range(n)
        raise ZeroDivisionError("mid-stream")

    def count_then_wait(self, n: int, gate: str, cancellation: Cancellation) -> Iterator[int]:
        yield from range(n)
        pass_gate(gate)
        yield n


class ScriptedVad:
    frame_samples = 512

    def open(self) -> ScriptedVadStream:
        return ScriptedVadStream()

    def die(self) -> None:
        os._exit(3)


class ScriptedVadStream:
    def __init__(self) -> None:
        self._n_samples = 0

    def process(self, pcm: Pcm) -> list[float]:
        self._n_samples += len(pcm)
        return [self._n_samples / 1000]


class ScriptedRecognizer:
    """Hears as many seconds as there were samples; the prompt "gate:PATH" holds each feed."""

    partial_interval_ms = 500

    def open(self, options: RecognitionOptions) -> ScriptedRecognizerStream:
        return ScriptedRecognizerStream(options)

    def transcribe(self, pcm: Pcm, options: RecognitionOptions) -> Transcript:
        return Transcript(f"{len(pcm)} samples", options.language)

    def die(self) -> None:
        os._exit(3)


class ScriptedRecognizerStream:
    def __init__(self, options: RecognitionOptions) -> None:
        self._options = options
        self._heard = ""
        self._feeds = 0

    def feed(self, pcm: Pcm) -> Partial | None:
        self._feeds += 1
        self._heard += "".join(chr(int(sample)) for sample in pcm)
        if self._options.prompt:
            pass_gate(self._options.prompt)
        return Partial(self._heard, self._heard[:-1])

    def finish(self, pcm: Pcm) -> Transcript:
        self._heard += "".join(chr(int(sample)) for sample in pcm)
        if self._heard.startswith("!") and not self._options.hot_words:
            os._exit(3)
        word = Word(self._heard, 0, self._feeds)
        return Transcript(self._heard, self._options.language, 0.5, (word,))


class ScriptedSynthesizer:
    sample_rate = 24_000

    def voices(self) -> list[Voice]:
        return [Voice("low", ("en", "zh"), "a low voice"), Voice("high", ("zh",))]

    def synthesize(
        self, text: str, options: SpeechOptions, cancellation: Cancellation
    ) -> Iterator[Pcm]:
        for letter in text:
            yield np.full(240, ord(letter) * options.speed, np.float32)


def no_weights() -> ScriptedEngine:
    raise WeightsUnavailable("model.bin is missing: put it into /models")


def broken() -> ScriptedEngine:
    raise ZeroDivisionError("while loading")


def dies_at_start() -> ScriptedEngine:
    os._exit(9)


def hangs_at_start(gate: str) -> ScriptedEngine:
    pass_gate(gate)
    return ScriptedEngine()


def dies_at_second_start(marker: str) -> ScriptedEngine:
    """Fails once, at the start after the first."""
    starts = Path(marker)
    n = len(starts.read_text()) if starts.exists() else 0
    starts.write_text("x" * (n + 1))
    if n == 1:
        raise ZeroDivisionError("while loading again")
    return ScriptedEngine()
