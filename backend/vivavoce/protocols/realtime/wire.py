"""Items and responses in the Realtime protocol's JSON, and back.

Keys without a value are left out of items; clients drop events over a null in them.
"""

from __future__ import annotations

from vivavoce.conversation.events import ResponseSnapshot, Usage
from vivavoce.conversation.items import Item, Role, new_id
from vivavoce.engines.interfaces import Pcm
from vivavoce.errors import InvalidRequest, openai_error
from vivavoce.protocols.fields import Fields, JsonObject, decode_base64
from vivavoce.protocols.realtime.formats import AudioFormat

_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}
_ITEM_TYPES = ("message", "function_call", "function_call_output")
MAX_TEXT = 100_000
MAX_ID = 128


def item_to_wire(item: Item, *, empty: bool = False) -> JsonObject:
    """empty: the item has only been opened, and its content follows."""
    wire: JsonObject = {
        "id": item.id,
        "object": "realtime.item",
        "type": item.kind,
        "status": item.status,
    }
    if item.kind == "function_call":
        wire |= {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
    elif item.kind == "function_call_output":
        wire |= {"call_id": item.call_id, "output": item.output}
    else:
        wire |= {"role": item.role, "content": [] if empty else [_content(item)]}
    return wire


def _content(item: Item) -> JsonObject:
    if item.spoken:
        # A Node SDK dies of a user's audio without this key, null though it be at first.
        kind = "output_audio" if item.role == "assistant" else "input_audio"
        return {"type": kind, "transcript": item.text}
    kind = "output_text" if item.role == "assistant" else "input_text"
    return {"type": kind, "text": item.text or ""}


def item_from_wire(
    fields: Fields, audio_format: AudioFormat
) -> tuple[Item, tuple[Pcm, int] | None]:
    """An item as a client writes it, and its audio with its rate where that has no transcript.

    Raises InvalidRequest for what is no item, or has no content.
    """
    kind = fields.optional_text("type") or "message"
    item_id = fields.optional_text("id") or new_id("item")
    if len(item_id) > MAX_ID:
        raise fields.wrong("id", f"at most {MAX_ID} characters")
    if kind == "function_call":
        return Item(
            item_id,
            "function_call",
            "assistant",
            name=fields.text("name"),
            call_id=fields.optional_text("call_id") or new_id("call"),
            arguments=fields.optional_text("arguments") or "",
        ), None
    if kind == "function_call_output":
        output = fields.text("output")[:MAX_TEXT]
        return Item(
            item_id, "function_call_output", call_id=fields.text("call_id"), output=output
        ), None
    if kind != "message":
        raise fields.wrong("type", f"one of {', '.join(_ITEM_TYPES)}")
    role = _ROLES.get(fields.text("role"))
    if role is None:
        raise fields.wrong("role", f"one of {', '.join(_ROLES)}")
    return _message_from_wire(Item(item_id, role=role), fields, audio_format)


def _message_from_wire(
    item: Item, fields: Fields, audio_format: AudioFormat
) -> tuple[Item, tuple[Pcm, int] | None]:
    texts: list[str] = []
    audio: tuple[Pcm, int] | None = None
    for part in fields.objects("content"):
        kind = part.text("type")
        if kind in ("input_text", "output_text", "text"):
            texts.append(part.text("text"))
        elif kind in ("input_audio", "output_audio", "audio"):
            item.spoken = True
            transcript = part.optional_text("transcript")
            data = part.optional_text("audio")
            if transcript is not None:
                texts.append(transcript)
            elif data is not None and item.role == "user":
                pcm = audio_format.decode(decode_base64(data, part.path("audio")))
                audio = (pcm, audio_format.sample_rate)
        elif kind not in ("input_image", "output_image"):
            raise part.wrong("type", "one of input_text, input_audio, output_text, output_audio")
    if not fields.objects("content"):
        raise InvalidRequest(
            f"{fields.path('content')} must have at least one part.",
            code="missing_required_parameter",
            param=fields.path("content"),
        )
    item.text = None if audio is not None else "\n".join(texts)[:MAX_TEXT]
    return item, audio


def response_to_wire(
    response: ResponseSnapshot, conversation_id: str, output_format: AudioFormat, voice: str
) -> JsonObject:
    options = response.options
    return {
        "id": response.id,
        "object": "realtime.response",
        "status": response.status,
        "status_details": _status_details(response),
        "output": [item_to_wire(item) for item in response.output],
        "conversation_id": conversation_id if options.in_conversation else None,
        "output_modalities": ["audio" if response.audio_output else "text"],
        "max_output_tokens": response.max_output_tokens or "inf",
        "audio": {"output": {"format": output_format.to_wire(), "voice": response.voice or voice}},
        "metadata": dict(options.metadata) if options.metadata is not None else None,
        "usage": _usage(response.usage) if response.usage is not None else None,
    }


def _status_details(response: ResponseSnapshot) -> JsonObject | None:
    if response.status in ("in_progress", "completed"):
        return None
    details: JsonObject = {"type": response.status}
    if response.reason is not None:
        details["reason"] = response.reason
    if response.error is not None:
        body = openai_error(response.error)
        details["error"] = {name: body[name] for name in ("type", "code", "message")}
    return details


def _usage(usage: Usage) -> JsonObject:
    return {
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "input_token_details": {
            "text_tokens": usage.input_tokens,
            "audio_tokens": 0,
            "cached_tokens": usage.cached_tokens,
        },
        "output_token_details": {"text_tokens": usage.output_tokens, "audio_tokens": 0},
    }
