"""What a person is told when a server cannot be talked to."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.server import serving
from vivavoce.client.call import accompanied, open_call
from vivavoce.client.dialect import Wishes
from vivavoce.client.link import address_of, open_link
from vivavoce.client.loudspeaker import VirtualLoudspeaker
from vivavoce.client.voice_dialect import VoiceDialect
from vivavoce.errors import AuthenticationFailed, InvalidRequest, Overloaded, VivavoceError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ws://localhost:8000", "ws://localhost:8000/v1/voice"),
        ("localhost:8000", "ws://localhost:8000/v1/voice"),
        ("https://example.org/", "wss://example.org/v1/voice"),
        ("http://[::1]:9", "ws://[::1]:9/v1/voice"),
        ("wss://host/proxied/v1/voice?x=1", "wss://host/proxied/v1/voice?x=1"),
    ],
)
def test_addresses(url: str, address: str) -> None:
    assert address_of(url, "/v1/voice") == address


@pytest.mark.parametrize("url", ["", "ftp://host", "ws://", "ws://host:port", "ws://host:99999"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="looks like ws://localhost:8000"):
        address_of(url, "/v1/voice")


async def test_no_server_there() -> None:
    with pytest.raises(VivavoceError, match=r"No server answers at .*vivavoce serve") as caught:
        async with open_link("ws://127.0.0.1:1/v1/voice"):
            pass
    assert caught.value.code == "server_unreachable"


async def test_something_else_there() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(VivavoceError, match="not as a WebSocket server"):
            async with open_link(f"ws://127.0.0.1:{port}/v1/voice"):
                pass


async def test_another_path_of_the_server() -> None:
    async with serving() as server:
        with pytest.raises(InvalidRequest, match="refused the connection with status 403"):
            async with open_link(server.url("/nothing/here")):
                pass


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_the_key_is_refused(key: str | None) -> None:
    async with serving(api_keys="right") as server:
        with pytest.raises(AuthenticationFailed, match="--api-key or as VIVAVOCE_API_KEY"):
            async with open_link(server.url("/v1/voice"), api_key=key):
                pass


async def test_the_key_is_taken() -> None:
    async with (
        serving(api_keys="right") as server,
        open_link(server.url("/v1/voice"), api_key="right") as link,
    ):
        assert '"ready"' in str(await link.receive())


async def test_the_server_is_full() -> None:
    async with serving(limit={"sessions": 1}) as server, open_link(server.url("/v1/voice")) as link:
        await link.receive()
        loudspeaker = VirtualLoudspeaker(asyncio.get_running_loop().time)
        async with open_call(server.url(), VoiceDialect(), loudspeaker) as call:
            with pytest.raises(Overloaded, match="The server is full: 1 conversation"):
                await accompanied(call.open(Wishes()), call.listen())


async def test_the_server_stops() -> None:
    async with serving() as server, open_link(server.url("/v1/voice")) as link:
        await link.receive()
        server.stop()
        with pytest.raises(Overloaded, match="restarting"):
            await link.receive()


async def test_a_self_signed_certificate_needs_a_word(tmp_path: Path) -> None:
    certificate, key = _self_signed(tmp_path)
    async with serving(ssl_certfile=certificate, ssl_keyfile=key) as server:
        address = server.url("/v1/voice", "wss")
        with pytest.raises(VivavoceError, match="add --insecure"):
            async with open_link(address):
                pass
        async with open_link(address, insecure=True) as link:
            assert '"ready"' in str(await link.receive())


def _self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file
