"""Many people at once, each asking questions of one server in real time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vivavoce.audio.pcm import Pcm
from vivavoce.client.call import accompanied, open_call
from vivavoce.client.dialect import Dialect, Wishes
from vivavoce.client.figures import TurnReport, report_turn
from vivavoce.client.loudspeaker import VirtualLoudspeaker
from vivavoce.client.microphone import Clip, Lag, Microphone, prepare_clip, silence_for
from vivavoce.client.person import Habits, Person
from vivavoce.client.turn_log import TurnLog
from vivavoce.errors import VivavoceError


@dataclass(frozen=True, slots=True)
class Question:
    """pcm: float32 [n] at `sample_rate`. text: what is said in it, None if unknown."""

    name: str
    pcm: Pcm
    sample_rate: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """sessions: people at a time, each `stagger_s` after the one before. turns: of each."""

    url: str
    dialect: Callable[[], Dialect]
    wishes: Wishes = Wishes()
    habits: Habits = Habits()
    sessions: int = 1
    turns: int = 1
    stagger_s: float = 0.5
    api_key: str | None = None
    insecure: bool = False


@dataclass(slots=True)
class Outcome:
    """Grows while the benchmark runs. failures: by session, why it ended early."""

    asked_turns: int
    turns: list[TurnReport] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    lag: Lag = field(default_factory=Lag)
    wall_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def missing(self) -> int:
        """Questions without a reply, those included that could not be asked any more."""
        return self.asked_turns - sum(not turn.is_missing for turn in self.turns)


async def run_benchmark(plan: Plan, questions: Sequence[Question], outcome: Outcome) -> None:
    """Hold all conversations of `plan`; what is known of them is in `outcome` even if cancelled.

    A session that fails leaves the others alone. Raises InvalidRequest for a silent question.
    """
    dialect = plan.dialect()
    clips = [prepare_clip(q.name, q.pcm, q.sample_rate, dialect) for q in questions]
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    try:
        async with asyncio.TaskGroup() as tasks:
            for session in range(plan.sessions):
                tasks.create_task(_converse(plan, session, clips, questions, outcome))
    finally:
        outcome.wall_s = time.perf_counter() - wall_s
        outcome.cpu_s = time.process_time() - cpu_s


async def _converse(
    plan: Plan,
    session: int,
    clips: Sequence[Clip],
    questions: Sequence[Question],
    outcome: Outcome,
) -> None:
    order = [(session + turn) % len(clips) for turn in range(plan.turns)]
    logs: list[TurnLog] = []
    try:
        await asyncio.sleep(session * plan.stagger_s)
        await _call(plan, [clips[index] for index in order], logs, outcome.lag)
    except VivavoceError as error:
        outcome.failures[session] = error.message
    finally:
        # Only now: the receipt of a reply may come in the turn after it.
        outcome.turns += [
            report_turn(session, number, log, questions[index].text)
            for number, (index, log) in enumerate(zip(order, logs, strict=False))
        ]


async def _call(plan: Plan, clips: Sequence[Clip], logs: list[TurnLog], lag: Lag) -> None:
    dialect = plan.dialect()
    loudspeaker = VirtualLoudspeaker(asyncio.get_running_loop().time)
    async with open_call(
        plan.url, dialect, loudspeaker, api_key=plan.api_key, insecure=plan.insecure
    ) as call:
        microphone = Microphone(call.link.send, silence_for(dialect), lag)
        person = Person(call, microphone, plan.habits)

        async def conversation() -> None:
            await call.open(plan.wishes)
            await accompanied(person.ask(clips, logs), microphone.run())

        await accompanied(conversation(), call.listen())
