"""Chat requests and replies in the words of OpenAI's Chat Completions API. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from openai.types.completion_usage import CompletionUsage

from vivavoce.engines.interfaces import (
    ChatEnd,
    ChatMessage,
    ChatRequest,
    TextDelta,
    Tool,
    ToolCallDelta,
)

FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def request_body(request: ChatRequest) -> dict[str, Any]:
    """The request as JSON, without the model's name."""
    body: dict[str, Any] = {"messages": [_message(message) for message in request.messages]}
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = _tool_choice(request.tool_choice)
    return body


def _message(message: ChatMessage) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["content"] = message.content or None
        wire["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = tool.parameters or {"type": "object", "properties": {}}
    function: dict[str, Any] = {"name": tool.name, "parameters": parameters}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _tool_choice(choice: str) -> str | dict[str, Any]:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


class ReplyReader:
    """Turns the chunks of one streamed reply into deltas.

    Chunks that carry neither text nor a call (reasoning, progress, roles) yield nothing. A chunk
    that is not one at all raises ValueError, TypeError or AttributeError.
    """

    def __init__(self) -> None:
        self._finish_reason: str | None = None
        self._usage: CompletionUsage | None = None
        self._calls: list[tuple[int, str | None]] = []

    @property
    def finished(self) -> bool:
        """Whether the server said why the reply ends."""
        return self._finish_reason is not None

    def read(self, chunk: ChatCompletionChunk) -> Iterator[TextDelta | ToolCallDelta]:
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices[:1]:
            if choice.delta.content:
                yield TextDelta(str(choice.delta.content))
            for call in choice.delta.tool_calls or ():
                yield self._call(call)
            if choice.finish_reason is not None:
                self._finish_reason = FINISH_REASONS.get(choice.finish_reason, "stop")

    def _call(self, call: ChoiceDeltaToolCall) -> ToolCallDelta:
        # Ollama sends whole calls that all say index 0, so a new id begins a new call.
        known = [number for number, (index, _) in enumerate(self._calls) if index == call.index]
        if not known or (call.id and call.id != self._calls[known[-1]][1]):
            self._calls.append((call.index, call.id))
            number = len(self._calls) - 1
        else:
            number = known[-1]
        function = call.function
        return ToolCallDelta(
            index=number,
            arguments=(function.arguments or "") if function else "",
            id=call.id or None,
            name=(function.name or None) if function else None,
        )

    def end(self) -> ChatEnd:
        """The last delta; only once `finished`."""
        assert self._finish_reason is not None
        reason = "tool_calls" if self._calls and self._finish_reason == "stop" else None
        usage = self._usage
        details = usage.prompt_tokens_details if usage else None
        return ChatEnd(
            finish_reason=reason or self._finish_reason,
            input_tokens=usage.prompt_tokens if usage else None,
            output_tokens=usage.completion_tokens if usage else None,
            cached_tokens=details.cached_tokens if details else None,
        )
