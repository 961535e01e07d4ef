"""The assistant's side of a session: its reply, from the first thought to the last sample heard."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from vivavoce.conversation.clock import Clock
from vivavoce.conversation.events import (
    AudioDelta,
    Event,
    OutputCleared,
    ReplyHeard,
    TurnReceipt,
)
from vivavoce.conversation.items import History, Item
from vivavoce.conversation.ledger import Ledger
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
from vivavoce.conversation.playback import MAX_TRACKED_ITEMS, Playback
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


class Speaker:
    """Owns the state of the reply; only the session's writer calls it.

    One reply at a time belongs to the conversation; others, beside it, leave no trace.
    spawn: starts a task of the session. arm: asks for a timer at a time on the clock (None: not
    any more). audible: called once a turn when its receipt is complete.
    """

    def __init__(
        self,
        studio: Studio,
        history: History,
        limits: SessionLimits,
        clock: Clock,
        outbox: Outbox,
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
        self._spawn = spawn
        self._post = post
        self._emit = emit
        self._arm = arm
        self._on_receipt = on_receipt
        self._machine = Machine(ResponseState.NONE, RESPONSE_TRANSITIONS)
        self._main: _Production | None = None
        self._beside: dict[str, _Production] = {}
        self._playback = Playback()
        self._spoken: OrderedDict[str, tuple[str, Item, Ledger]] = OrderedDict()
        self._cuts: dict[str, int] = {}

    @property
    def state(self) -> ResponseState:
        return self._machine.state

    @property
    def is_heard(self) -> bool:
        """Whether the assistant's voice is playing at the client."""
        playing = self.state in (ResponseState.ACTIVE, ResponseState.DRAINING)
        return playing and self._playback.is_playing(self._clock.now_ms())

    @property
    def is_idle(self) -> bool:
        return self.state is ResponseState.NONE

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
                self._finish_draining()
            if self.state is not ResponseState.NONE:
                active = self._main.reply.id if self._main else "unknown"
                raise Conflict(
                    f"Conversation already has an active response in progress: {active}. Wait "
                    "until it is done, or cancel it.",
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
        """The turn was not over: throw the provisional reply away."""
        if self.state is ResponseState.PROVISIONAL:
            self._drop_main()

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
                self._remember(reply)
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
        self._stop("turn_detected")

    def cancel(self, response_id: str | None) -> None:
        """The client stops a response; raises InvalidRequest when there is none to stop."""
        if response_id in self._beside:
            production = self._beside[response_id]
            self._halt(production)
            production.reply.cancel("client_cancelled")
            self._ended(production)
            return
        active = self.state is ResponseState.ACTIVE and self._main is not None
        if not active or (response_id not in (None, self._main.reply.id if self._main else None)):
            raise InvalidRequest(
                "Cancellation failed: no active response found"
                + (f" with id {response_id!r}." if response_id else "."),
                code="response_cancel_not_active",
            )
        self._stop("client_cancelled")

    def clear_output(self) -> None:
        """The client has thrown away all audio that it had not played."""
        response_id = self._main.reply.id if self._main else None
        self._stop("client_cancelled")
        self._emit(OutputCleared(response_id))

    def _stop(self, reason: str) -> None:
        production = self._main
        if production is None or self.state in (ResponseState.NONE, ResponseState.PROVISIONAL):
            self.withdraw()
            return
        self._halt(production)
        reply = production.reply
        for item_id, ms in self._outbox.drop_stale(reply.id).items():
            self._playback.unsend(item_id, ms)
        production.receipt.mark(Stage.INTERRUPTED, self._clock.now_ms())
        unheard = self._playback.stop(self._clock.now_ms())
        if not reply.ended:
            reply.cancel(reason)
            self._deliver_receipt(production)
        for item_id in unheard:
            self._cut_to_heard(item_id)
        self._machine.enter(ResponseState.CANCELLED)
        self._leave()

    def _cut_to_heard(self, item_id: str) -> None:
        response_id, item, ledger = self._spoken[item_id]
        heard_ms = self._cuts.get(item_id, self._playback.heard_ms(item_id, self._clock.now_ms()))
        item.text = ledger.heard(heard_ms)
        self._emit(ReplyHeard(response_id, item_id, item.text, heard_ms))

    # ── what the client has heard ─────────────────────────────────────────────────────────────

    def truncate(self, item_id: str, audio_ms: int) -> int:
        """The user heard `audio_ms` of the item and no more; returns the time as clamped.

        Raises NotFound for an item that is not a spoken reply still known here.
        """
        if item_id not in self._spoken:
            raise NotFound(
                f"Item {item_id!r} has no audio of the assistant's that could be truncated.",
                code="item_truncate_invalid_item_id",
                param="item_id",
            )
        response_id, item, ledger = self._spoken[item_id]
        audio_ms = min(audio_ms, ledger.duration_ms)
        self._cuts[item_id] = audio_ms
        self._playback.report(item_id, audio_ms, self._clock.now_ms())
        if self._main is None or self._main.reply.id != response_id:
            item.text = ledger.heard(audio_ms)
        elif self.state is ResponseState.DRAINING:
            self._stop("client_cancelled")
        return audio_ms

    def report_playback(self, response_id: str, played_ms: int) -> None:
        """The client has played `played_ms` of a response; of an interrupted one, all it will."""
        for item_id, (owner, item, ledger) in self._spoken.items():
            if owner != response_id:
                continue
            now = self._clock.now_ms()
            self._playback.report(item_id, played_ms, now)
            if self._main is not None and self._main.reply.id == response_id:
                if played_ms > 0:
                    self._main.receipt.mark(Stage.PLAYBACK_START, now - played_ms)
                if self.state is ResponseState.DRAINING:
                    self._arm(Timer.PLAYBACK, self._playback.ends_at)
            elif self._playback.was_stopped(item_id):
                item.text = ledger.heard(played_ms)
            return
        raise NotFound(
            f"Response {response_id!r} has no audio here.",
            code="unknown_response",
            param="response",
        )

    def playback_ended(self) -> bool:
        """A timer says that the reply has been heard; False when that turned out too early."""
        if self.state is not ResponseState.DRAINING:
            return False
        if self._playback.is_playing(self._clock.now_ms()):
            self._arm(Timer.PLAYBACK, self._playback.ends_at)
            return False
        self._finish_draining()
        return True

    # ── inside ────────────────────────────────────────────────────────────────────────────────

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
            post=self._post,
            room=lambda: self._room(production),
            play_deadline_ms=lambda: int(max(self._clock.now_ms(), self._playback.ends_at)),
            receipt=production.receipt,
            clock=self._clock,
        )
        production.task = self._spawn(run.run())

    async def _room(self, production: _Production) -> None:
        """Wait until the listener is not further behind than the limits allow."""
        while True:
            lead_ms = self._playback.lead_ms(self._clock.now_ms()) + production.held_ms
            excess = max(
                lead_ms - self._limits.lead_ms, self._outbox.unread_ms - self._limits.unread_ms
            )
            if excess <= 0:
                return
            await asyncio.sleep(max(excess, ROOM_POLL_MS) / 1000)

    def _find(self, response_id: str) -> _Production | None:
        if self._main is not None and self._main.reply.id == response_id:
            return None if self._main.reply.ended else self._main
        return self._beside.get(response_id)

    def _ended(self, production: _Production) -> None:
        if production is not self._main:
            del self._beside[production.reply.id]
            return
        self._deliver_receipt(production)
        if self._playback.is_playing(self._clock.now_ms()):
            self._machine.enter(ResponseState.DRAINING)
            self._arm(Timer.PLAYBACK, self._playback.ends_at)
        else:
            self._machine.enter(ResponseState.NONE)
            self._leave_none()

    def _finish_draining(self) -> None:
        if self._main is not None:
            self._main.receipt.mark(Stage.END, self._clock.now_ms())
        self._machine.enter(ResponseState.NONE)
        self._leave_none()

    def _drop_main(self) -> None:
        if self._main is not None:
            self._halt(self._main)
        self._machine.enter(ResponseState.CANCELLED)
        self._leave()

    def _leave(self) -> None:
        self._machine.enter(ResponseState.NONE)
        self._leave_none()

    def _leave_none(self) -> None:
        main, self._main = self._main, None
        self._arm(Timer.PLAYBACK, None)
        if main is not None and main.reply.message is not None:
            item = main.reply.message
            if item.id in self._cuts:
                item.text = main.reply.ledger.heard(self._cuts[item.id])

    def _halt(self, production: _Production) -> None:
        if production.task is not None:
            production.task.cancel()

    def _deliver_receipt(self, production: _Production) -> None:
        stages = production.receipt.since_speech_end()
        self._emit(TurnReceipt(production.reply.id, stages))
        self._on_receipt(production.receipt)

    def _emit_main(self, event: Event) -> None:
        if isinstance(event, AudioDelta):
            now = self._clock.now_ms()
            if self._main is not None:
                self._main.receipt.mark(Stage.FIRST_AUDIBLE, now)
            self._playback.send(event.item_id, self._ms(len(event.pcm)), now)
        self._emit(event)

    def _remember(self, reply: Reply) -> None:
        item = reply.message
        if item is not None and item.id not in self._spoken:
            self._spoken[item.id] = (reply.id, item, reply.ledger)
            while len(self._spoken) > MAX_TRACKED_ITEMS:
                forgotten, _ = self._spoken.popitem(last=False)
                self._cuts.pop(forgotten, None)

    def _ms(self, n_samples: int) -> float:
        return n_samples * 1000 / self._studio.synthesizer.sample_rate
