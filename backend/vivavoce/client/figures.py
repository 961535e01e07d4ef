"""From logs of turns to figures: latencies, percentiles, failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vivavoce.client.turn_log import ReplyLog, TurnLog
from vivavoce.client.word_errors import WordErrors, word_errors

MEASURED = (
    "turn ended",
    "transcript",
    "first byte",
    "first audible",
    "told to stop",
    "last byte after onset",
)
"""What the client measures, in ms after the voice has ended; the last two, after it began."""

STAGE_PREFIX = "receipt: "
"""Of the figures that the server reports itself, counted from its own end of speech."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one figure, in milliseconds; n: turns that have it."""

    n: int
    p50: float
    p95: float
    max: float


@dataclass(frozen=True, slots=True)
class TurnReport:
    """One turn in numbers.

    figures: by name, in ms from the end of the voice (from its onset for interruptions).
    expected: what was said, None where that is unknown.
    """

    session: int
    turn: int
    clip: str
    transcript: str
    expected: str | None
    reply: str
    reply_ms: int
    state: str | None
    user_turns: int
    stale_ms: int
    errors: tuple[str, ...]
    figures: Mapping[str, float]

    @property
    def is_missing(self) -> bool:
        return self.reply_ms == 0

    @property
    def is_split(self) -> bool:
        return self.user_turns > 1

    @property
    def word_errors(self) -> WordErrors | None:
        return None if self.expected is None else word_errors(self.expected, self.transcript)


def report_turn(session: int, number: int, log: TurnLog, expected: str | None) -> TurnReport:
    """Raises ValueError for a turn that has not been said."""
    if log.spoken is None:
        raise ValueError("the turn has not been said yet")
    answer = log.answer
    failures = [reply.error for reply in log.replies if reply.error is not None]
    return TurnReport(
        session,
        number,
        clip=log.spoken.clip.name,
        transcript=log.transcript,
        expected=expected,
        reply=answer.text if answer else "",
        reply_ms=round(answer.audio_ms) if answer else 0,
        state=answer.state if answer else None,
        user_turns=len(log.stopped_at),
        stale_ms=round(sum(reply.stale_ms for reply in log.replies)),
        errors=(*log.errors, *failures),
        figures=figures_of(log),
    )


def figures_of(log: TurnLog) -> dict[str, float]:
    """The latencies of a turn in ms, only those that it has."""
    if log.spoken is None:
        return {}
    end_at = log.spoken.end_at
    times: dict[str, float | None] = {
        "turn ended": log.stopped_at[-1] if log.stopped_at else None,
        "transcript": log.transcribed_at[-1] if log.transcribed_at else None,
    }
    answer = log.answer
    if answer is not None:
        times |= {"first byte": answer.first_byte_at, "first audible": answer.first_audible_at}
    figures = {name: _ms(at - end_at) for name, at in times.items() if at is not None}
    if log.interrupts is not None:
        figures |= _interruption(log.interrupts, log.spoken.onset_at)
    if answer is not None:
        figures |= {
            STAGE_PREFIX + stage: float(ms)
            for stage, ms in answer.stages.items()
            if stage != "speech_end"
        }
    return figures


def _interruption(reply: ReplyLog, onset_at: float) -> dict[str, float]:
    if reply.stop_at is None or reply.last_byte_at is None:
        return {}
    return {
        "told to stop": _ms(reply.stop_at - onset_at),
        "last byte after onset": max(0.0, _ms(reply.last_byte_at - onset_at)),
    }


def summaries(reports: Iterable[TurnReport]) -> dict[str, Summary]:
    """Each figure over all turns: those measured here, then the server's, earliest first."""
    values: dict[str, list[float]] = {name: [] for name in MEASURED}
    for report in reports:
        for name, ms in report.figures.items():
            values.setdefault(name, []).append(ms)
    found = {name: _summary(series) for name, series in values.items() if series}
    return dict(sorted(found.items(), key=lambda entry: _place(*entry)))


def _place(name: str, summary: Summary) -> tuple[int, float]:
    return (MEASURED.index(name), 0.0) if name in MEASURED else (len(MEASURED), summary.p50)


def total_word_errors(reports: Iterable[TurnReport]) -> WordErrors | None:
    """Over all turns of which it is known what was said, None when there are none."""
    known = [report.word_errors for report in reports if report.word_errors is not None]
    return sum(known, WordErrors(0, 0)) if known else None


def _summary(values: Sequence[float]) -> Summary:
    p50, p95 = np.percentile(values, (50, 95))
    return Summary(len(values), _round(float(p50)), _round(float(p95)), _round(max(values)))


def _ms(seconds: float) -> float:
    return _round(seconds * 1000)


def _round(ms: float) -> float:
    return round(ms, 1)
