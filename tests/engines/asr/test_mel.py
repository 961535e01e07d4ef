from __future__ import annotations

import numpy as np
import pytest

from vivavoce.engines.asr.mel import FULL_WINDOW_FRAMES, log_mel
from vivavoce.engines.interfaces import SAMPLE_RATE, Pcm


def _tone(hz: float, seconds: float) -> Pcm:
    n_samples = int(seconds * SAMPLE_RATE)
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(n_samples) / SAMPLE_RATE)).astype(np.float32)


def test_the_shape_is_that_of_the_longest_demand() -> None:
    assert log_mel(_tone(440, 1), 80, 600, 100).shape == (80, 600)
    assert log_mel(_tone(440, 8), 128, 600, 100).shape[0] == 128
    assert 900 <= log_mel(_tone(440, 8), 80, 600, 100).shape[1] <= 903
    assert log_mel(_tone(440, 31), 80, 600, 100).shape == (80, FULL_WINDOW_FRAMES)


@pytest.mark.parametrize("hz", [200, 1000, 4000])
def test_a_tone_lights_up_its_own_band(hz: float) -> None:
    # Slaney's scale: 200/3 Hz a mel up to 1 kHz, then 27 mel for a factor of 6.4.
    def mel(frequency: float) -> float:
        if frequency < 1000:
            return frequency * 3 / 200
        return float(15 + np.log(frequency / 1000) * 27 / np.log(6.4))

    expected = mel(hz) / mel(8000) * 81 - 1
    window = log_mel(_tone(hz, 1), 80, 300, 60)
    assert abs(int(window[:, 50].argmax()) - expected) <= 1


def test_levels_span_eight_decades_at_most() -> None:
    window = log_mel(_tone(440, 1), 80, 300, 60)
    assert window.dtype == np.float32
    assert window.max() - window.min() == pytest.approx(2.0)
    assert np.all(window[:, 150:] == window.min())  # the silence after it


def test_the_gain_shifts_the_levels_and_nothing_else() -> None:
    loud, soft = (log_mel(gain * _tone(440, 1), 80, 300, 60) for gain in (1.0, 0.1))
    assert np.allclose(loud - soft, 0.5, atol=1e-3)
