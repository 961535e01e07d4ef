"""The commands as a person types them, with weights that lie there already."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vivavoce.commands.models import models_app

CONTENT = b"a handful of weights"

CATALOGUE = f"""
[[model]]
id = "tiny"
kind = "llm"
title = "A tiny model"
licence = "MIT"
languages = ["zh", "en"]
default = true
memory_bytes = 1_000

[[model.file]]
name = "model.gguf"
bytes = {len(CONTENT)}
sha256 = "{hashlib.sha256(CONTENT).hexdigest()}"
origin = "https://models.example/model.gguf"

[[model]]
id = "extra"
kind = "tts"
title = "Another one"
licence = "Apache-2.0"
languages = []
default = false
memory_bytes = 1_000

[[model.file]]
name = "voice.onnx"
bytes = 1
sha256 = "{"0" * 64}"
origin = "https://models.example/voice.onnx"
"""


@dataclass(frozen=True)
class Shell:
    models_dir: Path
    catalogue: Path

    def run(self, *arguments: str) -> Result:
        options = ["--models-dir", str(self.models_dir), "--catalogue", str(self.catalogue)]
        return CliRunner(env={"COLUMNS": "300"}).invoke(models_app, [*arguments, *options])

    @property
    def weights(self) -> Path:
        return self.models_dir / "tiny" / "model.gguf"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)  # no .env of the checkout
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text(CATALOGUE, "utf-8")
    shell = Shell(tmp_path / "models", catalogue)
    shell.weights.parent.mkdir(parents=True)
    shell.weights.write_bytes(CONTENT)
    return shell


def test_list_shows_what_is_here_and_what_is_not(shell: Shell) -> None:
    result = shell.run("list")
    assert result.exit_code == 0
    (tiny,) = (line for line in result.output.splitlines() if " tiny " in line)
    (extra,) = (line for line in result.output.splitlines() if " extra " in line)
    assert "installed" in tiny
    assert "A tiny model; zh en; MIT; default" in tiny
    assert "missing" in extra
    assert "Another one; any language; Apache-2.0 " in extra


def test_pull_takes_the_default_models_unless_told_otherwise(shell: Shell) -> None:
    result = shell.run("pull")
    assert result.exit_code == 0, result.output
    assert f"tiny: ready in {shell.weights.parent}" in result.output
    assert "extra" not in result.output


@pytest.mark.parametrize("which", ["extra", "--all"])
def test_pull_goes_on_after_a_failure_and_exits_1(shell: Shell, which: str) -> None:
    result = shell.run("pull", which)
    assert result.exit_code == 1
    assert "the weights of extra are not complete" in result.output
    assert ("tiny: ready" in result.output) is (which == "--all")


def test_pull_of_an_unknown_model_names_the_known_ones(shell: Shell) -> None:
    result = shell.run("pull", "big")
    assert result.exit_code == 1
    assert "known are tiny, extra" in result.output


def test_verify_checks_what_is_here(shell: Shell) -> None:
    result = shell.run("verify")
    assert (result.exit_code, result.output) == (0, "tiny: right\n")

    shell.weights.write_bytes(CONTENT.swapcase())
    result = shell.run("verify")
    assert result.exit_code == 1
    assert "model.gguf: corrupt: its sha256 is" in result.output


def test_verify_of_nothing_says_so(shell: Shell) -> None:
    shell.weights.unlink()
    result = shell.run("verify")
    assert result.exit_code == 0
    assert "no weights in" in result.output


def test_rm_deletes_and_says_how_much(shell: Shell) -> None:
    result = shell.run("rm", "tiny")
    assert (result.exit_code, result.output) == (0, "tiny: removed, 20 bytes freed\n")
    assert not shell.weights.exists()


def test_settings_say_where_the_weights_are(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_MODELS_DIR", str(shell.models_dir))
    result = CliRunner().invoke(models_app, ["verify", "--catalogue", str(shell.catalogue)])
    assert (result.exit_code, result.output) == (0, "tiny: right\n")


def test_a_broken_catalogue_or_setting_is_said_without_a_traceback(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.catalogue.write_text("[[model]]\nid = 1\n", "utf-8")
    result = shell.run("list")
    assert result.exit_code == 1
    assert "cannot read the catalogue of models" in result.output

    monkeypatch.setenv("VIVAVOCE_PORT", "high")
    result = shell.run("list")
    assert result.exit_code == 1
    assert "VIVAVOCE_PORT=high" in result.output
