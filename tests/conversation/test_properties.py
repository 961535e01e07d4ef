"""Random conversations in virtual time, and what has to hold in every one of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from support import virtual_time
from support.reference import WORD, ReferenceEar
from support.scripted import (
    Script,
    ScriptedChat,
    ScriptedRecognizer,
    ScriptedSynthesizer,
)
from support.stage import Stage, on_stage
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
    ReportPlayback,
    TruncateItem,
)
from vivavoce.conversation.events import (
    AudioDelta,
    Event,
    ItemAdded,
    ItemDeleted,
    OutputCleared,
    OutputItemStarted,
    ReplyHeard,
    ResponseDone,
    ResponseStarted,
    SessionEnded,
    SpeechStarted,
    SpeechStopped,
    TranscriptFinal,
    TurnReceipt,
)
from vivavoce.conversation.events import (
    TextDelta as Words,
)
from vivavoce.conversation.items import Item, new_id
from vivavoce.conversation.options import (
    ResponseOptions,
    SessionLimits,
    SessionOptions,
    TurnOptions,
)
from vivavoce.conversation.states import InputState, ResponseState
from vivavoce.engines.interfaces import (
    SAMPLE_RATE,
    ChatDelta,
    ChatEnd,
    Pcm,
    TextDelta,
    ToolCallDelta,
)
from vivavoce.errors import EngineFailure, VivavoceError

FRAME = 512
CYCLE = 4096
LIMITS = SessionLimits(lead_ms=8000, unread_ms=6000, outbox_events=2000, side_responses=2)
BROKEN = EngineFailure("out of order")
AUTO = TurnOptions(silence_ms=500)

MODES: dict[str, SessionOptions] = {
    "turns": SessionOptions(turn=AUTO),
    "push to talk": SessionOptions(turn=None),
    "no interruption": SessionOptions(turn=replace(AUTO, interrupt_response=False)),
    "no replies": SessionOptions(turn=replace(AUTO, create_response=False)),
    "slow endpoint": SessionOptions(turn=replace(AUTO, silence_ms=1200)),
    "words decide": SessionOptions(turn=replace(AUTO, silence_ms=None)),
    "idle": SessionOptions(turn=replace(AUTO, idle_timeout_ms=3000)),
    "in writing": SessionOptions(turn=AUTO, audio_output=False),
}


@dataclass(frozen=True)
class Step:
    """What the client does next. which: of what there is, counted from the latest."""

    action: str
    ms: int = 0
    then_ms: int = 0
    which: int = 0
    flag: bool = False
    mode: str = "turns"


def step(action: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.just(action), **fields)


TIMES = st.integers(0, 1500)
WHICH = st.sampled_from([0, 0, 0, 1, 2])
SPEAK = step(
    "speak", ms=st.integers(20, 900), then_ms=st.sampled_from([0, 100, 250, 450, 600, 700, 1300])
)
ASK = step("ask", ms=TIMES)
TALK_OVER = step("talk over", ms=TIMES, then_ms=st.integers(100, 700))
STEPS = st.one_of(
    *[SPEAK] * 4,
    *[ASK] * 3,
    *[TALK_OVER] * 3,
    *[step("wait", ms=TIMES)] * 2,
    step("respond", flag=st.booleans()),
    step("respond beside", flag=st.booleans()),
    *[step("cancel", which=WHICH)] * 2,
    *[step("truncate", ms=st.integers(-50, 4000), which=WHICH)] * 2,
    *[step("report", ms=TIMES, which=WHICH)] * 2,
    step("commit", flag=st.booleans()),
    step("clear"),
    step("clear output"),
    step("configure", mode=st.sampled_from(sorted(MODES))),
    step("delete", which=WHICH),
    step("stall", ms=st.integers(100, 3000)),
)


@dataclass(frozen=True)
class World:
    """The engines: what they make of each request, and how long they take, drawn from `seed`."""

    seed: int
    recognizer_ms: int
    token_ms: int
    first_token_ms: int
    voice_ms: int
    trouble: bool


WORLDS = st.builds(
    World,
    seed=st.integers(0, 2**32),
    recognizer_ms=st.sampled_from([0, 50, 300, 900]),
    token_ms=st.sampled_from([0, 5, 40]),
    first_token_ms=st.sampled_from([0, 100, 800]),
    voice_ms=st.sampled_from([0, 30, 300]),
    trouble=st.booleans(),
)


class Replies:
    """An endless list of replies; each word of the n-th is Rn…, so it can be found again."""

    def __init__(self, draw: random.Random, trouble: bool) -> None:
        self._draw = draw
        self._trouble = trouble

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> list[ChatDelta | VivavoceError | int]:
        draw = self._draw
        kind = draw.choices(
            ["words", "long", "emoji", "call", "words and call", "nothing"], [10, 2, 1, 2, 2, 1]
        )[0]
        n_words = {"words": draw.randint(1, 40), "long": 300, "words and call": 5}.get(kind, 0)
        steps: list[ChatDelta | VivavoceError | int] = []
        for number in range(n_words):
            mark = draw.choices([" ", ", ", ". "], [5, 1, 2])[0]
            steps.append(TextDelta(f"R{index}w{number}{mark}"))
        if kind == "emoji":
            steps.append(TextDelta("🎉"))
        if "call" in kind:
            steps += [ToolCallDelta(0, "{", f"call_{index}", "look"), ToolCallDelta(0, "}")]
        if self._trouble and draw.random() < 0.3:
            steps.insert(draw.randint(0, len(steps)), BROKEN)
        return [*steps, ChatEnd("stop")]


class Texts:
    """An endless list of transcripts."""

    def __init__(self, draw: random.Random, trouble: bool) -> None:
        self._choices: list[str | VivavoceError] = ["Hello there.", "I would like to", "", "Yes"]
        if trouble:
            self._choices.append(BROKEN)
        self._draw = draw

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> str | VivavoceError:
        return self._draw.choice(self._choices)


class SometimesHoarse:
    """Failures of the voice, by the number of the call."""

    def __init__(self, draw: random.Random, trouble: bool) -> None:
        self._failing = {n for n in range(1000) if trouble and draw.random() < 0.05}

    def __contains__(self, call: object) -> bool:
        return call in self._failing

    def __getitem__(self, call: int) -> VivavoceError:
        return BROKEN


def script_of(world: World) -> Script:
    draw = random.Random(world.seed)

    def about(ms: int) -> Callable[[], int]:
        return lambda: draw.randint(ms // 2, ms * 3 // 2) if ms else 0

    return Script(
        ScriptedRecognizer(
            Texts(draw, world.trouble),  # type: ignore[arg-type]
            delay_ms=about(world.recognizer_ms),
            partials=True,
            keep_audio=True,
        ),
        ScriptedChat(
            Replies(draw, world.trouble),  # type: ignore[arg-type]
            first_token_ms=about(world.first_token_ms),
            token_ms=world.token_ms,
        ),
        ScriptedSynthesizer(
            delay_ms=about(world.voice_ms),
            failures=SometimesHoarse(draw, world.trouble),  # type: ignore[arg-type]
        ),
    )


@dataclass(repr=False)
class Client:
    """Plays a schedule and keeps its own record of what happened, in the order it happened."""

    stage: Stage
    options: SessionOptions
    ear: ReferenceEar
    n_samples: int = 0
    emitted: list[tuple[int, Event]] = field(default_factory=list)
    main: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    response_of: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    checked_requests: int = 0
    fault: AssertionError | None = None

    def watch(self) -> None:
        """Look at each event as it is made, and at each piece of audio as it is read."""
        outbox = self.stage.session._outbox
        put, sent = outbox.put, outbox._on_audio

        def emit(event: Event) -> None:
            try:
                self.made(event)
            except AssertionError as fault:  # not the session's: it would end with a defect
                self.fault = self.fault or fault
            put(event)

        def read(event: AudioDelta) -> None:
            if self.response_of.get(event.item_id) in self.main:
                self.ear.read(event, self.stage.now_ms)
            sent(event)

        outbox.put = emit  # type: ignore[method-assign]
        outbox._on_audio = read

    # ── events, as they are made ──────────────────────────────────────────────────────────────

    def made(self, event: Event) -> None:
        now = self.stage.now_ms
        self.emitted.append((now, event))
        match event:
            case ResponseStarted(response=response) if response.options.in_conversation:
                assert not self.active, "two replies at a time"
                self.main.append(response.id)
            case ResponseDone(response=response):
                assert response.id not in self.done, "a second end"
                assert not str(response.error).startswith("The reply failed"), "a defect"
                self.done.add(response.id)
                if response.status == "cancelled" and response.id in self.main:
                    self.ear.stop(now)
            case SpeechStarted() if self.interrupts:
                self.ear.stop(now)
            case OutputCleared():
                self.ear.stop(now)
            case Words(response_id=response_id, text=text) if response_id in self.main:
                self.told.update(WORD.findall(text))
            case OutputItemStarted(response_id=response_id, item=item):
                self.response_of[item.id] = response_id
            case ItemAdded(item=item, previous_id=previous_id):
                assert item.id not in self.order
                at = 0 if previous_id is None else self.order.index(previous_id) + 1
                self.order.insert(at, item.id)
            case ItemDeleted(item_id=item_id):
                self.order.remove(item_id)
            case ReplyHeard(item_id=item_id, text=text):
                self.compare(item_id, text, now)

    @property
    def active(self) -> bool:
        return any(response_id not in self.done for response_id in self.main)

    @property
    def interrupts(self) -> bool:
        return self.options.turn is None or self.options.turn.interrupt_response

    def compare(self, item_id: str, text: str | None, now: float) -> None:
        """What the session believes to have been heard, against what the reference heard."""
        words = self.ear.words(item_id, now)
        if words is not None:
            assert abs(len(WORD.findall(text or "")) - words) <= 1.01, (text, words)

    def check_requests(self) -> None:
        """The model is told of nothing that nobody heard, nor of what was said beside."""
        requests = self.stage.script.chat.requests
        for request in requests[self.checked_requests :]:
            prompt = " ".join(m.content for m in request.messages if m.role == "assistant")
            told = WORD.findall(prompt)
            assert len(told) == len(set(told))
            for word in told:
                assert word in self.told, word
        self.checked_requests = len(requests)

    # ── what it does ──────────────────────────────────────────────────────────────────────────

    async def send(self, command: Command) -> None:
        await self.stage.send(command)
        if self.fault is not None:
            raise self.fault
        session = self.stage.session
        assert len(session._outbox) <= LIMITS.outbox_events
        assert len(session._inbox) <= LIMITS.inbox_messages + 8
        assert session._outbox.unread_ms <= LIMITS.unread_ms + LIMITS.lead_ms
        assert len(session._children) <= 32
        self.check_requests()

    async def stream(self, ms: int, *, loud: bool) -> None:
        """Audio whose samples hold the number of their frame."""
        left = ms
        while left > 0:
            chunk_ms = min(left, 32)
            n = chunk_ms * SAMPLE_RATE // 1000
            numbers = np.arange(self.n_samples, self.n_samples + n) // FRAME % CYCLE
            pcm: Pcm = (0.2 + numbers * 1e-4 if loud else numbers * 2e-5).astype(np.float32)
            self.n_samples += n
            left -= chunk_ms
            await self.send(AppendAudio(pcm, SAMPLE_RATE))
            await self.stage.wait(chunk_ms)

    def nth(self, ids: list[str], which: int) -> str:
        return ids[-1 - which % len(ids)] if ids else "unknown"

    async def do(self, step: Step) -> None:
        stage = self.stage
        responses = [event.response.id for event in stage.of(ResponseStarted)]
        spoken = list(self.ear._items)
        match step.action:
            case "speak":
                await self.stream(step.ms, loud=True)
                await self.stream(step.then_ms, loud=False)
            case "talk over":
                await self.do(Step("ask", step.ms))
                await self.do(Step("speak", step.then_ms, 600))
            case "wait":
                await stage.wait(step.ms)
            case "ask":
                await self.send(CreateItem(Item(new_id("item"), text="Well?")))
                await self.send(CreateResponse())
                await stage.wait(step.ms)
            case "respond":
                await self.send(CreateResponse(ResponseOptions(audio_output=step.flag)))
            case "respond beside":
                options = ResponseOptions(audio_output=step.flag, in_conversation=False)
                await self.send(CreateResponse(options))
            case "cancel":
                response_id = self.nth(responses, step.which) if step.which else None
                await self.send(CancelResponse(response_id))
            case "truncate":
                await self.truncate(self.nth(spoken, step.which), step.ms)
            case "report":
                item_id = self.nth(spoken, step.which)
                self.ear.report(item_id, step.ms, stage.now_ms)
                response_id = self.response_of.get(item_id, "unknown")
                await self.send(ReportPlayback(response_id, step.ms))
            case "commit":
                await self.send(CommitInput(respond=step.flag))
            case "clear":
                await self.send(ClearInput())
            case "clear output":
                await self.send(ClearOutput())
            case "configure":
                self.options = MODES[step.mode]
                await self.send(Configure(self.options))
            case "delete":
                await self.send(DeleteItem(self.nth(self.order, step.which)))
            case "stall":
                stage.reading.clear()
                await stage.wait(step.ms)
                stage.reading.set()
                await stage.wait(1)

    async def truncate(self, item_id: str, ms: int) -> None:
        if item_id in self.order:
            self.ear.truncate(item_id, ms)
            if self.main and self.response_of[item_id] == self.main[-1] and not self.active:
                self.ear.stop(self.stage.now_ms)
        await self.send(TruncateItem(item_id, ms))

    async def settle(self) -> None:
        """Stop talking and wait until nothing more can happen."""
        self.options = MODES["push to talk"]
        await self.send(Configure(self.options))
        await self.send(ClearInput())
        await self.stage.wait(240_000)
        await self.send(ClearInput())


# ── what has to hold ──────────────────────────────────────────────────────────────────────────


def check_order_of_events(client: Client) -> None:
    """After its end a response is not heard of again, nor its voice after an interruption."""
    ended: set[str] = set()
    silenced: set[str] = set()
    started: list[str] = []
    for event in client.stage.events:
        response_id = getattr(event, "response_id", None)
        if isinstance(event, ResponseStarted):
            started.append(event.response.id)
        elif isinstance(event, ResponseDone):
            ended.add(event.response.id)
        elif response_id is not None and not isinstance(
            event, ReplyHeard | TurnReceipt | OutputCleared
        ):
            assert response_id in started
            assert response_id not in ended, event
            assert not (isinstance(event, AudioDelta) and response_id in silenced), event
        if isinstance(event, ReplyHeard):
            silenced.add(event.response_id)
    assert ended == set(started)
    assert len(client.stage.of(ResponseDone)) == len(started)
    assert not client.stage.of(SessionEnded)


def check_history(client: Client) -> None:
    """Items are where the client was told they are, and hold what was heard."""
    items = list(client.stage.session._history)
    assert [item.id for item in items] == client.order
    written: dict[str, str] = {}
    for _, event in client.emitted:
        if isinstance(event, Words):
            written[event.item_id] = written.get(event.item_id, "") + event.text
    for item in items:
        if item.role == "assistant" and item.kind == "message" and item.spoken:
            client.compare(item.id, item.text, now=math.inf)
            assert written[item.id].startswith((item.text or "").rstrip())
            if client.ear.words(item.id, 0) is None and item.status == "completed":
                assert item.text == written[item.id]


def check_audio(client: Client) -> None:
    """What the recognizer heard of a turn is one stretch of what was said, from its beginning."""
    starts: dict[int, list[int]] = {}
    for heard in client.stage.script.recognizer.heard:
        values = heard.reshape(-1, FRAME)[:, 0].astype(float)
        numbers = np.where(values > 0.1, (values - 0.2) / 1e-4, values / 2e-5).round().astype(int)
        assert np.all(np.diff(numbers) == 1), "audio was lost or came twice"
        starts.setdefault(int(numbers[0]), []).append(len(numbers))
    stopped = {event.item_id: event.at_ms for event in client.stage.of(SpeechStopped)}
    finals = {event.item_id: event.audio_ms for event in client.stage.of(TranscriptFinal)}
    for started in client.stage.of(SpeechStarted):
        if started.item_id in finals:
            lengths = starts[started.at_ms // 32]
            assert finals[started.item_id] // 32 in lengths
            end_ms = started.at_ms // 32 * 32 + finals[started.item_id]
            assert end_ms >= stopped[started.item_id]


def check_quiet(client: Client) -> None:
    """Nothing runs, nothing waits, nothing is left."""
    session, script = client.stage.session, client.stage.script
    assert session._children == set()
    assert (script.chat.running, script.voice.running, script.recognizer.open_streams) == (0, 0, 0)
    assert session._speaker.state is ResponseState.NONE
    assert session._speaker.is_quiet
    assert not session._speaker.is_heard
    assert session._listener.state is InputState.IDLE
    assert not session._listener.awaits_transcript
    assert session._moderator._unanswered is None
    assert session._moderator._begun == []
    assert len(session._outbox) == len(session._inbox) == 0
    assert len(session._history) <= LIMITS.history_items


async def converse(world: World, mode: str, schedule: list[Step]) -> Client:
    script = script_of(world)
    async with on_stage(script, MODES[mode], limits=LIMITS) as stage:
        client = Client(stage, MODES[mode], ReferenceEar(script.voice.texts))
        client.watch()
        for each in schedule:
            await client.do(each)
        await client.settle()
        check_quiet(client)
    return client


def play(world: World, mode: str, schedule: list[Step]) -> None:
    client = virtual_time.run(converse(world, mode, schedule))
    check_order_of_events(client)
    check_history(client)
    check_audio(client)


@settings(max_examples=20 * settings.default.max_examples)  # type: ignore[union-attr]
@given(WORLDS, st.sampled_from(sorted(MODES)), st.lists(STEPS, min_size=4, max_size=16))
def test_whatever_happens_the_conversation_stays_whole(
    world: World, mode: str, schedule: list[Step]
) -> None:
    play(world, mode, schedule)
