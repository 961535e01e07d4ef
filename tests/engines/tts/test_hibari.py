import pickle
from functools import partial

import numpy as np
import pytest

from vivavoce.engines.interfaces import Cancellation, SpeechOptions
from vivavoce.engines.tts.hibari import Hibari
from vivavoce.errors import InvalidRequest, NotFound, TooLarge

SENTENCE = "I can help you with that today."


@pytest.fixture(scope="module")
def engine() -> Hibari:
    return Hibari()


def speak(engine: Hibari, text: str, options: SpeechOptions | None = None) -> np.ndarray:
    chunks = list(engine.synthesize(text, options or SpeechOptions(), Cancellation()))
    return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)


def test_sentence_sounds_like_speech(engine: Hibari) -> None:
    pcm = speak(engine, SENTENCE)
    assert engine.sample_rate == 24_000
    assert pcm.dtype == np.float32
    assert 1.2 < len(pcm) / 24_000 < 3
    assert 0.02 < np.sqrt(np.mean(pcm**2)) < 0.3
    assert np.abs(pcm).max() < 1


def test_silence_at_both_ends_is_short(engine: Hibari) -> None:
    pcm = speak(engine, "Well, of course,")
    audible = np.flatnonzero(np.abs(pcm) > 0.01)
    assert audible[0] / 24 <= 40
    assert (len(pcm) - audible[-1]) / 24 <= 130


def test_chunks_are_small(engine: Hibari) -> None:
    chunks = list(engine.synthesize(SENTENCE, SpeechOptions(), Cancellation()))
    assert len(chunks) > 5
    assert max(map(len, chunks)) <= 0.16 * 24_000


def test_speed_changes_the_duration(engine: Hibari) -> None:
    natural = len(speak(engine, SENTENCE))
    assert len(speak(engine, SENTENCE, SpeechOptions(speed=1.5))) < 0.8 * natural
    assert len(speak(engine, SENTENCE, SpeechOptions(speed=0.7))) > 1.2 * natural


@pytest.mark.parametrize("text", ["", "  ", "😀", "你好"])
def test_nothing_to_say_is_silence(engine: Hibari, text: str) -> None:
    assert speak(engine, text).size == 0


def test_long_text_is_spoken_whole(engine: Hibari) -> None:
    assert len(speak(engine, f"{SENTENCE} " * 12)) > 11 * len(speak(engine, SENTENCE))


def test_cancelled_stops_between_chunks(engine: Hibari) -> None:
    cancellation = Cancellation()
    chunks = engine.synthesize(SENTENCE * 20, SpeechOptions(), cancellation)
    next(chunks)
    cancellation.cancel()
    assert list(chunks) == []


@pytest.mark.parametrize(
    ("text", "options", "error"),
    [
        ("Hi.", SpeechOptions(voice="zf_xiaobei"), NotFound),
        ("Hi.", SpeechOptions(speed=0.1), InvalidRequest),
        ("Hi.", SpeechOptions(speed=float("nan")), InvalidRequest),
        ("x" * 5000, SpeechOptions(), TooLarge),
    ],
)
def test_bad_requests(
    engine: Hibari, text: str, options: SpeechOptions, error: type[Exception]
) -> None:
    with pytest.raises(error):
        speak(engine, text, options)


def test_factory_is_picklable() -> None:
    assert pickle.loads(pickle.dumps(partial(Hibari))).func is Hibari
