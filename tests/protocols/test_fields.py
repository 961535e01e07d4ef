"""Fields of a client's JSON: what is taken, and what is said about the rest."""

from __future__ import annotations

import json

import pytest

from vivavoce.errors import InvalidRequest
from vivavoce.protocols.fields import MAX_DEPTH, Fields, decode_base64, parse_object


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ('{"a": 1} {"b": 2}', "Extra data"),
        ("[1, 2]", "must be a JSON object, not a list"),
        ('"text"', "not a string"),
        ("null", "not null"),
        ('{"x": NaN}', "NaN is not a finite number"),
        ('{"x": -Infinity}', "-Infinity is not a finite number"),
        ('{"x": [1e999]}', "1e999 is not a finite number"),
        ('{"x": ' + "9" * 5000 + "}", "digits"),
        (r'{"x": "\ud83d"}', "surrogates not allowed"),
        ("[" * 100_000, "recursion"),
        ('{"x": ' + "[" * 64 + "]" * 64 + "}", "64 levels"),
    ],
)
def test_a_frame_that_is_no_json_object_is_refused(frame: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        parse_object(frame)
    assert caught.value.code == "invalid_json"
    assert len(caught.value.message) < 300


def test_deep_is_not_the_same_as_wide() -> None:
    wide: dict[str, object] = {"list": [[] for _ in range(1000)]}
    assert parse_object(json.dumps(wide)) == wide
    deep = '{"x": ' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}"
    assert "x" in parse_object(deep)


def test_escaped_text_survives() -> None:
    assert parse_object(r'{"x": "\u4f60\u597d \ud83d\ude00"}') == {"x": "你好 😀"}


@pytest.mark.parametrize("text", ["*", "AAA", "AA==AA==", "A A A A", "AAAA\n", "音"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="audio is not valid base64") as caught:
        decode_base64(text, "audio")
    assert (caught.value.code, caught.value.param) == ("invalid_base64", "audio")


def test_whole_numbers_may_be_written_with_a_point() -> None:
    assert Fields({"ms": 12.0}).integer("ms") == 12


@pytest.mark.parametrize("value", [12.5, -1, "12", True, None, 1e30, [], {}])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r"item\.ms"):
        Fields({"ms": value}, "item").integer("ms")


def test_a_missing_field_is_named_with_its_path() -> None:
    inner = Fields({"item": {"content": [{}]}}).optional_object("item")
    assert inner is not None
    with pytest.raises(InvalidRequest) as caught:
        inner.objects("content")[0].text("type")
    assert caught.value.param == "item.content[0].type"
    assert caught.value.code == "missing_required_parameter"


def test_a_wrong_value_is_repeated_in_part_only() -> None:
    error = Fields({"x": "y" * 1000}).wrong("x", "something else")
    assert len(error.message) < 100
