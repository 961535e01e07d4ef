"""Chinese and mixed speech from Kokoro-82M (ONNX, int8), with voices that lie beside this file."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

from vivavoce.engines.interfaces import Cancellation, Pcm, SpeechOptions, Voice
from vivavoce.engines.tts.checks import require_speakable
from vivavoce.engines.tts.phonemes import Phonemizer, split_phonemes
from vivavoce.engines.tts.silence import chunks, pause_after, trimmed
from vivavoce.errors import EngineFailure, WeightsUnavailable
from vivavoce.text.language import language_of

MAX_TOKENS = 180
"""Phonemes a run: the model takes 509, but memory and the wait for the audio grow with them."""

_VOICES = (
    Voice("zf_xiaobei", ("zh", "en"), "Mandarin, female"),
    Voice("zf_xiaoxiao", ("zh", "en"), "Mandarin, female"),
    Voice("af_heart", ("en",), "American English, female"),
)
_DEFAULT_VOICES = {"zh": "zf_xiaobei", "en": "af_heart"}
_SPEED_INPUT = b"\n\x05speed\x12\n\n\x08\x08\x01\x12\x04\n\x02"
_OF_ONE, _OF_ANY = b"\x08\x01", b"\x12\x00"
_TRAILING_HASTE = 2.0
_TONES = "→↗↓↘"
_TAIL = re.compile(rf"[{_TONES}]?[^\w{_TONES}]*$")


class Kokoro:
    """Synthesizer of Chinese, mixed and English text at 24 kHz; slow: one core barely keeps up.

    folder: holds model.onnx and vocab.json. threads: for the matrix products.
    Raises WeightsUnavailable when the folder does not hold the expected model.
    """

    sample_rate: int = 24_000

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._session = _open(folder / "model.onnx", threads)
        self._vocabulary: dict[str, int] = json.loads(_read(folder / "vocab.json"))["vocab"]
        self._styles = {voice.id: _style(voice.id) for voice in _VOICES}
        self._phonemes = Phonemizer()
        self._run("xau↓.", "zf_xiaobei", 1.0, Cancellation())

    def voices(self) -> Sequence[Voice]:
        return _VOICES

    def synthesize(
        self, text: str, options: SpeechOptions, cancellation: Cancellation
    ) -> Iterator[Pcm]:
        """Speak `text`, run by run, in chunks of 160 ms; cancelling aborts a run in some 15 ms.

        Raises TooLarge, InvalidRequest or NotFound for what it cannot speak.
        """
        require_speakable(text, options, _VOICES)
        voice = options.voice or _DEFAULT_VOICES[language_of(text, "zh")]
        known = "".join(c for c in self._phonemes(text) if c in self._vocabulary)
        for phonemes in split_phonemes(known, MAX_TOKENS):
            pcm = self._run(phonemes, voice, options.speed, cancellation)
            speech = trimmed(pcm, self.sample_rate, pause_after(phonemes))
            yield from chunks(speech, self.sample_rate, cancellation)

    def _run(self, phonemes: str, voice: str, speed: float, cancellation: Cancellation) -> Pcm:
        """The waveform of one run; empty once cancelled."""
        tokens = [0, *(self._vocabulary[c] for c in phonemes), 0]
        inputs = {
            "tokens": np.array([tokens], np.int64),
            "style": self._styles[voice][len(phonemes) - 1][None],
            "speed": _speeds(phonemes, speed),
        }
        run = ort.RunOptions()
        run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        cancellation.on_cancel(lambda: setattr(run, "terminate", True))
        try:
            audio: Pcm = self._session.run(["audio"], inputs, run)[0]
        except (Fail, RuntimeException) as error:
            if cancellation.cancelled:
                return np.zeros(0, np.float32)
            raise EngineFailure(f"Kokoro failed on {len(tokens)} tokens: {error}") from error
        return audio.ravel()


def _speeds(phonemes: str, speed: float) -> NDArray[np.float32]:
    """The speed of every token: the silence at the end, which is cut off later, is hurried through.

    The model draws out the last tone and the full stop to a second. The pad that opens is as long
    in vain, but the first syllable is swallowed when it is shortened.
    """
    speeds = np.full(len(phonemes) + 2, speed, np.float32)
    tail = _TAIL.search(phonemes)
    n_tail = len(tail.group()) if tail else 0
    speeds[len(speeds) - 1 - n_tail :] *= _TRAILING_HASTE
    return speeds


def _open(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        model.write_bytes(_with_speed_per_token(_read(path), path))  # a path: bytes would be kept
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _with_speed_per_token(model: bytes, path: Path) -> bytes:
    """`model` with the input `speed` of any length instead of one.

    The graph divides durations [1, n] by `speed`, so it takes one for each token just as well; only
    the declared shape forbids it. The change is of two bytes and keeps the length.
    """
    if model.count(_SPEED_INPUT + _OF_ONE) != 1:
        raise WeightsUnavailable(f"{path} is not the ONNX export of Kokoro v1.0 with one speed")
    return model.replace(_SPEED_INPUT + _OF_ONE, _SPEED_INPUT + _OF_ANY)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsUnavailable(
            f"cannot read {path}: {error.strerror}; fetch the model kokoro-82m"
        ) from error


def _style(voice: str) -> NDArray[np.float32]:
    """Style vectors of a voice, float32 [510, 256]: one for each number of phonemes."""
    data = (files("vivavoce.engines.tts") / "voices" / f"{voice}.bin").read_bytes()
    return np.frombuffer(data, np.float32).reshape(-1, 256)
