"""Every check finds what is wrong, and says what to do about it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from vivavoce.commands.doctor import doctor_command
from vivavoce.doctor import (
    Finding,
    check_cores,
    check_disk,
    check_gpu,
    check_llm,
    check_memory,
    check_port,
    check_python,
    check_tls,
    check_weights,
    examine,
    usable_cores,
    usable_memory_bytes,
)
from vivavoce.models.catalogue import Catalogue
from vivavoce.models.store import ModelStore

NOW = datetime(2030, 6, 1, tzinfo=UTC)
CONTENT = b"weights"


def level(finding: Finding) -> str:
    """The level, after checking that whatever is not ok comes with a remedy."""
    assert finding.level == "ok" or finding.remedy
    return finding.level


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    row = {
        "id": "tiny",
        "kind": "llm",
        "title": "A tiny model",
        "licence": "MIT",
        "languages": [],
        "default": True,
        "memory_bytes": 1000,
        "file": [
            {
                "name": "model.gguf",
                "bytes": len(CONTENT),
                "sha256": hashlib.sha256(CONTENT).hexdigest(),
                "origin": "https://models.example/model.gguf",
            }
        ],
    }
    return ModelStore(tmp_path / "models", catalogue=Catalogue.model_validate({"model": [row]}))


def test_python_cores_and_memory() -> None:
    assert level(check_python((3, 11))) == "ok"
    assert level(check_python((3, 10))) == "fail"
    assert level(check_cores(2)) == "ok"
    assert level(check_cores(1)) == "warn"
    assert level(check_memory(3_000_000_000, 2_000_000_000)) == "ok"
    assert level(check_memory(2_000_000_000, 2_000_000_000)) == "warn"


def test_a_container_limits_memory(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    machine = usable_memory_bytes(tmp_path / "absent")
    assert machine > 10_000
    limit.write_text("10000\n")
    assert usable_memory_bytes(limit) == 10_000
    limit.write_text("max\n")
    assert usable_memory_bytes(limit) > 10_000
    assert usable_cores() >= 1


def test_disk(tmp_path: Path) -> None:
    assert level(check_disk(tmp_path / "not" / "yet", 1000)) == "ok"
    full = check_disk(tmp_path, 10**18)
    assert level(full) == "fail"
    assert "2.0 EB needed" in full.message


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_disk_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert level(check_disk(tmp_path, 1000)) == "fail"
    assert level(check_disk(tmp_path, 0)) == "ok"


def test_weights_missing_corrupt_and_complete(store: ModelStore) -> None:
    (missing,) = check_weights(store, ["tiny"])
    assert level(missing) == "fail"
    assert "model.gguf: missing" in missing.message
    assert missing.remedy == "run `vivavoce models pull tiny`"

    weights = store.models_dir / "tiny" / "model.gguf"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(CONTENT.swapcase())
    (corrupt,) = check_weights(store, ["tiny"])
    assert level(corrupt) == "fail"
    assert "corrupt" in corrupt.message

    weights.write_bytes(CONTENT)
    assert [level(finding) for finding in check_weights(store, ["tiny"])] == ["ok"]


def test_port_free_taken_and_nowhere() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        taken = check_port("127.0.0.1", port)
        assert level(taken) == "fail"
        assert "stop the program" in taken.remedy
    assert level(check_port("127.0.0.1", port)) == "ok"
    nowhere = check_port("192.0.2.1", port)
    assert level(nowhere) == "fail"
    assert "no such address" in nowhere.remedy


@pytest.fixture
def make_pair(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write a self-signed certificate and its key; days: from NOW until it expires."""

    def make(days: int = 90, begins: datetime | None = None) -> tuple[Path, Path]:
        folder = tmp_path / f"tls{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "voice.example")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins or NOW - timedelta(days=365))
            .not_valid_after(NOW + timedelta(days=days))
            .sign(key, hashes.SHA256())
        )
        (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return folder / "cert.pem", folder / "key.pem"

    return make


def levels(findings: list[Finding]) -> list[str]:
    return [level(finding) for finding in findings]


def test_tls_that_fits(make_pair: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    certfile, keyfile = make_pair()
    assert levels(check_tls("0.0.0.0", certfile, keyfile, NOW)) == ["ok", "ok"]
    both = tmp_path / "both.pem"
    both.write_bytes(certfile.read_bytes() + keyfile.read_bytes())
    assert levels(check_tls("0.0.0.0", both, None, NOW)) == ["ok", "ok"]


def test_tls_in_time(make_pair: Callable[..., tuple[Path, Path]]) -> None:
    for days, expected in ((-1, "fail"), (10, "warn"), (15, "ok")):
        assert levels(check_tls("h", *make_pair(days), NOW)) == [expected, "ok"]
    early = make_pair(begins=NOW + timedelta(days=1))
    assert levels(check_tls("h", *early, NOW)) == ["fail", "ok"]


def test_tls_files_that_do_not_work(
    make_pair: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    certfile, keyfile = make_pair()
    _, other_key = make_pair()
    (mismatch,) = check_tls("h", certfile, other_key, NOW)[1:]
    assert level(mismatch) == "fail"
    assert "is not the key of" in mismatch.message
    assert levels(check_tls("h", tmp_path / "absent.pem", keyfile, NOW)) == ["fail"]
    assert levels(check_tls("h", keyfile, keyfile, NOW)) == ["fail"]
    assert levels(check_tls("h", certfile, certfile, NOW)) == ["ok", "fail"]
    assert levels(check_tls("h", None, keyfile, NOW)) == ["fail"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", "ok"), ("::1", "ok"), ("localhost", "ok"), ("0.0.0.0", "warn")],
)
def test_without_tls_other_machines_have_no_microphone(host: str, expected: str) -> None:
    assert levels(check_tls(host, None, None, NOW)) == [expected]


def test_gpu_present_absent_and_broken(tmp_path: Path) -> None:
    assert level(check_gpu(str(tmp_path / "absent"))) == "ok"
    tool = tmp_path / "smi"
    tool.write_text("#!/bin/sh\necho 'Some GPU, 24 GiB'\n")
    tool.chmod(0o755)
    assert check_gpu(str(tool)).message == "Some GPU, 24 GiB"
    tool.write_text("#!/bin/sh\necho 'no driver' >&2; exit 9\n")
    broken = check_gpu(str(tool))
    assert level(broken) == "warn"
    assert "no driver" in broken.message


@pytest.fixture
def endpoint() -> Iterator[str]:
    """An endpoint that knows one key and one path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers.get("Authorization") == "Bearer right"
            found = self.path == "/v1/models"
            self.send_response(404 if not found else 200 if allowed else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_llm_endpoint(endpoint: str) -> None:
    assert level(check_llm(f"{endpoint}/v1/", "right")) == "ok"
    assert level(check_llm(f"{endpoint}/v1", "wrong")) == "fail"
    assert level(check_llm(endpoint, "right")) == "warn"
    assert level(check_llm("http://127.0.0.1:9/v1")) == "fail"
    assert level(check_llm("http://[half", "key")) == "fail"


def test_examine_runs_them_all(store: ModelStore) -> None:
    names = [finding.name for finding in examine(store, port=0)]
    assert names == [
        "python",
        "cores",
        "memory",
        "disk",
        "weights tiny",
        "port",
        "tls",
        "gpu",
    ]


def test_an_endpoint_makes_the_embedded_chat_model_needless(
    store: ModelStore, endpoint: str
) -> None:
    found = examine(store, port=0, llm_base_url=f"{endpoint}/v1", llm_api_key="right")
    names = [finding.name for finding in found]
    assert "weights tiny" not in names
    assert names[-1] == "llm"


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)  # no .env of the checkout
    app = typer.Typer()
    app.command()(doctor_command)

    def run(*arguments: str) -> Any:
        options = ["--models-dir", str(tmp_path / "models"), "--port", "0", *arguments]
        return CliRunner(env={"COLUMNS": "300"}).invoke(app, options)

    return run


def test_the_command_prints_a_table_and_fails_without_weights(doctor: Callable[..., Any]) -> None:
    result = doctor()
    assert result.exit_code == 1
    assert "weights whisper-base" in result.output
    assert "run `vivavoce models pull whisper-base`" in result.output


def test_the_command_prints_json(doctor: Callable[..., Any]) -> None:
    found = {row["name"]: row for row in json.loads(doctor("--json").output)}
    assert found["python"]["level"] == "ok"
    assert found["weights silero-vad"]["level"] == "fail"
    assert set(found["python"]) == {"name", "level", "message", "remedy"}


@pytest.mark.models
def test_the_command_is_content_where_weights_are(
    doctor: Callable[..., Any], models_dir: Path
) -> None:
    result = doctor("--models-dir", str(models_dir), "--json")
    rows = json.loads(result.output)
    assert [row for row in rows if row["level"] == "fail"] == []
    assert result.exit_code == 0
