"""One conversation: a single writer that takes messages in order and decides what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import structlog

from vivavoce.conversation.audience import Audience
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
    carried_bytes,
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
from vivavoce.conversation.items import History, Item, new_id
from vivavoce.conversation.listening import Listener
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
from vivavoce.conversation.moderator import Moderator
from vivavoce.conversation.options import (
    SessionLimits,
    SessionOptions,
    TurnTiming,
)
from vivavoce.conversation.receipt import Receipt
from vivavoce.conversation.response import Studio
from vivavoce.conversation.speaking import Speaker
from vivavoce.conversation.states import InputState
from vivavoce.conversation.timers import Timers
from vivavoce.engines.interfaces import (
    HostedRecognizer,
    HostedVad,
    Pcm,
    RecognitionOptions,
    Transcript,
)
from vivavoce.errors import InvalidRequest, Overloaded, VivavoceError

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
        self._inbox: Inbox[Message] = Inbox(
            self._limits.inbox_messages, self._limits.inbox_bytes, carried_bytes
        )
        voice_rate = engines.studio.synthesizer.sample_rate
        audience = Audience(self._clock, voice_rate)
        self._outbox = Outbox(self._limits.outbox_events, voice_rate, audience.receive)
        self._history = History(self._limits.history_items, self._limits.history_chars)
        self._ear = Ear(engines.vad)
        self._timers = Timers(self._clock, self._inbox.post_now)
        self._children: set[asyncio.Task[None]] = set()
        self._ended = False
        self._leaving = False
        self._user_spoke = False
        self._transcribing = 0
        self._speaker = Speaker(
            engines.studio,
            self._history,
            self._limits,
            self._clock,
            self._outbox,
            audience,
            spawn=self._spawn,
            post=self._inbox.post,
            emit=self._emit,
            arm=self._timers.arm,
            on_receipt=lambda receipt: on_receipt(self.id, receipt),
        )
        self._moderator = Moderator(
            engines.studio.chat,
            self._speaker,
            self._history,
            self._limits,
            options,
            spawn=self._spawn,
            words_awaited=lambda: self._words_awaited,
        )
        self._listener: Listener

    # ── for transports ────────────────────────────────────────────────────────────────────────

    async def submit(self, command: Command) -> None:
        await self._inbox.post(command)

    async def next_event(self) -> Event:
        """The next event for the client; SessionEnded is the last."""
        return await self._outbox.take()

    def leave(self) -> None:
        """Ask the session to end once nothing is under way (graceful stop of the server)."""
        self._inbox.post_now(Leave())

    async def run(self) -> None:
        """Until the session ends or is cancelled. Raises VivavoceError when it cannot begin."""
        await self._ear.open()
        self._listener = Listener(
            self._ear,
            self._engines.recognizer,
            self._options,
            self._timing,
            self._limits,
            self._history,
            self._clock,
            self._moderator,
            spawn=self._spawn,
            post=self._inbox.post,
            emit=self._emit,
            arm=self._timers.arm,
        )
        self._timers.arm(Timer.SESSION, self._clock.now_ms() + self._limits.session_ms)
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
            try:
                self._speaker.interrupt()  # so that its receipt is not lost
            finally:
                await self._close()

    async def _close(self) -> None:
        self._timers.stop()
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
                if self._timers.accept(message):
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
                self._configure(options)
            case CreateItem():
                self._create_item(command)
            case RetrieveItem(item_id=item_id):
                self._emit(ItemRetrieved(copy(self._history.get(item_id))))
            case TruncateItem(item_id=item_id, audio_ms=audio_ms):
                self._speaker.withdraw()
                self._emit(ItemTruncated(item_id, self._speaker.truncate(item_id, audio_ms)))
            case DeleteItem(item_id=item_id):
                self._history.delete(item_id)
                self._speaker.withdraw()
                self._emit(ItemDeleted(item_id))
            case CreateResponse():
                self._moderator.create(command)
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
        user_is_done = self._listener.state is InputState.IDLE and not self._words_awaited
        self._user_spoke |= not user_is_done
        self._moderator.proceed(user_is_done=user_is_done)
        self._await_idleness(quiet=user_is_done and self._speaker.is_idle)
        if self._leaving and user_is_done and self._speaker.is_quiet:
            self.end(1012, "The server is restarting.")

    def end(self, code: int, reason: str) -> None:
        """End the session; code: of the WebSocket's close frame."""
        if not self._ended:
            self._ended = True
            self._outbox.end(SessionEnded(code, reason))
            self._inbox.post_now(Leave())

    # ── commands in detail ────────────────────────────────────────────────────────────────────

    def _configure(self, options: SessionOptions) -> None:
        self._options = options
        self._moderator.configure(options)
        self._listener.configure(options)
        self._timers.arm(Timer.IDLE, None)
        self._emit(Configured(options))

    def _create_item(self, command: CreateItem) -> None:
        if command.audio is not None and self._transcribing >= self._limits.transcriptions:
            raise Overloaded(
                f"{self._transcribing} items with audio wait to be transcribed already.",
                code="recognizer_behind",
            )
        item = command.item
        previous = self._history.add(item, command.after)
        self._speaker.withdraw()
        self._emit(ItemAdded(copy(item), previous))
        self._emit(ItemDone(copy(item), previous))
        self._user_spoke = True
        self._timers.arm(Timer.IDLE, None)
        if command.audio is not None:
            self._transcribing += 1
            self._spawn(self._transcribe(item, command.audio))

    async def _transcribe(self, item: Item, pcm: Pcm) -> None:
        options = RecognitionOptions(self._options.language, self._options.transcription_prompt)
        try:
            result: Transcript | VivavoceError = await self._engines.recognizer.transcribe(
                pcm, options
            )
        except VivavoceError as error:
            result = error
        await self._inbox.post(ItemTranscribed(item, result))

    def _item_transcribed(self, message: ItemTranscribed) -> None:
        self._transcribing -= 1
        item = message.item
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
        return self._transcribing > 0 or self._listener.awaits_transcript

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
                self._user_spoke = False
                self._listener.idle_timeout()
                self._moderator.break_silence()

    def _await_idleness(self, *, quiet: bool) -> None:
        """The timeout runs from the end of a reply, once between two inputs of the user."""
        idle_ms = self._options.turn.idle_timeout_ms if self._options.turn is not None else None
        if not quiet or idle_ms is None or not self._user_spoke:
            self._timers.arm(Timer.IDLE, None)
        elif Timer.IDLE not in self._timers:
            self._timers.arm(Timer.IDLE, self._clock.now_ms() + idle_ms)

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
