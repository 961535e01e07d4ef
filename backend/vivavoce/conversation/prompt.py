"""What the chat model is told: the instructions and the newest of the history."""

from __future__ import annotations

from collections.abc import Iterable

from vivavoce.conversation.items import Item
from vivavoce.conversation.options import ResponseOptions, SessionOptions
from vivavoce.engines.interfaces import ChatMessage, ChatRequest, ToolCall


def chat_request(
    session: SessionOptions,
    response: ResponseOptions,
    items: Iterable[Item],
    context_chars: int,
    *,
    said: str | None = None,
) -> ChatRequest:
    """said: what the user has said but is not among the items yet."""
    instructions = session.instructions
    if response.instructions is not None:
        instructions = response.instructions
    messages = chat_messages(instructions, items, context_chars)
    if said is not None:
        messages = (*messages, ChatMessage("user", said))
    return ChatRequest(
        messages,
        tools=session.tools if response.tools is None else response.tools,
        tool_choice=response.tool_choice or session.tool_choice,
        max_tokens=response.max_output_tokens or session.max_output_tokens,
    )


def chat_messages(
    instructions: str, items: Iterable[Item], context_chars: int
) -> tuple[ChatMessage, ...]:
    """The instructions first, then the newest items within `context_chars` characters.

    Messages that nobody said or heard are left out. A call of a function stands right before its
    result, as chat models demand; without the other, either is left out.
    """
    turns: list[tuple[ChatMessage, ...]] = []
    calls: dict[str, Item] = {}
    for item in items:
        if item.kind == "function_call":
            calls[item.call_id] = item
        elif item.kind == "function_call_output":
            call = calls.pop(item.call_id, None)
            if call is not None:
                turns.append(_call_with_result(call, item.output))
        elif text := (item.text or "").strip():
            turns.append((ChatMessage(item.role, text),))
    newest: list[tuple[ChatMessage, ...]] = []
    left = context_chars
    for turn in reversed(turns):
        left -= sum(_length(message) for message in turn)
        if left < 0 and newest:
            break
        newest.append(turn)
    messages = [message for turn in reversed(newest) for message in turn]
    if instructions:
        messages.insert(0, ChatMessage("system", instructions))
    return tuple(messages)


def _call_with_result(call: Item, output: str) -> tuple[ChatMessage, ChatMessage]:
    asked = ToolCall(call.call_id, call.name, call.arguments)
    return (
        ChatMessage("assistant", "", tool_calls=(asked,)),
        ChatMessage("tool", output, tool_call_id=call.call_id),
    )


def _length(message: ChatMessage) -> int:
    return len(message.content) + sum(len(call.arguments) for call in message.tool_calls)
