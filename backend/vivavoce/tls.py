"""A certificate of our own, for microphones and clients that insist on TLS."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = datetime.timedelta(days=397)
"""Browsers refuse certificates that last longer."""

RENEW_BEFORE = datetime.timedelta(days=14)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Certificate and key in `folder` for this machine's names and addresses; made anew when
    missing or about to expire. The key is readable by its owner only."""
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    if not (key_file.exists() and _is_good(certificate_file)):
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = _make()
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
        certificate_file.write_bytes(certificate)
    return certificate_file, key_file


def _is_good(certificate_file: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except (OSError, ValueError):
        return False
    now = datetime.datetime.now(datetime.UTC)
    return certificate.not_valid_after_utc - RENEW_BEFORE > now


def _make() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Vivavoce on this machine")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_names()), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _names() -> list[x509.GeneralName]:
    addresses = {"127.0.0.1", "::1"}
    for found in psutil.net_if_addrs().values():
        for address in found:
            if address.family in (socket.AF_INET, socket.AF_INET6):
                addresses.add(address.address.partition("%")[0])
    names = {"localhost", socket.gethostname()}
    return [
        *(x509.DNSName(name) for name in sorted(names) if name.isascii()),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in sorted(addresses)),
    ]
