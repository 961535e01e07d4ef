"""What a user gets from the embedded engines, judged from outside."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect

from e2e.conftest import RunningServer
from e2e.talking import (
    ask,
    character_error_rate,
    read_clip,
    silence,
    stream,
    transcribe,
    word_error_rate,
)
from vivavoce.audio.resample import resample
from vivavoce.engines.interfaces import Pcm

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]


async def _clips(url: str, audio_dir: Path, language: str) -> tuple[list[str], list[str]]:
    """Truths and transcripts of the recorded clips, two streamed at a time."""
    with (audio_dir / "manifest.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["language"] == language]
    two = asyncio.Semaphore(2)

    async def heard(file: str) -> str:
        async with two:
            return await transcribe(url, read_clip(audio_dir / file))

    transcripts = await asyncio.gather(*(heard(row["file"]) for row in rows))
    return [row["text"] for row in rows], list(transcripts)


async def test_english_clips_streamed_in_real_time(server: RunningServer, audio_dir: Path) -> None:
    truths, heard = await _clips(server.url, audio_dir, "en")
    assert word_error_rate(truths, heard) <= 0.12, heard


async def test_chinese_clips_streamed_in_real_time(server: RunningServer, audio_dir: Path) -> None:
    truths, heard = await _clips(server.url, audio_dir, "zh")
    assert character_error_rate(truths, heard) <= 0.25, heard


ENGLISH_QUESTIONS = [
    "What is the capital of Japan?",
    "Hello, how are you today?",
    "Can you tell me a fun fact about cats?",
    "I feel a bit tired, what should I do this evening?",
]
CHINESE_QUESTIONS = [
    "中国的首都是哪里？",
    "我今天有点累，晚上做什么好呢？",
    "春天的时候可以去哪里玩？",
    "为什么要多喝水？",
]


async def _read_back(url: str, questions: list[str]) -> tuple[list[str], list[str]]:
    replies = [await ask(url, question) for question in questions]
    for question, reply in zip(questions, replies, strict=True):
        assert reply.states == ["started", "completed"], (question, reply.states, reply.errors)
        assert reply.text.strip()
    texts = [reply.text for reply in replies]
    heard = [
        await transcribe(url, resample(reply.pcm, 24_000, 16_000), speed=4) for reply in replies
    ]
    return texts, heard


async def test_english_replies_say_what_they_write(server: RunningServer) -> None:
    texts, heard = await _read_back(server.url, ENGLISH_QUESTIONS)
    assert word_error_rate(texts, heard) <= 0.15, list(zip(texts, heard, strict=True))


async def test_chinese_replies_say_what_they_write(server: RunningServer) -> None:
    texts, heard = await _read_back(server.url, CHINESE_QUESTIONS)
    assert character_error_rate(texts, heard) <= 0.15, list(zip(texts, heard, strict=True))


def _noises() -> dict[str, Pcm]:
    rng = np.random.default_rng(7)
    white = rng.standard_normal(20 * 16_000).astype(np.float32)
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1.0)).astype(np.float32)
    return {
        "silence": silence(20_000),
        "white": white * 0.05,
        "pink": pink / np.abs(pink).max() * 0.3,
    }


async def test_a_minute_of_noise_and_silence_starts_no_turn(server: RunningServer) -> None:
    async with connect(f"{server.url}/v1/voice") as socket:
        await socket.recv()
        for noise in _noises().values():
            await stream(socket, noise, speed=20)
        await socket.send(json.dumps({"type": "played", "response": "none", "ms": 0}))
        kinds = []
        async for frame in socket:
            kinds.append(json.loads(frame))
            if kinds[-1]["type"] == "error":  # the answer to the last message: all audio was heard
                break
        assert [kind["type"] for kind in kinds] == ["error"], kinds


async def test_talking_over_the_reply_stops_it(server: RunningServer, audio_dir: Path) -> None:
    clip = read_clip(audio_dir / "en_librivox_0880.wav")
    async with connect(f"{server.url}/v1/voice", max_size=None) as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "config", "output": "binary", "language": "en"}))
        await socket.send("Count from one to twenty in words, please.")
        late_audio, cancelled, heard = 0, False, None
        talking: asyncio.Task[None] | None = None
        async with asyncio.timeout(60):
            async for frame in socket:
                if isinstance(frame, bytes):
                    late_audio += cancelled
                    if talking is None:
                        talking = asyncio.create_task(stream(socket, clip))
                    continue
                message = json.loads(frame)
                cancelled |= message.get("state") == "cancelled"
                if message["type"] == "heard":
                    heard = message
                if message["type"] == "transcript" and message["final"]:
                    break
        assert talking is not None
        await talking
        assert heard is not None
        assert 0 < heard["ms"] < 3000
        assert late_audio == 0


async def test_a_language_model_that_dies_is_named_and_comes_back(server: RunningServer) -> None:
    children = psutil.Process(server.process.pid).children(recursive=True)
    (model,) = [child for child in children if "llama_server" in " ".join(child.cmdline())]
    async with connect(f"{server.url}/v1/voice") as socket:
        await socket.recv()
        await socket.send("Tell me a very long story about the sea.")
        messages = await _until_receipt(socket, on_text=model.kill)
        assert [m["state"] for m in messages if m["type"] == "response"] == ["started", "failed"]
        assert [m["code"] for m in messages if m["type"] == "error"] == ["engine_crashed"]
        await socket.send("Are you there?")
        messages = await _until_receipt(socket)
        assert [m["state"] for m in messages if m["type"] == "response"] == ["started", "completed"]


async def _until_receipt(
    socket: ClientConnection, on_text: Callable[[], object] = lambda: None
) -> list[dict[str, Any]]:
    messages = []
    async with asyncio.timeout(60):
        async for frame in socket:
            messages.append(json.loads(frame))
            if messages[-1]["type"] == "text":
                on_text()
            if messages[-1]["type"] == "receipt":
                break
    return messages


def test_memory_stays_within_what_a_laptop_has(server: RunningServer) -> None:
    process = psutil.Process(server.process.pid)
    resident: dict[str, int] = {"server": process.memory_info().rss}
    for child in process.children(recursive=True):
        kind = "llm" if "llama_server" in " ".join(child.cmdline()) else "voices"
        resident[kind] = resident.get(kind, 0) + child.memory_info().rss
    megabytes = {kind: n_bytes // 2**20 for kind, n_bytes in resident.items()}
    assert megabytes["server"] + megabytes["voices"] <= 1500, megabytes
    assert megabytes["llm"] <= 800, megabytes
