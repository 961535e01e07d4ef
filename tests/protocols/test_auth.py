"""Who may open a WebSocket."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from vivavoce.errors import AuthenticationFailed, InvalidRequest
from vivavoce.protocols.auth import check_key, check_origin, chosen_subprotocol, offered_key

KEYS = (SecretStr("first-key"), SecretStr("schlüssel"))


@pytest.mark.parametrize(
    ("headers", "subprotocols", "key"),
    [
        ({"authorization": "Bearer abc"}, (), "abc"),
        ({"authorization": "bearer  abc "}, (), "abc"),
        ({"authorization": "Basic abc"}, (), None),
        ({"authorization": "Bearer "}, (), None),
        ({"api-key": "abc"}, (), "abc"),
        ({}, ("realtime", "openai-insecure-api-key.abc", "openai-agents-sdk.1"), "abc"),
        ({"authorization": "Bearer abc"}, ("openai-insecure-api-key.xyz",), "abc"),
        ({}, ("realtime",), None),
    ],
)
def test_where_a_key_may_stand(
    headers: dict[str, str], subprotocols: tuple[str, ...], key: str | None
) -> None:
    assert offered_key(headers, subprotocols) == key


@pytest.mark.parametrize("key", ["first-key", "schlüssel"])
def test_a_known_key_is_let_in(key: str) -> None:
    check_key(key, KEYS)


@pytest.mark.parametrize("key", ["", "first-ke", "first-key ", "First-Key", "schlussel"])
def test_another_key_is_not(key: str) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        check_key(key, KEYS)
    assert key not in caught.value.message or not key


def test_no_key_is_told_how_to_send_one() -> None:
    with pytest.raises(AuthenticationFailed, match="Authorization: Bearer"):
        check_key(None, KEYS)
    check_key(None, ())


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "http://localhost:5173",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://voice.example:8443",
        "https://friend.example",
    ],
)
def test_our_own_pages_may_connect(origin: str | None) -> None:
    headers = {"host": "voice.example:8000"} | ({} if origin is None else {"origin": origin})
    check_origin(headers, ("https://friend.example",))


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://localhost.evil.example",
        "https://voice.example.evil",
    ],
)
def test_pages_of_others_may_not(origin: str) -> None:
    with pytest.raises(InvalidRequest, match="VIVAVOCE_ALLOWED_ORIGINS"):
        check_origin({"host": "voice.example", "origin": origin}, ("https://friend.example",))


def test_the_subprotocol_chosen_never_carries_a_key() -> None:
    offered = ["openai-insecure-api-key.abc", "realtime", "openai-agents-sdk.1"]
    assert chosen_subprotocol(offered) == "realtime"
    assert chosen_subprotocol(["openai-insecure-api-key.abc"]) is None
