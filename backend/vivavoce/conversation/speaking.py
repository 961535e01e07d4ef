"""The assistant's side of a session: its reply, from the first thought to the last sample heard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from vivavoce.conversation.audience import Audience
from vivavoce.conversation.clock import Clock
from vivavoce.conversation.events import AudioDelta, Event, OutputCleared, TurnReceipt
from vivavoce.conversation.items import History
from vivavoce.conversation.mailbox import Outbox
from vivavoce.conversation.messages import (
    Called,
    Produced,
    RunEnded,
    RunFailed,
    Spoken,
    Timer,
    Written,
)
from vivavoce.conversation.options import ResponseOptions, SessionLimits, SessionOptions
from vivavoce.conversation.receipt import Receipt, Stage
from vivavoce.conversation.reply import Reply
from vivavoce.conversation.response import ResponseRun, Studio
from vivavoce.conversation.states import RESPONSE_TRANSITIONS, Machine, ResponseState
from vivavoce.engines.interfaces import ChatRequest, SpeechOptions
from vivavoce.errors import Conflict, InvalidRequest, NotFound, Overloaded

ROOM_POLL_MS = 20


@dataclass(slots=True)
class _Production:
    """A reply, what makes it, and what is held back of it while it is provisional."""

    reply: Reply
    speech: SpeechOptions | None
    receipt: Receipt
    task: asyncio.Task[None] | None = None
    held: list[Produced] = field(default_factory=list)
    held_ms: float = 0.0

    def halt(self) -> None:
        if self.task is not None:
            self.task.cancel()


class Speaker:
    """Owns the state of the reply; only the session's writer calls it.

    One reply at a time belongs to the conversation; others, beside it, leave no trace.
    spawn: starts a task of the session. arm: asks for a timer at a time on the clock (None: not
    any more). on_receipt: told once for each reply of the conversation, when it is over.
    """

    def __init__(
        self,
        studio: Studio,
        history: History,
        limits: SessionLimits,
        clock: Clock,
        outbox: Outbox,
        audience: Audience,
        *,
        spawn: Callable[[Awaitable[None]], asyncio.Task[None]],
        post: Callable[[Produced], Awaitable[None]],
        emit: Callable[[Event], None],
        arm: Callable[[Timer, float | None], None],
        on_receipt: Callable[[Receipt], None],
    ) -> None:
        self._studio = studio
        self._history = history
        self._limits = limits
        self._clock = clock
        self._outbox = outbox
        self._audience = audience
        self._spawn = spawn
        self._post = post
        self._emit = emit
        self._arm = arm
        self._on_receipt = on_receipt
        self._machine = Machine(ResponseState.NONE, RESPONSE_TRANSITIONS)
        self._main: _Production | None = None
        self._beside: dict[str, _Production] = {}

    @property
    def state(self) -> ResponseState:
        return self._machine.state

    @property
    def is_heard(self) -> bool:
        """Whether the assistant's voice is playing at the client, or about to."""
        return self._lead_ms > 0

    @property
    def is_unheard(self) -> bool:
        """Whether a reply is under way of which the client has not got anything yet."""
        if self.state is not ResponseState.ACTIVE or self._main is None:
            return False
        message = self._main.reply.message
        return message is None or (message.spoken and not self._audience.has_heard(message.id))

    @property
    def is_idle(self) -> bool:
        """Whether the conversation has no reply; there may be some beside it."""
        return self.state is ResponseState.NONE

    @property
    def is_quiet(self) -> bool:
        """Whether there is no reply at all."""
        return self.is_idle and not self._beside

    # ── beginning ─────────────────────────────────────────────────────────────────────────────

    def begin(
        self, options: ResponseOptions, session: SessionOptions, stages: Mapping[Stage, int]
    ) -> str:
        """Start a reply that the client may know of at once; `produce` follows.

        Raises Conflict while another is active and Overloaded for too many beside it.
        """
        if options.in_conversation:
            self.withdraw()
            if self.state is ResponseState.DRAINING:
                self._over(Stage.END)
            if self._main is not None:
                raise Conflict(
                    "Conversation already has an active response in progress: "
                    f"{self._main.reply.id}. Wait until it is done, or cancel it.",
                    code="conversation_already_has_active_response",
                )
            production = self._main = self._new(options, session, stages)
            self._machine.enter(ResponseState.ACTIVE)
        else:
            if len(self._beside) >= self._limits.side_responses:
                raise Overloaded(
                    f"{self._limits.side_responses} responses are running beside the conversation "
                    "already; wait for one to end.",
                    code="too_many_responses",
                )
            production = self._new(options, session, stages)
            self._beside[production.reply.id] = production
        production.reply.start()
        return production.reply.id

    def is_wanted(self, response_id: str) -> bool:
        """Whether `produce` should follow: the reply has begun and not ended."""
        return self._find(response_id) is not None

    def produce(self, response_id: str, request: ChatRequest) -> None:
        """Start making the reply that `begin` announced; nothing happens if it is gone."""
        production = self._find(response_id)
        if production is not None and production.task is None:
            self._run(production, request)

    def speculate(
        self, session: SessionOptions, stages: Mapping[Stage, int], request: ChatRequest
    ) -> None:
        """Start a reply that is held back until `release`, or thrown away by `withdraw`."""
        self._machine.enter(ResponseState.PROVISIONAL)
        production = self._main = self._new(ResponseOptions(), session, stages)
        production.receipt.mark(Stage.PROVISIONAL, self._clock.now_ms())
        self._run(production, request)

    def withdraw(self) -> None:
        """What the provisional reply was based on no longer holds: throw it away."""
        if self.state is ResponseState.PROVISIONAL and self._main is not None:
            self._main.halt()
            self._main = None
            self._machine.enter(ResponseState.CANCELLED)
            self._machine.enter(ResponseState.NONE)

    def release(self, stages: Mapping[Stage, int]) -> None:
        """The turn is over: let go what is held back of the provisional reply."""
        production = self._main
        if production is None:
            raise RuntimeError("no provisional reply to release")
        self._machine.enter(ResponseState.ACTIVE)
        for stage, at_ms in stages.items():
            production.receipt.mark(stage, at_ms)
        held, production.held, production.held_ms = production.held, [], 0.0
        production.reply.start()
        for message in held:
            self.receive(message)

    # ── while it is made ──────────────────────────────────────────────────────────────────────

    def receive(self, message: Produced) -> None:
        """Take what a run produced; dropped when its reply is no longer wanted."""
        production = self._find(message.response_id)
        if production is None:
            return
        if production is self._main and self.state is ResponseState.PROVISIONAL:
            production.held.append(message)
            if isinstance(message, Spoken):
                production.held_ms += self._ms(len(message.pcm))
            return
        reply = production.reply
        match message:
            case Written():
                reply.write(message)
            case Spoken():
                reply.speak(message)
                if production is self._main and reply.message is not None:
                    self._audience.expect(reply.id, reply.message, reply.ledger)
            case Called():
                reply.call(message)
            case RunEnded(end=end):
                reply.complete(end)
                self._ended(production)
            case RunFailed(error=error):
                reply.fail(error)
                self._ended(production)

    # ── stopping ──────────────────────────────────────────────────────────────────────────────

    def interrupt(self) -> None:
        """The user talks over the reply: not a byte more of it, and history as heard."""
        self._silence("turn_detected")

    def cancel(self, response_id: str | None) -> None:
        """The client stops a response; raises InvalidRequest when there is none to stop."""
        if response_id in self._beside:
            production = self._beside[response_id]
            production.halt()
            unsent = self._outbox.drop_stale({response_id})
            production.reply.cancel("client_cancelled", unsent_chars=unsent[response_id])
            self._ended(production)
            return
        active = self._main if self.state is ResponseState.ACTIVE else None
        if active is None or response_id not in (None, active.reply.id):
            raise InvalidRequest(
                "Cancellation failed: no active response found"
                + (f" with id {response_id!r}." if response_id else "."),
                code="response_cancel_not_active",
            )
        self._silence("client_cancelled")

    def clear_output(self) -> None:
        """The client has thrown away all audio that it had not played."""
        sounding = self._main if self.state is not ResponseState.PROVISIONAL else None
        self._silence("client_cancelled")
        self._emit(OutputCleared(sounding.reply.id if sounding is not None else None))

    def _silence(self, reason: str) -> None:
        """End what is being made and what is being played; a provisional reply is neither."""
        production = self._main if self.state is not ResponseState.PROVISIONAL else None
        stale = self._audience.response_ids | ({production.reply.id} if production else set())
        unsent = self._outbox.drop_stale(stale)
        if production is not None and not production.reply.ended:
            production.halt()
            reply = production.reply
            reply.cancel(reason, unsent_chars=unsent[reply.id])
        for heard in self._audience.stop():
            self._emit(heard)
        if production is not None:
            self._machine.enter(ResponseState.CANCELLED)
            self._over(Stage.INTERRUPTED)

    # ── what the client has heard ─────────────────────────────────────────────────────────────

    def truncate(self, item_id: str, audio_ms: int) -> int:
        """The user heard `audio_ms` of the item and no more; returns the time as clamped.

        Raises NotFound for an item that is not a spoken reply still known here.
        """
        if item_id not in self._audience or item_id not in self._history:
            raise NotFound(
                f"Item {item_id!r} has no audio of the assistant's that could be truncated.",
                code="item_truncate_invalid_item_id",
                param="item_id",
            )
        heard_ms = self._audience.truncate(item_id, audio_ms)
        message = self._main.reply.message if self._main is not None else None
        if self.state is ResponseState.DRAINING and message is not None and message.id == item_id:
            self._silence("client_cancelled")
        return heard_ms

    def report_playback(self, response_id: str, played_ms: int) -> None:
        """The client has played `played_ms` of a response; of an interrupted one, all it will.

        Raises NotFound for a response without audio.
        """
        self._audience.report(response_id, played_ms)
        if self._main is not None and self._main.reply.id == response_id:
            if played_ms > 0:
                began_ms = self._clock.now_ms() - played_ms
                self._main.receipt.mark(Stage.PLAYBACK_START, began_ms)
            if self.state is ResponseState.DRAINING:
                self.playback_ended()

    def playback_ended(self) -> None:
        """The reply may have been heard to its end by now; where it was not, ask again then."""
        if self.state is not ResponseState.DRAINING:
            return
        if self._lead_ms > 0:
            self._arm(Timer.PLAYBACK, self._clock.now_ms() + self._lead_ms)
        else:
            self._over(Stage.END)

    # ── inside ────────────────────────────────────────────────────────────────────────────────

    @property
    def _lead_ms(self) -> float:
        """Audio that the client has not played yet, as far as is known."""
        return self._outbox.unread_ms + self._audience.lead_ms

    def _new(
        self, options: ResponseOptions, session: SessionOptions, stages: Mapping[Stage, int]
    ) -> _Production:
        audio = session.audio_output if options.audio_output is None else options.audio_output
        voice = options.voice or session.voice
        reply = Reply(
            options,
            audio_output=audio,
            voice=voice,
            max_output_tokens=options.max_output_tokens or session.max_output_tokens,
            history=self._history if options.in_conversation else None,
            sample_rate=self._studio.synthesizer.sample_rate,
            emit=self._emit_main if options.in_conversation else self._emit,
        )
        speech = SpeechOptions(voice=voice, speed=session.speed) if audio else None
        return _Production(reply, speech, Receipt(reply.id, dict(stages)))

    def _run(self, production: _Production, request: ChatRequest) -> None:
        run = ResponseRun(
            production.reply.id,
            request,
            production.speech,
            self._studio,
            max_chars=self._limits.reply_chars,
            post=self._post,
            room=lambda: self._room(production),
            play_deadline_ms=lambda: int(self._clock.now_ms() + self._lead_ms),
            receipt=production.receipt,
            clock=self._clock,
        )
        production.task = self._spawn(run.run())

    async def _room(self, production: _Production) -> None:
        """Wait until the listener is not further behind than the limits allow."""
        while True:
            excess = max(
                self._lead_ms + production.held_ms - self._limits.lead_ms,
                self._outbox.unread_ms - self._limits.unread_ms,
            )
            if excess <= 0:
                return
            await asyncio.sleep(max(excess, ROOM_POLL_MS) / 1000)

    def _find(self, response_id: str) -> _Production | None:
        if self._main is not None and self._main.reply.id == response_id:
            return None if self._main.reply.ended else self._main
        return self._beside.get(response_id)

    def _ended(self, production: _Production) -> None:
        """Its terminal event is out."""
        if production is not self._main:
            del self._beside[production.reply.id]
        elif self._lead_ms > 0:
            self._machine.enter(ResponseState.DRAINING)
            self.playback_ended()
        else:
            self._over(Stage.END)

    def _over(self, how: Stage) -> None:
        """The reply of the conversation has been heard, or as much as will be."""
        self._machine.enter(ResponseState.NONE)
        self._arm(Timer.PLAYBACK, None)
        production, self._main = self._main, None
        if production is not None:
            receipt = production.receipt
            receipt.mark(how, self._clock.now_ms())
            self._emit(TurnReceipt(production.reply.id, receipt.since_speech_end()))
            self._on_receipt(receipt)

    def _emit_main(self, event: Event) -> None:
        if isinstance(event, AudioDelta) and self._main is not None:
            self._main.receipt.mark(Stage.FIRST_AUDIBLE, self._clock.now_ms())
        self._emit(event)

    def _ms(self, n_samples: int) -> float:
        return n_samples * 1000 / self._studio.synthesizer.sample_rate
