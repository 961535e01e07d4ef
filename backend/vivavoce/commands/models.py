"""`vivavoce models`: list, fetch, verify and remove the weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from vivavoce.commands.settings import read_settings
from vivavoce.errors import VivavoceError
from vivavoce.models.catalogue import load_catalogue
from vivavoce.models.progress import console_progress
from vivavoce.models.store import ModelStore

models_app = typer.Typer(help="List, fetch, verify and remove model weights.", no_args_is_help=True)

ModelIds = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Ids as `models list` shows them.")
]
ModelsDir = Annotated[
    Path | None, typer.Option(help="Where weights are kept; else as VIVAVOCE_MODELS_DIR says.")
]
OfflineDir = Annotated[
    Path | None,
    typer.Option(help="A second folder of the same layout that is only read."),
]
CatalogueFile = Annotated[
    Path | None, typer.Option("--catalogue", help="Another catalogue.toml than the built-in one.")
]


@models_app.command("list")
def list_models(
    models_dir: ModelsDir = None,
    offline_dir: OfflineDir = None,
    catalogue: CatalogueFile = None,
) -> None:
    """Show every known model and whether it is here."""
    store = _store(models_dir, offline_dir, catalogue, Console(stderr=True))
    installed = set(store.installed())
    table = Table(title=f"Weights in {store.models_dir}")
    for heading in ("id", "kind", "size", "memory", "state"):
        justify: Literal["left", "right"] = "right" if heading in ("size", "memory") else "left"
        table.add_column(heading, justify=justify, no_wrap=True)
    table.add_column("what")
    for model in store.catalogue.models:
        table.add_row(
            model.id,
            model.kind,
            decimal(model.n_bytes),
            decimal(model.memory_bytes),
            "installed" if model.id in installed else "missing",
            f"{model.title}; {' '.join(model.languages) or 'any language'}; {model.licence}"
            + ("; default" if model.default else ""),
        )
    Console().print(table)


@models_app.command()
def pull(
    ids: ModelIds = None,
    every: Annotated[bool, typer.Option("--all", help="All models, not the default ones.")] = False,
    models_dir: ModelsDir = None,
    offline_dir: OfflineDir = None,
    catalogue: CatalogueFile = None,
) -> None:
    """Fetch weights that are not here yet: the default models, those named, or all."""
    console = Console()
    store = _store(models_dir, offline_dir, catalogue, console)
    chosen = store.catalogue.models if every else store.catalogue.defaults
    failures = []
    for model_id in ids or [model.id for model in chosen]:
        started = time.monotonic()
        try:
            folder = store.ensure(model_id)
        except VivavoceError as error:
            failures.append(error.message)
            continue
        took_s = time.monotonic() - started
        console.print(f"{model_id}: ready in {folder} ({took_s:.1f} s)", soft_wrap=True)
    if failures:
        _fail(*failures)


@models_app.command()
def verify(
    ids: ModelIds = None,
    models_dir: ModelsDir = None,
    offline_dir: OfflineDir = None,
    catalogue: CatalogueFile = None,
) -> None:
    """Hash every byte again, of the models named or of all that are here."""
    console = Console()
    store = _store(models_dir, offline_dir, catalogue, console)
    chosen = ids or store.installed()
    if not chosen:
        console.print(f"no weights in {store.models_dir}; fetch them with `vivavoce models pull`")
    failures = []
    for model_id in chosen:
        try:
            store.verify(model_id)
        except VivavoceError as error:
            failures.append(error.message)
        else:
            console.print(f"{model_id}: right")
    if failures:
        _fail(*failures)


@models_app.command()
def rm(
    ids: Annotated[list[str], typer.Argument(help="Ids as `models list` shows them.")],
    models_dir: ModelsDir = None,
    catalogue: CatalogueFile = None,
) -> None:
    """Delete weights and half-finished downloads of the models named."""
    console = Console()
    store = _store(models_dir, None, catalogue, console)
    failures = []
    for model_id in ids:
        try:
            freed = store.remove(model_id)
        except VivavoceError as error:
            failures.append(error.message)
        else:
            console.print(f"{model_id}: removed, {decimal(freed)} freed")
    if failures:
        _fail(*failures)


def _store(
    models_dir: Path | None, offline_dir: Path | None, catalogue: Path | None, console: Console
) -> ModelStore:
    settings = read_settings()
    try:
        known = load_catalogue(catalogue)
    except VivavoceError as error:
        _fail(error.message)
    return ModelStore(
        models_dir or settings.models_dir,
        offline_dir=offline_dir or settings.offline_dir,
        progress=console_progress(console),
        catalogue=known,
    )


def _fail(*messages: str) -> NoReturn:
    console = Console(stderr=True)
    for message in messages:
        console.print(message, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)
