from __future__ import annotations

from vivavoce.conversation.items import Item
from vivavoce.conversation.options import ResponseOptions, SessionOptions
from vivavoce.conversation.prompt import chat_messages, chat_request
from vivavoce.engines.interfaces import Tool


def user(text: str | None) -> Item:
    return Item("u", role="user", text=text)


def assistant(text: str) -> Item:
    return Item("a", role="assistant", text=text)


def call(call_id: str, name: str = "weather", arguments: str = "{}") -> Item:
    return Item("c", "function_call", "assistant", name=name, call_id=call_id, arguments=arguments)


def output(call_id: str, text: str) -> Item:
    return Item("o", "function_call_output", call_id=call_id, output=text)


def lines(*items: Item, instructions: str = "", limit: int = 1000) -> list[str]:
    return [
        f"{message.role}: {message.content or message.tool_calls[0].id}"
        for message in chat_messages(instructions, items, limit)
    ]


def test_instructions_come_first() -> None:
    assert lines(user("Hi"), assistant("Hello"), instructions="Be kind.") == [
        "system: Be kind.",
        "user: Hi",
        "assistant: Hello",
    ]
    assert lines(user("Hi")) == ["user: Hi"]


def test_what_nobody_said_or_heard_is_left_out() -> None:
    assert lines(user(None), assistant(""), user("  "), user("Hi ")) == ["user: Hi"]


def test_only_the_newest_fit() -> None:
    items = [user("a" * 50), assistant("b" * 50), user("c" * 50)]
    assert lines(*items, limit=100) == [f"assistant: {'b' * 50}", f"user: {'c' * 50}"]


def test_the_newest_is_there_even_if_it_is_too_long() -> None:
    assert lines(user("old"), user("x" * 500), limit=100) == [f"user: {'x' * 500}"]


def test_a_result_follows_its_call() -> None:
    assert lines(user("Rain?"), call("1"), output("1", "no")) == [
        "user: Rain?",
        "assistant: 1",
        "tool: no",
    ]


def test_calls_made_together_are_told_one_by_one() -> None:
    """A model's server refuses two calls in a row whose results follow later."""
    items = [user("Rain? Wind?"), call("1"), call("2"), output("1", "no"), output("2", "yes")]
    assert lines(*items) == [
        "user: Rain? Wind?",
        "assistant: 1",
        "tool: no",
        "assistant: 2",
        "tool: yes",
    ]


def test_a_call_without_its_result_is_left_out_and_so_is_a_result_without_its_call() -> None:
    assert lines(user("Rain?"), call("1"), user("Well?")) == ["user: Rain?", "user: Well?"]
    assert lines(output("1", "no"), user("Well?")) == ["user: Well?"]
    assert lines(output("1", "no"), call("1"), user("Well?")) == ["user: Well?"]


def test_a_call_and_its_result_are_cut_off_together() -> None:
    items = [call("1", arguments="x" * 60), output("1", "y" * 60), user("z" * 30)]
    assert lines(*items, limit=100) == [f"user: {'z' * 30}"]
    assert len(lines(*items, limit=150)) == 3


def test_a_call_keeps_its_name_and_arguments() -> None:
    messages = chat_messages("", [call("1", "weather", '{"at": "sea"}'), output("1", "no")], 100)
    asked = messages[0].tool_calls[0]
    assert (asked.id, asked.name, asked.arguments) == ("1", "weather", '{"at": "sea"}')
    assert messages[1].tool_call_id == "1"


def test_a_response_overrides_its_session() -> None:
    weather, wind = Tool("weather"), Tool("wind")
    session = SessionOptions(
        instructions="Session.", tools=(weather,), tool_choice="required", max_output_tokens=10
    )
    plain = chat_request(session, ResponseOptions(), [user("Hi")], 100)
    assert plain.messages[0].content == "Session."
    assert (plain.tools, plain.tool_choice, plain.max_tokens) == ((weather,), "required", 10)
    options = ResponseOptions(
        instructions="", tools=(wind,), tool_choice="none", max_output_tokens=20
    )
    special = chat_request(session, options, [user("Hi")], 100, said="And?")
    assert [message.content for message in special.messages] == ["Hi", "And?"]
    assert (special.tools, special.tool_choice, special.max_tokens) == ((wind,), "none", 20)
