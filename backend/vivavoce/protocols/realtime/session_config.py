"""The session object of the Realtime protocol: its defaults, its updates, what it means.

An update is a deep merge: absent keeps, null clears. Options that this server does not have are
brought to the nearest that it has and shown so, never refused; values of a wrong type are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from vivavoce.conversation.options import Eagerness, SessionOptions, TurnOptions
from vivavoce.protocols.fields import Fields, JsonObject
from vivavoce.protocols.realtime.formats import MAX_RATE, MIN_RATE, AudioFormat, Encoding
from vivavoce.protocols.tools import tool_choice_of, tools_of

SessionKind = Literal["realtime", "transcription"]

MAX_OUTPUT_TOKENS = 4096
MAX_INSTRUCTIONS = 65_536
_NAMED_FORMATS: Mapping[str, Encoding] = {
    "audio/pcmu": "audio/pcmu",
    "audio/pcma": "audio/pcma",
    "pcm16": "audio/pcm",
    "g711_ulaw": "audio/pcmu",
    "g711_alaw": "audio/pcma",
}


@dataclass(frozen=True, slots=True)
class Transcription:
    """How the user's words are reported; None in their place where they are not."""

    model: str
    language: str | None = None
    prompt: str | None = None

    def to_wire(self) -> JsonObject:
        wire: JsonObject = {"model": self.model}
        if self.language is not None:
            wire["language"] = self.language
        if self.prompt is not None:
            wire["prompt"] = self.prompt
        return wire


