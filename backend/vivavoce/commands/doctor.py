"""`vivavoce doctor`: say what is wrong with this machine and what to do about it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vivavoce.commands.models import ModelsDir, OfflineDir
from vivavoce.commands.settings import read_settings
from vivavoce.doctor import Finding, examine
from vivavoce.models.store import ModelStore

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535)] = None,
    models_dir: ModelsDir = None,
    offline_dir: OfflineDir = None,
    ssl_certfile: Annotated[Path | None, typer.Option(help="PEM file, may hold a chain.")] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="PEM file, not encrypted.")] = None,
    llm_base_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible endpoint; none for the embedded model.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
) -> None:
    """Check this machine against the settings; the status is 1 if something will not work."""
    settings = read_settings()
    findings = examine(
        ModelStore(
            models_dir or settings.models_dir, offline_dir=offline_dir or settings.offline_dir
        ),
        host=host or settings.host,
        port=settings.port if port is None else port,
        ssl_certfile=ssl_certfile or settings.ssl_certfile,
        ssl_keyfile=ssl_keyfile or settings.ssl_keyfile,
        llm_base_url=llm_base_url or settings.llm.base_url,
        llm_api_key=settings.llm.api_key.get_secret_value() or None,
    )
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        Console().print(_table(findings))
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(1)


def _table(findings: list[Finding]) -> Table:
    table = Table(show_lines=False)
    for heading in ("check", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(
            finding.name,
            f"[{COLOURS[finding.level]}]{finding.level}[/]",
            escape(finding.message),
            escape(finding.remedy),
        )
    return table
