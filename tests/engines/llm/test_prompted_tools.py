from __future__ import annotations

import json

import pytest

from vivavoce.engines.interfaces import (
    ChatMessage,
    ChatRequest,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
)
from vivavoce.engines.llm.prompted_tools import (
    LONGEST_CALL,
    WORDS_ONLY,
    CallDetector,
    constraint,
    prompt_tools,
)

WEATHER = Tool("weather", "of a city", {"type": "object", "required": ["city"]})
CLOCK = Tool("clock", "the time")
CALL = '{"name": "weather", "arguments": {"city": "北京"}}'


def spoken(detector: CallDetector, text: str) -> str:
    deltas = [delta for letter in text for delta in detector.feed(letter)]
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


@pytest.mark.parametrize(
    "reply", [CALL, f"```json\n{CALL}\n```", f"<tool_call>\n{CALL}</tool_call>"]
)
def test_a_call_is_found_however_it_is_wrapped(reply: str) -> None:
    detector = CallDetector([WEATHER])
    deltas = [delta for letter in reply for delta in detector.feed(letter)]
    assert len(deltas) == 1
    call = deltas[0]
    assert isinstance(call, ToolCallDelta)
    assert (call.index, call.name) == (0, "weather")
    assert call.id
    assert json.loads(call.arguments) == {"city": "北京"}
    detector.end()
    assert detector.called
    assert not detector.botched


@pytest.mark.parametrize("text", ["Hello there.", " 你好。", "a {", "<tool box", "`x`"])
def test_other_text_passes_through(text: str) -> None:
    detector = CallDetector([WEATHER])
    assert spoken(detector, text) == text
    detector.end()
    assert not detector.botched


def test_plain_words_are_not_held_back() -> None:
    assert CallDetector([WEATHER]).feed("He") == [TextDelta("He")]


@pytest.mark.parametrize(
    ("reply", "tool"),
    [
        ('{"name": "weather", "arguments": {}}', "weather"),
        ('{"name": "weather"}', "weather"),
        ('{"name": "joke", "arguments": {}}', None),
        ('{"city": "Paris"}', None),
        ('{"name": "weather", "argu', None),
        ("{" + "x" * LONGEST_CALL, None),
    ],
)
def test_what_only_looks_like_a_call_is_never_spoken(reply: str, tool: str | None) -> None:
    detector = CallDetector([WEATHER])
    assert spoken(detector, reply) == ""
    detector.end()
    assert detector.botched
    correction = detector.correction()
    if tool is None:
        assert correction == WORDS_ONLY
    else:
        schema = correction["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["name"] == {"const": tool}


def test_tools_and_results_become_plain_messages() -> None:
    request = ChatRequest(
        (
            ChatMessage("system", "Be brief."),
            ChatMessage("user", "Weather?"),
            ChatMessage("assistant", "", (ToolCall("c", "weather", '{"city": "Paris"}'),)),
            ChatMessage("tool", "rain", tool_call_id="c"),
        ),
        tools=(WEATHER, CLOCK),
    )
    plain = prompt_tools(request)
    system, _, call, result = plain.messages
    assert plain.tools == ()
    assert system.content.startswith("Be brief.")
    assert '"weather"' in system.content
    assert '"clock"' in system.content
    assert call == ChatMessage("assistant", '{"name": "weather", "arguments": {"city": "Paris"}}')
    assert result.role == "user"
    assert "rain" in result.content


def test_no_tools_no_hint() -> None:
    request = ChatRequest((ChatMessage("user", "Hi"),), tools=(CLOCK,), tool_choice="none")
    assert prompt_tools(request).messages == request.messages


def test_what_a_reply_is_held_to() -> None:
    asked = ChatRequest((ChatMessage("user", "Hi"),), tools=(WEATHER, CLOCK), tool_choice="clock")
    named = constraint(asked)
    required = constraint(ChatRequest(asked.messages, asked.tools, "required"))
    assert named is not None
    assert required is not None
    schema = named["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["name"] == {"const": "clock"}
    assert len(required["response_format"]["json_schema"]["schema"]["anyOf"]) == 2
    assert constraint(ChatRequest(asked.messages, asked.tools)) is None
    told = (*asked.messages, ChatMessage("tool", "noon", tool_call_id="c"))
    assert constraint(ChatRequest(told, asked.tools)) == WORDS_ONLY
