"""One conversation: a single writer that takes messages in order and decides what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import structlog

from vivavoce.conversation.clock import Clock, LoopClock
from vivavoce.conversation.commands import (
    AppendAudio,
    CancelResponse,
    ClearInput,
    ClearOutput,
    Command,
    CommitInput,
    Configure,
    CreateItem,
    CreateResponse,
    DeleteItem,
    Reject,
    ReportPlayback,
    RetrieveItem,
    TruncateItem,
)
from vivavoce.conversation.ear import Ear
from vivavoce.conversation.events import (
    Configured,
    Event,
    Failure,
    InputCleared,
    ItemAdded,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    ItemTruncated,
    SessionEnded,
    SessionStarted,
    TranscriptFailed,
    TranscriptFinal,
)
from vivavoce.conversation.items import History, Item, chat_messages, new_id
from vivavoce.conversation.listening import Listener, Utterance
from vivavoce.conversation.mailbox import Inbox, Outbox, OutboxFull
from vivavoce.conversation.messages import (
    Called,
    ItemTranscribed,
    Leave,
    PartialHeard,
    RecognitionFailed,
    RunEnded,
    RunFailed,
    Spoken,
    Timer,
    TimerFired,
    Transcribed,
    Written,
)
from vivavoce.conversation.options import (
    ResponseOptions,
    SessionLimits,
    SessionOptions,
    TurnTiming,
)
from vivavoce.conversation.receipt import Receipt
from vivavoce.conversation.response import Studio
from vivavoce.conversation.speaking import Speaker
from vivavoce.conversation.states import InputState, ResponseState
from vivavoce.engines.interfaces import (
    ChatMessage,
    ChatRequest,
    HostedRecognizer,
    HostedVad,
    Pcm,
    RecognitionOptions,
    Transcript,
)
from vivavoce.errors import InvalidRequest, VivavoceError

log = structlog.get_logger()

Message: TypeAlias = (
    Command
    | PartialHeard
    | Transcribed
    | RecognitionFailed
    | ItemTranscribed
    | Written
    | Spoken
    | Called
    | RunEnded
    | RunFailed
    | TimerFired
    | Leave
)

IDLE_HINT = "(The user has said nothing for a while. Say something short to go on.)"


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything that a session needs to listen, think and speak."""

    vad: HostedVad
    recognizer: HostedRecognizer
    studio: Studio


