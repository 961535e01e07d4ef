"""One response on its way to the client: its items, its events and its ledger."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

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
    ResponseSnapshot,
    ResponseStarted,
    ResponseStatus,
    TextDelta,
    Usage,
)
from vivavoce.conversation.items import History, Item, new_id
from vivavoce.conversation.ledger import Ledger
from vivavoce.conversation.messages import Called, Spoken, Written
from vivavoce.conversation.options import ResponseOptions
from vivavoce.engines.interfaces import ChatEnd, ToolCallDelta
from vivavoce.errors import VivavoceError

DELTA_MS = 100
"""Longest piece of audio in one event."""


class Reply:
    """Turns what a run produces into events, in an order that clients can rely on.

    history: None for a response beside the conversation. audio_output, voice, max_output_tokens:
    in force for this response. sample_rate: Hz of the audio produced.
    """

    def __init__(
        self,
        options: ResponseOptions,
        *,
        audio_output: bool,
        voice: str | None,
        max_output_tokens: int | None,
        history: History | None,
        sample_rate: int,
        emit: Callable[[Event], None],
    ) -> None:
        self.id = new_id("resp")
        self.options = options
        self.audio_output = audio_output
        self.voice = voice
        self.max_output_tokens = max_output_tokens
        self.ledger = Ledger(sample_rate)
        self.ended = False
        self._unsent_chars = 0
        self._history = history
        self._rate = sample_rate
        self._emit = emit
        self._output: list[Item] = []
        self._message: Item | None = None
        self._calls: dict[int, Item] = {}

    @property
    def message(self) -> Item | None:
        """The message of this response, once it has begun."""
        return self._message

    def start(self) -> None:
        self._emit(ResponseStarted(self._snapshot("in_progress")))

    # ── what the run produces ─────────────────────────────────────────────────────────────────

    def write(self, message: Written) -> None:
        item = self._open_message()
        item.text = (item.text or "") + message.text
        self._emit(TextDelta(self.id, self._index(item), item.id, False, message.text))

    def speak(self, message: Spoken) -> None:
        item = self._open_message()
        index = self._index(item)
        self.ledger.add(len(message.pcm), message.clause, complete=message.complete)
        if message.clause:
            item.text = (item.text or "") + message.clause
            self._emit(TextDelta(self.id, index, item.id, True, message.clause))
        step = self._rate * DELTA_MS // 1000
        for start in range(0, len(message.pcm), step):
            self._emit(AudioDelta(self.id, index, item.id, message.pcm[start : start + step]))

    def call(self, message: Called) -> None:
        delta = message.delta
        item = self._calls.get(delta.index) or self._open_call(delta)
        item.arguments += delta.arguments
        if delta.arguments:
            self._emit(
                ArgumentsDelta(self.id, self._index(item), item.id, item.call_id, delta.arguments)
            )

    # ── the one end ───────────────────────────────────────────────────────────────────────────

    def complete(self, end: ChatEnd) -> None:
        reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
        reason = reasons.get(end.finish_reason)
        usage = Usage(
            input_tokens=end.input_tokens or 0,
            cached_tokens=end.cached_tokens or 0,
            output_tokens=end.output_tokens or 0,
            audio_ms=self.ledger.duration_ms,
        )
        self._end("incomplete" if reason else "completed", reason=reason, usage=usage)

    def cancel(self, reason: str, *, unsent_chars: int = 0) -> None:
        """Break off. unsent_chars: of the text, at its end, will not reach the client."""
        self._unsent_chars = unsent_chars
        item = self._message
        if item is not None and not item.spoken:
            item.text = self._sent(item.text or "")
        self._end("cancelled", reason=reason)

    def fail(self, error: VivavoceError) -> None:
        """Break off; what was about to be said in the middle of a clause is not said."""
        item = self._message
        if item is not None and item.spoken:
            said = self.ledger.heard(self.ledger.duration_ms)
            item.text = min(item.text or "", said, key=len)
        self._end("failed", error=error)

    def _end(
        self,
        status: ResponseStatus,
        *,
        reason: str | None = None,
        error: VivavoceError | None = None,
        usage: Usage | None = None,
    ) -> None:
        if self.ended:
            raise RuntimeError(f"response {self.id} has ended already")
        self.ended = True
        for item in self._output:
            item.status = "completed" if status == "completed" else "incomplete"
            self._close_item(item)
        usage = usage or Usage(audio_ms=self.ledger.duration_ms)
        self._emit(ResponseDone(self._snapshot(status, reason, error, usage)))

    # ── items ─────────────────────────────────────────────────────────────────────────────────

    def _open_message(self) -> Item:
        if self._message is None:
            item = Item(
                new_id("item"), role="assistant", status="in_progress", spoken=self.audio_output
            )
            self._message = item
            self._open_item(item)
            self._emit(ContentStarted(self.id, self._index(item), item.id, item.spoken))
        return self._message

    def _open_call(self, delta: ToolCallDelta) -> Item:
        item = Item(
            new_id("item"),
            "function_call",
            "assistant",
            "in_progress",
            name=delta.name or "",
            call_id=delta.id or new_id("call"),
        )
        self._calls[delta.index] = item
        self._open_item(item)
        return item

    def _open_item(self, item: Item) -> None:
        self._output.append(item)
        self._emit(OutputItemStarted(self.id, self._index(item), copy(item)))
        if self._history is not None:
            previous = self._history.add(item)
            self._emit(ItemAdded(copy(item), previous))

    def _close_item(self, item: Item) -> None:
        index = self._index(item)
        if item.kind == "message":
            cut = item.status != "completed"
            text = self._sent(self.ledger.text) if item.spoken else item.text or ""
            self._emit(ContentDone(self.id, index, item.id, item.spoken, text, cut))
        else:
            self._emit(ArgumentsDone(self.id, index, copy(item)))
        if self._history is not None and item.id in self._history:
            self._emit(ItemDone(copy(item), self._history.previous_id(item.id)))
        self._emit(OutputItemDone(self.id, index, copy(item)))

    def _sent(self, text: str) -> str:
        return text[: len(text) - self._unsent_chars]

    def _index(self, item: Item) -> int:
        return self._output.index(item)

    def _snapshot(
        self,
        status: ResponseStatus,
        reason: str | None = None,
        error: VivavoceError | None = None,
        usage: Usage | None = None,
    ) -> ResponseSnapshot:
        return ResponseSnapshot(
            id=self.id,
            status=status,
            audio_output=self.audio_output,
            voice=self.voice,
            max_output_tokens=self.max_output_tokens,
            options=self.options,
            output=tuple(copy(item) for item in self._output),
            reason=reason,
            error=error,
            usage=usage,
        )
