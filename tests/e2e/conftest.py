"""The real server with its embedded engines, as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

START_TIMEOUT_S = 90


@dataclass(frozen=True)
class RunningServer:
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log_file = tmp_path_factory.mktemp("server") / "log"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VIVAVOCE_")}
    environment["VIVAVOCE_MODELS_DIR"] = str(models_dir)
    command = [sys.executable, "-m", "vivavoce", "serve", "--port", str(port)]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=log_file.parent, stdout=log, stderr=log
        )
    try:
        _await_ready(port, process, log_file)
        yield RunningServer(port, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


def _await_ready(port: int, process: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
                if json.load(answer)["ready"]:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server did not get ready:\n{log_file.read_text()[-3000:]}")
