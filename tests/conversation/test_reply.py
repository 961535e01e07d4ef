from __future__ import annotations

import numpy as np
import pytest

from vivavoce.conversation.events import (
    ArgumentsDelta,
    ArgumentsDone,
    AudioDelta,
    ContentDone,
    ContentStarted,
    Event,
    ItemAdded,
    ItemDone,
    OutputItemDone,
    OutputItemStarted,
    ResponseDone,
    ResponseStarted,
    TextDelta,
)
from vivavoce.conversation.items import History, Item
from vivavoce.conversation.messages import Called, Spoken, Written
from vivavoce.conversation.options import ResponseOptions
from vivavoce.conversation.reply import DELTA_MS, Reply
from vivavoce.engines.interfaces import ChatEnd, ToolCallDelta
from vivavoce.errors import EngineFailure

RATE = 1000


class Sketch:
    """A reply in a conversation in which the user has said hi."""

    def __init__(self, *, audio: bool = True, beside: bool = False) -> None:
        self.events: list[Event] = []
        self.history = History(10, 10_000)
        self.history.add(Item("user", text="Hi"))
        self.reply = Reply(
            ResponseOptions(in_conversation=not beside, metadata={"topic": "x"}),
            audio_output=audio,
            voice="anna",
            max_output_tokens=7,
            history=None if beside else self.history,
            sample_rate=RATE,
            emit=self.events.append,
        )
        self.reply.start()

    def speak(self, clause: str | None, ms: int, *, complete: bool = True) -> None:
        self.reply.speak(Spoken(self.reply.id, clause, np.zeros(ms, np.float32), complete))

    def write(self, text: str) -> None:
        self.reply.write(Written(self.reply.id, text))

    def call(self, index: int, arguments: str, name: str | None = None) -> None:
        call_id = f"call_{index}" if name else None
        self.reply.call(Called(self.reply.id, ToolCallDelta(index, arguments, call_id, name)))

    @property
    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.events]

    def last(self) -> ResponseDone:
        done = self.events[-1]
        assert isinstance(done, ResponseDone)
        return done


def test_the_events_of_a_spoken_reply_come_in_order() -> None:
    sketch = Sketch()
    sketch.speak("Hello.", 50)
    sketch.reply.complete(ChatEnd("stop", 10, 2, 4))
    assert sketch.kinds == [
        ResponseStarted,
        OutputItemStarted,
        ItemAdded,
        ContentStarted,
        TextDelta,
        AudioDelta,
        ContentDone,
        ItemDone,
        OutputItemDone,
        ResponseDone,
    ]
    added, done = sketch.events[2], sketch.events[7]
    assert isinstance(added, ItemAdded)
    assert isinstance(done, ItemDone)
    assert added.previous_id == done.previous_id == "user"
    assert (added.item.status, done.item.status) == ("in_progress", "completed")
    assert (added.item.text, done.item.text) == ("", "Hello.")


def test_the_end_tells_what_was_used() -> None:
    sketch = Sketch()
    sketch.speak("Hello.", 50)
    sketch.reply.complete(ChatEnd("stop", 10, 2, 4))
    response = sketch.last().response
    assert response.status == "completed"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 2)
    assert (response.usage.cached_tokens, response.usage.audio_ms) == (4, 50)
    assert (response.voice, response.max_output_tokens) == ("anna", 7)
    assert [item.text for item in response.output] == ["Hello."]


def test_audio_is_cut_into_short_events() -> None:
    sketch = Sketch()
    sketch.speak("Hello.", 250)
    sizes = [len(event.pcm) for event in sketch.events if isinstance(event, AudioDelta)]
    assert sizes == [DELTA_MS, DELTA_MS, 50]


def test_text_replies_have_no_audio() -> None:
    sketch = Sketch(audio=False)
    sketch.write("Hel")
    sketch.write("lo")
    sketch.reply.complete(ChatEnd("stop"))
    texts = [event for event in sketch.events if isinstance(event, TextDelta)]
    assert [(event.text, event.audio) for event in texts] == [("Hel", False), ("lo", False)]
    assert sketch.history.get(texts[0].item_id).text == "Hello"


def test_words_without_sound_are_text_all_the_same() -> None:
    sketch = Sketch()
    sketch.speak("🎉", 0)
    sketch.reply.complete(ChatEnd("stop"))
    assert TextDelta in sketch.kinds
    assert AudioDelta not in sketch.kinds
    assert sketch.last().response.output[0].text == "🎉"


