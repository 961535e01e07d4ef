from __future__ import annotations

import numpy as np
import pytest

from support.scripted import ScriptedVad, silence, speech
from support.virtual_time import in_virtual_time
from vivavoce.conversation.ear import Ear
from vivavoce.engines.interfaces import Pcm
from vivavoce.errors import EngineFailure, InvalidRequest


async def opened(vad: ScriptedVad | None = None) -> Ear:
    ear = Ear(vad or ScriptedVad())
    await ear.open()
    return ear


@in_virtual_time
async def test_audio_in_any_pieces_becomes_whole_frames_without_loss() -> None:
    ear = await opened()
    audio = np.linspace(0, 1, 16_000, dtype=np.float32)
    heard: list[Pcm] = []
    start = 0
    for size in (1, 511, 513, 100, 3000, 0, 7000, 4875):
        frames = await ear.listen(audio[start : start + size], 16_000)
        heard += [frame.pcm for frame in frames]
        start += size
    assert start == 16_000
    assert all(len(pcm) == 512 for pcm in heard)
    np.testing.assert_array_equal(np.concatenate(heard), audio[: 31 * 512])


@in_virtual_time
async def test_each_frame_has_its_own_probability() -> None:
    ear = await opened()
    frames = await ear.listen(np.concatenate((silence(64), speech(64), silence(32))), 16_000)
    assert [frame.probability > 0.5 for frame in frames] == [False, False, True, True, False]
    assert [frame.ms for frame in frames] == [32] * 5


@pytest.mark.parametrize("rate", [8000, 24_000, 48_000])
@in_virtual_time
async def test_any_rate_becomes_16_kilohertz(rate: int) -> None:
    ear = await opened()
    frames = [frame for _ in range(50) for frame in await ear.listen(speech(20, rate), rate)]
    assert sum(frame.ms for frame in frames) == pytest.approx(1000, abs=64)


@in_virtual_time
async def test_frames_do_not_keep_long_audio_alive() -> None:
    ear = await opened()
    (frame, *_) = await ear.listen(silence(1000), 16_000)
    root = frame.pcm
    while isinstance(root.base, np.ndarray):
        root = root.base
    assert root.nbytes <= 16_000 * 4 + 512 * 4


@in_virtual_time
async def test_a_detector_that_failed_goes_on_in_step() -> None:
    vad = ScriptedVad()
    ear = await opened(vad)
    await ear.listen(silence(20), 16_000)
    vad.failure = EngineFailure("no")
    with pytest.raises(EngineFailure):
        await ear.listen(silence(50), 16_000)
    vad.failure = None
    frames = await ear.listen(speech(640), 16_000)
    assert len(frames) == 20
    assert all(len(frame.pcm) == 512 for frame in frames)


@in_virtual_time
async def test_impossible_audio_is_refused() -> None:
    ear = await opened()
    with pytest.raises(InvalidRequest):
        await ear.listen(np.full(512, np.nan, np.float32), 16_000)
    with pytest.raises(InvalidRequest):
        await ear.listen(silence(20), 1)


@in_virtual_time
async def test_it_gives_its_stream_back() -> None:
    vad = ScriptedVad()
    ear = await opened(vad)
    ear.close()
    assert vad.open_streams == 0


def test_an_ear_that_was_never_opened_says_so() -> None:
    ear = Ear(ScriptedVad())
    ear.close()
    with pytest.raises(RuntimeError, match="open"):
        _ = ear.frame_ms
