"""The engines by name, imported only where they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

ENGINES: Mapping[str, str] = {
    "silero": "vivavoce.engines.vad.silero:SileroVad",
    "webrtc": "vivavoce.engines.vad.webrtc:WebrtcVad",
    "whisper": "vivavoce.engines.asr.whisper:Whisper",
    "hibari": "vivavoce.engines.tts.hibari:Hibari",
    "kokoro": "vivavoce.engines.tts.kokoro:Kokoro",
}


@dataclass(frozen=True, slots=True)
class EngineRecipe:
    """How to build an engine; an EngineFactory that a process host can send to its child.

    The engine's module, and all that it imports, is loaded by the call: in the process that runs
    the engine, and in no other. Raises KeyError for a name that is not in ENGINES.
    """

    name: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> Any:
        module, _, attribute = ENGINES[self.name].partition(":")
        return getattr(import_module(module), attribute)(*self.args, **self.options)
