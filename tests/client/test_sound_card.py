"""The devices, played by a module that looks like `sounddevice`."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from client.scripted_link import ScriptedLink, sound
from support.virtual_time import run
from vivavoce.client.call import Call, accompanied
from vivavoce.client.sound_card import CAPTURED_FRAMES, SoundCard
from vivavoce.client.voice_dialect import VoiceDialect
from vivavoce.errors import ConfigurationError

LATENCY_S = 0.05


class FakeStream:
    latency = LATENCY_S

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.running = False

    def start(self) -> None:
        self.running = True

    def close(self) -> None:
        self.running = False


class PortAudioError(Exception):
    pass


class Devices:
    """Both streams of a card, and the threads that would call it."""

    def __init__(self) -> None:
        self.streams: list[FakeStream] = []

    def module(self) -> SimpleNamespace:
        return SimpleNamespace(
            RawInputStream=self._open, OutputStream=self._open, PortAudioError=PortAudioError
        )

    def _open(self, **options: Any) -> FakeStream:
        self.streams.append(FakeStream(**options))
        return self.streams[-1]

    def record(self, data: bytes) -> None:
        self.streams[0].options["callback"](data, len(data) // 2, None, None)

    def pull(self, ms: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        out = np.full((ms * 24, 1), np.nan, np.float32)
        self.streams[1].options["callback"](out, len(out), None, None)
        return out[:, 0]


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Devices:
    devices = Devices()
    monkeypatch.setitem(sys.modules, "sounddevice", devices.module())
    return devices


def test_replies_are_played_in_order_and_silence_after_them(devices: Devices) -> None:
    async def main() -> None:
        with SoundCard(16_000) as card:
            assert all(stream.running for stream in devices.streams)
            card.play("a", sound(30, 0.1))
            card.play("a", sound(30, 0.2))
            heard = np.concatenate([devices.pull(20), devices.pull(60)])
            expected = [sound(30, 0.1), sound(30, 0.2), sound(20, 0.0)]
            np.testing.assert_array_equal(heard, np.concatenate(expected))
        assert not any(stream.running for stream in devices.streams)

    run(main())


def test_stopping_is_at_once_and_knows_what_was_heard(devices: Devices) -> None:
    async def main() -> None:
        with SoundCard(16_000) as card:
            card.play("a", sound(1000))
            assert card.ends_at == pytest.approx(1.0 + LATENCY_S)
            devices.pull(300)
            assert card.stop() == 700 * 24
            assert not devices.pull(20).any()
            assert card.heard_ms("a") == 250  # the last 50 ms are still in the device
            assert card.ends_at == 0.0
            card.play("b", sound(10))
            assert (card.heard_ms("a"), card.heard_ms("b")) == (0, 0)

    run(main())


def test_what_is_too_loud_is_clipped(devices: Devices) -> None:
    async def main() -> None:
        with SoundCard(16_000) as card:
            card.play("a", sound(10, 1.5))
            assert devices.pull(10).max() == 1.0

    run(main())


def test_what_the_microphone_hears_is_sent(devices: Devices) -> None:
    async def main() -> ScriptedLink:
        link = ScriptedLink()
        with SoundCard(16_000) as card:
            call = Call(link, VoiceDialect(), card)
            for level in (1, 2):
                devices.record(np.full(320, level, "<i2").tobytes())
            await accompanied(asyncio.sleep(0.1), card.send_to(call))
        return link

    frames = [frame for _, frame in run(main()).sent]
    assert frames == [np.full(320, level, "<i2").tobytes() for level in (1, 2)]


def test_a_stuck_connection_loses_the_oldest_audio(devices: Devices) -> None:
    async def main() -> ScriptedLink:
        link = ScriptedLink()
        with SoundCard(16_000) as card:
            for level in range(CAPTURED_FRAMES + 5):
                devices.record(np.full(1, level, "<i2").tobytes())
            await asyncio.sleep(0)  # the device's thread hands over to the loop
            call = Call(link, VoiceDialect(), card)
            await accompanied(asyncio.sleep(0.1), card.send_to(call))
        return link

    frames = [frame for _, frame in run(main()).sent]
    assert len(frames) == CAPTURED_FRAMES
    assert frames[0] == np.array([5], "<i2").tobytes()


def test_playback_is_reported_while_it_lasts(devices: Devices) -> None:
    async def main() -> ScriptedLink:
        link = ScriptedLink()
        with SoundCard(16_000) as card:
            call = Call(link, VoiceDialect(), card)
            link.say(type="response", id="a", state="started")
            link.play(sound(2000))

            async def listener() -> None:
                await asyncio.sleep(0.1)
                devices.pull(450)
                await asyncio.sleep(0.5)
                devices.pull(1550)
                await asyncio.sleep(2)

            await accompanied(listener(), call.listen(), call.report_playback())
        return link

    ((reported_at, report),) = run(main()).sent_messages("played")
    assert reported_at == pytest.approx(0.5)
    assert report["ms"] == 400


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigurationError, match=r'pip install "vivavoce\[mic\]"'):
        run(_open_card())


def test_without_the_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ConfigurationError, match="libportaudio2"):
        run(_open_card())


def test_without_a_device_the_error_says_so(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_device(**options: Any) -> None:
        raise PortAudioError("Error querying device -1")

    monkeypatch.setattr(sys.modules["sounddevice"], "OutputStream", no_device)
    with pytest.raises(ConfigurationError, match="cannot be opened: Error querying device -1"):
        run(_open_card())


async def _open_card() -> None:
    SoundCard(16_000)
