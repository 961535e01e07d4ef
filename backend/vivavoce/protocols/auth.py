"""Who may open a WebSocket: keys, subprotocols and origins."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from pydantic import SecretStr

from vivavoce.errors import AuthenticationFailed, InvalidRequest

KEY_SUBPROTOCOL = "openai-insecure-api-key."
REALTIME_SUBPROTOCOL = "realtime"


def offered_key(headers: Mapping[str, str], subprotocols: Iterable[str]) -> str | None:
    """The key that a client offers: `Authorization: Bearer …`, `api-key` or a subprotocol."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if headers.get("api-key"):
        return headers["api-key"]
    for offer in subprotocols:
        if offer.startswith(KEY_SUBPROTOCOL):
            return offer.removeprefix(KEY_SUBPROTOCOL)
    return None


def check_key(offered: str | None, keys: Iterable[SecretStr]) -> None:
    """Raise AuthenticationFailed unless `offered` is one of `keys`, or there are none.

    Takes the same time wherever a difference lies.
    """
    accepted = [key.get_secret_value().encode() for key in keys]
    if not accepted:
        return
    if offered is None:
        raise AuthenticationFailed(
            "No API key was sent. Send it as `Authorization: Bearer <key>`, or from a browser as "
            f"the subprotocol `{KEY_SUBPROTOCOL}<key>`."
        )
    candidate = offered.encode()
    if sum([hmac.compare_digest(candidate, key) for key in accepted]) == 0:
        raise AuthenticationFailed("The API key is not one that this server knows.")


def check_origin(headers: Mapping[str, str], allowed: Iterable[str]) -> None:
    """Raise InvalidRequest for a web page of another site, which could talk in its user's name.

    Pages served by this host, on any port, and by localhost are our own.
    """
    origin = headers.get("origin")
    if origin is None or origin in allowed:
        return
    host = urlsplit(origin).hostname
    own = urlsplit(f"//{headers.get('host', '')}").hostname
    if host is not None and (host == own or host in ("localhost", "127.0.0.1", "::1")):
        return
    raise InvalidRequest(
        f"The origin {origin!r} may not connect; VIVAVOCE_ALLOWED_ORIGINS names those that may.",
        code="origin_not_allowed",
    )


def chosen_subprotocol(offered: Iterable[str]) -> str | None:
    """`realtime` where it is offered; never a subprotocol that carries a key."""
    return REALTIME_SUBPROTOCOL if REALTIME_SUBPROTOCOL in offered else None
