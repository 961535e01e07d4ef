"""Replies that call the client's functions."""

from __future__ import annotations

from support.scripted import Script, ScriptedChat
from support.stage import Stage, on_stage
from support.virtual_time import in_virtual_time
from vivavoce.conversation.commands import CancelResponse, CreateItem
from vivavoce.conversation.events import (
    ArgumentsDelta,
    ArgumentsDone,
    AudioDelta,
    OutputItemStarted,
    ResponseDone,
)
from vivavoce.conversation.items import Item, new_id
from vivavoce.conversation.options import SessionOptions
from vivavoce.conversation.states import ResponseState
from vivavoce.engines.interfaces import ChatDelta, ChatEnd, TextDelta, Tool, ToolCallDelta

WEATHER = Tool("weather", "Weather at a place", {"type": "object"})
OPTIONS = SessionOptions(tools=(WEATHER,))
CALL: list[ChatDelta] = [
    ToolCallDelta(0, '{"place"', "call_1", "weather"),
    ToolCallDelta(0, ': "sea"}'),
    ChatEnd("tool_calls"),
]


def script(*first: ChatDelta | int) -> Script:
    return Script(chat=ScriptedChat(replies=(first, "It is sunny.")))


async def give_result(stage: Stage, call_id: str, text: str) -> None:
    item = Item(new_id("item"), "function_call_output", call_id=call_id, output=text)
    await stage.send(CreateItem(item))
    await stage.respond()


@in_virtual_time
async def test_a_call_and_the_reply_to_its_result() -> None:
    async with on_stage(script(*CALL), OPTIONS) as stage:
        await stage.write("How is the weather?")
        done = await stage.until(ResponseDone)
        (call,) = done.response.output
        assert (done.response.status, call.status) == ("completed", "completed")
        assert (call.kind, call.name, call.call_id) == ("function_call", "weather", "call_1")
        assert "".join(delta.text for delta in stage.of(ArgumentsDelta)) == '{"place": "sea"}'
        assert stage.of(ArgumentsDone)[0].item.arguments == '{"place": "sea"}'
        assert stage.script.chat.requests[0].tools == (WEATHER,)
        await give_result(stage, "call_1", "sunny")
        await stage.until(ResponseDone, 2)
        asked, result = stage.prompt()[1:]
        assert asked.tool_calls[0].arguments == '{"place": "sea"}'
        assert (result.role, result.content, result.tool_call_id) == ("tool", "sunny", "call_1")


@in_virtual_time
async def test_a_call_alone_plays_nothing_and_is_over_at_once() -> None:
    async with on_stage(script(*CALL), OPTIONS) as stage:
        await stage.write("How is the weather?")
        await stage.until(ResponseDone)
        assert stage.session._speaker.state is ResponseState.NONE
        assert stage.of(AudioDelta) == []


@in_virtual_time
async def test_words_before_a_call_are_spoken() -> None:
    async with on_stage(script(TextDelta("Let me look. "), *CALL), OPTIONS) as stage:
        await stage.write("How is the weather?")
        done = await stage.until(ResponseDone)
        kinds = {item.kind: item for item in done.response.output}
        assert kinds["message"].text == "Let me look. "
        assert kinds["function_call"].arguments == '{"place": "sea"}'
        assert stage.audio_ms() == 12 * 50
        started = [event.item.id for event in stage.of(OutputItemStarted)]
        assert started == [item.id for item in done.response.output]


@in_virtual_time
async def test_two_calls_at_once() -> None:
    both: list[ChatDelta] = [
        ToolCallDelta(0, "{}", "call_1", "weather"),
        ToolCallDelta(1, "{}", "call_2", "weather"),
        ChatEnd("tool_calls"),
    ]
    async with on_stage(script(*both), OPTIONS) as stage:
        await stage.write("Here and there?")
        done = await stage.until(ResponseDone)
        assert [item.call_id for item in done.response.output] == ["call_1", "call_2"]
        first = Item("o1", "function_call_output", call_id="call_1", output="sun")
        await stage.send(CreateItem(first))
        await give_result(stage, "call_2", "rain")
        await stage.until(ResponseDone, 2)
        assert [message.role for message in stage.prompt()] == [
            "user",
            "assistant",
            "tool",
            "assistant",
            "tool",
        ]


@in_virtual_time
async def test_a_model_that_gives_its_call_no_id_gets_one() -> None:
    async with on_stage(script(ToolCallDelta(0, "{}", None, "weather"), ChatEnd("stop"))) as stage:
        await stage.write("Weather?")
        done = await stage.until(ResponseDone)
        assert done.response.output[0].call_id.startswith("call_")


@in_virtual_time
async def test_a_call_that_was_broken_off_says_so_and_is_never_told_to_the_model() -> None:
    broken = (ToolCallDelta(0, '{"pla', "call_1", "weather"), 5000, *CALL[1:])
    async with on_stage(script(*broken), OPTIONS) as stage:
        await stage.write("Weather?")
        await stage.until(ArgumentsDelta)
        await stage.send(CancelResponse())
        assert stage.of(ArgumentsDone)[0].item.status == "incomplete"
        await stage.write("Never mind.")
        await stage.until(ResponseDone, 2)
        assert stage.told() == ["user: Weather?", "user: Never mind."]


@in_virtual_time
async def test_a_call_that_nobody_answered_does_not_spoil_the_next_prompt() -> None:
    async with on_stage(script(*CALL), OPTIONS) as stage:
        await stage.write("Weather?")
        await stage.until(ResponseDone)
        await stage.write("Hello?")
        await stage.until(ResponseDone, 2)
        assert stage.told() == ["user: Weather?", "user: Hello?"]


@in_virtual_time
async def test_the_session_says_which_function_to_call() -> None:
    options = SessionOptions(tools=(WEATHER,), tool_choice="required")
    async with on_stage(script(*CALL), options) as stage:
        await stage.write("Hi")
        await stage.until(ResponseDone)
        await stage.respond(tool_choice="none", tools=())
        await stage.until(ResponseDone, 2)
        choices = [(r.tool_choice, len(r.tools)) for r in stage.script.chat.requests]
        assert choices == [("required", 1), ("none", 0)]
