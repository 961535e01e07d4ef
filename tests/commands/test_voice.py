"""`vivavoce voice` as a person types it, against the real server with scripted engines."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from client.scripted_link import VOICE_RATE, sound
from commands.shell import LEAD_MS, audible_script, type_in, write_question
from support.server import serving
from vivavoce.audio.wav import read_wav, write_wav
from vivavoce.client.link import open_link
from vivavoce.commands.voice import voice_command
from vivavoce.engines.interfaces import TextDelta
from vivavoce.errors import EngineFailure

app = typer.Typer()
app.command()(voice_command)


async def test_a_file_is_answered_and_the_reply_saved(tmp_path: Path) -> None:
    script = audible_script("What is new?")
    script.chat.replies = ("Nothing much. And you?",)
    question = write_question(tmp_path / "question.wav", sample_rate=44_100)
    async with serving(script) as server:
        result = await type_in(
            app, question, "--url", server.url(), "--out", tmp_path / "out.wav", "--language", "en"
        )
    assert result.exit_code == 0, result.output
    assert "you: What is new?\n" in result.output
    assert "vivi: Nothing much. And you?\n" in result.output
    assert "speech_end 0" in result.output
    assert script.recognizer.languages == ["en"]
    pcm, rate = read_wav(tmp_path / "out.wav")
    assert rate == 24_000
    spoken_ms = sum(len(text) * 50 + LEAD_MS for text in script.voice.texts)
    assert len(pcm) == spoken_ms * 24
    assert np.abs(pcm).max() > 0.09


async def test_speech_that_is_interrupted_is_saved_as_far_as_it_was_heard(tmp_path: Path) -> None:
    """One file with two turns, the second over the reply to the first."""
    script = audible_script("First.", "Second.")
    script.chat.replies = ("A reply that goes on and on, for quite a while.", "Done.")
    pause = sound(1500, 0, VOICE_RATE)
    turn = sound(500, 0.5, VOICE_RATE)
    file = tmp_path / "two.wav"
    write_wav(file, np.concatenate([turn, pause, turn]), VOICE_RATE)
    async with serving(script, turn={"silence_ms": 300}) as server:
        result = await type_in(app, file, "--url", server.url(), "--out", tmp_path / "out.wav")
    assert result.exit_code == 0, result.output
    assert "you: First." in result.output
    assert "vivi: Done.\n" in result.output
    pcm, _ = read_wav(tmp_path / "out.wav")
    last_ms = len("Done.") * 50 + LEAD_MS
    assert last_ms + 100 < len(pcm) / 24 < last_ms + 2000


async def test_a_failed_reply_is_said_to_have_failed(tmp_path: Path) -> None:
    script = audible_script()
    script.chat.replies = ([EngineFailure("The model is gone.")],)
    question = write_question(tmp_path / "question.wav")
    async with serving(script) as server:
        result = await type_in(app, question, "--url", server.url(), "--out", tmp_path / "out.wav")
    assert result.exit_code == 1
    assert result.output.count("The model is gone.") == 1
    assert not (tmp_path / "out.wav").exists()


async def test_words_that_are_not_understood_get_no_reply(tmp_path: Path) -> None:
    question = write_question(tmp_path / "question.wav")
    async with serving(audible_script("")) as server:
        result = await type_in(app, question, "--url", server.url())
    assert result.exit_code == 1
    assert "understood no words in" in result.output


async def test_noise_below_speech_is_no_turn(tmp_path: Path) -> None:
    file = tmp_path / "murmur.wav"
    write_wav(file, sound(500, 0.05, VOICE_RATE), VOICE_RATE)
    async with serving() as server:
        result = await type_in(app, file, "--url", server.url())
    assert result.exit_code == 1
    assert f"heard no speech in {file}" in result.output


async def test_a_refused_key(tmp_path: Path) -> None:
    question = write_question(tmp_path / "question.wav")
    async with serving(api_keys="right") as server:
        result = await type_in(app, question, "--url", server.url(), "--api-key", "wrong")
    assert result.exit_code == 1
    assert "not one that this server knows" in result.output


async def test_a_full_server(tmp_path: Path) -> None:
    question = write_question(tmp_path / "question.wav")
    async with serving(limit={"sessions": 1}) as server, open_link(server.url("/v1/voice")) as link:
        await link.receive()
        result = await type_in(app, question, "--url", server.url())
    assert result.exit_code == 1
    assert result.output.count("The server is full") == 1


async def test_a_reply_that_cannot_be_saved_is_still_shown(tmp_path: Path) -> None:
    question = write_question(tmp_path / "question.wav")
    async with serving(audible_script()) as server:
        result = await type_in(
            app, question, "--url", server.url(), "--out", tmp_path / "no" / "out.wav"
        )
    assert result.exit_code == 1
    assert "vivi: Hi! How are you today?" in result.output
    assert f"{tmp_path}/no/out.wav cannot be written: No such file" in result.output


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot be read: No such file"), (b"not a WAV at all", "is not a readable WAV file")],
)
async def test_a_file_that_is_no_recording(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    file = tmp_path / "x.wav"
    if content is not None:
        file.write_bytes(content)
    result = await type_in(app, file)
    assert result.exit_code == 1
    assert f"{file} {complaint}" in result.output


async def test_no_server(tmp_path: Path) -> None:
    question = write_question(tmp_path / "question.wav")
    result = await type_in(app, question, "--url", "ws://127.0.0.1:1")
    assert result.exit_code == 1
    assert "No server answers at ws://127.0.0.1:1/v1/voice" in result.output


async def test_the_microphone_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = await type_in(app, "--mic")
    assert result.exit_code == 1
    assert 'pip install "vivavoce[mic]"' in result.output


@pytest.mark.parametrize("arguments", [(), ("question.wav", "--mic")])
async def test_either_a_file_or_the_microphone(arguments: tuple[str, ...]) -> None:
    result = await type_in(app, *arguments)
    assert result.exit_code == 2
    assert "give a WAV file to say, or --mic" in result.output


async def test_ctrl_c_ends_the_call_and_keeps_the_reply_so_far(tmp_path: Path) -> None:
    script = audible_script()
    script.chat.replies = ([TextDelta("Well. "), TextDelta("Let me think."), 60_000],)
    question = write_question(tmp_path / "question.wav")
    async with serving(script) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "vivavoce", "voice", question, "--url", server.url()),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"you: Hello there.\n"
        process.send_signal(signal.SIGINT)
        output, complaints = await process.communicate()
    assert process.returncode == 130
    assert complaints == b""
    assert b"Traceback" not in output