def test_text_and_a_call_are_two_items() -> None:
    sketch = Sketch()
    sketch.speak("Let me see.", 50)
    sketch.call(0, '{"a"', "look")
    sketch.call(0, ":1}")
    sketch.reply.complete(ChatEnd("tool_calls"))
    message, call = sketch.last().response.output
    assert (message.kind, call.kind) == ("message", "function_call")
    assert (call.name, call.call_id, call.arguments) == ("look", "call_0", '{"a":1}')
    deltas = [event for event in sketch.events if isinstance(event, ArgumentsDelta)]
    assert [(delta.index, delta.text) for delta in deltas] == [(1, '{"a"'), (1, ":1}")]
    assert [item.id for item in sketch.history] == ["user", message.id, call.id]


def test_several_calls_are_kept_apart() -> None:
    sketch = Sketch()
    sketch.call(0, "{", "look")
    sketch.call(1, "{", "listen")
    sketch.call(0, "}")
    sketch.call(1, "}")
    sketch.reply.complete(ChatEnd("tool_calls"))
    assert [(item.name, item.arguments) for item in sketch.last().response.output] == [
        ("look", "{}"),
        ("listen", "{}"),
    ]
    done = [event for event in sketch.events if isinstance(event, ArgumentsDone)]
    assert [event.item.call_id for event in done] == ["call_0", "call_1"]


def test_beside_the_conversation_history_knows_nothing() -> None:
    sketch = Sketch(beside=True)
    sketch.speak("Hello.", 50)
    sketch.reply.complete(ChatEnd("stop"))
    assert [item.id for item in sketch.history] == ["user"]
    assert ItemAdded not in sketch.kinds
    assert OutputItemDone in sketch.kinds


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_the_end_says_why(finish: str, status: str, reason: str | None) -> None:
    sketch = Sketch()
    sketch.speak("Hello.", 50)
    sketch.reply.complete(ChatEnd(finish))
    response = sketch.last().response
    assert (response.status, response.reason) == (status, reason)
    assert response.output[0].status == ("completed" if status == "completed" else "incomplete")


def test_cancelled_before_it_said_anything_it_ends_all_the_same() -> None:
    sketch = Sketch()
    sketch.reply.cancel("turn_detected")
    assert sketch.kinds == [ResponseStarted, ResponseDone]
    assert sketch.last().response.reason == "turn_detected"


def test_cancelled_it_closes_what_is_open() -> None:
    sketch = Sketch()
    sketch.speak("Hello.", 50)
    sketch.reply.cancel("client_cancelled")
    assert sketch.kinds[-4:] == [ContentDone, ItemDone, OutputItemDone, ResponseDone]
    done = sketch.events[-4]
    assert isinstance(done, ContentDone)
    assert (done.text, done.cut) == ("Hello.", True)
    assert sketch.last().response.output[0].status == "incomplete"


@pytest.mark.parametrize("audio", [True, False])
def test_text_that_never_left_is_not_told_at_the_end(audio: bool) -> None:
    sketch = Sketch(audio=audio)
    for words in ("Hello. ", "Again."):
        if audio:
            sketch.speak(words, 50)
        else:
            sketch.write(words)
    sketch.reply.cancel("turn_detected", unsent_chars=6)
    (content,) = [event for event in sketch.events if isinstance(event, ContentDone)]
    assert content.text == "Hello. "


def test_a_failure_in_the_middle_of_a_clause_keeps_only_what_was_said() -> None:
    sketch = Sketch()
    sketch.speak("Hello. ", 420)
    sketch.speak("one two three four five six", 420, complete=False)
    sketch.reply.fail(EngineFailure("hoarse"))
    response = sketch.last().response
    assert response.status == "failed"
    assert response.error is not None
    assert response.output[0].text == "Hello. one two"


def test_it_ends_once() -> None:
    sketch = Sketch()
    sketch.reply.complete(ChatEnd("stop"))
    with pytest.raises(RuntimeError, match="has ended already"):
        sketch.reply.cancel("turn_detected")


def test_what_was_told_stays_as_it_was_told() -> None:
    sketch = Sketch(audio=False)
    sketch.write("Hello")
    added = next(event for event in sketch.events if isinstance(event, ItemAdded))
    sketch.write(" again")
    assert added.item.text == ""


def test_an_item_that_was_deleted_meanwhile_is_not_done_in_the_conversation() -> None:
    sketch = Sketch()
    sketch.speak("Hello.", 50)
    assert sketch.reply.message is not None
    sketch.history.delete(sketch.reply.message.id)
    sketch.reply.complete(ChatEnd("stop"))
    assert ItemDone not in sketch.kinds
    assert OutputItemDone in sketch.kinds
