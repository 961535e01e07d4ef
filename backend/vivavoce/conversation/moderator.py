"""Decides when the assistant speaks, and in answer to what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from vivavoce.conversation.commands import CreateResponse
from vivavoce.conversation.items import History, Item
from vivavoce.conversation.options import SessionLimits, SessionOptions
from vivavoce.conversation.prompt import chat_request
from vivavoce.conversation.speaking import Speaker
from vivavoce.conversation.states import ResponseState
from vivavoce.conversation.utterance import Utterance
from vivavoce.engines.interfaces import ChatModel, ChatRequest
from vivavoce.errors import InvalidRequest

IDLE_HINT = "(The user has said nothing for a while. Say something short to go on.)"


class Moderator:
    """Answers the user's turns and the client's requests; only the session's writer calls it.

    words_awaited: whether something has been said that is not transcribed yet.
    """

    def __init__(
        self,
        chat: ChatModel,
        speaker: Speaker,
        history: History,
        limits: SessionLimits,
        options: SessionOptions,
        *,
        spawn: Callable[[Awaitable[None]], asyncio.Task[None]],
        words_awaited: Callable[[], bool],
    ) -> None:
        self._chat = chat
        self._speaker = speaker
        self._history = history
        self._limits = limits
        self._options = options
        self._spawn = spawn
        self._words_awaited = words_awaited
        self._begun: list[tuple[str, CreateResponse]] = []
        self._answering: Utterance | None = None
        self._unanswered: Utterance | None = None
        self._prefilling: asyncio.Task[None] | None = None

    def configure(self, options: SessionOptions) -> None:
        if options != self._options:
            self._speaker.withdraw()
        self._options = options

    # ── turns of the user (TurnListener) ──────────────────────────────────────────────────────

    @property
    def assistant_is_heard(self) -> bool:
        return self._speaker.is_heard

    def turn_started(self) -> None:
        self._speaker.withdraw()
        if self._options.turn is None or self._options.turn.interrupt_response:
            if self._speaker.is_unheard and self._unanswered is None:
                self._unanswered = self._answering  # in case no words follow
            self._speaker.interrupt()
        self.words_heard("")  # the history may have changed: let it be read meanwhile

    def words_heard(self, text: str) -> None:
        turn = self._options.turn
        if not self._options.respond or (turn is not None and not turn.create_response):
            return
        if self._prefilling is None or self._prefilling.done():
            request = self._request(CreateResponse(), said=text)
            self._prefilling = self._spawn(self._chat.prefill(request))

    def turn_probably_over(self, utterance: Utterance) -> None:
        turn = self._options.turn
        if (
            utterance.words
            and turn is not None
            and turn.create_response
            and self._options.respond
            and self._speaker.is_idle
            and not self._words_awaited()
        ):
            request = self._request(CreateResponse(), said=utterance.words)
            self._speaker.speculate(self._options, utterance.stages, request)

    def turn_resumed(self) -> None:
        self._speaker.withdraw()

    def turn_ended(self, utterance: Utterance) -> None:
        if utterance.words and utterance.answered and self._options.respond:
            self._unanswered = utterance  # one answer to all that was said since the last
        else:
            self._speaker.withdraw()

    # ── replies ───────────────────────────────────────────────────────────────────────────────

    def create(self, command: CreateResponse) -> None:
        """The client wants a reply; it begins at once and waits for words still to come.

        Raises InvalidRequest, NotFound, Conflict and Overloaded before anything has begun.
        """
        if not self._options.respond:
            raise InvalidRequest(
                "This is a transcription session; it makes no responses.",
                code="response_not_supported",
            )
        if command.input_items is not None:
            command = replace(command, input_items=self._chosen(command.input_items))
        response_id = self._speaker.begin(command.options, self._options, {})
        if command.options.in_conversation:
            self._answering = self._unanswered = None
        self._begun = [begun for begun in self._begun if self._speaker.is_wanted(begun[0])]
        self._begun.append((response_id, command))

    def proceed(self, *, user_is_done: bool) -> None:
        """Do what had to wait; user_is_done: nobody speaks, and all that was said is known."""
        if self._begun and not self._words_awaited():
            begun, self._begun = self._begun, []
            for response_id, command in begun:
                self._speaker.produce(response_id, self._request(command))
        if user_is_done and self._unanswered is not None:
            self._answer(self._unanswered)

    def break_silence(self) -> None:
        """Say something though nobody asked."""
        self._reply(said=IDLE_HINT)
        self._answering = None

    def _answer(self, utterance: Utterance) -> None:
        """Reply to all turns up to this one, unless another reply is still being made."""
        if self._speaker.state is ResponseState.ACTIVE:
            return
        if self._speaker.state is ResponseState.PROVISIONAL:
            self._speaker.release(utterance.stages)
        else:
            self._reply(utterance)
        self._answering, self._unanswered = utterance, None

    def _reply(self, utterance: Utterance | None = None, *, said: str | None = None) -> None:
        command = CreateResponse()
        stages = utterance.stages if utterance is not None else {}
        response_id = self._speaker.begin(command.options, self._options, stages)
        self._speaker.produce(response_id, self._request(command, said=said))

    def _request(self, command: CreateResponse, *, said: str | None = None) -> ChatRequest:
        """said: what the user has said but is not in the history yet."""
        chosen = command.input_items
        items = list(self._history) if chosen is None else self._chosen(chosen)
        limit = self._limits.context_chars
        return chat_request(self._options, command.options, items, limit, said=said)

    def _chosen(self, input_items: tuple[Item | str, ...]) -> tuple[Item, ...]:
        return tuple(i if isinstance(i, Item) else self._history.get(i) for i in input_items)
