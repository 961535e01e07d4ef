from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.engines.asr.agreement import agreed_prefix


@pytest.mark.parametrize(
    ("previous", "current", "agreed"),
    [
        ("", "Hello", ""),
        ("Hello wor", "Hello world", "Hello"),
        ("hello, world", "Hello world. How", "Hello world"),
        ("He was not an ill", "He was not an illness", "He was not an"),
        ("广州市", "广州市房地产", "广州市"),
        ("广州是", "广州市房", "广州"),
        ("我用 Python", "我用 Python 写", "我用 Python"),
        ("One two.", "One two.", "One two"),
    ],
)
def test_what_two_hypotheses_agree_on(previous: str, current: str, agreed: str) -> None:
    assert agreed_prefix(previous, current) == agreed


@given(st.text(), st.text())
def test_the_agreed_part_is_a_prefix(previous: str, current: str) -> None:
    assert current.strip().startswith(agreed_prefix(previous, current.strip()))
