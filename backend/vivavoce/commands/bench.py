"""`vivavoce bench`: how fast a server answers people who talk to it in real time."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vivavoce.audio.wav import read_wav
from vivavoce.client.benchmark import Outcome, Plan, Question, run_benchmark
from vivavoce.client.dialect import Dialect, Wishes
from vivavoce.client.figures import TurnReport, summaries, total_word_errors
from vivavoce.client.machine import describe_machine
from vivavoce.client.person import Habits
from vivavoce.client.realtime_dialect import RealtimeDialect
from vivavoce.client.voice_dialect import VoiceDialect
from vivavoce.commands.voice import ApiKey, Insecure, Language
from vivavoce.errors import InvalidRequest, VivavoceError

DIALECTS: dict[str, type[Dialect]] = {"realtime": RealtimeDialect, "voice": VoiceDialect}
SHOWN_FAILURES = 8


def bench_command(
    url: Annotated[str, typer.Argument(help="Address of the server, as ws://localhost:8000.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="WAV files, a question each.", metavar="[WAV]..."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Table (TSV) with columns file, language and text: says what is said in the "
            "files, and which to take where none is named."
        ),
    ] = None,
    expect: Annotated[
        list[str] | None, typer.Option(help="What is said in a file; once for each, in order.")
    ] = None,
    sessions: Annotated[int, typer.Option(min=1, help="Conversations at a time.")] = 1,
    turns: Annotated[
        int | None, typer.Option(min=1, help="Questions in each; unset, every file once.")
    ] = None,
    protocol: Annotated[Literal["realtime", "voice"], typer.Option()] = "realtime",
    silence_ms: Annotated[
        int, typer.Option(min=100, max=10_000, help="Silence that ends a turn.")
    ] = 500,
    semantic: Annotated[
        bool, typer.Option("--semantic", help="The server judges by the words when a turn ends.")
    ] = False,
    interrupt: Annotated[
        bool, typer.Option("--interrupt", help="Talk over the replies, except the last.")
    ] = False,
    interrupt_after_ms: Annotated[
        int, typer.Option(min=0, help="Of a reply that is heard before it is interrupted.")
    ] = 1000,
    pause_ms: Annotated[int, typer.Option(min=0, help="Pause before the next question.")] = 600,
    stagger_ms: Annotated[
        int, typer.Option(min=0, help="How long after one session the next one begins.")
    ] = 500,
    timeout_s: Annotated[
        float, typer.Option(min=1, help="Longest silence of the server's before a reply is missed.")
    ] = 20.0,
    language: Language = None,
    voice: Annotated[str | None, typer.Option(help="Voice of the replies.")] = None,
    instructions: Annotated[
        str | None, typer.Option(help="What the assistant is told about itself.")
    ] = None,
    api_key: ApiKey = None,
    insecure: Insecure = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
) -> None:
    """Ask a server questions in real time and measure how soon the reply is heard.

    Latency counts from the end of the voice in each file to the first sample of the reply above
    -40 dB, played by a loudspeaker that begins when the audio arrives. The status is 1 when a
    question got no reply.
    """
    try:
        questions = _questions(files or [], manifest, expect or [], language)
        plan = Plan(
            url,
            DIALECTS[protocol],
            Wishes(language, voice, instructions, None if semantic else silence_ms),
            Habits(pause_ms / 1000, timeout_s, interrupt_after_ms / 1000 if interrupt else None),
            sessions=sessions,
            turns=turns or len(questions),
            stagger_s=stagger_ms / 1000,
            api_key=api_key,
            insecure=insecure,
        )
        outcome = Outcome(plan.sessions * plan.turns)
        stopped = _run(plan, questions, outcome)
    except VivavoceError as error:
        Console(stderr=True).print(error.message, markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(_as_json(plan, protocol, outcome), indent=2, ensure_ascii=False))
    else:
        _print(Console(), plan, outcome)
    if stopped or outcome.missing:
        raise typer.Exit(1)


def _run(plan: Plan, questions: list[Question], outcome: Outcome) -> bool:
    """Returns whether it was stopped by Ctrl-C; what had been measured by then is kept."""
    try:
        asyncio.run(run_benchmark(plan, questions, outcome))
    except KeyboardInterrupt:
        return True
    return False


# ── questions ─────────────────────────────────────────────────────────────────────────────────


def _questions(
    files: list[Path], manifest: Path | None, expect: list[str], language: str | None
) -> list[Question]:
    """Raises InvalidRequest for files that cannot be read, and when there are none."""
    if expect and len(expect) != len(files):
        raise InvalidRequest(
            f"--expect says what is said in each file: {len(files)} files, {len(expect)} texts."
        )
    rows = [] if manifest is None else _rows(manifest)
    texts = {row["file"]: row["text"] for row in rows}
    if not files and manifest is not None:
        chosen = [row for row in rows if language in (None, row.get("language", language))]
        files = [manifest.parent / row["file"] for row in chosen]
    if not files:
        raise InvalidRequest(
            "Nothing to ask: name some WAV files with a question of 2-5 s each, or a --manifest "
            "that lists them."
        )
    said: list[str | None] = [*expect] or [texts.get(file.name) for file in files]
    return [_question(file, text) for file, text in zip(files, said, strict=True)]


def _rows(manifest: Path) -> list[dict[str, str]]:
    try:
        with manifest.open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table, delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{manifest} cannot be read: {error}.") from error
    if not rows or not {"file", "text"} <= rows[0].keys():
        raise InvalidRequest(f"{manifest} has no columns file and text, separated by tabs.")
    return rows


def _question(file: Path, text: str | None) -> Question:
    try:
        pcm, sample_rate = read_wav(file)
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}.") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{file} is {error.message}") from error
    return Question(file.name, pcm, sample_rate, text)


# ── results ───────────────────────────────────────────────────────────────────────────────────


def _print(console: Console, plan: Plan, outcome: Outcome) -> None:
    console.print(
        f"{plan.sessions} sessions of {plan.turns} turns at {plan.url}: "
        f"{len(outcome.turns)} of {outcome.asked_turns} turns asked",
        highlight=False,
    )
    table = Table(title="ms after the voice has ended; told to stop, last byte: begun")
    table.add_column("")
    for heading in ("n", "p50", "p95", "max"):
        table.add_column(heading, justify="right")
    for name, figure in summaries(outcome.turns).items():
        figures = (f"{ms:.0f}" for ms in (figure.p50, figure.p95, figure.max))
        table.add_row(escape(name), str(figure.n), *figures)
    console.print(table)
    for line in (*_remarks(outcome), _client_line(outcome)):
        console.print(escape(line), highlight=False, soft_wrap=True)


def _remarks(outcome: Outcome) -> list[str]:
    turns = outcome.turns
    remarks = [
        f"no reply: {outcome.missing} · split turns: {sum(turn.is_split for turn in turns)}"
        f" · stale audio: {sum(turn.stale_ms for turn in turns)} ms"
    ]
    words = total_word_errors(turns)
    if words is not None:
        remarks.append(f"word errors: {words.errors} of {words.words} ({words.rate:.1%})")
    remarks += [f"session {n}: {message}" for n, message in outcome.failures.items()]
    remarks += [_describe(turn) for turn in turns if _is_odd(turn)]
    hidden = len(remarks) - SHOWN_FAILURES
    return remarks[:SHOWN_FAILURES] + ([f"... and {hidden} more; see --json"] if hidden > 0 else [])


def _is_odd(turn: TurnReport) -> bool:
    wrong = turn.word_errors is not None and turn.word_errors.errors > 0
    return turn.is_missing or turn.is_split or turn.stale_ms > 0 or bool(turn.errors) or wrong


def _describe(turn: TurnReport) -> str:
    said = f"session {turn.session} turn {turn.turn} {turn.clip}: {turn.transcript!r}"
    split = f", taken for {turn.user_turns} turns" if turn.is_split else ""
    missing = ", no reply" if turn.is_missing else ""
    return said + split + missing + "".join(f", {error}" for error in turn.errors)


def _client_line(outcome: Outcome) -> str:
    lag = [f"{outcome.lag.percentile(q):.1f}" for q in (50, 95, 100)]
    share = outcome.cpu_s / outcome.wall_s if outcome.wall_s else 0.0
    return f"this client: frames late by {'/'.join(lag)} ms (p50/p95/max), {share:.1%} of a core"


def _as_json(plan: Plan, protocol: str, outcome: Outcome) -> dict[str, object]:
    words = total_word_errors(outcome.turns)
    return {
        "machine": describe_machine(),
        "url": plan.url,
        "protocol": protocol,
        "sessions": plan.sessions,
        "turns_each": plan.turns,
        "silence_ms": plan.wishes.silence_ms,
        "figures_ms": {
            name: dataclasses.asdict(figure) for name, figure in summaries(outcome.turns).items()
        },
        "missing_replies": outcome.missing,
        "split_turns": sum(turn.is_split for turn in outcome.turns),
        "stale_ms": sum(turn.stale_ms for turn in outcome.turns),
        "word_error_rate": None if words is None else round(words.rate, 4),
        "failures": outcome.failures,
        "client": {
            "lag_ms": {f"p{q}": outcome.lag.percentile(q) for q in (50, 95, 100)},
            "cpu_s": round(outcome.cpu_s, 2),
            "wall_s": round(outcome.wall_s, 2),
        },
        "turns": [dataclasses.asdict(turn) for turn in outcome.turns],
    }
