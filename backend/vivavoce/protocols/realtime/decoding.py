"""Client events of the Realtime protocol, each turned into a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vivavoce.audio.resample import resample
from vivavoce.conversation.commands import (
    CancelResponse,
    ClearInput,
    ClearOutput,
    Command,
    CommitInput,
    CreateItem,
    CreateResponse,
    DeleteItem,
    RetrieveItem,
    TruncateItem,
)
from vivavoce.conversation.items import Item
from vivavoce.conversation.options import ResponseOptions
from vivavoce.engines.interfaces import SAMPLE_RATE
from vivavoce.errors import InvalidRequest
from vivavoce.protocols.audio_input import base64_appends
from vivavoce.protocols.fields import Fields
from vivavoce.protocols.realtime.session_config import (
    RealtimeSession,
    max_tokens_of,
    voice_of,
    wants_audio,
)
from vivavoce.protocols.realtime.wire import item_from_wire
from vivavoce.protocols.tools import tool_choice_of, tools_of

MAX_METADATA_PAIRS = 16


def commands_of(event: Fields, session: RealtimeSession, cause: str | None) -> Iterator[Command]:
    """The commands that a client event means; raises InvalidRequest. Not for `session.update`."""
    kind = event.text("type")
    if kind == "input_audio_buffer.append":
        audio_format = session.input_format
        yield from base64_appends(
            event.text("audio"), "audio", audio_format.decode, audio_format.sample_rate, cause
        )
        return
    decode = _DECODERS.get(kind)
    if decode is None:
        raise InvalidRequest(
            f"Unknown event type {kind[:80]!r}; it must be one of session.update, "
            f"input_audio_buffer.append, {', '.join(_DECODERS)}.",
            code="invalid_event_type",
            param="type",
        )
    yield decode(event, session, cause)


def _create_item(event: Fields, session: RealtimeSession, cause: str | None) -> Command:
    fields = event.optional_object("item")
    if fields is None:
        raise InvalidRequest(
            "item is missing; it must be an object.",
            code="missing_required_parameter",
            param="item",
        )
    item, audio = item_from_wire(fields, session.input_format)
    after = event.optional_text("previous_item_id")
    if audio is None:
        return CreateItem(item, after, cause=cause)
    pcm, rate = audio
    item.audio_ms = len(pcm) * 1000 // rate
    return CreateItem(item, after, resample(pcm, rate, SAMPLE_RATE), cause)


def _truncate(event: Fields, session: RealtimeSession, cause: str | None) -> Command:
    return TruncateItem(event.text("item_id"), event.integer("audio_end_ms"), cause)


def _create_response(event: Fields, session: RealtimeSession, cause: str | None) -> Command:
    wanted = event.optional_object("response") or Fields({}, "response")
    audio = wanted.optional_object("audio") or Fields({})
    output = audio.optional_object("output") or Fields({})
    audio_output, voice, tools, max_tokens = None, None, None, None
    for name in ("modalities", "output_modalities"):
        if wanted.optional_list(name) is not None:
            audio_output = wants_audio(wanted, name)
    for source in (wanted, output):
        if source.values.get("voice") is not None:
            voice = voice_of(source)
    if wanted.optional_list("tools") is not None:
        _, tools = tools_of(wanted)
    for name in ("max_response_output_tokens", "max_output_tokens"):
        if name in wanted:
            max_tokens = max_tokens_of(wanted, name)
    options = ResponseOptions(
        instructions=wanted.optional_text("instructions"),
        audio_output=audio_output,
        voice=voice,
        tools=tools,
        tool_choice=None if wanted.values.get("tool_choice") is None else tool_choice_of(wanted),
        max_output_tokens=max_tokens,
        in_conversation=wanted.values.get("conversation") != "none",
        metadata=_metadata(wanted),
    )
    return CreateResponse(options, _input_items(wanted, session), cause)


def _metadata(wanted: Fields) -> Mapping[str, str] | None:
    metadata = wanted.optional_object("metadata")
    if metadata is None:
        return None
    pairs: Mapping[str, Any] = metadata.values
    if len(pairs) > MAX_METADATA_PAIRS or not all(isinstance(v, str) for v in pairs.values()):
        raise wanted.wrong("metadata", f"at most {MAX_METADATA_PAIRS} pairs of strings")
    return {key[:64]: value[:512] for key, value in pairs.items()}


def _input_items(wanted: Fields, session: RealtimeSession) -> tuple[Item | str, ...] | None:
    if wanted.optional_list("input") is None:
        return None
    items: list[Item | str] = []
    for fields in wanted.objects("input"):
        if fields.optional_text("type") == "item_reference":
            items.append(fields.text("id"))
        else:
            items.append(item_from_wire(fields, session.input_format)[0])
    return tuple(items)


_Decoder = Callable[[Fields, RealtimeSession, str | None], Command]

_DECODERS: Mapping[str, _Decoder] = {
    "input_audio_buffer.commit": lambda event, session, cause: CommitInput(cause=cause),
    "input_audio_buffer.clear": lambda event, session, cause: ClearInput(cause),
    "conversation.item.create": _create_item,
    "conversation.item.retrieve": lambda event, session, cause: RetrieveItem(
        event.text("item_id"), cause
    ),
    "conversation.item.truncate": _truncate,
    "conversation.item.delete": lambda event, session, cause: DeleteItem(
        event.text("item_id"), cause
    ),
    "response.create": _create_response,
    "response.cancel": lambda event, session, cause: CancelResponse(
        event.optional_text("response_id"), cause
    ),
    "output_audio_buffer.clear": lambda event, session, cause: ClearOutput(cause),
}
