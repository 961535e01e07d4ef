"""Pace and schedule, in virtual time."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from client.scripted_link import VOICE_RATE, clip, sound
from support.virtual_time import run
from vivavoce.audio.pcm import decode_s16le
from vivavoce.client.call import accompanied
from vivavoce.client.dialect import Frame
from vivavoce.client.microphone import Lag, Microphone, Spoken, prepare_clip, silence_for
from vivavoce.client.realtime_dialect import RealtimeDialect
from vivavoce.client.voice_dialect import VoiceDialect
from vivavoce.errors import InvalidRequest


def test_frames_leave_every_20_ms_whatever_sending_takes() -> None:
    times: list[float] = []
    lag = Lag()

    async def slow_now_and_then(frame: Frame) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 10:
            await asyncio.sleep(0.05)

    async def main() -> None:
        microphone = Microphone(slow_now_and_then, b"", lag)
        await accompanied(asyncio.sleep(1.001), microphone.run())

    run(main())
    assert len(times) == 50
    late = {10: 0.25, 11: 0.25}  # caught up at once, and on schedule again from then on
    due = [late.get(index, (index + 1) * 0.02) for index in range(50)]
    assert times == pytest.approx(due)
    assert lag.percentile(50) == 0.0
    assert lag.percentile(100) == pytest.approx(30.0)


def test_a_clip_is_sent_whole_and_once_between_silence() -> None:
    frames: list[bytes] = []
    dialect = VoiceDialect()
    question = clip("q", before_ms=30, voice_ms=35, after_ms=0)

    async def send(frame: Frame) -> None:
        assert isinstance(frame, bytes)
        frames.append(frame)

    async def main() -> Spoken:
        microphone = Microphone(send, silence_for(dialect), Lag())

        async def talk() -> Spoken:
            await asyncio.sleep(0.05)
            spoken = await microphone.say(question)
            await asyncio.sleep(0.05)
            return spoken

        return await accompanied(talk(), microphone.run())

    spoken = run(main())
    assert {len(frame) for frame in frames} == {640}
    heard = decode_s16le(b"".join(frames))
    voice = np.flatnonzero(heard)
    # Said from the frame that is due at 60 ms on, which holds the sound from 40 ms on.
    assert voice[0] == (40 + 30) * 16
    assert voice[-1] == (40 + 65) * 16 - 1
    assert spoken.sent_at == pytest.approx([0.06, 0.08, 0.10, 0.12])
    assert spoken.onset_at == pytest.approx(0.070)


def test_a_sound_was_made_when_its_frame_was_really_sent() -> None:
    spoken = Spoken(clip("q", before_ms=30, voice_ms=60, after_ms=30))
    spoken.sent_at = [1.02, 1.04, 1.06, 1.08, 1.13, 1.13]  # the fifth was 30 ms late
    assert spoken.onset_at == pytest.approx(1.03)
    assert spoken.end_at == pytest.approx(1.12)  # 10 ms into the fifth
    assert spoken.time_of(0.12) == pytest.approx(1.13)  # the very end


def test_clips_are_resampled_for_the_dialect() -> None:
    pcm = np.concatenate([sound(100, 0, 48_000), sound(300, 0.5, 48_000), sound(50, 0, 48_000)])
    prepared = prepare_clip("q", pcm, 48_000, RealtimeDialect())
    assert prepared.duration_s == pytest.approx(0.46)  # 450 ms in whole frames
    assert prepared.onset_s == pytest.approx(0.1)
    assert prepared.end_s == pytest.approx(0.4)


def test_silence_is_no_question() -> None:
    with pytest.raises(InvalidRequest, match=r"heard in quiet\.wav"):
        prepare_clip("quiet.wav", sound(500, 0, VOICE_RATE), VOICE_RATE, VoiceDialect())


def test_lag_without_frames_is_none() -> None:
    assert Lag().percentile(95) == 0.0
