"""Reads the settings for a command; options given on the command line come first."""

from __future__ import annotations

from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console

from vivavoce.config import Settings


def read_settings(**given: Any) -> Settings:
    """The settings, or an exit with status 1 that says which one is wrong.

    given: options of the command by the name of their setting; None where one was left out.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        console = Console(stderr=True, highlight=False)
        for fault in error.errors():
            name = "_".join(str(part) for part in fault["loc"]).upper()
            shown = str(fault["input"])[:40]
            console.print(f"[red]VIVAVOCE_{name}={shown}: {fault['msg']}[/red]", soft_wrap=True)
        raise typer.Exit(1) from None
