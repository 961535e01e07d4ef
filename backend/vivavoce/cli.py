"""The `vivavoce` command."""

from __future__ import annotations

from typing import Annotated

import typer

from vivavoce import __version__
from vivavoce.commands.bench import bench_command
from vivavoce.commands.doctor import doctor_command
from vivavoce.commands.models import models_app
from vivavoce.commands.serve import serve_command
from vivavoce.commands.voice import voice_command

app = typer.Typer(
    name="vivavoce",
    help="Live spoken conversation on your own machine: speech in, speech out, interruptible.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command("serve")(serve_command)
app.add_typer(models_app, name="models")
app.command("doctor")(doctor_command)
app.command("voice")(voice_command)
app.command("bench")(bench_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vivavoce {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """Live spoken conversation on your own machine."""
