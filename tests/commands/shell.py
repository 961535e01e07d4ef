"""Commands typed against a real server with scripted engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer
from typer.testing import CliRunner, Result

from client.scripted_link import VOICE_RATE, sound
from support.scripted import Script, ScriptedSynthesizer
from vivavoce.audio.wav import write_wav
from vivavoce.engines.interfaces import Pcm, Priority, SpeechOptions

LEAD_MS = 100
"""Silence before the voice, in the scripted replies and in the questions."""


@dataclass
class AudibleSynthesizer(ScriptedSynthesizer):
    """The scripted voice, loud enough for a listener, after 100 ms of silence."""

    async def synthesize(
        self, text: str, options: SpeechOptions, priority: Priority
    ) -> AsyncGenerator[Pcm, None]:
        yield sound(LEAD_MS, 0.0)
        async with aclosing(super().synthesize(text, options, priority)) as chunks:
            async for pcm in chunks:
                yield pcm * 100


def audible_script(*texts: str) -> Script:
    """texts: what the recognizer understands, turn by turn."""
    script = Script(voice=AudibleSynthesizer())
    script.recognizer.texts = texts or ("Hello there.",)
    return script


def write_question(path: Path, voice_ms: int = 500, sample_rate: int = VOICE_RATE) -> Path:
    voice = [sound(LEAD_MS, 0, sample_rate), sound(voice_ms, 0.5, sample_rate)]
    write_wav(path, np.concatenate(voice), sample_rate)
    return path


async def type_in(app: typer.Typer, *arguments: object) -> Result:
    """Run a command beside the loop that serves it."""
    runner = CliRunner(env={"COLUMNS": "200", "VIVAVOCE_API_KEY": None})
    return await asyncio.to_thread(runner.invoke, app, [str(argument) for argument in arguments])
