"""The functions that a client lets the assistant call, as it describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vivavoce.engines.interfaces import Tool
from vivavoce.protocols.fields import Fields

MAX_TOOLS = 128


def tools_of(source: Fields) -> tuple[tuple[Mapping[str, Any], ...], tuple[Tool, ...]]:
    """The function tools, as described and as understood; tools of other kinds are left out."""
    described, tools = [], []
    for tool in source.objects("tools")[:MAX_TOOLS]:
        if tool.optional_text("type") not in (None, "function"):
            continue
        parameters = tool.optional_object("parameters")
        schema = dict(parameters.values) if parameters else {}
        name, description = tool.text("name"), tool.optional_text("description") or ""
        described.append(
            {"type": "function", "name": name, "description": description, "parameters": schema}
        )
        tools.append(Tool(name, description, schema))
    return tuple(described), tuple(tools)


def tool_choice_of(source: Fields) -> str:
    """auto, none, required, or the name of a function; auto in place of anything else."""
    if isinstance(source.values.get("tool_choice"), dict):
        choice = source.optional_object("tool_choice") or Fields({})
        function = choice.optional_object("function") or choice
        return function.optional_text("name") or "auto"
    named = source.optional_text("tool_choice")
    return named if named in ("none", "required") else "auto"
