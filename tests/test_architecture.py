"""Dependencies point downward only: a room imports the rooms that its row names, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

BACKEND = Path(__file__).parents[1] / "backend"
PACKAGE = BACKEND / "vivavoce"

ANYTHING = ("vivavoce",)
ROOMS: dict[str, tuple[str, ...]] = {
    "errors": (),
    "text": (),
    "audio": ("vivavoce.errors",),
    "config": ("vivavoce.errors",),
    "logs": (),
    "tls": (),
    "models": ("vivavoce.errors", "vivavoce.config"),
    "engines": ("vivavoce.errors", "vivavoce.audio", "vivavoce.text"),
    "conversation": (
        "vivavoce.errors",
        "vivavoce.audio",
        "vivavoce.text",
        "vivavoce.engines.interfaces",
    ),
    "protocols": (
        "vivavoce.errors",
        "vivavoce.config",
        "vivavoce.audio",
        "vivavoce.text",
        "vivavoce.engines.interfaces",
        "vivavoce.conversation",
    ),
    "client": ("vivavoce.errors", "vivavoce.audio", "vivavoce.text"),
    "storage": ("vivavoce.errors", "vivavoce.config"),
    "api": ANYTHING,
    "jobs": ANYTHING,
}
"""What a room may import besides itself and the package's own version."""

FREE = frozenset({"__init__", "__main__", "app", "assembly", "cli", "commands", "doctor", "server"})
"""Where everything is put together."""

BELOW_THE_WEB = ("audio", "text", "errors", "config", "models", "engines", "conversation")
WEB = frozenset({"fastapi", "starlette", "uvicorn", "websockets"})
ASYNCHRONOUS_ENGINES = ("engines/hosts/", "engines/llm/")


def imports(source: str, package: str) -> Iterator[str]:
    """Full names of the modules that `source`, a module in `package`, imports anywhere."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join([*(base if node.level else []), *filter(None, [node.module])])
            if module == "vivavoce" or module.endswith((".engines", ".conversation")):
                yield from (f"{module}.{alias.name}" for alias in node.names)
            else:
                yield module


def within(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in allowed)


def modules(room: str) -> list[Path]:
    folder = PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{room}.py"]


def imports_of(path: Path) -> list[str]:
    package = ".".join(path.relative_to(BACKEND).parent.parts)
    return list(imports(path.read_text(encoding="utf-8"), package))


ROOMS_THAT_EXIST = sorted(
    path.stem
    for path in PACKAGE.iterdir()
    if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem not in FREE
)


@pytest.mark.parametrize("room", ROOMS_THAT_EXIST)
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    assert room in ROOMS, f"say in ROOMS what {room} may import"
    allowed = (*ROOMS[room], f"vivavoce.{room}", "vivavoce.__version__")
    wrong = [
        f"{path.relative_to(BACKEND)} imports {module}"
        for path in modules(room)
        for module in imports_of(path)
        if within(module, ANYTHING) and not within(module, allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", BELOW_THE_WEB)
def test_the_core_knows_nothing_of_the_web(room: str) -> None:
    wrong = [
        f"{path.relative_to(BACKEND)} imports {module}"
        for path in modules(room)
        for module in imports_of(path)
        if module.split(".")[0] in WEB
    ]
    assert wrong == []


def test_engines_are_plain_and_synchronous() -> None:
    wrong = [
        str(path.relative_to(BACKEND))
        for path in modules("engines")
        if not path.relative_to(PACKAGE).as_posix().startswith(ASYNCHRONOUS_ENGINES)
        and any(module.split(".")[0] == "asyncio" for module in imports_of(path))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("import vivavoce.protocols.voice", "vivavoce.protocols.voice"),
        ("from vivavoce.api import health", "vivavoce.api"),
        ("from vivavoce import api", "vivavoce.api"),
        ("from vivavoce.engines import interfaces", "vivavoce.engines.interfaces"),
        ("from ..asr import whisper", "vivavoce.engines.asr"),
        ("from .. import interfaces", "vivavoce.engines.interfaces"),
        ("from .silero import Silero", "vivavoce.engines.vad.silero"),
        ("def f():\n    import asyncio.events", "asyncio.events"),
    ],
)
def test_no_way_of_importing_escapes(line: str, module: str) -> None:
    assert list(imports(line, "vivavoce.engines.vad")) == [module]
