import pickle
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vivavoce.engines.interfaces import Cancellation, SpeechOptions
from vivavoce.engines.tts.kokoro import MAX_TOKENS, Kokoro
from vivavoce.errors import InvalidRequest, NotFound, WeightsUnavailable

SHORT = "你好，我在。"


@pytest.fixture(scope="module")
def engine(models_dir: Path) -> Kokoro:
    return Kokoro(models_dir / "kokoro-82m")


def speak(engine: Kokoro, text: str, options: SpeechOptions | None = None) -> np.ndarray:
    chunks = list(engine.synthesize(text, options or SpeechOptions(), Cancellation()))
    return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)


@pytest.mark.models
@pytest.mark.parametrize(
    ("text", "voice", "seconds"),
    [
        (SHORT, None, (0.8, 2.5)),
        ("我用 iPhone 拍照。", "zf_xiaoxiao", (1.0, 3.5)),
        ("I can help you today.", None, (0.9, 3)),
    ],
)
def test_sentence_sounds_like_speech(
    engine: Kokoro, text: str, voice: str | None, seconds: tuple[float, float]
) -> None:
    pcm = speak(engine, text, SpeechOptions(voice=voice))
    audible = np.flatnonzero(np.abs(pcm) > 0.01)
    assert engine.sample_rate == 24_000
    assert pcm.dtype == np.float32
    assert seconds[0] < len(pcm) / 24_000 < seconds[1]
    assert 0.02 < np.sqrt(np.mean(pcm**2)) < 0.3
    assert np.abs(pcm).max() < 1
    assert audible[0] / 24 <= 40
    assert (len(pcm) - audible[-1]) / 24 <= 250


@pytest.mark.models
def test_speed_changes_the_duration(engine: Kokoro) -> None:
    slow = speak(engine, SHORT, SpeechOptions(speed=0.8))
    fast = speak(engine, SHORT, SpeechOptions(speed=1.4))
    assert len(fast) < 0.8 * len(slow)


@pytest.mark.models
@pytest.mark.parametrize("text", ["", "  ", "😀"])
def test_nothing_to_say_is_silence(engine: Kokoro, text: str) -> None:
    assert speak(engine, text).size == 0


@pytest.mark.models
def test_long_text_starts_before_all_of_it_is_computed(engine: Kokoro) -> None:
    text = "今天天气很好，我们去公园散步吧。" * 8
    cancellation = Cancellation()
    chunks = engine.synthesize(text, SpeechOptions(), cancellation)
    assert next(chunks).size > 0
    cancellation.cancel()
    assert list(chunks) == []
    assert len(text) * 3 > MAX_TOKENS


@pytest.mark.models
def test_cancel_aborts_a_run(engine: Kokoro) -> None:
    cancellation = Cancellation()
    cancelled_at: list[float] = []

    def cancel() -> None:
        cancelled_at.append(time.perf_counter())
        cancellation.cancel()

    timer = threading.Timer(0.3, cancel)
    timer.start()
    text = "今天天气很好我们一起去公园散步然后回家吃饭看电影吧"
    chunks = list(engine.synthesize(text, SpeechOptions(), cancellation))
    ended_at = time.perf_counter()
    timer.join()
    assert chunks == []
    assert ended_at - cancelled_at[0] < 0.1
    assert speak(engine, SHORT).size > 0


@pytest.mark.models
@pytest.mark.parametrize(
    ("options", "error"),
    [(SpeechOptions(voice="alloy"), NotFound), (SpeechOptions(speed=9), InvalidRequest)],
)
def test_bad_requests(engine: Kokoro, options: SpeechOptions, error: type[Exception]) -> None:
    with pytest.raises(error):
        speak(engine, SHORT, options)


def test_missing_or_foreign_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"model\.onnx"):
        Kokoro(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"something else")
    with pytest.raises(WeightsUnavailable, match="not the ONNX export"):
        Kokoro(tmp_path)


def test_factory_is_picklable(tmp_path: Path) -> None:
    assert pickle.loads(pickle.dumps(partial(Kokoro, tmp_path))).args == (tmp_path,)