@dataclass(frozen=True, slots=True)
class RealtimeSession:
    """The effective session. voice: as asked for. semantic: turns end by their words.

    extensions: the client understands our own events (`"vivavoce": {"events": true}`).
    """

    id: str
    model: str
    transcription_model: str
    voice: str
    kind: SessionKind = "realtime"
    expires_at: int = field(default_factory=lambda: int(time.time()) + 3600)
    input_format: AudioFormat = AudioFormat()
    output_format: AudioFormat = AudioFormat()
    transcription: Transcription | None = None
    noise_reduction: str | None = None
    semantic: bool = False
    eagerness: str = "auto"
    speed: float = 1.0
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] = "auto"
    kept: Mapping[str, Any] = field(default_factory=dict)
    extensions: bool = False
    options: SessionOptions = SessionOptions()

    # ── to the wire ───────────────────────────────────────────────────────────────────────────

    def to_wire(self) -> JsonObject:
        audio_input: JsonObject = {
            "format": self.input_format.to_wire(),
            "transcription": self.transcription.to_wire() if self.transcription else None,
            "noise_reduction": {"type": self.noise_reduction} if self.noise_reduction else None,
            "turn_detection": self._turn_detection(),
        }
        wire: JsonObject = {
            "type": self.kind,
            "object": f"realtime.{'transcription_' if self.kind == 'transcription' else ''}session",
            "id": self.id,
            "expires_at": self.expires_at,
            "include": self.kept.get("include"),
            "audio": {"input": audio_input},
        }
        if self.kind == "realtime":
            wire["audio"]["output"] = {
                "format": self.output_format.to_wire(),
                "voice": self.voice,
                "speed": self.speed,
            }
            wire |= {
                "model": self.model,
                "output_modalities": ["audio" if self.options.audio_output else "text"],
                "instructions": self.options.instructions,
                "tools": [dict(tool) for tool in self.tools],
                "tool_choice": self.tool_choice,
                "max_output_tokens": self.options.max_output_tokens or "inf",
                "truncation": self.kept.get("truncation", "auto"),
                "tracing": self.kept.get("tracing"),
                "prompt": self.kept.get("prompt"),
            }
        if self.extensions:
            wire["vivavoce"] = {"events": True}
        return wire

    def _turn_detection(self) -> JsonObject | None:
        turn = self.options.turn
        if turn is None:
            return None
        wire: JsonObject = {"type": "semantic_vad", "eagerness": self.eagerness}
        if not self.semantic:
            wire = {
                "type": "server_vad",
                "threshold": turn.threshold,
                "prefix_padding_ms": turn.prefix_padding_ms,
                "silence_duration_ms": turn.silence_ms,
                "idle_timeout_ms": turn.idle_timeout_ms,
            }
        wire["create_response"] = turn.create_response
        wire["interrupt_response"] = turn.interrupt_response
        return wire

    # ── updates ───────────────────────────────────────────────────────────────────────────────

    def update(self, patch: Fields, *, voice_fixed: bool = False) -> RealtimeSession:
        """This session after `session.update`; raises InvalidRequest and changes nothing.

        voice_fixed: audio has been sent already, so the voice stays.
        """
        patch.optional_text("type")
        audio = patch.optional_object("audio") or Fields({})
        session = self._update_input(patch, audio.optional_object("input") or Fields({}, "audio"))
        session = session._update_output(
            patch, audio.optional_object("output") or Fields({}, "audio"), voice_fixed
        )
        extension = patch.optional_object("vivavoce")
        return replace(
            session,
            kept={**session.kept, **_kept(patch)},
            extensions=session.extensions
            if extension is None
            else bool(extension.optional_bool("events")),
        )

    def _update_input(self, patch: Fields, audio: Fields) -> RealtimeSession:
        session = self
        for source, name in ((audio, "format"), (patch, "input_audio_format")):
            if name in source and not source.is_null(name):
                session = replace(session, input_format=_format(source, name, self.input_format))
        for source, name in ((audio, "transcription"), (patch, "input_audio_transcription")):
            if name in source:
                session = session._with_transcription(source.optional_object(name))
        for source, name in ((audio, "noise_reduction"), (patch, "input_audio_noise_reduction")):
            if name in source:
                wanted = source.optional_object(name)
                kind = wanted.optional_text("type") if wanted else None
                far = "far_field" if kind == "far_field" else "near_field"
                session = replace(session, noise_reduction=far if wanted else None)
        for source in (audio, patch):
            if "turn_detection" in source:
                session = session._with_turn(source.optional_object("turn_detection"))
        return session

    def _with_transcription(self, wanted: Fields | None) -> RealtimeSession:
        if wanted is None:
            options = replace(self.options, language=None, transcription_prompt="")
            return replace(self, transcription=None, options=options)
        before = self.transcription or Transcription(self.transcription_model)
        language, prompt = before.language, before.prompt
        if "language" in wanted:
            language = (wanted.optional_text("language") or "")[:16] or None
        if "prompt" in wanted:
            prompt = (wanted.optional_text("prompt") or "")[:1024] or None
        after = Transcription(wanted.optional_text("model") or before.model, language, prompt)
        options = replace(
            self.options,
            language=language.split("-")[0].lower() if language else None,
            transcription_prompt=prompt or "",
        )
        return replace(self, transcription=after, options=options)

    def _with_turn(self, wanted: Fields | None) -> RealtimeSession:
        if wanted is None or wanted.is_null("type"):
            return replace(self, options=replace(self.options, turn=None), semantic=False)
        kind = wanted.optional_text("type") or ("semantic_vad" if self.semantic else "server_vad")
        semantic = kind == "semantic_vad"
        same_kind = self.options.turn is not None and semantic is self.semantic
        turn = self.options.turn if same_kind and self.options.turn else TurnOptions()
        turn = replace(
            turn,
            create_response=_flag(wanted, "create_response", turn.create_response),
            interrupt_response=_flag(wanted, "interrupt_response", turn.interrupt_response),
        )
        if semantic:
            eagerness = wanted.optional_text("eagerness") or self.eagerness
            eagerness = eagerness if eagerness in ("low", "medium", "high") else "auto"
            level = Eagerness.MEDIUM if eagerness == "auto" else Eagerness(eagerness)
            turn = replace(turn, silence_ms=None, eagerness=level, idle_timeout_ms=None)
            options = replace(self.options, turn=turn)
            return replace(self, options=options, semantic=True, eagerness=eagerness)
        idle = turn.idle_timeout_ms
        if "idle_timeout_ms" in wanted:
            asked = wanted.optional_number("idle_timeout_ms")
            idle = None if asked is None else int(_clamp(asked, 1000, 600_000))
        turn = replace(
            turn,
            threshold=_number(wanted, "threshold", turn.threshold, 0.05, 0.95),
            prefix_padding_ms=int(
                _number(wanted, "prefix_padding_ms", turn.prefix_padding_ms, 0, 2000)
            ),
            silence_ms=int(
                _number(wanted, "silence_duration_ms", turn.silence_ms or 500, 100, 10_000)
            ),
            idle_timeout_ms=idle,
        )
        return replace(self, options=replace(self.options, turn=turn), semantic=False)

    def _update_output(self, patch: Fields, audio: Fields, voice_fixed: bool) -> RealtimeSession:
        session, options = self, self.options
        for source, name in ((audio, "format"), (patch, "output_audio_format")):
            if name in source and not source.is_null(name):
                session = replace(session, output_format=_format(source, name, self.output_format))
        for source in (audio, patch):
            if "voice" in source and not voice_fixed and not source.is_null("voice"):
                voice = voice_of(source)
                session = replace(session, voice=voice)
                options = replace(options, voice=voice)
            speed = _number(source, "speed", session.speed, 0.25, 1.5)
            session, options = replace(session, speed=speed), replace(options, speed=speed)
        for name in ("modalities", "output_modalities"):
            if name in patch:
                options = replace(options, audio_output=wants_audio(patch, name))
        if "instructions" in patch:
            instructions = (patch.optional_text("instructions") or "")[:MAX_INSTRUCTIONS]
            options = replace(options, instructions=instructions)
        if "tools" in patch:
            described, tools = tools_of(patch)
            session, options = replace(session, tools=described), replace(options, tools=tools)
        if "tool_choice" in patch:
            choice = tool_choice_of(patch)
            options = replace(options, tool_choice=choice)
            plain = choice in ("auto", "none", "required")
            shown = choice if plain else {"type": "function", "name": choice}
            session = replace(session, tool_choice=shown)
        for name in ("max_response_output_tokens", "max_output_tokens"):
            if name in patch:
                options = replace(options, max_output_tokens=max_tokens_of(patch, name))
        return replace(session, options=options)


