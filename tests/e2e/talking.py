"""A plain client of both protocols that streams audio in real time, for tests."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from vivavoce.audio.pcm import decode_s16le, encode_s16le
from vivavoce.audio.wav import read_wav
from vivavoce.engines.interfaces import Pcm

RATE = 16_000
CHUNK_MS = 40


def read_clip(path: Path) -> Pcm:
    pcm, _ = read_wav(path, RATE)
    return pcm


async def stream(socket: ClientConnection, pcm: Pcm, *, speed: float = 1.0) -> None:
    """Send audio as binary frames at `speed` times the speed at which it is spoken."""
    loop = asyncio.get_running_loop()
    start, step = loop.time(), RATE * CHUNK_MS // 1000
    for n_sent, offset in enumerate(range(0, len(pcm), step)):
        await asyncio.sleep(max(0.0, start + n_sent * CHUNK_MS / 1000 / speed - loop.time()))
        await socket.send(encode_s16le(pcm[offset : offset + step]))


def silence(ms: int) -> Pcm:
    return np.zeros(RATE * ms // 1000, np.float32)


@dataclass
class Reply:
    text: str = ""
    pcm: Pcm = field(default_factory=lambda: np.zeros(0, np.float32))
    states: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


async def ask(url: str, question: str) -> Reply:
    """Type a question on /v1/voice; the reply's text and audio (24 kHz)."""
    reply = Reply()
    async with connect(f"{url}/v1/voice", max_size=None) as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "config", "output": "binary"}))
        await socket.send(question)
        async with asyncio.timeout(60):
            async for frame in socket:
                if isinstance(frame, bytes):
                    reply.pcm = np.concatenate((reply.pcm, decode_s16le(frame)))
                    continue
                message = json.loads(frame)
                if message["type"] == "text":
                    reply.text += message["text"]
                elif message["type"] == "error":
                    reply.errors.append(message["code"])
                elif message["type"] == "response":
                    reply.states.append(message["state"])
                elif message["type"] == "receipt":
                    break
    return reply


async def transcribe(url: str, pcm: Pcm, *, speed: float = 1.0) -> str:
    """What the server understands of a recording, streamed to a transcription session."""
    heard: dict[str, str] = {}
    async with connect(f"{url}/v1/realtime?intent=transcription", max_size=None) as socket:
        update = {
            "type": "transcription",
            "audio": {"input": {"format": {"type": "audio/pcm", "rate": RATE}}},
        }
        await socket.send(json.dumps({"type": "session.update", "session": update}))
        sending = asyncio.create_task(
            stream(socket, np.concatenate((pcm, silence(1500))), speed=speed)
        )
        committed = 0
        async with asyncio.timeout(60 + len(pcm) / RATE):
            while not (sending.done() and len(heard) == committed):
                message = await _receive(socket, within_s=2.0 if sending.done() else None)
                if message is None:
                    break
                if message["type"] == "input_audio_buffer.committed":
                    committed += 1
                elif message["type"].endswith("transcription.completed"):
                    heard[message["item_id"]] = message["transcript"]
                assert message["type"] != "error", message
        await sending
    return " ".join(heard.values())


async def _receive(socket: ClientConnection, within_s: float | None) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(within_s if within_s is not None else 0.5):
            return dict(json.loads(await socket.recv()))
    except TimeoutError:
        return None if within_s is not None else {"type": "nothing"}


def as_base64(pcm: Pcm) -> str:
    return base64.b64encode(encode_s16le(pcm)).decode()


NORMALISE = jiwer.Compose(
    [
        jiwer.ToLowerCase(),
        jiwer.SubstituteRegexes({r"[-–—]": " ", r"\bmr\b\.?": "mister"}),
        jiwer.RemovePunctuation(),
        jiwer.RemoveMultipleSpaces(),
        jiwer.Strip(),
        jiwer.ReduceToListOfListOfWords(),
    ]
)


def word_error_rate(truths: list[str], heard: list[str]) -> float:
    return float(
        jiwer.wer(truths, heard, reference_transform=NORMALISE, hypothesis_transform=NORMALISE)
    )


def character_error_rate(truths: list[str], heard: list[str]) -> float:
    """Over the characters alone, as Chinese is compared."""
    return float(jiwer.cer(_characters(truths), _characters(heard)))


def _characters(texts: list[str]) -> list[str]:
    return ["".join(c for c in text.lower() if c.isalnum()) for text in texts]