class Session:
    """Takes commands, emits events, ends with exactly one SessionEnded.

    Commands wait when the session is behind, so a fast client is slowed down, not cut off.
    on_receipt: sees the id of this session and the times of each turn.
    """

    def __init__(
        self,
        engines: Engines,
        options: SessionOptions,
        *,
        timing: TurnTiming | None = None,
        limits: SessionLimits | None = None,
        clock: Clock | None = None,
        on_receipt: Callable[[str, Receipt], None] = lambda session_id, receipt: None,
    ) -> None:
        self.id = new_id("sess")
        self.conversation_id = new_id("conv")
        self._engines = engines
        self._options = options
        self._timing = timing or TurnTiming()
        self._limits = limits or SessionLimits()
        self._clock = clock or LoopClock()
        self._on_receipt = on_receipt
        self._inbox: Inbox[Message] = Inbox(self._limits.inbox_messages)
        self._outbox = Outbox(self._limits.outbox_events, engines.studio.synthesizer.sample_rate)
        self._history = History(self._limits.history_items)
        self._ear = Ear(engines.vad)
        self._children: set[asyncio.Task[None]] = set()
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._ended = False
        self._leaving = False
        self._transcribing: dict[str, Item] = {}
        self._runs_waiting: list[tuple[str, CreateResponse]] = []
        self._answer_next: Utterance | None = None
        self._user_spoke = False
        self._prefilling: asyncio.Task[None] | None = None
        self._speaker = Speaker(
            engines.studio,
            self._history,
            self._limits,
            self._clock,
            self._outbox,
            spawn=self._spawn,
            post=self._inbox.post,
            emit=self._emit,
            arm=self._arm,
            on_receipt=lambda receipt: self._on_receipt(self.id, receipt),
        )
        self._listener: Listener

    # ── for transports ────────────────────────────────────────────────────────────────────────

    async def submit(self, command: Command) -> None:
        await self._inbox.post(command)

    async def next_event(self) -> Event:
        """The next event for the client; SessionEnded is the last."""
        return await self._outbox.take()

    def leave(self) -> None:
        """Ask the session to end once its reply is through (graceful stop of the server)."""
        self._inbox.post_now(Leave())

    async def run(self) -> None:
        """Until the session ends or is cancelled."""
        await self._ear.open()
        self._listener = Listener(
            self._ear,
            self._engines.recognizer,
            self._options,
            self._timing,
            self._limits,
            self._history,
            self._clock,
            self,
            spawn=self._spawn,
            post=self._inbox.post,
            emit=self._emit,
            arm=self._arm,
        )
        self._arm(Timer.SESSION, self._clock.now_ms() + self._limits.session_ms)
        self._emit(SessionStarted(self.id, self.conversation_id, self._options))
        try:
            while not self._ended:
                await self._receive(await self._inbox.take())
                self._follow_up()
        except Exception:  # a defect ends this session, and only this one
            log.exception("session.defect", session_id=self.id)
            self.end(1011, "The session failed.")
        finally:
            self._ended = True
            for timer in list(self._timers):
                self._arm(timer, None)
            for child in self._children:
                child.cancel()
            await asyncio.gather(*self._children, return_exceptions=True)
            self._ear.close()

    # ── the writer ────────────────────────────────────────────────────────────────────────────

    async def _receive(self, message: Message) -> None:
        match message:
            case PartialHeard() | Transcribed() | RecognitionFailed():
                self._listener.receive(message)
            case Written() | Spoken() | Called() | RunEnded() | RunFailed():
                self._speaker.receive(message)
            case ItemTranscribed():
                self._item_transcribed(message)
            case TimerFired(timer=timer):
                self._timer_fired(timer)
            case Leave():
                self._leaving = True
            case _:
                try:
                    await self._obey(message)
                except VivavoceError as error:
                    self._emit(Failure(error, message.cause))

    async def _obey(self, command: Command) -> None:
        match command:
            case AppendAudio(pcm=pcm, sample_rate=rate):
                await self._listener.append(pcm, rate)
            case CommitInput(respond=respond):
                self._listener.commit(answered=respond)
            case ClearInput():
                self._listener.clear()
                self._emit(InputCleared())
            case Configure(options=options):
                self._options = options
                self._listener.configure(options)
                self._emit(Configured(options))
            case CreateItem():
                self._create_item(command)
            case RetrieveItem(item_id=item_id):
                self._emit(ItemRetrieved(copy(self._history.get(item_id))))
            case TruncateItem(item_id=item_id, audio_ms=audio_ms):
                self._emit(ItemTruncated(item_id, self._speaker.truncate(item_id, audio_ms)))
            case DeleteItem(item_id=item_id):
                self._history.delete(item_id)
                self._emit(ItemDeleted(item_id))
            case CreateResponse():
                self._create_response(command)
            case CancelResponse(response_id=response_id):
                self._speaker.cancel(response_id)
            case ClearOutput():
                self._speaker.clear_output()
            case ReportPlayback(response_id=response_id, played_ms=played_ms):
                self._speaker.report_playback(response_id, played_ms)
            case Reject(error=error):
                raise error

    def _follow_up(self) -> None:
        """What was waiting for the message just taken."""
        if self._runs_waiting and not self._words_awaited:
            waiting, self._runs_waiting = self._runs_waiting, []
            for response_id, command in waiting:
                self._speaker.produce(response_id, self._request(command))
        if self._answer_next is not None and self._speaker.state is not ResponseState.ACTIVE:
            utterance, self._answer_next = self._answer_next, None
            self._answer(utterance)
        self._await_idleness()
        if self._leaving and self._speaker.is_idle and self._listener.state is InputState.IDLE:
            self.end(1012, "The server is restarting.")

    def end(self, code: int, reason: str) -> None:
        """End the session; code: of the WebSocket's close frame."""
        if not self._ended:
            self._ended = True
            self._outbox.end(SessionEnded(code, reason))
            self._inbox.post_now(Leave())

    # ── turns of the user (TurnListener) ──────────────────────────────────────────────────────

    @property
    def assistant_is_heard(self) -> bool:
        return self._speaker.is_heard

    def turn_started(self) -> None:
        self._user_spoke = True
        self._arm(Timer.IDLE, None)
        if self._options.turn is None or self._options.turn.interrupt_response:
            self._answer_next = None
            self._listener.leave_unanswered()
            self._speaker.interrupt()

    def words_stable(self, text: str) -> None:
        turn = self._options.turn
        if not self._options.respond or (turn is not None and not turn.create_response):
            return
        if self._prefilling is None or self._prefilling.done():
            request = self._request(CreateResponse(), said=text)
            self._prefilling = self._spawn(self._engines.studio.chat.prefill(request))

    def turn_probably_over(self, utterance: Utterance) -> None:
        turn = self._options.turn
        words = utterance.transcript.text if utterance.transcript else ""
        if (
            words
            and turn is not None
            and turn.create_response
            and self._options.respond
            and self._speaker.is_idle
            and not self._words_awaited
        ):
            request = self._request(CreateResponse(), said=words)
            self._speaker.speculate(self._options, utterance.stages, request)

    def turn_resumed(self) -> None:
        self._speaker.withdraw()

    def turn_ended(self, utterance: Utterance) -> None:
        words = utterance.transcript.text if utterance.transcript else ""
        if words and utterance.answered and self._options.respond and not utterance.error:
            self._answer(utterance)
        else:
            self._speaker.withdraw()

    def _answer(self, utterance: Utterance) -> None:
        match self._speaker.state:
            case ResponseState.PROVISIONAL:
                self._speaker.release(utterance.stages)
            case ResponseState.ACTIVE:
                self._answer_next = utterance
            case _:
                command = CreateResponse()
                response_id = self._speaker.begin(command.options, self._options, utterance.stages)
                self._speaker.produce(response_id, self._request(command))

    # ── commands in detail ────────────────────────────────────────────────────────────────────

    def _create_item(self, command: CreateItem) -> None:
        item = command.item
        previous = self._history.add(item, command.after)
        self._emit(ItemAdded(copy(item), previous))
        self._emit(ItemDone(copy(item), previous))
        self._user_spoke = True
        if command.audio is not None:
            self._transcribing[item.id] = item
            self._spawn(self._transcribe(item.id, command.audio))

    def _create_response(self, command: CreateResponse) -> None:
        if not self._options.respond:
            raise InvalidRequest(
                "This is a transcription session; it makes no responses.",
                code="response_not_supported",
            )
        self._chosen(command.input_items or ())  # unknown ids fail before anything has begun
        response_id = self._speaker.begin(command.options, self._options, {})
        self._runs_waiting.append((response_id, command))

    async def _transcribe(self, item_id: str, pcm: Pcm) -> None:
        options = RecognitionOptions(self._options.language, self._options.transcription_prompt)
        try:
            result: Transcript | VivavoceError = await self._engines.recognizer.transcribe(
                pcm, options
            )
        except VivavoceError as error:
            result = error
        await self._inbox.post(ItemTranscribed(item_id, result))

    def _item_transcribed(self, message: ItemTranscribed) -> None:
        item = self._transcribing.pop(message.item_id)
        if isinstance(message.transcript, VivavoceError):
            item.text = ""
            self._emit(TranscriptFailed(item.id, message.transcript))
        else:
            item.text = message.transcript.text
            self._emit(
                TranscriptFinal(item.id, item.text, message.transcript.language, item.audio_ms)
            )

    @property
    def _words_awaited(self) -> bool:
        return bool(self._transcribing) or self._listener.awaits_transcript

    def _request(self, command: CreateResponse, *, said: str | None = None) -> ChatRequest:
        """said: what the user has said but is not in the history yet."""
        options: ResponseOptions = command.options
        instructions = options.instructions
        messages = chat_messages(
            self._options.instructions if instructions is None else instructions,
            self._history if command.input_items is None else self._chosen(command.input_items),
            self._limits.context_chars,
        )
        if said is not None:
            messages = (*messages, ChatMessage("user", said))
        return ChatRequest(
            messages,
            tools=self._options.tools if options.tools is None else options.tools,
            tool_choice=options.tool_choice or self._options.tool_choice,
            max_tokens=options.max_output_tokens or self._options.max_output_tokens,
        )

    def _chosen(self, input_items: tuple[Item | str, ...]) -> list[Item]:
        return [i if isinstance(i, Item) else self._history.get(i) for i in input_items]

    # ── time ──────────────────────────────────────────────────────────────────────────────────

    def _timer_fired(self, timer: Timer) -> None:
        match timer:
            case Timer.SESSION:
                minutes = self._limits.session_ms // 60_000
                error = InvalidRequest(
                    f"Your session hit the maximum duration of {minutes} minutes.",
                    code="session_expired",
                )
                self._emit(Failure(error))
                self.end(1000, error.message)
            case Timer.STALL:
                self._listener.stalled()
            case Timer.PLAYBACK:
                self._speaker.playback_ended()
            case Timer.IDLE:
                self._idle()

    def _arm(self, timer: Timer, at_ms: float | None) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()
        if at_ms is not None:
            delay = max(0.0, at_ms - self._clock.now_ms()) / 1000
            loop = asyncio.get_running_loop()
            self._timers[timer] = loop.call_later(delay, self._inbox.post_now, TimerFired(timer))

    def _await_idleness(self) -> None:
        turn = self._options.turn
        if (
            turn is not None
            and turn.idle_timeout_ms is not None
            and self._user_spoke
            and Timer.IDLE not in self._timers
            and self._speaker.is_idle
            and self._listener.state is InputState.IDLE
        ):
            self._arm(Timer.IDLE, self._clock.now_ms() + turn.idle_timeout_ms)

    def _idle(self) -> None:
        """Once between two inputs of the user, so that nobody is talked at for ever."""
        del self._timers[Timer.IDLE]
        if self._listener.state is InputState.IDLE and self._speaker.is_idle:
            self._user_spoke = False
            self._listener.idle_timeout()
            command = CreateResponse()
            response_id = self._speaker.begin(command.options, self._options, {})
            self._speaker.produce(response_id, self._request(command, said=IDLE_HINT))

    # ── inside ────────────────────────────────────────────────────────────────────────────────

    def _emit(self, event: Event) -> None:
        if self._ended:
            return
        try:
            self._outbox.put(event)
        except OutboxFull:
            log.warning("session.too_slow", session_id=self.id)
            self.end(1013, "The client reads too slowly.")

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(cast(Coroutine[Any, Any, None], work))
        self._children.add(task)
        task.add_done_callback(self._child_done)
        return task

    def _child_done(self, task: asyncio.Task[None]) -> None:
        self._children.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("session.defect", session_id=self.id, exc_info=error)
            self.end(1011, "The session failed.")
