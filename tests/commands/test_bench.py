"""`vivavoce bench` as a person types it, against the real server with scripted engines."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import Result

from client.scripted_link import VOICE_RATE, sound
from commands.shell import LEAD_MS, audible_script, type_in, write_question
from support.scripted import Script, ScriptedChat
from support.server import serving
from vivavoce.audio.wav import write_wav
from vivavoce.commands.bench import bench_command
from vivavoce.engines.interfaces import ChatDelta, ChatRequest, TextDelta

app = typer.Typer()
app.command()(bench_command)

QUICK = ("--pause-ms", "100", "--stagger-ms", "50", "--timeout-s", "3")
MARGIN_MS = 150
"""What a busy machine may add to a latency."""


@dataclass
class TellingChat(ScriptedChat):
    asked_again: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        if self.requests:
            self.asked_again.set()
        async with aclosing(super().stream(request)) as deltas:
            async for delta in deltas:
                yield delta


async def _bench(script: Script, *arguments: object, **settings: Any) -> Result:
    async with serving(script, **settings) as server:
        return await type_in(app, server.url(), *arguments, *QUICK)


def _report(result: Result) -> Any:
    """The server of the test logs to the same output, before the report."""
    return json.loads(result.output[result.output.index("{\n") :])


@pytest.fixture
def question(tmp_path: Path) -> Path:
    return write_question(tmp_path / "question.wav")


@pytest.mark.parametrize("protocol", ["realtime", "voice"])
async def test_latencies_are_those_of_the_server(question: Path, protocol: str) -> None:
    """The reply is held until 500 ms after the voice, and opens with 100 ms of silence."""
    script = audible_script()
    script.chat.replies = ("Fine.",)
    result = await _bench(script, question, "--turns", 2, "--protocol", protocol, "--json")
    assert result.exit_code == 0, result.output
    report = _report(result)
    figures = report["figures_ms"]
    assert figures["turn ended"]["n"] == 2
    assert 480 <= figures["turn ended"]["p50"] <= 500 + 52 + MARGIN_MS  # a frame of each side's
    assert 0 <= figures["first byte"]["p50"] - figures["turn ended"]["p50"] <= MARGIN_MS
    silence_ms = figures["first audible"]["p50"] - figures["first byte"]["p50"]
    assert silence_ms == pytest.approx(LEAD_MS, abs=1)
    assert figures["receipt: endpoint"]["p50"] == pytest.approx(500, abs=MARGIN_MS)
    assert (report["missing_replies"], report["split_turns"], report["stale_ms"]) == (0, 0, 0)
    assert report["machine"]["cpu_count"] >= 1
    assert report["client"]["lag_ms"]["p50"] < MARGIN_MS
    assert [turn["reply"] for turn in report["turns"]] == ["Fine.", "Fine."]


async def test_many_sessions_ask_in_turn(tmp_path: Path) -> None:
    files = [write_question(tmp_path / f"q{n}.wav", voice_ms=300 + 100 * n) for n in range(3)]
    script = audible_script()
    script.chat.replies = ("Fine.",)
    result = await _bench(script, *files, "--sessions", 3, "--turns", 2, "--json")
    report = _report(result)
    asked = sorted((turn["session"], turn["turn"], turn["clip"]) for turn in report["turns"])
    assert asked == [
        (session, turn, f"q{(session + turn) % 3}.wav") for session in range(3) for turn in range(2)
    ]
    assert report["figures_ms"]["first audible"]["n"] == 6


@pytest.mark.parametrize("protocol", ["realtime", "voice"])
async def test_replies_are_talked_over(question: Path, protocol: str) -> None:
    script = audible_script()
    script.chat.replies = ("A reply that goes on for a while. " * 2,)
    result = await _bench(
        script,
        *(question, "--turns", 3, "--protocol", protocol),
        *("--interrupt", "--interrupt-after-ms", 400, "--json"),
        turn={"interrupt_min_speech_ms": 160},
    )
    assert result.exit_code == 0, result.output
    report = _report(result)
    told = report["figures_ms"]["told to stop"]
    assert told["n"] == 2
    assert 160 - 32 <= told["p50"] <= 160 + 52 + MARGIN_MS  # frames of 32 and 20 ms
    assert report["figures_ms"]["last byte after onset"]["p50"] <= told["max"]
    assert report["stale_ms"] == 0
    first, second, last = report["turns"]
    assert (last["state"], last["user_turns"]) == ("completed", 1)
    assert all(turn["reply_ms"] > 400 for turn in (first, second, last))


async def test_a_pause_longer_than_the_silence_splits_a_turn(tmp_path: Path) -> None:
    file = tmp_path / "two.wav"
    voice, pause = sound(400, 0.5, VOICE_RATE), sound(600, 0, VOICE_RATE)
    write_wav(file, np.concatenate([voice, pause, voice]), VOICE_RATE)
    script = audible_script("One", "two.")
    script.chat.replies = ("Fine.",)
    result = await _bench(script, file, "--silence-ms", 300, "--expect", "one two", "--json")
    report = _report(result)
    assert report["split_turns"] == 1
    assert report["turns"][0]["transcript"] == "One two."
    assert report["word_error_rate"] == 0.0


async def test_the_server_may_judge_the_end_of_a_turn(question: Path) -> None:
    script = audible_script("Shall we go?")
    result = await _bench(script, question, "--semantic", "--json")
    figures = _report(result)["figures_ms"]
    assert 340 <= figures["turn ended"]["p50"] <= 360 + 52 + MARGIN_MS


async def test_a_manifest_names_files_and_words(tmp_path: Path) -> None:
    for name in ("one", "two", "drei"):
        write_question(tmp_path / f"{name}.wav", voice_ms=300)
    manifest = tmp_path / "manifest.tsv"
    rows = ["file\tlanguage\ttext", "one.wav\ten\tRight words.", "two.wav\ten\tQuite other words."]
    manifest.write_text("\n".join([*rows, "drei.wav\tde\tNicht dabei."]), encoding="utf-8")
    script = audible_script("Right words!")
    result = await _bench(script, "--manifest", manifest, "--language", "en")
    assert result.exit_code == 0, result.output
    assert "2 of 2 turns asked" in result.output
    assert "word errors: 2 of 5 (40.0%)" in result.output
    assert "session 0 turn 1 two.wav: 'Right words!'" in result.output
    assert script.recognizer.languages == ["en", "en"]


async def test_the_table_shows_every_figure(question: Path) -> None:
    script = audible_script()
    script.chat.replies = ("Fine.",)
    result = await _bench(script, question)
    assert result.exit_code == 0, result.output
    for name in ("turn ended", "first audible", "receipt: first_token", "p50", "p95", "max"):
        assert name in result.output
    assert "no reply: 0 · split turns: 0 · stale audio: 0 ms" in result.output
    assert "frames late by" in result.output


async def test_a_missing_reply_is_counted_and_fails_the_command(question: Path) -> None:
    result = await _bench(audible_script(""), question, "--turns", 2)
    assert result.exit_code == 1
    assert "no reply: 2" in result.output


async def test_a_session_that_is_refused_leaves_the_others_alone(question: Path) -> None:
    script = audible_script()
    result = await _bench(script, question, "--sessions", 2, "--json", limit={"sessions": 1})
    assert result.exit_code == 1
    report = _report(result)
    assert report["missing_replies"] == 1
    assert len(report["turns"]) == 1
    (message,) = report["failures"].values()
    assert "The server is full" in message


async def test_a_refused_key(question: Path) -> None:
    result = await _bench(audible_script(), question, "--api-key", "wrong", api_keys="right")
    assert result.exit_code == 1
    assert "session 0: The API key is not one that this server knows." in result.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "Nothing to ask"),
        (("nowhere.wav",), "nowhere.wav cannot be read: No such file"),
        (("--manifest", "nowhere.tsv"), "nowhere.tsv cannot be read"),
        (("a.wav", "--expect", "one", "--expect", "two"), "1 files, 2 texts"),
    ],
)
async def test_nothing_sensible_to_ask(
    arguments: tuple[str, ...], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = await type_in(app, "ws://127.0.0.1:1", *arguments)
    assert result.exit_code == 1
    assert complaint in result.output


async def test_a_manifest_without_its_columns(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text("name,words\na.wav,hello\n", encoding="utf-8")
    result = await type_in(app, "ws://127.0.0.1:1", "--manifest", manifest)
    assert result.exit_code == 1
    assert "has no columns file and text" in result.output


async def test_ctrl_c_shows_what_was_measured_so_far(question: Path) -> None:
    chat = TellingChat(replies=("Fine.", [TextDelta("Hm. "), 60_000]))
    async with serving(replace(audible_script(), chat=chat)) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "vivavoce", "bench", server.url(), question, "--turns", "3", "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await chat.asked_again.wait()
        process.send_signal(signal.SIGINT)
        output, complaints = await process.communicate()
    assert complaints == b""
    assert process.returncode == 1
    report = json.loads(output)
    assert report["turns"][0]["reply"] == "Fine."
    assert report["missing_replies"] == 2