# ── fields shared with `response.create` ──────────────────────────────────────────────────────


def voice_of(source: Fields) -> str:
    """The voice, given as a name or as `{"id": name}`."""
    value = source.values["voice"]
    if isinstance(value, dict):
        return Fields(value, source.path("voice")).text("id")[:128]
    return source.text("voice")[:128]


def wants_audio(source: Fields, name: str) -> bool:
    modalities = source.optional_list(name)
    return modalities is None or "audio" in modalities


def max_tokens_of(source: Fields, name: str) -> int | None:
    value = source.values[name]
    if value is None or value == "inf":
        return None
    number = source.optional_number(name)
    return None if number is None else int(_clamp(number, 1, MAX_OUTPUT_TOKENS))


def _kept(patch: Fields) -> JsonObject:
    """Options that mean nothing here and are shown as they were sent, if their type is right."""
    kept: JsonObject = {}
    for name, default in (("tracing", None), ("truncation", "auto")):
        if name in patch:
            value = patch.values[name]
            if not isinstance(value, dict):
                value = patch.optional_text(name)
            kept[name] = default if value is None else value
    if "prompt" in patch:
        prompt = patch.optional_object("prompt")
        kept["prompt"] = None if prompt is None else dict(prompt.values)
    if "include" in patch:
        kept["include"] = patch.optional_list("include")
    return kept


def _format(source: Fields, name: str, before: AudioFormat) -> AudioFormat:
    """An audio format, given in GA's shape or by its older name; the nearest that there is."""
    value = source.values[name]
    if isinstance(value, str):
        encoding = _NAMED_FORMATS.get(value, "audio/pcm")
        return AudioFormat(encoding, 24_000 if encoding == "audio/pcm" else 8000)
    wanted = source.optional_object(name) or Fields({})
    kind = wanted.optional_text("type") or before.encoding
    if kind in ("audio/pcmu", "audio/pcma"):
        return AudioFormat("audio/pcmu" if kind == "audio/pcmu" else "audio/pcma", 8000)
    rate = before.sample_rate if before.encoding == "audio/pcm" else 24_000
    return AudioFormat("audio/pcm", int(_number(wanted, "rate", rate, MIN_RATE, MAX_RATE)))


def _flag(source: Fields, name: str, before: bool) -> bool:
    value = source.optional_bool(name)
    return before if value is None else value


def _number(source: Fields, name: str, before: float, low: float, high: float) -> float:
    value = source.optional_number(name)
    return before if value is None else _clamp(value, low, high)


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
