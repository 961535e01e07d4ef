"""The WebSocket routes: admission at the door, then a session carried in its dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from fastapi import APIRouter, WebSocket
from fastapi.responses import JSONResponse

from vivavoce.config import Settings
from vivavoce.conversation.options import (
    SessionLimits,
    SessionOptions,
    TurnOptions,
    TurnTiming,
)
from vivavoce.conversation.receipt import Receipt
from vivavoce.conversation.registry import SessionRegistry
from vivavoce.conversation.session import Engines, Session
from vivavoce.errors import VivavoceError, openai_error
from vivavoce.protocols.auth import (
    check_key,
    check_origin,
    chosen_subprotocol,
    offered_key,
)
from vivavoce.protocols.realtime.codec import RealtimeCodec
from vivavoce.protocols.realtime.session_config import (
    RealtimeSession,
    SessionKind,
    Transcription,
)
from vivavoce.protocols.transport import Codec, carry, refuse
from vivavoce.protocols.voice import VoiceCodec


@dataclass(frozen=True, slots=True)
class Switchboard:
    """What the routes need: settings, engines once they are ready, and who is connected.

    models: names of the engines, by kind.
    """

    settings: Settings
    engines: Callable[[], Engines]
    registry: SessionRegistry
    on_receipt: Callable[[str, Receipt], None]
    models: Mapping[str, str] = field(default_factory=dict)

    def new_session(self, options: SessionOptions) -> Session:
        """Raises Overloaded while the engines are not ready."""
        turn, limit = self.settings.turn, self.settings.limit
        return Session(
            self.engines(),
            options,
            timing=TurnTiming(
                min_speech_ms=turn.min_speech_ms,
                interrupt_min_speech_ms=turn.interrupt_min_speech_ms,
                speculate_after_ms=turn.speculate_after_ms,
            ),
            limits=SessionLimits(
                session_ms=limit.session_minutes * 60_000,
                utterance_ms=limit.utterance_ms,
                lead_ms=limit.lead_ms,
                history_items=limit.history_items,
                context_chars=limit.context_chars,
            ),
            on_receipt=self.on_receipt,
        )

    def default_options(self) -> SessionOptions:
        settings = self.settings
        return SessionOptions(
            instructions=settings.instructions,
            language=settings.language,
            turn=TurnOptions(
                threshold=settings.turn.threshold, silence_ms=settings.turn.silence_ms
            ),
        )


def websocket_routes(switchboard: Switchboard) -> APIRouter:
    router = APIRouter()

    @router.websocket("/v1/realtime")
    async def realtime(websocket: WebSocket) -> None:
        """A conversation, or with `?intent=transcription` only its transcript."""
        kind: SessionKind = "realtime"
        if websocket.query_params.get("intent") == "transcription":
            kind = "transcription"
        options = switchboard.default_options()
        asr = switchboard.models.get("asr", "default")
        session = RealtimeSession(
            id="",
            model=websocket.query_params.get("model", "vivavoce")[:128],
            transcription_model=asr,
            voice="default",
            kind=kind,
            transcription=Transcription(asr, options.language),
            options=replace(options, respond=kind == "realtime"),
        )
        await _serve(
            websocket,
            switchboard,
            session.options,
            lambda sample_rate: RealtimeCodec(session, sample_rate),
        )

    @router.websocket("/v1/voice")
    async def voice(websocket: WebSocket) -> None:
        """A conversation in the minimal protocol."""
        options = switchboard.default_options()
        options = replace(
            options,
            audio_output=False,
            turn=replace(options.turn or TurnOptions(), silence_ms=None),
        )
        await _serve(
            websocket,
            switchboard,
            options,
            lambda sample_rate: VoiceCodec(options, sample_rate, switchboard.models),
        )

    return router


async def _serve(
    websocket: WebSocket,
    switchboard: Switchboard,
    options: SessionOptions,
    new_codec: Callable[[int], Codec],
) -> None:
    settings = switchboard.settings
    offered = websocket.scope["subprotocols"]
    try:
        check_origin(websocket.headers, settings.allowed_origins)
        check_key(offered_key(websocket.headers, offered), settings.api_keys)
    except VivavoceError as error:
        status = error.http_status if error.http_status == 401 else 403
        await websocket.send_denial_response(
            JSONResponse({"error": openai_error(error)}, status_code=status)
        )
        return
    await websocket.accept(subprotocol=chosen_subprotocol(offered))
    try:
        session = switchboard.new_session(options)
        with switchboard.registry.admit(session):
            await carry(
                websocket,
                session,
                new_codec(switchboard.engines().studio.synthesizer.sample_rate),
                max_event_bytes=settings.limit.event_bytes,
                slow_reader_ms=settings.limit.slow_reader_ms,
            )
    except VivavoceError as error:
        await refuse(websocket, new_codec(24_000), error)
