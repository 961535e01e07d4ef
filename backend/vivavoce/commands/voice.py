"""`vivavoce voice`: talk to a running server with a recording or with the microphone."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vivavoce.audio.wav import read_wav, write_wav
from vivavoce.client.call import Call, accompanied, open_call
from vivavoce.client.dialect import OUTPUT_RATE, Wishes
from vivavoce.client.loudspeaker import Loudspeaker, Tape, VirtualLoudspeaker
from vivavoce.client.microphone import Clip, Lag, Microphone, prepare_clip, silence_for
from vivavoce.client.sound_card import SoundCard
from vivavoce.client.transcript_view import TranscriptView
from vivavoce.client.voice_dialect import VoiceDialect
from vivavoce.errors import InvalidRequest, VivavoceError

DEFAULT_OUT = Path("reply.wav")
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells expect it."""

LATE_ONSET_S = 0.7
"""After the file has been said: by then the server has noticed even its last word."""

LAST_WORDS_S = 1.0
"""What the server may take to say how a reply went that has been heard."""

ApiKey = Annotated[
    str | None,
    typer.Option(envvar="VIVAVOCE_API_KEY", help="Key that the server wants.", show_default=False),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Take any TLS certificate, such as a self-signed one.")
]
Language = Annotated[
    str | None, typer.Option(help="Language of the speech, such as en or zh; unset to detect.")
]


def voice_command(
    file: Annotated[
        Path | None, typer.Argument(help="WAV file to say, of any rate.", metavar="[FILE.wav]")
    ] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Speak into the microphone instead.")] = False,
    url: Annotated[str, typer.Option(help="Address of the server.")] = "ws://localhost:8000",
    api_key: ApiKey = None,
    insecure: Insecure = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the reply is saved as heard, a 24 kHz WAV file; "
            f"{DEFAULT_OUT} unless said otherwise, with --mic only when this is given."
        ),
    ] = None,
    language: Language = None,
    voice: Annotated[str | None, typer.Option(help="Voice of the reply.")] = None,
    instructions: Annotated[
        str | None, typer.Option(help="What the assistant is told about itself.")
    ] = None,
    timeout_s: Annotated[
        float, typer.Option(min=1, help="Longest silence of the server's.")
    ] = 30.0,
) -> None:
    """Say a WAV file to the assistant in real time, or talk to it yourself; Ctrl-C ends the call.

    Prints what was understood, what is replied, and how long each stage took.
    """
    if (file is None) is not mic:
        raise typer.BadParameter("give a WAV file to say, or --mic to speak yourself")
    view = TranscriptView(Console())
    wishes = Wishes(language=language, voice=voice, instructions=instructions)
    conversation = _Conversation(url, api_key, insecure, wishes, view, timeout_s)
    try:
        if file is None:
            asyncio.run(conversation.by_microphone(out))
        else:
            asyncio.run(conversation.by_file(file, out or DEFAULT_OUT))
    except KeyboardInterrupt:
        raise typer.Exit(0 if mic else INTERRUPTED) from None
    except VivavoceError as error:
        if error.message != view.last_error:
            Console(stderr=True).print(error.message, markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


@dataclass(frozen=True, slots=True)
class _Conversation:
    url: str
    api_key: str | None
    insecure: bool
    wishes: Wishes
    view: TranscriptView
    timeout_s: float

    async def by_file(self, file: Path, out: Path) -> None:
        """Until the reply is complete; raises VivavoceError when there is none."""
        dialect = VoiceDialect()
        clip = _read_clip(file, dialect)
        tape = Tape(VirtualLoudspeaker(asyncio.get_running_loop().time))
        with ExitStack() as at_the_end:
            at_the_end.callback(_save, tape, out, self.view)
            async with self._dial(dialect, tape) as call:
                microphone = Microphone(call.link.send, silence_for(dialect), Lag())

                async def ask() -> None:
                    await call.open(self.wishes)
                    await accompanied(self._ask(call, microphone, clip), microphone.run())

                with self.view:
                    await accompanied(ask(), call.listen(), call.report_playback())

    async def by_microphone(self, out: Path | None) -> None:
        """Until it is cancelled, or the connection ends."""
        dialect = VoiceDialect()
        with ExitStack() as at_the_end:
            card = at_the_end.enter_context(SoundCard(dialect.input_rate))
            tape = Tape(card) if out is not None else None
            if tape is not None and out is not None:
                at_the_end.callback(_save, tape, out, self.view)
            async with self._dial(dialect, tape or card) as call:

                async def talk() -> None:
                    await call.open(self.wishes)
                    self.view.note("Speak. Wear headphones, or it hears itself. Ctrl-C ends.")
                    await card.send_to(call)

                with self.view:
                    await accompanied(talk(), call.listen(), call.report_playback())

    async def _ask(self, call: Call, microphone: Microphone, clip: Clip) -> None:
        await microphone.say(clip)
        await asyncio.sleep(LATE_ONSET_S)
        turn = call.turn
        if not turn.started_at:
            raise VivavoceError(f"The server heard no speech in {clip.name}.", code="no_speech")
        if not await call.until(lambda: turn.is_settled, self.timeout_s):
            raise VivavoceError(f"No reply within {self.timeout_s:g} s.", code="no_reply")
        await asyncio.sleep(call.loudspeaker.ends_at - asyncio.get_running_loop().time())
        # The receipt comes last, and before it the reason where a reply has failed.
        await call.until(lambda: all(reply.stages for reply in turn.replies), LAST_WORDS_S)
        if not turn.transcript:
            raise VivavoceError(f"The server understood no words in {clip.name}.", code="no_words")
        if turn.answer is None or turn.answer.state == "failed":
            raise VivavoceError(
                turn.errors[-1] if turn.errors else "The reply has no sound.", code="no_reply"
            )

    def _dial(
        self, dialect: VoiceDialect, loudspeaker: Loudspeaker
    ) -> AbstractAsyncContextManager[Call]:
        return open_call(
            self.url,
            dialect,
            loudspeaker,
            api_key=self.api_key,
            insecure=self.insecure,
            on_event=self.view.show,
        )


def _read_clip(file: Path, dialect: VoiceDialect) -> Clip:
    """Raises InvalidRequest for a file that cannot be read or is silent."""
    try:
        pcm, sample_rate = read_wav(file)
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}.") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{file} is {error.message}") from error
    return prepare_clip(str(file), pcm, sample_rate, dialect)


def _save(tape: Tape, out: Path, view: TranscriptView) -> None:
    """Raises InvalidRequest for a file that cannot be written."""
    recording = tape.recording()
    if not len(recording):
        return
    try:
        with out.open("wb") as file:
            write_wav(file, recording, OUTPUT_RATE)
    except OSError as error:
        raise InvalidRequest(f"{out} cannot be written: {error.strerror}.") from error
    view.note(f"{len(recording) / OUTPUT_RATE:.1f} s of speech saved in {out}")
