"""What the server itself costs: scripted engines that need no time, a client in another process.

cd tests && python -m load.sessions turns --turns 500      time that the server adds to a turn
cd tests && python -m load.sessions crowd --sessions 200   many sessions that stream at once
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import time
from typing import Any

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from support.server import serving_elsewhere

PATH = "/v1/realtime?model=vivavoce"
RATE = 24_000
CHUNK_MS = 40
TURN_MS, SPEECH_MS = 5000, 1600
PROBE = json.dumps({"type": "conversation.item.delete", "item_id": "unknown"})


def append(level: int, ms: int) -> str:
    """An append event; loud audio is speech to the scripted detector."""
    samples = level.to_bytes(2, "little") * (RATE * ms // 1000)
    audio = base64.b64encode(samples).decode()
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio})


def percentiles(times_ms: list[float]) -> str:
    ordered = sorted(times_ms)
    p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {ordered[-1]:.1f} ms (n = {len(ordered)})"


# ── one session: time added to a turn ─────────────────────────────────────────────────────────


async def until(websocket: ClientConnection, kind: str) -> None:
    while json.loads(await websocket.recv())["type"] != kind:
        pass


async def one_turn(websocket: ClientConnection) -> float:
    """Milliseconds from the append that ends the turn to the first audio of the reply.

    The reply is ready by then, held back until the turn is over. Appends shorter than a frame
    of the detector are sent one by one, so that it is known which one it was.
    """
    for level, ms in ((16_000, 600), (0, 440)):
        for _ in range(ms // CHUNK_MS):
            await websocket.send(append(level, CHUNK_MS))
    await asyncio.sleep(0.05)
    ended = asyncio.create_task(until(websocket, "input_audio_buffer.speech_stopped"))
    while True:
        sent = time.perf_counter()
        await websocket.send(append(0, 20))
        done, _ = await asyncio.wait((ended,), timeout=0.05)
        if done:
            break
    await until(websocket, "response.output_audio.delta")
    heard = time.perf_counter()
    await until(websocket, "response.done")
    return (heard - sent) * 1000


async def measure_turns(n_turns: int) -> None:
    async with (
        serving_elsewhere("--instant", "--reply", "Yes.") as server,
        connect(server.url(PATH), compression=None) as websocket,
    ):
        times = [await one_turn(websocket) for _ in range(n_turns)]
    print(f"end of turn → first audio at the client: {percentiles(times)}")


# ── many sessions ─────────────────────────────────────────────────────────────────────────────


class Member:
    """One of many: talks for 1.6 s, listens for 3.4 s, and asks now and then how late it is."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._asked: list[float] = []
        self.answered_ms: list[float] = []
        self.late_ms: list[float] = []
        self.replies = 0

    async def talk(self, seconds: float) -> None:
        loud, quiet = append(16_000, CHUNK_MS), append(0, CHUNK_MS)
        start = time.perf_counter() + random.uniform(0, TURN_MS / 1000)
        for index in range(int(seconds * 1000 / CHUNK_MS)):
            due = start + index * CHUNK_MS / 1000
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self.late_ms.append((time.perf_counter() - due) * 1000)
            speaking = index * CHUNK_MS % TURN_MS < SPEECH_MS
            await self._websocket.send(loud if speaking else quiet)
            if index % 25 == 0:
                self._asked.append(time.perf_counter())
                await self._websocket.send(PROBE)

    async def listen(self) -> None:
        try:
            async for frame in self._websocket:
                head = str(frame[:25])
                if head.startswith('{"type":"error"'):
                    self.answered_ms.append((time.perf_counter() - self._asked.pop(0)) * 1000)
                elif head.startswith('{"type":"response.done"'):
                    self.replies += 1
        except ConnectionClosed:
            return  # a server far behind does not answer the close in time: the figures say so


async def measure_crowd(n_sessions: int, seconds: float) -> None:
    async with serving_elsewhere("--instant", limit={"sessions": n_sessions}) as server:
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        sockets = [
            await connect(server.url(PATH), compression=None, max_queue=None)
            for _ in range(n_sessions)
        ]
        members = [Member(socket) for socket in sockets]
        listening = [asyncio.create_task(member.listen()) for member in members]
        cpu, clock = _cpu_s(process), time.perf_counter()
        await asyncio.gather(*(member.talk(seconds) for member in members))
        share = (_cpu_s(process) - cpu) / (time.perf_counter() - clock)
        grown = process.memory_info().rss - before
        for socket in sockets:
            await socket.close()
        await asyncio.gather(*listening)
    print(f"{n_sessions} sessions for {seconds:.0f} s, {sum(m.replies for m in members)} replies")
    print(f"append → event:   {percentiles([t for m in members for t in m.answered_ms])}")
    print(f"client's own lag: {percentiles([t for m in members for t in m.late_ms])}")
    print(f"server: {share:.0%} of a core, {grown / n_sessions / 1e6:.2f} MB a session")


def _cpu_s(process: psutil.Process) -> float:
    times: Any = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    turns = commands.add_parser("turns", help="time that the server adds to a turn")
    turns.add_argument("--turns", type=int, default=500)
    crowd = commands.add_parser("crowd", help="many sessions that stream at once")
    crowd.add_argument("--sessions", type=int, default=200)
    crowd.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    if arguments.command == "turns":
        asyncio.run(measure_turns(arguments.turns))
    else:
        asyncio.run(measure_crowd(arguments.sessions, arguments.seconds))


if __name__ == "__main__":
    main()
