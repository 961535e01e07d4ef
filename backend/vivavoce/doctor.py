"""What is wrong with this machine for Vivavoce, and what to do about it.

Every check is a function that takes plain values and returns findings; none raises, and none
changes anything.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, TypeAlias

import httpx
import psutil
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from rich.filesize import decimal

from vivavoce.models.store import ModelStore

Level: TypeAlias = Literal["ok", "warn", "fail"]

OLDEST_PYTHON = (3, 11)
CERTIFICATE_WARNING = timedelta(days=14)
SPARE_MEMORY_BYTES = 500_000_000
"""What the server needs beside the weights."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. remedy: what to do; empty where nothing need be done."""

    name: str
    level: Level
    message: str
    remedy: str = ""


def examine(
    store: ModelStore,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    ssl_certfile: Path | None = None,
    ssl_keyfile: Path | None = None,
    llm_base_url: str | None = None,
    llm_api_key: str | None = None,
) -> list[Finding]:
    """Run every check. llm_base_url: None for the embedded chat model."""
    wanted = [m for m in store.catalogue.defaults if m.kind != "llm" or not llm_base_url]
    here = set(store.installed())
    return [
        check_python(sys.version_info[:2]),
        check_cores(usable_cores()),
        check_memory(usable_memory_bytes(), sum(m.memory_bytes for m in wanted)),
        check_disk(store.models_dir, sum(m.n_bytes for m in wanted if m.id not in here)),
        *check_weights(store, [m.id for m in wanted]),
        check_port(host, port),
        *check_tls(host, ssl_certfile, ssl_keyfile, datetime.now(UTC)),
        check_gpu(),
        *([check_llm(llm_base_url, llm_api_key)] if llm_base_url else []),
    ]


def check_python(version: tuple[int, int]) -> Finding:
    """version: major, minor."""
    found = f"Python {version[0]}.{version[1]}"
    if version < OLDEST_PYTHON:
        return Finding("python", "fail", found, "install Python 3.11 or newer")
    return Finding("python", "ok", found)


def check_cores(n_cores: int) -> Finding:
    """n_cores: CPU cores this process may use."""
    if n_cores < 2:
        return Finding(
            "cores",
            "warn",
            f"{n_cores} core: recognition, replies and speech will wait for each other",
            "give the server 2 cores or more, or point llm.base_url at another machine",
        )
    return Finding("cores", "ok", f"{n_cores} cores")


def check_memory(available: int, needed: int) -> Finding:
    """available: bytes that can be had now. needed: peak of the weights in use."""
    total = needed + SPARE_MEMORY_BYTES
    message = f"{decimal(available)} available, about {decimal(total)} needed"
    if available < total:
        return Finding(
            "memory", "warn", message, "close other programs, or choose smaller models or engines"
        )
    return Finding("memory", "ok", message)


def check_disk(models_dir: Path, missing: int) -> Finding:
    """missing: bytes of weights still to be fetched; wheels need as much again meanwhile."""
    existing = next(p for p in (models_dir, *models_dir.parents) if p.exists())
    if not os.access(existing, os.W_OK) and missing:
        return Finding(
            "disk",
            "fail",
            f"{existing} is not writable and weights are missing",
            "make it writable, or set models_dir to a folder that is",
        )
    free, needed = shutil.disk_usage(existing).free, 2 * missing
    message = f"{decimal(free)} free for {models_dir}, {decimal(needed)} needed"
    if free < needed:
        return Finding("disk", "fail", message, "free some space, or set models_dir elsewhere")
    return Finding("disk", "ok", message)


def check_weights(store: ModelStore, model_ids: list[str]) -> list[Finding]:
    """One finding per model; hashes only files that have not been hashed before."""
    findings = []
    for model_id in model_ids:
        name = f"weights {model_id}"
        faults = store.faults(model_id)
        if faults:
            message = "; ".join(f"{fault.path}: {fault.reason}" for fault in faults)
            findings.append(
                Finding(name, "fail", message, f"run `vivavoce models pull {model_id}`")
            )
        else:
            findings.append(Finding(name, "ok", "complete"))
    return findings


def check_port(host: str, port: int) -> Finding:
    """Whether a server could listen there now."""
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # elsewhere the option would allow a port that is in use
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        remedy = {
            errno.EADDRINUSE: "stop the program that listens there, or choose another port",
            errno.EACCES: "choose a port above 1023, or grant the right to bind low ones",
            errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 means all of them",
        }.get(error.errno or 0, "choose another host or port")
        return Finding("port", "fail", f"cannot listen on {where}: {error.strerror}", remedy)
    return Finding("port", "ok", f"{where} is free")


