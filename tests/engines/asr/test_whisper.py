from __future__ import annotations

import csv
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from pickle import dumps, loads
from typing import NamedTuple

import jiwer
import numpy as np
import pytest

from vivavoce.audio.pcm import Pcm
from vivavoce.audio.wav import read_wav
from vivavoce.engines.asr.whisper import Whisper
from vivavoce.engines.interfaces import SAMPLE_RATE, RecognitionOptions, Transcript
from vivavoce.errors import InvalidRequest, WeightsUnavailable

ENGLISH = RecognitionOptions(language="en")
NOTHING = np.zeros(0, np.float32)


class Clip(NamedTuple):
    language: str
    text: str
    pcm: Pcm


@pytest.fixture(scope="module")
def whisper(models_dir: Path) -> Whisper:
    # As a host builds it: from a factory that went through pickle.
    built = loads(dumps(partial(Whisper, models_dir / "whisper-base", inter_threads=2)))()
    assert isinstance(built, Whisper)
    return built


@pytest.fixture(scope="module")
def clips(audio_dir: Path) -> dict[str, Clip]:
    with (audio_dir / "manifest.tsv").open(encoding="utf-8") as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t"))
    return {
        row["file"].removesuffix(".wav"): Clip(
            row["language"], row["text"], read_wav(audio_dir / row["file"], SAMPLE_RATE)[0]
        )
        for row in rows
    }


def _words(text: str) -> str:
    return " ".join(re.findall(r"[\w']+", text.lower())).replace("mr ", "mister ")


def _characters(text: str) -> str:
    return "".join(re.findall(r"[\u4e00-\u9fff]", text))


def _in_one_piece(whisper: Whisper, clip: Clip) -> Transcript:
    return whisper.transcribe(clip.pcm, RecognitionOptions(language=clip.language))


def _as_spoken(whisper: Whisper, clip: Clip) -> Transcript:
    stream = whisper.open(RecognitionOptions(language=clip.language))
    for start in range(0, len(clip.pcm), SAMPLE_RATE // 10):
        heard = stream.feed(clip.pcm[start : start + SAMPLE_RATE // 10])
        assert heard is None or heard.text.startswith(heard.stable)
    return stream.finish(NOTHING)


@pytest.mark.models
@pytest.mark.timeout(400)
@pytest.mark.parametrize("recognise", [_in_one_piece, _as_spoken])
def test_error_rates(
    whisper: Whisper, clips: dict[str, Clip], recognise: Callable[[Whisper, Clip], Transcript]
) -> None:
    english = [clip for clip in clips.values() if clip.language == "en"]
    chinese = [clip for clip in clips.values() if clip.language == "zh"]
    assert len(english) == 12
    assert len(chinese) == 2
    word_errors = jiwer.wer(
        [_words(clip.text) for clip in english],
        [_words(recognise(whisper, clip).text) for clip in english],
    )
    character_errors = jiwer.cer(
        [_characters(clip.text) for clip in chinese],
        [_characters(recognise(whisper, clip).text) for clip in chinese],
    )
    assert word_errors <= 0.12
    assert character_errors <= 0.25


@pytest.mark.models
@pytest.mark.parametrize("name", ["en_librivox_0880", "en_lj001_0008", "zh_funasr_example"])
def test_the_language_is_detected(whisper: Whisper, clips: dict[str, Clip], name: str) -> None:
    transcript = whisper.transcribe(clips[name].pcm, RecognitionOptions())
    assert transcript.language == clips[name].language
    assert transcript.confidence is not None
    assert 0.4 < transcript.confidence <= 1


@pytest.mark.models
def test_detection_keeps_to_the_configured_languages(
    models_dir: Path, clips: dict[str, Clip]
) -> None:
    whisper = Whisper(models_dir / "whisper-base", languages=("zh", "ja"))
    heard = whisper.transcribe(clips["en_librivox_0880"].pcm, RecognitionOptions())
    assert heard.language in {"zh", "ja"}


@pytest.mark.models
def test_hot_words_are_recognised(whisper: Whisper, clips: dict[str, Clip]) -> None:
    pcm = clips["zh_aishell_0121"].pcm
    hot = RecognitionOptions(language="zh", hot_words=("房地产", "中介协会"))
    assert "房地产" not in whisper.transcribe(pcm, RecognitionOptions(language="zh")).text
    assert "房地产" in whisper.transcribe(pcm, hot).text


@pytest.mark.models
@pytest.mark.parametrize("language", ["en", "zh", None])
@pytest.mark.parametrize("level", [0.0, 0.003, 0.1])
def test_noise_says_nothing(whisper: Whisper, language: str | None, level: float) -> None:
    noise = level * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE)
    options = RecognitionOptions(language=language)
    assert whisper.transcribe(noise.astype(np.float32), options).text == ""


@pytest.mark.models
@pytest.mark.parametrize("n_samples", [0, 1, 1_599])
def test_less_than_100_ms_says_nothing(whisper: Whisper, n_samples: int) -> None:
    loud = np.full(n_samples, 0.5, np.float32)
    assert whisper.transcribe(loud, ENGLISH) == Transcript("")
    assert whisper.open(ENGLISH).finish(loud) == Transcript("")


@pytest.mark.models
def test_a_long_recording_is_transcribed_whole(whisper: Whisper, clips: dict[str, Clip]) -> None:
    english = [clip for clip in clips.values() if clip.language == "en"]
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    pcm = np.concatenate([part for clip in english for part in (clip.pcm, pause)])
    assert len(pcm) > 60 * SAMPLE_RATE
    transcript = whisper.transcribe(pcm, ENGLISH)
    spoken = " ".join(_words(clip.text) for clip in english)
    assert jiwer.wer(spoken, _words(transcript.text)) <= 0.12


@pytest.mark.models
def test_speakers_in_parallel_do_not_mix(whisper: Whisper, clips: dict[str, Clip]) -> None:
    chosen = [clips[name] for name in ("en_lj001_0002", "zh_aishell_0121", "en_librivox_0930")]
    alone = [_in_one_piece(whisper, clip) for clip in chosen]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(partial(_in_one_piece, whisper), chosen * 2))
    assert together == alone * 2


@pytest.mark.models
@pytest.mark.parametrize("language", ["xx", "zh-CN", "Chinese", "", "transcribe"])
def test_an_unknown_language_is_named(whisper: Whisper, language: str) -> None:
    options = RecognitionOptions(language=language)
    with pytest.raises(InvalidRequest, match=re.escape(repr(language))):
        whisper.open(options)
    with pytest.raises(InvalidRequest, match=re.escape(repr(language))):
        whisper.transcribe(NOTHING, options)


@pytest.mark.models
def test_what_is_no_number_is_refused(whisper: Whisper) -> None:
    with pytest.raises(InvalidRequest, match="inf"):
        whisper.transcribe(np.array([0.0, np.inf], np.float32), ENGLISH)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"model\.bin"):
        Whisper(tmp_path)
