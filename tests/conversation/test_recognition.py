from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from support.scripted import ScriptedRecognizer, speech
from support.virtual_time import in_virtual_time
from vivavoce.conversation.messages import Heard, PartialHeard, RecognitionFailed, Transcribed
from vivavoce.conversation.recognition import MAX_BACKLOG_MS, PARTIAL_SHARE, Recognition
from vivavoce.engines.interfaces import RecognitionOptions, Transcript
from vivavoce.errors import EngineFailure, Overloaded

TEXT = "one two three four five six"


@asynccontextmanager
async def recognising(
    recognizer: ScriptedRecognizer,
) -> AsyncIterator[tuple[Recognition, list[Heard]]]:
    heard: list[Heard] = []

    async def post(message: Heard) -> None:
        heard.append(message)

    recognition = Recognition("utterance", recognizer, RecognitionOptions("en"), post)
    task = asyncio.create_task(recognition.run())
    yield recognition, heard
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert recognizer.open_streams == 0


async def talk(recognition: Recognition, ms: int) -> None:
    for _ in range(ms // 20):
        recognition.push(speech(20))
        await asyncio.sleep(0.02)


@in_virtual_time
async def test_the_transcript_covers_all_audio_pushed_so_far() -> None:
    recognizer = ScriptedRecognizer(texts=(TEXT,))
    async with recognising(recognizer) as (recognition, heard):
        await talk(recognition, 300)
        recognition.finish(1)
        await asyncio.sleep(1)
        assert heard == [Transcribed("utterance", 1, Transcript(TEXT, "en", 0.9))]
    assert recognizer.heard_ms == [300]
    assert recognizer.languages == ["en"]


@in_virtual_time
async def test_going_on_after_a_pause_the_later_transcript_covers_everything_once() -> None:
    recognizer = ScriptedRecognizer(keep_audio=True)
    async with recognising(recognizer) as (recognition, heard):
        for pause in (1, 2):
            for number in range(20):
                recognition.push(np.full(512, pause * 100 + number, np.float32))
                await asyncio.sleep(0.032)
            recognition.finish(pause)
            await asyncio.sleep(0.2)
        assert [message.pause for message in heard if isinstance(message, Transcribed)] == [1, 2]
    numbers = [*range(100, 120), *range(200, 220)]
    assert recognizer.heard[1].reshape(-1, 512)[:, 0].tolist() == numbers


@in_virtual_time
async def test_speech_that_goes_on_during_a_transcription_waits_for_the_next() -> None:
    recognizer = ScriptedRecognizer(delay_ms=500)
    async with recognising(recognizer) as (recognition, heard):
        await talk(recognition, 200)
        recognition.finish(1)
        await asyncio.sleep(0)
        await talk(recognition, 200)
        recognition.finish(2)
        await asyncio.sleep(2)
        assert [message.pause for message in heard if isinstance(message, Transcribed)] == [1, 2]
    assert recognizer.heard_ms == [200, 400]


@in_virtual_time
async def test_partials_come_while_the_speaker_goes_on() -> None:
    async with recognising(ScriptedRecognizer(texts=(TEXT,), partials=True)) as (
        recognition,
        heard,
    ):
        await talk(recognition, 2200)
    partials = [message.partial for message in heard if isinstance(message, PartialHeard)]
    assert [partial.text for partial in partials] == [
        "one",
        "one two",
        "one two three",
        "one two three four",
    ]
    assert all(partial.text.startswith(partial.stable) for partial in partials)


@in_virtual_time
async def test_a_slow_recognizer_is_asked_for_fewer_partials_and_loses_nothing() -> None:
    recognizer = ScriptedRecognizer(texts=(TEXT,), partials=True, delay_ms=400)
    async with recognising(recognizer) as (recognition, heard):
        await talk(recognition, 10_000)
        n_partials = len(heard)
        recognition.finish(1)
        await asyncio.sleep(2)
    assert 0 < n_partials <= 10_000 / (400 / PARTIAL_SHARE) + 1
    assert recognizer.heard_ms == [10_000]


@in_virtual_time
async def test_a_failure_is_posted_and_ends_it() -> None:
    error = EngineFailure("deaf")
    async with recognising(ScriptedRecognizer(texts=(error,))) as (recognition, heard):
        await talk(recognition, 200)
        recognition.finish(1)
        await asyncio.sleep(1)
        recognition.finish(2)
        await asyncio.sleep(1)
        assert heard == [RecognitionFailed("utterance", error)]


@in_virtual_time
async def test_a_recognizer_that_hangs_does_not_pile_up_audio_for_ever() -> None:
    async with recognising(ScriptedRecognizer(delay_ms=3_600_000)) as (recognition, _):
        recognition.push(speech(1000))
        recognition.finish(1)
        await asyncio.sleep(0.1)
        pushed_ms = 0
        with pytest.raises(Overloaded) as caught:
            while pushed_ms < 10 * MAX_BACKLOG_MS:
                recognition.push(speech(1000))
                pushed_ms += 1000
        assert caught.value.code == "recognizer_behind"
        assert pushed_ms <= MAX_BACKLOG_MS + 1000
