"""The WebSocket to a server: addresses, keys, and what a refusal means in plain words."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from vivavoce.client.dialect import Frame
from vivavoce.errors import AuthenticationFailed, InvalidRequest, Overloaded, VivavoceError

MAX_FRAME_BYTES = 16 * 2**20
OPEN_TIMEOUT_S = 10
CLOSE_TIMEOUT_S = 2

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class Link:
    """An open connection; a closed one raises a VivavoceError that says why."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, frame: Frame) -> None:
        try:
            await self._connection.send(frame)
        except ConnectionClosed as closed:
            raise _end(closed) from closed

    async def receive(self) -> Frame:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _end(closed) from closed


def address_of(url: str, path: str) -> str:
    """The WebSocket's address: http counts as ws, and a bare server gets `path`.

    Raises InvalidRequest for what is no address of a server.
    """
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    try:
        known = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        known = False
    if not known:
        raise InvalidRequest(
            f"{url!r} is not the address of a server; it looks like ws://localhost:8000.",
            code="invalid_url",
        )
    scheme = _SCHEMES[parts.scheme]
    if parts.path in ("", "/"):
        return f"{scheme}://{parts.netloc}{path}"
    return urlunsplit((scheme, parts.netloc, parts.path, parts.query, ""))


@asynccontextmanager
async def open_link(
    address: str, *, api_key: str | None = None, insecure: bool = False
) -> AsyncIterator[Link]:
    """Connect, and close at the end.

    insecure: take any certificate. Raises AuthenticationFailed when the key is refused,
    Overloaded when the server takes nobody more, and VivavoceError when none is there.
    """
    connection = await _connect(address, api_key, insecure)
    try:
        yield Link(connection)
    finally:
        await connection.close()


async def _connect(address: str, api_key: str | None, insecure: bool) -> ClientConnection:
    try:
        return await connect(
            address,
            additional_headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            ssl=_tls(insecure) if address.startswith("wss:") else None,
            compression=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
        )
    except InvalidStatus as refused:
        raise _refusal(address, refused) from refused
    except ssl.SSLCertVerificationError as error:
        raise VivavoceError(
            f"The certificate of {address} is not trusted ({error.verify_message}); for a "
            "self-signed one of your own add --insecure.",
            code="certificate_not_trusted",
        ) from error
    except InvalidHandshake as error:
        raise VivavoceError(
            f"{address} answers, but not as a WebSocket server: {error}.", code="not_a_server"
        ) from error
    except OSError as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or error
        raise VivavoceError(
            f"No server answers at {address} ({reason}). Start one with `vivavoce serve`, or give "
            "the address of one that runs.",
            code="server_unreachable",
        ) from error


def _tls(insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _refusal(address: str, refused: InvalidStatus) -> VivavoceError:
    status = refused.response.status_code
    message = _error_message(refused.response.body)
    if status == AuthenticationFailed.http_status:
        return AuthenticationFailed(
            f"{message or 'The server wants an API key.'} Give yours with --api-key or as "
            "VIVAVOCE_API_KEY."
        )
    if status == Overloaded.http_status:
        return Overloaded(message or "The server takes no more conversations at the moment.")
    return InvalidRequest(
        f"{address} refused the connection with status {status}: {message or 'no reason given'}."
    )


def _error_message(body: bytes | bytearray | None) -> str | None:
    try:
        return str(json.loads(body or b"")["error"]["message"])
    except (ValueError, KeyError, TypeError):  # other servers have other envelopes
        return None


def _end(closed: ConnectionClosed) -> VivavoceError:
    if closed.rcvd is None:
        return VivavoceError("The connection to the server broke.", code="connection_lost")
    reason = closed.rcvd.reason or "no reason given"
    if closed.rcvd.code in (Overloaded.close_code, 1012):
        return Overloaded(reason)
    return VivavoceError(
        f"The server ended the conversation: {reason} ({closed.rcvd.code})",
        code="conversation_ended",
    )
