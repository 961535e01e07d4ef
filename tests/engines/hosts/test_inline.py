import asyncio

import numpy as np
import pytest

from vivavoce.engines.hosts.inline import BLOCK_FRAMES, InlineVad
from vivavoce.engines.interfaces import Pcm
from vivavoce.errors import EngineFailure

FRAME = 512


class Loudness:
    """A detector whose probability is the loudest sample; it fails on a negative one."""

    frame_samples = FRAME

    def __init__(self) -> None:
        self.rest = np.zeros(0, np.float32)
        self.blocks: list[int] = []

    def open(self) -> "Loudness":
        return self

    def process(self, pcm: Pcm) -> list[float]:
        if (pcm < 0).any():
            raise ValueError("too quiet")
        self.blocks.append(len(pcm))
        audio = np.concatenate((self.rest, pcm))
        n_frames = len(audio) // FRAME
        self.rest = audio[n_frames * FRAME :]
        return [float(frame.max()) for frame in audio[: n_frames * FRAME].reshape(-1, FRAME)]


async def test_frames_come_in_order_whatever_the_pieces() -> None:
    pcm = np.linspace(0, 1, 20 * FRAME + 100, dtype=np.float32)
    whole = await (await (await InlineVad.start(Loudness)).open()).process(pcm)
    stream = await (await InlineVad.start(Loudness)).open()
    pieces = [
        p for start in range(0, len(pcm), 333) for p in await stream.process(pcm[start:][:333])
    ]
    assert whole == pieces
    assert len(whole) == 20
    assert stream.frame_ms == 32


async def test_a_long_piece_lets_others_run_in_between() -> None:
    detector = Loudness()
    stream = await (await InlineVad.start(lambda: detector)).open()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await stream.process(np.zeros(10 * BLOCK_FRAMES * FRAME, np.float32))
    counting.cancel()
    assert turns >= 9
    assert max(detector.blocks) == BLOCK_FRAMES * FRAME


async def test_a_failure_is_named_and_the_stream_goes_on() -> None:
    stream = await (await InlineVad.start(Loudness)).open()
    with pytest.raises(EngineFailure, match="ValueError: too quiet"):
        await stream.process(np.full(FRAME, -1, np.float32))
    assert await stream.process(np.full(FRAME, 0.5, np.float32)) == [0.5]
