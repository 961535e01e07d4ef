"""Tools for models that do not call them natively: asked for in words, answered in JSON.

The tools are listed in the system prompt, a call is a reply that is nothing but
`{"name": …, "arguments": …}`, and its result goes back as a message. Where a call is demanded
(tool_choice "required" or a name) the reply is constrained to the schema, so it is always valid.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vivavoce.engines.interfaces import ChatMessage, ChatRequest, TextDelta, Tool, ToolCallDelta

HINT = """

You can use these tools:
{tools}
Most of the time none is needed: then reply in words. Only when the user asks for what a tool \
does, reply with nothing but JSON: {{"name": <tool>, "arguments": {{…}}}}."""

LONGEST_CALL = 4000
"""Characters after which text that looked like a call is taken for text."""

OPENINGS = ("{", "```", "<tool_call>")


def prompt_tools(request: ChatRequest) -> ChatRequest:
    """The request with its tools, calls and results written out as plain messages."""
    messages = [_plain(message) for message in request.messages]
    if request.tools and request.tool_choice != "none":
        hint = HINT.format(tools="\n".join(_describe(tool) for tool in request.tools))
        if messages and messages[0].role == "system":
            messages[0] = replace(messages[0], content=messages[0].content + hint)
        else:
            messages.insert(0, ChatMessage("system", hint.strip()))
    return replace(request, messages=tuple(messages), tools=(), tool_choice="auto")


def _plain(message: ChatMessage) -> ChatMessage:
    if message.role == "tool":
        return ChatMessage("user", f"Result of the tool: {message.content}\nTell me in words.")
    calls = [
        f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments or "{}"}}}'
        for call in message.tool_calls
    ]
    text = "\n".join(filter(None, [message.content, *calls]))
    return ChatMessage(message.role, text)


def _describe(tool: Tool) -> str:
    return json.dumps(
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        ensure_ascii=False,
    )


def call_format(tools: Sequence[Tool]) -> Mapping[str, Any]:
    """Fields with which the reply is a call of one of the tools and nothing else."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.name},
                "arguments": tool.parameters or {"type": "object"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    response_format = {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}}
    return {"response_format": response_format}


WORDS_ONLY: Mapping[str, Any] = {"grammar": r"root ::= [^{}()<`\[ \t\n] [^\x00]*"}
"""Fields with which llama.cpp's reply cannot begin as a call does."""


def constraint(request: ChatRequest) -> Mapping[str, Any] | None:
    """What a reply to the request is held to: a call that is demanded, words after a result (a
    small model would call again), or nothing."""
    if request.tool_choice == "required":
        return call_format(request.tools)
    if request.tool_choice != "auto":
        return call_format([tool for tool in request.tools if tool.name == request.tool_choice])
    return WORDS_ONLY if request.messages[-1].role == "tool" else None


class CallDetector:
    """Finds a call at the very start of a streamed reply; other text passes through.

    Text is held back only while it may still become a call. `botched` is set when it looked like
    one and is none: then the reply is worth another try under `correction()`.
    """

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._held = ""
        self._deciding = True
        self._attempted: str | None = None
        self.called = False
        self.botched = False

    def feed(self, text: str) -> list[TextDelta | ToolCallDelta]:
        if self.called or self.botched:
            return []  # what a model adds to its call is not meant to be spoken
        if not self._deciding:
            return [TextDelta(text)]
        self._held += text
        start = self._held.lstrip()
        if any(opening.startswith(start) for opening in OPENINGS):
            return []
        if any(start.startswith(opening) for opening in OPENINGS):
            self.botched = len(start) > LONGEST_CALL
            return self._call()
        self._deciding = False
        return [TextDelta(self._held)]

    def end(self) -> None:
        """The reply is over: what is still held is a call cut short."""
        self.botched = self.botched or (self._deciding and not self.called and bool(self._held))

    def correction(self) -> Mapping[str, Any]:
        """The constraint for another try: the tool that was meant, or else words."""
        tool = self._tools.get(self._attempted or "")
        return call_format([tool]) if tool else WORDS_ONLY

    def _call(self) -> list[TextDelta | ToolCallDelta]:
        begin = self._held.find("{")
        try:
            value, _ = json.JSONDecoder().raw_decode(self._held, max(0, begin))
        except ValueError:
            return []  # incomplete as yet
        self._attempted = str(value.get("name")) if isinstance(value, dict) else None
        tool = self._tools.get(self._attempted or "")
        arguments = value.get("arguments") if tool else None
        required = tool.parameters.get("required", ()) if tool else ()
        if not isinstance(arguments, dict) or any(name not in arguments for name in required):
            self.botched = True
            return []
        self.called = True
        text = json.dumps(arguments, ensure_ascii=False)
        return [ToolCallDelta(0, text, f"call_{secrets.token_hex(8)}", self._attempted)]
