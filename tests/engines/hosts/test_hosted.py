"""The engines as the conversation sees them, on both kinds of host."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from engines.hosts.rig import Gate, MakeHost, Watcher
from engines.hosts.scripted import ScriptedRecognizer, ScriptedSynthesizer, ScriptedVad
from vivavoce.engines.hosts.base import HostLimits, HostState
from vivavoce.engines.hosts.hosted import HostRecognizer, HostSynthesizer, HostVad
from vivavoce.engines.interfaces import (
    HostedRecognizer,
    HostedSynthesizer,
    HostedVad,
    Partial,
    Pcm,
    Priority,
    RecognitionOptions,
    ServiceClass,
    SpeechOptions,
    Transcript,
    Voice,
    Word,
)
from vivavoce.errors import EngineCrashed, EngineTimeout

ENGLISH = RecognitionOptions("en")


def say(text: str) -> Pcm:
    return np.array([ord(letter) for letter in text], np.float32)


async def test_voice_activity(make: MakeHost, kind: str) -> None:
    vad = await HostVad.start(make(kind, ScriptedVad))
    hosted: HostedVad = vad
    one, two = await hosted.open(), await hosted.open()
    assert one.frame_ms == 32
    assert await one.process(np.zeros(512, np.float32)) == [0.512]
    assert await two.process(np.zeros(160, np.float32)) == [0.16]
    assert await one.process(np.zeros(512, np.float32)) == [1.024]
    one.close()
    two.close()


async def test_voice_activity_begins_afresh_after_a_restart(make: MakeHost) -> None:
    vad = await HostVad.start(make("process", ScriptedVad), open_ms=5_000)
    stream = await vad.open()
    assert await stream.process(np.zeros(512, np.float32)) == [0.512]
    with pytest.raises(EngineCrashed):
        await vad.host.call("die", timeout_ms=5_000)
    assert await stream.process(np.zeros(160, np.float32)) == [0.16]
    stream.close()


async def test_recognition(make: MakeHost, kind: str) -> None:
    recognizer = await HostRecognizer.start(make(kind, ScriptedRecognizer))
    hosted: HostedRecognizer = recognizer
    stream = await hosted.open(ENGLISH)
    assert stream.partial_interval_ms == 500
    assert await stream.feed(say("ab")) == Partial("ab", "a")
    assert await stream.finish(say("c")) == Transcript("abc", "en", 0.5, (Word("abc", 0, 1),))
    assert await stream.feed(say("d")) == Partial("abcd", "abc")
    assert (await stream.finish(say(""))).text == "abcd"
    assert await hosted.transcribe(say("xyz"), ENGLISH) == Transcript("3 samples", "en")
    stream.close()


async def test_each_call_has_its_class(make: MakeHost, watcher: Watcher) -> None:
    recognizer = await HostRecognizer.start(make("thread", ScriptedRecognizer))
    stream = await recognizer.open(ENGLISH)
    n = len(watcher.waits)
    await stream.feed(say("a"))
    await stream.finish(say("b"))
    await recognizer.transcribe(say("c"), ENGLISH)
    assert [service_class for service_class, _ in watcher.waits[n:]] == [
        ServiceClass.PARTIAL,
        ServiceClass.FINAL,
        ServiceClass.BATCH,
    ]


async def test_a_refused_partial_costs_no_audio(
    make: MakeHost, kind: str, gate: Gate, watcher: Watcher
) -> None:
    recognizer = await HostRecognizer.start(make(kind, ScriptedRecognizer, HostLimits(queue=1)))
    held = await recognizer.open(RecognitionOptions(prompt=gate.path))
    streams = [await recognizer.open(ENGLISH) for _ in range(2)]
    n = len(watcher.depths)
    busy = asyncio.create_task(held.feed(say("z")))
    await watcher.until(lambda w: len(w.depths) == n + 1)
    partial = asyncio.create_task(streams[0].feed(say("ab")))
    await watcher.until(lambda w: len(w.depths) == n + 2)
    assert await streams[1].feed(say("12")) is None, "there is no room for it"
    gate.let_pass()
    await busy
    assert await partial == Partial("ab", "a")
    assert (await streams[1].finish(say("3"))).text == "123"


async def test_a_final_overtakes_the_partial_that_waits(
    make: MakeHost, kind: str, gate: Gate, watcher: Watcher
) -> None:
    recognizer = await HostRecognizer.start(make(kind, ScriptedRecognizer))
    held = await recognizer.open(RecognitionOptions(prompt=gate.path))
    stream = await recognizer.open(ENGLISH)
    n = len(watcher.depths)
    busy = asyncio.create_task(held.feed(say("z")))
    await watcher.until(lambda w: len(w.depths) == n + 1)
    partial = asyncio.create_task(stream.feed(say("ab")))
    await watcher.until(lambda w: len(w.depths) == n + 2)
    final = asyncio.create_task(stream.finish(say("c")))
    await watcher.until(lambda w: len(w.depths) == n + 3)
    gate.let_pass()
    await busy
    assert await partial is None
    assert await final == Transcript("abc", "en", 0.5, (Word("abc", 0, 0),)), "no feed was run"


async def test_a_cancelled_partial_that_waited_costs_no_audio(
    make: MakeHost, kind: str, gate: Gate, watcher: Watcher
) -> None:
    recognizer = await HostRecognizer.start(make(kind, ScriptedRecognizer))
    held = await recognizer.open(RecognitionOptions(prompt=gate.path))
    stream = await recognizer.open(ENGLISH)
    n = len(watcher.depths)
    busy = asyncio.create_task(held.feed(say("z")))
    await watcher.until(lambda w: len(w.depths) == n + 1)
    partial = asyncio.create_task(stream.feed(say("ab")))
    await watcher.until(lambda w: len(w.depths) == n + 2)
    partial.cancel()
    gate.let_pass()
    await busy
    assert (await stream.finish(say("c"))).text == "abc"


async def test_audio_that_waits_too_long_is_an_error(
    make: MakeHost, gate: Gate, watcher: Watcher
) -> None:
    host = make("thread", ScriptedRecognizer)
    recognizer = await HostRecognizer.start(host, replay_ms=1, feed_ms=20)
    held = await recognizer.open(RecognitionOptions(prompt=gate.path))
    stream = await recognizer.open(ENGLISH)
    n = len(watcher.depths)
    busy = asyncio.create_task(held.feed(say("z")))
    await watcher.until(lambda w: len(w.depths) == n + 1)
    assert await stream.feed(say("x" * 10)) is None
    with pytest.raises(EngineTimeout, match="it could not begin"):
        await stream.feed(say("x" * 10))
    gate.let_pass()
    with pytest.raises(EngineTimeout, match="no result within 20 ms"):
        await busy


async def test_an_utterance_survives_the_death_of_its_engine(make: MakeHost) -> None:
    recognizer = await HostRecognizer.start(make("process", ScriptedRecognizer), open_ms=5_000)
    stream = await recognizer.open(ENGLISH)
    assert await stream.feed(say("ab")) == Partial("ab", "a")
    with pytest.raises(EngineCrashed):
        await recognizer.host.call("die", timeout_ms=5_000)
    assert await stream.feed(say("c")) == Partial("abc", "ab")
    with pytest.raises(EngineCrashed):
        await recognizer.host.call("die", timeout_ms=5_000)
    assert (await stream.finish(say("d"))).text == "abcd"
    stream.close()


async def test_an_utterance_that_kills_its_engine_is_tried_twice_and_no_more(
    make: MakeHost, watcher: Watcher
) -> None:
    recognizer = await HostRecognizer.start(make("process", ScriptedRecognizer))
    stream = await recognizer.open(ENGLISH)
    with pytest.raises(EngineCrashed, match=r"scripted\.finish: .*exited with code 3"):
        await stream.finish(say("!"))
    assert watcher.states.count(HostState.RESTARTING) == 2


async def test_an_utterance_too_long_to_keep_is_lost_with_its_engine(make: MakeHost) -> None:
    host = make("process", ScriptedRecognizer)
    recognizer = await HostRecognizer.start(host, replay_ms=1)
    stream = await recognizer.open(ENGLISH)
    await stream.feed(say("x" * 17))
    with pytest.raises(EngineCrashed):
        await host.call("die", timeout_ms=5_000)
    with pytest.raises(EngineCrashed, match="too long to be repeated"):
        await stream.finish(say("y"))


async def test_synthesis(make: MakeHost, kind: str) -> None:
    synthesizer = await HostSynthesizer.start(make(kind, ScriptedSynthesizer))
    hosted: HostedSynthesizer = synthesizer
    assert hosted.sample_rate == 24_000
    assert list(hosted.voices()) == [
        Voice("low", ("en", "zh"), "a low voice"),
        Voice("high", ("zh",)),
    ]
    priority = Priority(ServiceClass.FIRST_CLAUSE)
    chunks = hosted.synthesize("你a", SpeechOptions(speed=2.0), priority)
    levels = [(len(chunk), float(chunk[0])) async for chunk in chunks]
    assert levels == [(240, 2.0 * ord("你")), (240, 2.0 * ord("a"))]


async def test_synthesis_ends_when_its_iterator_is_closed(make: MakeHost, kind: str) -> None:
    synthesizer = await HostSynthesizer.start(make(kind, ScriptedSynthesizer))
    priority = Priority(ServiceClass.CLAUSE, synthesizer.host.now_ms())
    async with aclosing(synthesizer.synthesize("x" * 100_000, SpeechOptions(), priority)) as chunks:
        await anext(chunks)
    assert list(await synthesizer.host.call("voices", timeout_ms=1_000))
