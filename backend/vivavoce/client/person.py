"""A person with a microphone and a loudspeaker, who asks questions one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from vivavoce.client.call import Call
from vivavoce.client.microphone import Clip, Microphone
from vivavoce.client.turn_log import ReplyLog, TurnLog


@dataclass(frozen=True, slots=True)
class Habits:
    """How a person converses, in seconds.

    pause_s: of silence before each question. patience_s: how long the server may say nothing at
    all before the reply is given up. interrupt_after_s: of a reply that is listened to before the
    next question is asked over it; None to hear every reply out.
    """

    pause_s: float = 0.6
    patience_s: float = 20.0
    interrupt_after_s: float | None = None


class Person:
    def __init__(self, call: Call, microphone: Microphone, habits: Habits) -> None:
        self._call = call
        self._microphone = microphone
        self._habits = habits

    async def ask(self, clips: Sequence[Clip], turns: list[TurnLog]) -> None:
        """Say each clip in turn and listen to the reply; appends to `turns` as they end."""
        await asyncio.sleep(self._habits.pause_s)
        talked_over: ReplyLog | None = None
        for position, clip in enumerate(clips):
            turn = self._call.begin_turn(interrupts=talked_over)
            turn.spoken = await self._microphone.say(clip)
            following = clips[position + 1] if position + 1 < len(clips) else None
            try:
                talked_over = await self._listen(turn, following)
            finally:
                turns.append(turn)

    async def _listen(self, turn: TurnLog, following: Clip | None) -> ReplyLog | None:
        """Returns the reply that is to be talked over now, None after one that was heard out."""
        patience_s, interrupt_after_s = self._habits.patience_s, self._habits.interrupt_after_s
        if interrupt_after_s is not None and following is not None:
            await self._call.until(lambda: turn.answer is not None or turn.is_settled, patience_s)
            if turn.answer is not None and turn.answer.first_audible_at is not None:
                onset_at = turn.answer.first_audible_at + interrupt_after_s
                await _sleep_until(onset_at - following.onset_s)
                if self._is_speaking(turn.answer):
                    return turn.answer
        await self._call.until(lambda: turn.is_settled, patience_s)
        await _sleep_until(self._call.loudspeaker.ends_at + self._habits.pause_s)
        return None

    def _is_speaking(self, reply: ReplyLog) -> bool:
        playing = self._call.loudspeaker.ends_at > asyncio.get_running_loop().time()
        return reply.state is None or playing


async def _sleep_until(at: float) -> None:
    await asyncio.sleep(at - asyncio.get_running_loop().time())
