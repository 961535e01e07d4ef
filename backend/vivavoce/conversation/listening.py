"""The user's side of a session: from audio to turns with words."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Protocol

from vivavoce.conversation.clock import Clock
from vivavoce.conversation.ear import Ear, Frame
from vivavoce.conversation.endpoint import endpoint_after_ms
from vivavoce.conversation.events import (
    Event,
    IdleTimeout,
    InputCommitted,
    ItemAdded,
    ItemDone,
    SpeechStarted,
    SpeechStopped,
    TranscriptFailed,
    TranscriptFinal,
    TranscriptPartial,
)
from vivavoce.conversation.items import History, Item, new_id
from vivavoce.conversation.messages import (
    Heard,
    PartialHeard,
    RecognitionFailed,
    Timer,
    Transcribed,
)
from vivavoce.conversation.options import SessionLimits, SessionOptions, TurnOptions, TurnTiming
from vivavoce.conversation.receipt import Stage
from vivavoce.conversation.recognition import Recognition
from vivavoce.conversation.states import INPUT_TRANSITIONS, InputState, Machine
from vivavoce.conversation.turns import Signal, TurnDetector
from vivavoce.engines.interfaces import HostedRecognizer, Pcm, RecognitionOptions, Transcript
from vivavoce.errors import InvalidRequest, Overloaded, VivavoceError

MIN_COMMIT_MS = 100

VOICED = 0.5
"""Probability from which a frame counts as speech where no client has set a threshold."""

MAX_AWAITED_TRANSCRIPTS = 8
"""Turns that may wait for their transcript at a time."""

SILENCE = Transcript("")


@dataclass(slots=True)
class Utterance:
    """A turn of the user while it is heard.

    pauses: counts them, so that a transcript asked for in an earlier one is known as stale.
    trailing: frames of the present pause, needed only if speech resumes. voiced: speech was found
    in it. answered: it is to be replied to once its words are known.
    """

    item_id: str
    recognition: Recognition
    task: asyncio.Task[None]
    start_ms: float
    ms: float = 0.0
    pauses: int = 0
    trailing: list[Frame] = field(default_factory=list)
    voiced: bool = False
    item: Item | None = None
    answered: bool = False
    transcript: Transcript | None = None
    error: VivavoceError | None = None
    stages: dict[Stage, int] = field(default_factory=dict)


class TurnListener(Protocol):
    """What follows from a turn; the session decides."""

    @property
    def assistant_is_heard(self) -> bool: ...

    def turn_started(self) -> None: ...

    def words_stable(self, text: str) -> None:
        """The beginning of the turn's words is known while the user goes on speaking."""
        ...

    def turn_probably_over(self, utterance: Utterance) -> None:
        """A pause, and its words are known."""
        ...

    def turn_resumed(self) -> None:
        """The pause was not the end, or the turn was taken back: what it led to is void."""
        ...

    def turn_ended(self, utterance: Utterance) -> None:
        """The turn's item is in the history, and its words (or their failure) are known."""
        ...


