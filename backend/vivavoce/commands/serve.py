"""`vivavoce serve`: fetch what is missing, warm the engines, serve, say how to talk to it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vivavoce import __version__
from vivavoce.app import create_app
from vivavoce.assembly import Assembly, needed_models
from vivavoce.commands.settings import read_settings
from vivavoce.config import LOOPBACK, Settings
from vivavoce.errors import VivavoceError
from vivavoce.logs import configure_logs
from vivavoce.models.progress import console_progress
from vivavoce.models.store import ModelStore
from vivavoce.server import Server, event_loop_factory, listen
from vivavoce.tls import self_signed


def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    https: Annotated[
        bool, typer.Option("--https", help="Use TLS with a certificate made on this machine.")
    ] = False,
    ssl_certfile: Annotated[Path | None, typer.Option(help="TLS certificate (PEM).")] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve live conversation. Every option can be set in the environment too: see .env.example."""
    console = Console(stderr=True, highlight=False)
    settings = read_settings(
        host=host,
        port=port,
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
        log_level=log_level,
    )
    try:
        if https and settings.ssl_certfile is None:
            certificate, key = self_signed(settings.models_dir / ".tls")
            tls = {"ssl_certfile": certificate, "ssl_keyfile": key}
            settings = settings.model_copy(update=tls)
        settings.check()
        with listen(settings) as listener:
            _fetch(settings, console)
            configure_logs(settings.log_level, as_json=settings.log_json)
            with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
                ready = runner.run(_serve(settings, listener, console))
    except VivavoceError as error:
        console.print(f"[red]{error.message}[/red]", soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        return
    if not ready:
        raise typer.Exit(1)


def _fetch(settings: Settings, console: Console) -> None:
    store = ModelStore(
        settings.models_dir,
        offline_dir=settings.offline_dir,
        progress=console_progress(console),
    )
    for model_id in needed_models(settings):
        store.ensure(model_id)


async def _serve(settings: Settings, listener: socket.socket, console: Console) -> bool:
    """Whether the engines came up. They warm while the server already answers /health."""
    assembly = Assembly(settings)
    app = create_app(settings, assembly)
    server = Server(app, settings)
    serving = asyncio.create_task(server.serve([listener]))
    console.print("Warming the engines …")
    await server.listening.wait()
    starting = app.state.started
    await asyncio.wait((starting, serving), return_when=asyncio.FIRST_COMPLETED)
    ready = starting.done() and not starting.cancelled() and starting.exception() is None
    if ready:
        _greet(settings, listener.getsockname()[1], assembly, console)
    else:
        server.should_exit = True
    await serving
    return ready


def _greet(settings: Settings, port: int, assembly: Assembly, console: Console) -> None:
    secure = "s" if settings.ssl_certfile else ""
    host = "localhost" if settings.host in LOOPBACK else settings.host
    address = f"{host}:{port}"
    models = assembly.models
    key = "" if not settings.api_keys else ' -H "Authorization: Bearer $VIVAVOCE_API_KEY"'
    console.print(
        f"[bold]Vivavoce {__version__}[/bold] is ready on http{secure}://{address}\n"
        f"  hears with {models['asr']}, thinks with {models['llm']}, speaks with {models['tts']}\n"
        f"  OpenAI Realtime clients   ws{secure}://{address}/v1/realtime\n"
        f"  by hand                   npx wscat -c ws{secure}://{address}/v1/voice{key}\n"
        f"  with a recording          vivavoce voice FILE.wav --url ws{secure}://{address}"
    )
    if not settings.api_keys and settings.host not in LOOPBACK:
        console.print("[yellow]  anyone who can reach this address can use it: no key is set[/]")
