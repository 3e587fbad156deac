"""Answers come back as they went in, and damage is seen."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.semantic.packed import pack, unpack


@given(st.binary(max_size=2_000))
def test_any_answer_comes_back(answer: bytes) -> None:
    assert unpack(pack(answer)) == answer


def test_an_answer_takes_much_less_room() -> None:
    message = {"role": "assistant", "content": "You can block your card in the app. " * 20}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = orjson.dumps({"id": "chatcmpl-1", "choices": [choice]})
    assert len(pack(answer)) < len(answer) / 3


def test_what_was_packed_once_can_be_read_for_ever() -> None:
    """Stored answers outlive versions of this code."""
    stored = bytes.fromhex("014337d09c621323538bf5946a6b636b01")
    message = b'"message":{"role":"assistant","content":"Yes."}'
    assert unpack(stored) == b'{"id":"chatcmpl-7","choices":[{"index":0,%s}]}' % message


@pytest.mark.parametrize("damage", [lambda p: p[:-2], lambda p: b"\x02" + p[1:], lambda p: b""])
def test_damage_is_an_error(damage: object) -> None:
    packed = pack(b'{"choices":[]}' * 50)
    with pytest.raises(ValueError, match="stored answer"):
        unpack(damage(packed))  # type: ignore[operator]  # one of the functions above


def test_more_behind_the_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="no end"):
        unpack(pack(b"answer") + b"more")
