import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vivavoce.cli import app

runner = CliRunner()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIVAVOCE_MODELS_DIR", str(tmp_path / "models"))


def test_serving_other_machines_without_a_key_is_refused() -> None:
    result = runner.invoke(app, ["serve", "--host", "0.0.0.0"])
    assert result.exit_code == 1
    assert "VIVAVOCE_API_KEYS=<a long random key>" in result.output.replace("\n", " ")


def test_a_port_in_use_is_named_before_anything_is_fetched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = runner.invoke(app, ["serve", "--port", str(port)])
    assert result.exit_code == 1
    assert f"127.0.0.1:{port}" in result.output
    assert "--port" in result.output
    assert not (tmp_path / "models").exists()


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_PORT", "eighty")
    result = runner.invoke(app, ["serve"])
    assert result.exit_code == 1
    assert "VIVAVOCE_PORT=eighty" in result.output


@pytest.mark.parametrize(
    "command", [[], ["serve"], ["models"], ["models", "pull"], ["doctor"], ["voice"], ["bench"]]
)
def test_every_command_has_help(command: list[str]) -> None:
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vivavoce", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("vivavoce ")
