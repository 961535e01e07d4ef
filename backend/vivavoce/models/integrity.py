"""Is this file the one the catalogue means? Hashed once, then known by size and time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vivavoce.models.catalogue import ModelFile


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that is not there or not what it should be. reason: missing, or how it differs."""

    file: ModelFile
    path: Path
    reason: str


class Stamps:
    """Remembers which files had which hash, so that only changed files are hashed again.

    path: JSON file; one that is unreadable counts as empty, one that cannot be written costs a
    hash at the next start and nothing else (weights may lie on a read-only disk).
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def knows(self, path: Path, sha256: str) -> bool:
        """Whether `path` had this hash when its present size and time were recorded."""
        return self._read().get(str(path)) == [sha256, *_identity(path)]

    def record(self, path: Path, sha256: str) -> None:
        """Remember the hash of `path` as it is now."""
        self._write({**self._read(), str(path): [sha256, *_identity(path)]})

    def forget(self, path: Path) -> None:
        """Have `path` hashed again when next asked for."""
        stamps = self._read()
        if stamps.pop(str(path), None) is not None:
            self._write(stamps)

    def _read(self) -> dict[str, list[str | int]]:
        try:
            stamps = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return stamps if isinstance(stamps, dict) else {}

    def _write(self, stamps: dict[str, list[str | int]]) -> None:
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _replace_text(self._path, json.dumps(stamps, indent=1))


def find_fault(file: ModelFile, path: Path, stamps: Stamps, *, deep: bool = False) -> Fault | None:
    """Compare `path` with its row; None when it is right.

    deep: hash it even if it was hashed before and has not changed since.
    """
    try:
        n_bytes = path.stat().st_size
    except OSError:
        return Fault(file, path, "missing")
    if n_bytes != file.n_bytes:
        return Fault(file, path, f"corrupt: {n_bytes} bytes instead of {file.n_bytes}")
    if not deep and stamps.knows(path, file.sha256):
        return None
    found = sha256_of(path)
    if found != file.sha256:
        stamps.forget(path)
        return Fault(file, path, f"corrupt: its sha256 is {found}")
    stamps.record(path, found)
    return None


def sha256_of(path: Path) -> str:
    """Lower-case hex digest of the file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _replace_text(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    Path(name).chmod(0o644)  # several users may share the weights
    Path(name).replace(path)
