"""Finds turns in a stream of speech probabilities, one frame at a time."""

from __future__ import annotations

from enum import Enum

from vivavoce.conversation.options import TurnOptions, TurnTiming

EXIT_MARGIN = 0.15
"""Once speech is on, it goes on until the probability is this much below the threshold."""

ONSET_GAP_MS = 64
"""A dip this short does not restart the count towards the onset of speech."""


class Signal(Enum):
    """What a frame means for the turn."""

    ONSET = "onset"
    PAUSE = "pause"
    RESUME = "resume"
    ENDPOINT = "endpoint"


class TurnDetector:
    """Turns probabilities into onset, pause, resume and endpoint; knows only audio time.

    frame_ms: of audio behind each probability. All times count from the first frame.
    `endpoint_after_ms` may be changed during a pause, as the words become known.
    """

    def __init__(self, frame_ms: float, options: TurnOptions, timing: TurnTiming) -> None:
        self._frame_ms = frame_ms
        self._options = options
        self._timing = timing
        self._now = 0.0
        self._in_turn = False
        self._paused = False
        self._run_start: float | None = None
        self._last_speech = 0.0
        self.endpoint_after_ms = float(options.silence_ms or 0)

    @property
    def now_ms(self) -> float:
        return self._now

    @property
    def silence_ms(self) -> float:
        """Since the last frame of speech."""
        return self._now - self._last_speech

    @property
    def speech_end_ms(self) -> int:
        return round(self._last_speech)

    @property
    def speech_start_ms(self) -> int:
        """Of the run of speech that led to the onset; set once ONSET was signalled."""
        return round(self._run_start or 0.0)

    def configure(self, options: TurnOptions) -> None:
        self._options = options

    def reset(self) -> None:
        """Forget the turn, not the time."""
        self._in_turn = self._paused = False
        self._run_start = None

    def advance(self, probability: float, *, interrupting: bool) -> Signal | None:
        """Take one frame; interrupting: the assistant is heard, so an onset needs more speech."""
        start = self._now
        self._now += self._frame_ms
        threshold = self._options.threshold
        active = self._in_turn or self._run_start is not None
        speech = probability >= (threshold - EXIT_MARGIN if active else threshold)
        if not self._in_turn:
            return self._before_turn(speech, start, interrupting)
        if not self._paused:
            return self._in_speech(speech)
        return self._in_pause(speech and probability >= threshold, start)

    def _before_turn(self, speech: bool, start: float, interrupting: bool) -> Signal | None:
        if speech:
            if self._run_start is None:
                self._run_start = start
            self._last_speech = self._now
            timing = self._timing
            needed = timing.interrupt_min_speech_ms if interrupting else timing.min_speech_ms
            if self._now - self._run_start >= needed:
                self._in_turn = True
                return Signal.ONSET
        elif self._run_start is not None and self.silence_ms > ONSET_GAP_MS:
            self._run_start = None
        return None

    def _in_speech(self, speech: bool) -> Signal | None:
        if speech:
            self._last_speech = self._now
            return None
        if self.silence_ms >= min(self._timing.speculate_after_ms, self.endpoint_after_ms):
            self._paused = True
            self._run_start = None
            return self._in_pause(False, self._now) or Signal.PAUSE
        return None

    def _in_pause(self, speech: bool, start: float) -> Signal | None:
        if speech:
            if self._run_start is None:
                self._run_start = start
            if self._now - self._run_start >= self._timing.resume_speech_ms:
                self._paused = False
                self._run_start = None
                self._last_speech = self._now
                return Signal.RESUME
            return None
        self._run_start = None
        if self.silence_ms >= self.endpoint_after_ms:
            self.reset()
            return Signal.ENDPOINT
        return None
