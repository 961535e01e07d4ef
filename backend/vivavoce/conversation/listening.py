"""The user's side of a session: from audio to turns with words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import copy
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
from vivavoce.conversation.utterance import VOICED, LeadIn, Utterance
from vivavoce.engines.interfaces import HostedRecognizer, Pcm, RecognitionOptions, Transcript
from vivavoce.errors import InvalidRequest, Overloaded, VivavoceError

MIN_COMMIT_MS = 100

MAX_BLOCK_MS = 1000
"""Longer input is taken in pieces, so that one append holds nobody else up for long."""

MAX_AWAITED_TRANSCRIPTS = 8
"""Turns that may wait for their transcript at a time."""

SILENCE = Transcript("")


class TurnListener(Protocol):
    """What follows from a turn; the session decides."""

    @property
    def assistant_is_heard(self) -> bool: ...

    def turn_started(self) -> None: ...

    def words_heard(self, text: str) -> None:
        """The turn's words so far, as well as they are known while the user goes on speaking."""
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
        self._lead_in = LeadIn()
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

    def configure(self, options: SessionOptions) -> None:
        if (options.turn is None) is not (self._options.turn is None):
            self.clear()
        self._options = options
        if options.turn is not None:
            self._detector.configure(options.turn)
            self._wait_for_endpoint(options.turn)

    # ── audio ─────────────────────────────────────────────────────────────────────────────────

    async def append(self, pcm: Pcm, sample_rate: int) -> None:
        step = sample_rate * MAX_BLOCK_MS // 1000
        for start in range(0, len(pcm), step):
            for frame in await self._ear.listen(pcm[start : start + step], sample_rate):
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
        if utterance.full:
            return
        utterance.full = utterance.ms + frame.ms > self._limits.utterance_ms
        if utterance.full:
            raise Overloaded(
                f"The input buffer holds {self._limits.utterance_ms / 1000:g} s and is full; "
                "further audio is dropped until you commit or clear it.",
                code="input_audio_buffer_full",
            )
        utterance.voiced |= frame.probability >= VOICED
        utterance.push(frame)

    def _hear_turns(self, frame: Frame, turn: TurnOptions) -> None:
        signal = self._detector.advance(
            frame.probability, interrupting=self._turns.assistant_is_heard
        )
        utterance = self._utterance
        if utterance is None:
            self._keep_lead_in([frame], turn)
        elif self.state is InputState.PAUSING:
            utterance.trailing.append(frame)
        else:
            utterance.push(frame)
        match signal:
            case Signal.ONSET:
                self._start_turn(turn)
            case Signal.PAUSE:
                self._pause_turn()
            case Signal.RESUME:
                self._resume_turn(turn)
            case Signal.ENDPOINT:
                self.end_turn(answered=turn.create_response)
            case None:
                if utterance is not None and utterance.held_ms >= self._limits.utterance_ms:
                    self.end_turn(answered=turn.create_response)

    def _keep_lead_in(self, frames: list[Frame], turn: TurnOptions) -> None:
        onset_ms = max(self._timing.interrupt_min_speech_ms, self._timing.min_speech_ms) * 2
        self._lead_in.add(frames, keep_ms=turn.prefix_padding_ms + onset_ms)

    def _wait_for_endpoint(self, turn: TurnOptions) -> None:
        """Tell the detector how long to wait, by what is known of the words."""
        transcript = self._utterance.transcript if self._utterance is not None else None
        words = transcript.text if transcript is not None else None
        self._detector.endpoint_after_ms = endpoint_after_ms(turn, words)

    # ── the course of a turn ──────────────────────────────────────────────────────────────────

    def _start_turn(self, turn: TurnOptions) -> None:
        now_ms = self._detector.now_ms
        wanted_ms = now_ms - self._detector.speech_start_ms + turn.prefix_padding_ms
        lead_in = self._lead_in.take(wanted_ms)
        start_ms = now_ms - min(wanted_ms, sum(frame.ms for frame in lead_in))
        utterance = self._open_utterance(start_ms)
        utterance.voiced = True
        self._machine.enter(InputState.SPEAKING)
        self._emit(SpeechStarted(utterance.item_id, round(start_ms)))
        self._turns.turn_started()
        for frame in lead_in:
            utterance.push(frame)
        self._wait_for_endpoint(turn)

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

    def _resume_turn(self, turn: TurnOptions) -> None:
        utterance = self._current
        self._machine.enter(InputState.SPEAKING)
        utterance.pauses += 1  # what was asked for in this pause is stale
        utterance.transcript = None
        self._wait_for_endpoint(turn)
        self._turns.turn_resumed()
        trailing, utterance.trailing = utterance.trailing, []
        for frame in trailing:
            utterance.push(frame)

    def end_turn(self, *, answered: bool) -> None:
        """The turn ends here: put its item into the history and wait for its words."""
        utterance = self._current
        if self.state is InputState.SPEAKING:
            self._ask_for_transcript(utterance)
        utterance.answered = answered
        utterance.stages[Stage.ENDPOINT] = self._clock.now_ms()
        end_ms = max(self._detector.speech_end_ms, round(utterance.start_ms))
        self._machine.enter(InputState.COMMITTED)
        self._leave_utterance()
        if self._options.turn is not None:
            self._keep_lead_in(utterance.trailing, self._options.turn)
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
        self.end_turn(answered=answered)

    def clear(self) -> None:
        """Forget the audio that has not been committed."""
        if self._utterance is not None:
            self._utterance.task.cancel()
            self._machine.enter(InputState.IDLE)
            self._turns.turn_resumed()
        self._leave_utterance()

    def stalled(self) -> None:
        """No audio has come for a while in the middle of a turn: take it as its end."""
        if self._utterance is not None and self._options.turn is not None:
            self.end_turn(answered=self._options.turn.create_response)

    def idle_timeout(self) -> None:
        """Nobody has spoken for a long time: a turn of silence, for the assistant to answer."""
        item_id = new_id("item")
        end_ms = round(self._detector.now_ms)
        self._emit(IdleTimeout(item_id, max(0, end_ms - round(self._lead_in.ms)), end_ms))
        self._add_item(item_id).text = ""

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
                if utterance is current:
                    if partial.stable.startswith(self._stable):
                        self._stable = partial.stable
                    self._emit(TranscriptPartial(utterance.item_id, self._stable, partial.text))
                    if self.state is InputState.SPEAKING:
                        self._turns.words_heard(partial.text)
            case Transcribed(pause=pause, transcript=transcript) if pause == utterance.pauses:
                utterance.transcript = transcript
                utterance.stages[Stage.TRANSCRIPT] = self._clock.now_ms()
                if utterance is not current:
                    self._settle(utterance, transcript)
                elif self.state is InputState.PAUSING and self._options.turn is not None:
                    self._wait_for_endpoint(self._options.turn)
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

    def _leave_utterance(self) -> None:
        """Nothing is heard any more: the next frame may begin a turn."""
        self._utterance = None
        self._stable = ""
        self._detector.reset()
        self._lead_in.clear()
        self._arm(Timer.STALL, None)

    def _add_item(self, item_id: str) -> Item:
        item = Item(item_id, role="user", text=None, spoken=True)
        previous = self._history.add(item)
        self._emit(InputCommitted(item_id, previous))
        self._emit(ItemAdded(copy(item), previous))
        self._emit(ItemDone(copy(item), previous))
        return item