def check_tls(
    host: str, certfile: Path | None, keyfile: Path | None, now: datetime
) -> list[Finding]:
    """now: an aware time. The files may hold a chain; the first certificate is the server's."""
    if certfile is None and keyfile is None:
        if _is_loopback(host):
            return [Finding("tls", "ok", "not configured, and not needed on this machine itself")]
        return [
            Finding(
                "tls",
                "warn",
                f"not configured: browsers give a page on {host} no microphone without https",
                "set ssl_certfile and ssl_keyfile, or put a TLS proxy in front",
            )
        ]
    if certfile is None:
        return [Finding("tls", "fail", "a key without a certificate", "set ssl_certfile too")]
    try:
        certificate = x509.load_pem_x509_certificate(certfile.read_bytes())
    except (OSError, ValueError) as error:
        return [_unreadable("tls certificate", certfile, error)]
    validity = _check_validity(certificate, now)
    keyfile = keyfile or certfile  # one file may hold both
    try:
        key = serialization.load_pem_private_key(keyfile.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        return [validity, _unreadable("tls key", keyfile, error)]
    if _public_bytes(key.public_key()) != _public_bytes(certificate.public_key()):
        message = f"{keyfile} is not the key of {certfile}"
        return [validity, Finding("tls key", "fail", message, "give the two files of one pair")]
    return [validity, Finding("tls key", "ok", f"{keyfile} fits the certificate")]


def check_gpu(command: str = "nvidia-smi") -> Finding:
    """command: a program that prints a GPU a line; informs only, for none is needed."""
    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return Finding("gpu", "ok", "none found; the embedded engines do not need one")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("gpu", "warn", f"{command} fails: {error}", "check the driver")
    if answer.returncode != 0:
        said = (answer.stderr or answer.stdout).strip()
        return Finding("gpu", "warn", f"{command} fails: {said}", "check the driver")
    return Finding("gpu", "ok", "; ".join(answer.stdout.strip().splitlines()) or "none found")


def check_llm(base_url: str, api_key: str | None = None, timeout_s: float = 5.0) -> Finding:
    """Whether an OpenAI-compatible endpoint answers `GET {base_url}/models`."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    url = f"{base_url.rstrip('/')}/models"
    try:
        status = httpx.get(url, headers=headers, timeout=timeout_s).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = f"{url} cannot be reached: {error or type(error).__name__}"
        return Finding("llm", "fail", message, "start that server, or correct llm.base_url")
    if status in (401, 403):
        return Finding("llm", "fail", f"{url} answers {status}", "set llm.api_key to a valid key")
    if status >= 400:
        remedy = "check llm.base_url; it usually ends in /v1"
        return Finding("llm", "warn", f"{url} answers {status}", remedy)
    return Finding("llm", "ok", f"{url} answers")


def usable_cores() -> int:
    """Cores that this process may run on, less than the machine's in a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_memory_bytes(limit_file: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Memory available now, less than the machine's in a container."""
    available = int(psutil.virtual_memory().available)
    try:
        return min(available, int(limit_file.read_text("ascii")))
    except (OSError, ValueError):  # no container, or "max"
        return available


def _check_validity(certificate: x509.Certificate, now: datetime) -> Finding:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        message = f"valid only from {begins:%Y-%m-%d %H:%M} UTC"
        return Finding("tls certificate", "fail", message, "check this machine's clock")
    message = f"valid until {ends:%Y-%m-%d}"
    if now > ends:
        message = f"expired on {ends:%Y-%m-%d}"
        return Finding("tls certificate", "fail", message, "renew the certificate")
    if ends - now < CERTIFICATE_WARNING:
        return Finding("tls certificate", "warn", message, "renew the certificate soon")
    return Finding("tls certificate", "ok", message)


def _unreadable(name: str, path: Path, error: Exception) -> Finding:
    reason = error.strerror if isinstance(error, OSError) else error
    remedy = "give an unencrypted PEM file that the server may read"
    return Finding(name, "fail", f"{path} cannot be read: {reason}", remedy)


def _public_bytes(key: object) -> bytes:
    # The two loaders' unions of key types differ in name only.
    return key.public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
