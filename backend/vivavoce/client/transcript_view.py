"""Shows a conversation in a terminal as it happens, or line by line where there is none."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from vivavoce.client.events import (
    Receipt,
    ReplyEnded,
    ReplyText,
    ServerError,
    ServerEvent,
    Words,
)


class TranscriptView:
    """On a terminal the last line grows with what is being said; each finished one stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._replies: dict[str, str] = {}
        self.last_error: str | None = None

    def __enter__(self) -> TranscriptView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()
        for reply_id in list(self._replies):
            self._finish_reply(reply_id, "cut off")

    def show(self, event: ServerEvent) -> None:
        match event:
            case Words(text=text, final=False):
                self._growing(f"[dim]you: {escape(text)}[/]")
            case Words(text=text):
                self._line(f"[bold]you:[/] {escape(text)}" if text else "[dim]you: (no words)[/]")
            case ReplyText(reply_id=reply_id, text=text):
                self._replies[reply_id] = self._replies.get(reply_id, "") + text
                self._growing(f"[green]vivi: {escape(self._replies[reply_id])}[/]")
            case ReplyEnded(reply_id=reply_id, state=state, error=error):
                self._finish_reply(reply_id, "" if state == "completed" else error or state)
            case Receipt(stages=stages):
                waterfall = " · ".join(f"{name} {ms}" for name, ms in stages.items())
                self._line(f"[dim]ms after the end of speech: {escape(waterfall)}[/]")
            case ServerError(message=message):
                self.last_error = message
                self._line(f"[red]{escape(message)}[/]")
            case _:
                pass

    def note(self, text: str) -> None:
        """Say something about the conversation itself."""
        self._line(f"[dim]{escape(text)}[/]")

    def _finish_reply(self, reply_id: str, remark: str) -> None:
        text = escape(self._replies.pop(reply_id, ""))
        aside = f" [dim]({escape(remark)})[/]" if remark else ""
        if text or aside:
            self._line(f"[bold green]vivi:[/] {text}{aside}")

    def _growing(self, markup: str) -> None:
        if self._console.is_terminal:
            self._live.update(self._console.render_str(markup), refresh=True)

    def _line(self, markup: str) -> None:
        if self._console.is_terminal:
            self._live.update("", refresh=True)
        self._console.print(markup, highlight=False, soft_wrap=True)