class Listener:
    """Owns the state of the input; only the session's writer calls it."""

    def __init__(
        self,
        ear: Ear,
        recognizer: HostedRecognizer,
        options: SessionOptions,
        timing: TurnTiming,
        limits: SessionLimits,
        history: History,
        clock: Clock,
        turns: TurnListener,
        *,
        spawn: Callable[[Awaitable[None]], asyncio.Task[None]],
        post: Callable[[Heard], Awaitable[None]],
        emit: Callable[[Event], None],
        arm: Callable[[Timer, float | None], None],
    ) -> None:
        self._ear = ear
        self._recognizer = recognizer
        self._options = options
        self._timing = timing
        self._limits = limits
        self._history = history
        self._clock = clock
        self._turns = turns
        self._spawn = spawn
        self._post = post
        self._emit = emit
        self._arm = arm
        self._machine = Machine(InputState.IDLE, INPUT_TRANSITIONS)
        self._detector = TurnDetector(ear.frame_ms, options.turn or TurnOptions(), timing)
        self._lead_in: deque[Frame] = deque()
        self._lead_in_ms = 0.0
        self._utterance: Utterance | None = None
        self._awaited: dict[str, Utterance] = {}
        self._stable = ""

    @property
    def state(self) -> InputState:
        return self._machine.state

    @property
    def awaits_transcript(self) -> bool:
        """Whether a committed turn's words are not known yet."""
        return bool(self._awaited)

    @property
    def audio_ms(self) -> int:
        """Of audio heard in this session."""
        return round(self._detector.now_ms)

    def configure(self, options: SessionOptions) -> None:
        if (options.turn is None) is not (self._options.turn is None):
            self.clear()
        self._options = options
        if options.turn is not None:
            self._detector.configure(options.turn)

    # ── audio ─────────────────────────────────────────────────────────────────────────────────

    async def append(self, pcm: Pcm, sample_rate: int) -> None:
        for frame in await self._ear.listen(pcm, sample_rate):
            if self._options.turn is None:
                self._hear_manually(frame)
            else:
                self._hear_turns(frame, self._options.turn)
        if self._options.turn is not None and self._utterance is not None:
            self._arm(Timer.STALL, self._clock.now_ms() + self._timing.stall_ms)

    def _hear_manually(self, frame: Frame) -> None:
        self._detector.advance(frame.probability, interrupting=False)
        utterance = self._utterance
        if utterance is None:
            utterance = self._open_utterance(self._detector.now_ms - frame.ms)
            self._machine.enter(InputState.SPEAKING)
        if utterance.ms >= self._limits.utterance_ms:
            if utterance.ms < self._limits.utterance_ms + frame.ms:
                utterance.ms += frame.ms
                raise Overloaded(
                    f"The input buffer holds {self._limits.utterance_ms // 1000} s and is full; "
                    "further audio is dropped until you commit or clear it.",
                    code="input_audio_buffer_full",
                )
            return
        utterance.voiced |= frame.probability >= VOICED
        self._push(utterance, frame)

    def _hear_turns(self, frame: Frame, turn: TurnOptions) -> None:
        signal = self._detector.advance(
            frame.probability, interrupting=self._turns.assistant_is_heard
        )
        if self._utterance is None:
            self._keep_lead_in(frame, turn)
        elif self.state is InputState.PAUSING:
            self._utterance.trailing.append(frame)
        else:
            self._push(self._utterance, frame)
        match signal:
            case Signal.ONSET:
                self._start_turn(turn)
            case Signal.PAUSE:
                self._pause_turn()
            case Signal.RESUME:
                self._resume_turn()
            case Signal.ENDPOINT:
                self.end_turn(answered=turn.create_response)
            case None:
                if self._utterance and self._utterance.ms >= self._limits.utterance_ms:
                    self._detector.reset()
                    self.end_turn(answered=turn.create_response)

    def _keep_lead_in(self, frame: Frame, turn: TurnOptions) -> None:
        self._lead_in.append(frame)
        self._lead_in_ms += frame.ms
        onset_ms = max(self._timing.interrupt_min_speech_ms, self._timing.min_speech_ms) * 2
        while self._lead_in_ms - self._lead_in[0].ms >= turn.prefix_padding_ms + onset_ms:
            self._lead_in_ms -= self._lead_in.popleft().ms

    # ── the course of a turn ──────────────────────────────────────────────────────────────────

    def _start_turn(self, turn: TurnOptions) -> None:
        now_ms = self._detector.now_ms
        start_ms = max(
            now_ms - self._lead_in_ms, self._detector.speech_start_ms - turn.prefix_padding_ms
        )
        utterance = self._open_utterance(start_ms)
        utterance.voiced = True
        self._machine.enter(InputState.SPEAKING)
        self._emit(SpeechStarted(utterance.item_id, round(max(start_ms, 0))))
        self._turns.turn_started()
        at_ms = now_ms - self._lead_in_ms
        for frame in self._lead_in:
            if at_ms + frame.ms > start_ms:
                self._push(utterance, frame)
            at_ms += frame.ms
        self._lead_in.clear()
        self._lead_in_ms = 0.0
        self._detector.endpoint_after_ms = endpoint_after_ms(turn, None)

    def _pause_turn(self) -> None:
        utterance = self._current
        self._machine.enter(InputState.PAUSING)
        self._ask_for_transcript(utterance)

    def _ask_for_transcript(self, utterance: Utterance) -> None:
        utterance.pauses += 1
        utterance.transcript = None
        silence_ms = round(self._detector.silence_ms)
        utterance.stages = {Stage.SPEECH_END: self._clock.now_ms() - silence_ms}
        utterance.recognition.finish(utterance.pauses)

    def _resume_turn(self) -> None:
        utterance = self._current
        self._machine.enter(InputState.SPEAKING)
        utterance.transcript = None
        if self._options.turn is not None:
            self._detector.endpoint_after_ms = endpoint_after_ms(self._options.turn, None)
        self._turns.turn_resumed()
        trailing, utterance.trailing = utterance.trailing, []
        for frame in trailing:
            self._push(utterance, frame)

    def end_turn(self, *, answered: bool) -> None:
        """The turn ends here: put its item into the history and wait for its words."""
        utterance = self._current
        if self.state is InputState.SPEAKING:
            self._ask_for_transcript(utterance)
        utterance.answered = answered
        utterance.stages[Stage.ENDPOINT] = self._clock.now_ms()
        end_ms = max(self._detector.speech_end_ms, round(utterance.start_ms))
        self._machine.enter(InputState.COMMITTED)
        self._utterance = None
        self._stable = ""
        self._arm(Timer.STALL, None)
        if self._options.turn is not None:
            self._emit(SpeechStopped(utterance.item_id, end_ms))
        utterance.item = self._add_item(utterance.item_id)
        self._machine.enter(InputState.IDLE)
        self._awaited[utterance.item_id] = utterance
        if len(self._awaited) > MAX_AWAITED_TRANSCRIPTS:
            self._fail(
                next(iter(self._awaited.values())),
                Overloaded("Too many turns wait to be transcribed.", code="recognizer_behind"),
            )
        if not utterance.voiced:
            utterance.transcript = SILENCE
        if utterance.error is not None:
            self._fail(utterance, utterance.error)
        elif utterance.transcript is not None:
            self._settle(utterance, utterance.transcript)

    def commit(self, *, answered: bool) -> None:
        """The client ends the turn; raises InvalidRequest when there is next to nothing in it."""
        utterance = self._utterance
        ms = 0.0 if utterance is None else utterance.ms
        if utterance is None or ms < MIN_COMMIT_MS:
            raise InvalidRequest(
                f"The input buffer holds {ms:.0f} ms of audio; commit needs at least "
                f"{MIN_COMMIT_MS} ms.",
                code="input_audio_buffer_commit_empty",
            )
        self._detector.reset()
        self.end_turn(answered=answered)

    def clear(self) -> None:
        """Forget the audio that has not been committed."""
        if self._utterance is not None:
            self._utterance.task.cancel()
            self._utterance = None
            self._machine.enter(InputState.IDLE)
            self._turns.turn_resumed()
        self._stable = ""
        self._lead_in.clear()
        self._lead_in_ms = 0.0
        self._detector.reset()
        self._arm(Timer.STALL, None)

    def stalled(self) -> None:
        """No audio has come for a while in the middle of a turn: take it as its end."""
        if self._utterance is not None and self._options.turn is not None:
            self._detector.reset()
            self.end_turn(answered=self._options.turn.create_response)

    def idle_timeout(self) -> None:
        """Nobody has spoken for a long time: a turn of silence, for the assistant to answer."""
        item_id = new_id("item")
        end_ms = self.audio_ms
        self._emit(IdleTimeout(item_id, max(0, end_ms - round(self._lead_in_ms)), end_ms))
        self._add_item(item_id).text = ""

    def leave_unanswered(self) -> None:
        """The user speaks again: turns whose words are still awaited need no reply of their own."""
        for utterance in self._awaited.values():
            utterance.answered = False

    # ── words ─────────────────────────────────────────────────────────────────────────────────

    def receive(self, message: Heard) -> None:
        """Take what a recognition posted; dropped when its utterance is no longer current."""
        current = self._utterance
        if current is not None and current.item_id == message.utterance_id:
            utterance = current
        elif message.utterance_id in self._awaited:
            utterance = self._awaited[message.utterance_id]
        else:
            return
        match message:
            case PartialHeard(partial=partial):
                if utterance is current and partial.stable.startswith(self._stable):
                    grown = partial.stable != self._stable
                    self._stable = partial.stable
                    self._emit(TranscriptPartial(utterance.item_id, partial.stable, partial.text))
                    if grown and self.state is InputState.SPEAKING:
                        self._turns.words_stable(partial.stable)
            case Transcribed(pause=pause, transcript=transcript) if pause == utterance.pauses:
                utterance.transcript = transcript
                utterance.stages[Stage.TRANSCRIPT] = self._clock.now_ms()
                if utterance is not current:
                    self._settle(utterance, transcript)
                elif self.state is InputState.PAUSING and self._options.turn is not None:
                    wait_ms = endpoint_after_ms(self._options.turn, transcript.text)
                    self._detector.endpoint_after_ms = wait_ms
                    self._turns.turn_probably_over(utterance)
            case RecognitionFailed(error=error):
                utterance.error = error
                if utterance is not current:
                    self._fail(utterance, error)

    def _settle(self, utterance: Utterance, transcript: Transcript) -> None:
        self._forget(utterance)
        if utterance.item is not None:
            utterance.item.text = transcript.text
        self._emit(
            TranscriptFinal(
                utterance.item_id, transcript.text, transcript.language, round(utterance.ms)
            )
        )
        self._turns.turn_ended(utterance)

    def _fail(self, utterance: Utterance, error: VivavoceError) -> None:
        self._forget(utterance)
        utterance.error = error
        if utterance.item is not None:
            utterance.item.text = ""
        self._emit(TranscriptFailed(utterance.item_id, error))
        self._turns.turn_ended(utterance)

    def _forget(self, utterance: Utterance) -> None:
        self._awaited.pop(utterance.item_id, None)
        utterance.task.cancel()

    # ── inside ────────────────────────────────────────────────────────────────────────────────

    @property
    def _current(self) -> Utterance:
        if self._utterance is None:
            raise RuntimeError(f"no utterance in state {self.state.name}")
        return self._utterance

    def _open_utterance(self, start_ms: float) -> Utterance:
        item_id = new_id("item")
        options = RecognitionOptions(
            language=self._options.language, prompt=self._options.transcription_prompt
        )
        recognition = Recognition(item_id, self._recognizer, options, self._post)
        task = self._spawn(recognition.run())
        self._utterance = Utterance(item_id, recognition, task, start_ms)
        return self._utterance

    def _push(self, utterance: Utterance, frame: Frame) -> None:
        utterance.ms += frame.ms
        if utterance.error is None:
            try:
                utterance.recognition.push(frame.pcm, voiced=frame.probability >= VOICED)
            except Overloaded as error:
                utterance.error = error
                utterance.task.cancel()

    def _add_item(self, item_id: str) -> Item:
        item = Item(item_id, role="user", text=None, spoken=True)
        previous = self._history.add(item)
        self._emit(InputCommitted(item_id, previous))
        self._emit(ItemAdded(copy(item), previous))
        self._emit(ItemDone(copy(item), previous))
        return item
